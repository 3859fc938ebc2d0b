from collections.abc import Callable
from pathlib import Path

import pytest

from convscope.data.collection import Pictures
from convscope.errors import ArgumentError, DataError
from convscope.training.choose import choose, complete, labelled


def test_excluded_files_and_folders_are_left_out_and_labels_close_ranks(
    toy: Callable[..., Pictures], tmp_path: Path
) -> None:
    listed = tmp_path / "overlap.csv"
    listed.write_text("path,partner\nclass0/000.png,x\n")
    left = labelled(toy(9), [listed, Path("class1"), "class2/005.png"])
    assert left.paths == ["class2/002.png", "class0/003.png", "class0/006.png", "class2/008.png"]
    assert left.classes == ("class0", "class2")
    assert left.labels == [1, 0, 0, 1]


def test_pictures_beside_the_classes_are_left_out() -> None:
    pictures = Pictures("some", [b"", b"", b""], paths=["a", "b", "c"], labels=[-1, 2, 0], classes=["x", "y", "z"])
    assert labelled(pictures).paths == ["b", "c"]
    assert labelled(pictures).classes == ("x", "z")


def test_labels_that_are_not_the_classes_numbers_are_named() -> None:
    gap, beyond = (Pictures("some", [b""] * 3, labels=labels, classes=["x", "y"]) for labels in ([1, 1, 1], [0, 1, 4]))
    with pytest.raises(DataError, match="class 'x' of some has 0 pictures, need 1 or more"):
        complete(gap)
    with pytest.raises(DataError, match="some has label 4, expected 0 to 1, one a class"):
        labelled(beyond)


def test_errors(toy: Callable[..., Pictures]) -> None:
    with pytest.raises(DataError, match="no picture with a class is left"):
        labelled(toy(3), ["class0", "class1", "class2"])
    with pytest.raises(DataError, match="no classes"):
        labelled(Pictures("some", [b""]))
    for nowhere in (Path("nowhere"), "nowhere.csv", "class7/000.png"):
        with pytest.raises(ArgumentError, match="no such file"):
            labelled(toy(3), [nowhere])


def test_without_a_split_there_is_nothing_held_out(toy: Callable[..., Pictures]) -> None:
    training, held_out = choose(toy(6))
    assert len(training) == 6
    assert held_out is None
