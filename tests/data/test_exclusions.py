"""What `exclude` leaves out, by name and by list."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.data.exclusions import Exclusion, exclusion
from convscope.data.picture_set import Pictures
from convscope.data.sources import images
from convscope.errors import ArgumentError, DataError
from tests.data.items import write
from tests.data.written_tables import PATHS, Reports, written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exclusions")
    for path in PATHS:
        write(place / "p" / path)
    (place / "p" / "none").mkdir()
    return place


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Pictures:
    return images(folder / "p")


def left_out(pictures: Pictures, *entries: str | Path) -> list[str]:
    return [pictures.paths[place] for place in sorted(exclusion(pictures, entries).places)]


def test_pictures_folders_and_classes(pictures: Pictures, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exclusion(pictures, ()) == Exclusion()
    monkeypatch.chdir(folder)
    for picture in ("a/000.png", "p/a/000.png", folder / "p/a/000.png", Path("p") / "a" / "000.png", "a\\000.png"):
        assert left_out(pictures, picture) == ["a/000.png"]
    assert left_out(pictures, "b", "p/größe/") == [path for path in pictures.paths if path[0] != "a"]
    assert exclusion(pictures, "none") == Exclusion(frozenset({"none"}))
    classes = Pictures("made", [np.zeros((2, 2, 3), np.uint8)] * 3, labels=[0, 1, 0], classes=["x", "y"])
    assert left_out(classes, "x", "made[1]") == ["made[0]", "made[1]", "made[2]"]


def test_of_two_sources_joined_either_knows_its_paths(pictures: Pictures, folder: Path) -> None:
    both = pictures.joined(pictures)
    assert left_out(both, "a/000.png") == ["first/a/000.png", "second/a/000.png"]
    assert left_out(both, "second/a/000.png", "first/b") == [
        "first/b/ space.png",
        "first/b/deep/er.png",
        "second/a/000.png",
    ]
    assert left_out(both, folder / "p/a/000.png") == ["first/a/000.png", "second/a/000.png"]


@pytest.mark.parametrize("kind", [Path, str, lambda file: (str(file), 0)])
def test_files_in_a_list(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: Callable[[Path], object]) -> None:
    listed = images([kind(folder / "p" / path) for path in PATHS])
    monkeypatch.chdir(folder / "p" / "a")
    (folder / "p" / "a" / "list.txt").write_text(f"000.png\n{folder}/p/b/deep/er.png\nlist[1]\n")
    assert sorted(exclusion(listed, "list.txt").places) == [0, 1, 4]
    (folder / "p" / "a" / "list.txt").unlink()


def test_what_names_nothing(pictures: Pictures, folder: Path) -> None:
    write(folder / "other.png")
    for entry in ("nowhere", "nowhere.csv", folder / "other.png", folder, "a/002.png"):
        with pytest.raises(ArgumentError, match="no such picture, folder or class in p, and no such file with a list"):
            left_out(pictures, entry)
    (folder / "list.txt").write_text("c/000.png\nc/001.png\n")
    with pytest.raises(DataError, match=r"list\.txt: no line names a picture of p: line 1 'c/000\.png', line 2"):
        left_out(pictures, folder / "list.txt")
    for empty in ("", "\n", "path,in,ncc\n"):
        (folder / "list.txt").write_text(empty)
        with pytest.warns(UserWarning, match="list.txt lists nothing, so it excludes nothing"):
            assert left_out(pictures, folder / "list.txt") == []


@settings(max_examples=40)
@given(st.data())
def test_every_line_is_excluded_or_reported(folder: Path, pictures: Pictures, data: st.DataObject) -> None:
    table = data.draw(written(folder))
    (folder / "fuzz.csv").write_bytes(table.data)
    with Reports() as reports:
        assert left_out(pictures, folder / "fuzz.csv") == sorted(filter(None, table.pictures))
    assert reports.counts == ([(table.reported, len(table.pictures))] if table.reported else [])
