"""Items of data sets: dictionaries, axes in another order, and exceptions that are the data set's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data.batches import batches
from convscope.data.dataset_items import raw_bytes
from convscope.data.sources import images
from convscope.errors import DataError
from tests.data.items import TRANSFORM, Listed, grey, values, write


def test_dictionaries_with_a_picture_and_a_label(tmp_path: Path) -> None:
    array = np.full((8, 8, 3), 3, np.uint8)
    items: list[Any] = [
        {"image": grey(1), "label": 4},
        {"label": torch.tensor(2), "img": array - 1, "mask": array},
        {"y": np.int64(7), "scan": array, "id": "a word"},
        {"path": str(write(tmp_path / "a.png", 4))},
        {"pixel_values": torch.full((3, 8, 8), 5, dtype=torch.uint8), "target": "dog"},
    ]
    pictures = images(Listed(items))
    assert values(pictures) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 5}
    assert pictures.labels == [4, 2, 7, -1, -1]


def test_dictionaries_without_one_picture_are_skipped_with_their_keys() -> None:
    pictures = images(Listed([{"image": grey(1)}, {"left": grey(2), "right": grey(3)}, {"text": "a"}, {}]))
    assert values(pictures) == {0: 1}
    assert pictures.skipped == {
        1: "a dictionary of left, right, expected a picture under 'image'",
        2: "a dictionary of text, expected a picture under 'image'",
        3: "a dictionary of nothing, expected a picture under 'image'",
    }


@pytest.mark.parametrize("source", [torch.zeros(4, 8, 9, 3), [torch.zeros(8, 9, 3)], [(torch.zeros(8, 9, 1), 1)]])
def test_floats_with_the_channels_last_are_refused_with_the_fix(source: Any) -> None:
    with pytest.raises(DataError, match=r"\[0\] is a float tensor of shape \(8, 9, [13]\).*permute\(2, 0, 1\)"):
        images(source)


def test_a_later_item_with_the_channels_last_is_refused_too() -> None:
    with pytest.raises(DataError, match=r"Listed\[1\] is a float tensor of shape \(8, 8, 3\)"):
        list(batches(images(Listed([torch.zeros(3, 8, 8), torch.zeros(8, 8, 3)])), TRANSFORM))
    with pytest.raises(DataError, match=r"shape \(5, 8, 8\): expected \(C, H, W\), C 1 or 3$"):
        images(torch.zeros(2, 5, 8, 8))


def test_bytes_with_the_channels_last_are_skipped_with_the_fix() -> None:
    pictures = images([torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(8, 9, 3, dtype=torch.uint8)])
    assert values(pictures) == {0: 0}
    assert pictures.skipped == {
        1: "a tensor of shape (8, 9, 3): expected (C, H, W), C 1, 3 or 4; permute(2, 0, 1) makes it so"
    }


@pytest.mark.parametrize(
    "bug", [KeyError("bug"), IndexError("out of range"), TypeError("no\nlines"), RuntimeError(), AssertionError("odd")]
)
def test_an_exception_of_the_data_set_is_one_line_that_names_the_item(bug: Exception) -> None:
    pictures = images(Listed([grey(1), bug, grey(2)]))
    with pytest.raises(DataError, match=rf"^Listed\[1\]: the data set raised {type(bug).__name__}") as caught:
        list(batches(pictures, TRANSFORM))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is bug
    assert not pictures.skipped
    with pytest.raises(DataError, match=r"Listed\[0\]: the data set raised"):
        images(Listed([bug])).item(0)
    with pytest.raises(DataError, match=r"Listed\[1\]"):
        _ = images(Listed([(grey(1), 3), bug])).labels


def test_memory_that_runs_out_is_not_an_error_of_the_data_set() -> None:
    with pytest.raises(MemoryError):
        images(Listed([MemoryError()])).item(0)


def test_raw_bytes_are_those_of_the_numbers() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    assert raw_bytes(Image.fromarray(array)).tobytes() == array.tobytes()
    numbers = torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1).requires_grad_()
    assert raw_bytes(numbers).tobytes() == numbers.detach().numpy().tobytes()
    assert len(raw_bytes(numbers.bfloat16())) == 48
