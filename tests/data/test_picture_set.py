"""Pictures by index, whatever a source's items are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from convscope.data.batches import batches
from convscope.data.picture_set import NO_CLASS, Pictures
from convscope.data.sources import images
from convscope.errors import ArgumentError, DataError, PictureError
from tests.data.items import TRANSFORM, Listed, grey, values, write


def test_items_of_every_kind() -> None:
    array = np.full((8, 8, 3), 4, np.uint8)
    items = [
        grey(1),
        grey(2).convert("L"),
        array - 1,
        array,
        array[..., 0] + 1,
        torch.full((3, 8, 8), 6, dtype=torch.uint8),
        torch.full((1, 8, 8), 7, dtype=torch.uint8),
        torch.full((8, 8), 8, dtype=torch.uint8),
        (grey(9), 5),
    ]
    pictures = images(Listed(items))
    assert values(pictures) == {k: k + 1 for k in range(9)}
    assert not pictures.tensors
    assert pictures.paths[3] == "Listed[3]"


def test_labels_come_from_the_items_or_from_beside_them() -> None:
    pictures = images(Listed([(grey(1), 2), (grey(2), np.int64(0)), (grey(3), torch.tensor(1)), OSError("gone")]))
    assert pictures.labels == [2, 0, 1, NO_CLASS]
    assert pictures.subset([2, 0]).labels == [1, 2]
    assert images(Listed([(grey(1), "a name"), (grey(2), "another")])).labels is None
    assert images(Listed([grey(1)])).labels is None


def test_broken_items_keep_their_places() -> None:
    pictures = images(Listed([OSError("image file is truncated"), grey(1), ValueError("no\nway"), object(), grey(4)]))
    assert values(pictures, batch_size=2) == {1: 1, 4: 4}
    assert pictures.skipped == {
        0: "image file is truncated",
        2: "no way",
        3: "an item of type object, expected a picture, an array or a tensor",
    }


def test_float_tensors_are_in_network_space() -> None:
    x = torch.randn(5, 3, 8, 8)
    for source in (x, TensorDataset(x, torch.arange(5)), Listed(list(x)), Listed([(each, 1) for each in x])):
        pictures = images(source)
        assert pictures.tensors
        found = list(batches(pictures, TRANSFORM, 2))
        assert torch.equal(torch.cat([batch.inputs for batch in found]), x)
        assert [batch.indices.tolist() for batch in found] == [[0, 1], [2, 3], [4]]
        with pytest.raises(PictureError, match="network space"):
            pictures.picture(0)
    assert images(TensorDataset(x, torch.arange(5))).labels == [0, 1, 2, 3, 4]
    assert torch.equal(images(x).item(3), x[3])  # type: ignore[arg-type]


def test_float_tensors_that_do_not_fit() -> None:
    bad = torch.zeros(2, 3, 4, 4)
    bad[1, 2, 0, 3] = float("inf")
    with pytest.raises(DataError, match=r"Tensor\[1\] is inf at \(2, 0, 3\)"):
        list(batches(images(bad), TRANSFORM))
    with pytest.raises(DataError, match=r"Listed\[1\] is of shape \(3, 5, 5\), Listed\[0\] of \(3, 4, 4\)"):
        list(batches(images(Listed([torch.zeros(3, 4, 4), torch.zeros(3, 5, 5)])), TRANSFORM))
    pictures = images(Listed([torch.zeros(3, 4, 4), torch.zeros(4)]))
    assert [batch.indices.tolist() for batch in batches(pictures, TRANSFORM)] == [[0]]
    assert pictures.skipped == {1: "a float tensor of shape (4,), expected (C, H, W)"}


def test_subset_without_and_fingerprint(tmp_path: Path) -> None:
    for number, name in enumerate(["a/1.png", "b/2.png", "c/3.png", "c/4.png"]):
        write(tmp_path / name, number)
    pictures = images(tmp_path)
    part = pictures.subset([3, 1])
    assert (part.paths, part.labels, part.classes) == (["c/4.png", "b/2.png"], [2, 1], ("a", "b", "c"))
    assert values(part) == {0: 3, 1: 1}
    assert values(part.subset([1])) == {0: 1}
    rest = pictures.without("b")
    assert (rest.paths, rest.labels) == (["a/1.png", "c/3.png", "c/4.png"], [0, 1, 1])
    assert rest.classes == ("a", "c")
    with pytest.raises(ArgumentError, match="'d'"):
        pictures.without("d")
    with pytest.raises(DataError, match="no classes"):
        images(tmp_path / "a").without("d")
    assert pictures.fingerprint() == images(tmp_path).fingerprint()
    assert pictures.fingerprint().startswith("4-")
    assert part.fingerprint() != pictures.fingerprint()
    with pytest.raises(ArgumentError, match="index is 4: expected 0 to 3"):
        pictures.picture(4)


def named(*classes: str) -> Pictures:
    return Pictures("+".join(classes), [b""] * len(classes), labels=range(len(classes)), classes=classes)


def test_other_classes_are_named() -> None:
    first = named("ant", "bee")
    first.require_same_classes(named("ant", "bee"))
    for other, words in (
        (named("ant", "cat"), "no picture of 'bee', one of 1 that are missing"),
        (named("ant", "bee", "cat"), "'cat' too, one of 1 that are unknown there"),
        (named("bee", "ant"), "'bee' in place of 'ant'"),
    ):
        with pytest.raises(DataError, match=f"has other classes than ant.bee: {words}"):
            first.joined(other)


def deep(value: int) -> np.ndarray:
    """A picture of 16 bits, all of one grey."""
    return np.full((8, 8), value, np.uint16)


def saved(folder: Path, levels: list[int]) -> Path:
    folder.mkdir()
    for number, level in enumerate(levels):
        Image.fromarray(deep(level)).save(folder / f"{number:02d}.png")
    return folder


def test_16_bit_pictures_of_a_source_are_read_by_one_range(tmp_path: Path) -> None:
    levels = [0, 100, 700, 1023, 4095, 2000]
    for source in (saved(tmp_path / "scans", levels), list(map(deep, levels)), Listed(list(map(deep, levels)))):
        for order in (range(6), reversed(range(6))):  # whichever is met first
            pictures = images(source)
            with pytest.warns(UserWarning, match=f"^{pictures.name}: 16-bit pixels that only use 12 bits") as caught:
                shown = {index: np.asarray(pictures.item(index)).max() for index in order}
            assert len(caught) == 1
            assert shown == {index: round(level * 255 / 4095) for index, level in enumerate(levels)}
            assert np.asarray(pictures.subset([2]).item(0)).max() == shown[2]  # as before, and not by its own range
        with pytest.warns(UserWarning, match="12 bits"):
            assert values(images(source), batch_size=2) == shown


def test_a_picture_that_uses_more_bits_than_its_source_is_named(tmp_path: Path) -> None:
    levels = [500] * 100
    levels[50] = 60_000  # between those that are measured
    pictures = images(saved(tmp_path / "scans", levels))
    with pytest.warns(UserWarning, match="scans: 16-bit pixels that only use 10 bits"):
        assert np.asarray(pictures.item(0)).max() == round(500 * 255 / 1023)
    with pytest.warns(UserWarning, match=r"^50\.png: 16-bit pixels that use 16 bits where others of scans use 10"):
        assert np.asarray(pictures.item(50)).max() == round(60_000 / 257)


def test_16_bits_that_are_used_need_no_word(tmp_path: Path) -> None:
    pictures = images(saved(tmp_path / "scans", [9, 65535, 0]))
    assert [np.asarray(pictures.item(index)).max() for index in range(3)] == [0, 255, 0]
    assert np.asarray(images([deep(0)]).item(0)).max() == 0
    assert np.asarray(images([deep(65535), grey(3)]).item(1)).max() == 3


def test_the_checksum_tells_pictures_apart(tmp_path: Path) -> None:
    files = images(saved(tmp_path / "scans", [20_000, 60_000]))
    arrays = images([np.full((8, 8, 3), value, np.uint8) for value in (1, 2)])
    tensors = images(torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 3, 8, 8))
    for pictures in (files, arrays, tensors):
        first, second = (pictures.checksum(index, pictures.item(index)) for index in (0, 1))
        assert first != second
        assert first == pictures.checksum(0, pictures.item(0))
    found = next(batches(files, TRANSFORM))
    assert found.checksums.tolist() == [files.checksum(index, files.item(index)) for index in (0, 1)]
