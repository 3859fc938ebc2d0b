import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.data.picture_set import Pictures
from convscope.data.sources import images
from convscope.errors import ArgumentError, DataError
from convscope.training.selection import choose, complete, included, labelled


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
    with pytest.raises(DataError, match="pictures of some may show several classes"):
        labelled(Pictures("some", [b""], classes=["ant", "bee"], truth=np.ones((1, 2), np.int8)))
    for nowhere in (Path("nowhere"), "nowhere.csv", "class7/000.png"):
        with pytest.raises(ArgumentError, match="no such picture, folder or class in toy"):
            labelled(toy(3), [nowhere])


def test_without_a_split_there_is_nothing_held_out(toy: Callable[..., Pictures]) -> None:
    training, held_out = choose(toy(6))
    assert len(training) == 6
    assert held_out is None


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two classes, and the folder of one without pictures."""
    for place in ("ant/1.png", "ant/2.png", "bee/1.png", "bee/2.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"")
    (tmp_path / "cat").mkdir()
    return tmp_path


def test_an_empty_class_folder_is_named_unless_it_is_excluded(folders: Path) -> None:
    source = images(folders)
    with pytest.raises(DataError, match=f"class 'cat' of {folders.name} has 0 pictures, need 2 or more"):
        complete(source, 2)
    with pytest.raises(DataError, match=r"class 'cat' .* need 2 or more"):
        choose(folders, per_class=1)
    assert choose(complete(source, 2, "cat"), exclude="cat", per_class=1)[0].classes == ("ant", "bee")
    with pytest.raises(ArgumentError, match="no such picture, folder or class"):
        labelled(source, "dog")


def test_a_class_folder_that_cannot_be_read_stops_unless_it_is_excluded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ant", "bee", "cat"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    real = os.scandir

    def scandir(path: str) -> Iterator[os.DirEntry[str]]:
        if path.endswith("cat"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    source = images(tmp_path)
    for pictures, joined in ((source, False), (source.joined(source), True)):
        with pytest.raises(DataError, match=r"class 'cat' of .* is a folder that cannot be read: permission denied"):
            complete(pictures)
        assert complete(pictures, exclude="cat") is pictures
        assert len(included(pictures, "cat")) == (4 if joined else 2)


def test_folders_that_are_parts_of_a_data_set_are_refused(tmp_path: Path) -> None:
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    with pytest.warns(UserWarning, match="are parts of a data set by name"):
        source = images(tmp_path)
    with pytest.raises(DataError, match=r"expected one of the folders, as .*/train, or --labels FILE"):
        choose(source)


def test_of_two_sources_joined_either_is_excluded_from(folders: Path) -> None:
    both = images(folders).joined(images(folders))
    listed = folders / "listed.csv"
    listed.write_text("bee/1.png\n\n")
    cases: tuple[tuple[list[str | Path], list[str]], ...] = (
        (["ant", listed], ["first/bee/2.png", "second/bee/2.png"]),
        (["first/ant", "second"], ["first/bee/1.png", "first/bee/2.png"]),
    )
    for exclude, left in cases:
        assert [both.paths[place] for place in included(both, exclude)] == left


def test_a_class_is_excluded_by_its_name(toy: Callable[..., Pictures]) -> None:
    pictures = toy(6)
    pictures.paths = [f"toy[{k}]" for k in range(6)]
    assert labelled(pictures, "class1").classes == ("class0", "class2")
    pictures.labels = [0, 2] * 3
    assert complete(pictures, exclude="class1") is pictures
