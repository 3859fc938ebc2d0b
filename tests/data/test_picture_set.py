"""Pictures by index, whatever a source's items are."""

from pathlib import Path

import numpy as np
import pytest
import torch
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
    pictures = images(
        Listed([OSError("image file is truncated"), grey(1), ValueError("no\nway"), {"image": grey(3)}, grey(4)])
    )
    assert values(pictures, batch_size=2) == {1: 1, 4: 4}
    assert pictures.skipped == {
        0: "image file is truncated",
        2: "no way",
        3: "an item of type dict, expected a picture, an array or a tensor",
    }


def test_a_bug_in_a_data_set_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        list(batches(images(Listed([grey(1), KeyError("bug")])), TRANSFORM))


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
