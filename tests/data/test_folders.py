"""What lies in a folder: every picture once, and a word about everything else."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from convscope.data import folders
from convscope.data.folders import listed
from tests.data.items import write


def test_files_of_other_kinds_are_counted_by_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "reads_heif", lambda: False)
    write(tmp_path / "a" / "1.png")
    for name in ("a/2.heic", "a/3.HEIC", "scan.dcm", "notes", "a/b/Thumbs.db", ".hidden.png", ".DS_Store", "boxes.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    found = listed(tmp_path)
    assert found.paths == ["a/1.png"]
    assert found.ignored == {".heic": 2, ".dcm": 1, "no suffix": 1, ".db": 1, "hidden": 1}
    (remark,) = found.remarks()
    assert remark.startswith("ignored 6 files: .heic 2, ")
    assert remark.endswith("(.heic needs pip install 'convscope[heic]')")
    for number in range(7):
        (tmp_path / f"x.k{number}").touch()
    assert ", …" in next(listed(tmp_path).remarks())


def test_heic_counts_as_a_picture_where_it_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "reads_heif", lambda: True)
    (tmp_path / "1.HEIC").touch()
    assert listed(tmp_path).paths == ["1.HEIC"]


def test_hidden_and_system_folders_are_skipped_and_named(tmp_path: Path) -> None:
    skipped = [".thumbnails", "@eaDir", "__MACOSX", "a/@eaDir", "a/#recycle", "$RECYCLE.BIN"]
    for place in ("a", "b", *skipped):
        write(tmp_path / place / "1.png")
    found = listed(tmp_path)
    assert found.paths == ["a/1.png", "b/1.png"]
    assert (found.classes, found.empty) == (["a", "b"], [])
    assert sorted(found.skipped) == sorted(skipped)
    assert next(found.remarks()).startswith("skipped 6 hidden or system folders: '$RECYCLE.BIN', '.thumbnails', ")


def test_class_folders_with_and_without_pictures(tmp_path: Path) -> None:
    for path in ("a/x/y/1.png", "beside.png"):
        write(tmp_path / path)
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "1.txt").touch()
    found = listed(tmp_path)
    assert (found.paths, found.classes, found.empty) == (["a/x/y/1.png", "beside.png"], ["a"], ["b", "c"])


# Links


def test_pictures_behind_links_count_once_and_where_they_lie(tmp_path: Path) -> None:
    for path in ("set/b/1.png", "outside/2.png", "outside/3.png", "set/.hidden/4.png"):
        write(tmp_path / path)
    links = {
        "set/a": "set/b",  # a folder that is counted already, though its name comes first
        "set/b/up": "set",
        "set/b/top": ".",
        "set/c": "outside",
        "set/d": "outside",
        "set/b/twin.png": "set/b/1.png",
        "set/b/far.png": "outside/2.png",
        "set/h.png": "set/.hidden/4.png",  # the only way to it
        "outside/self": "outside",
    }
    for link, target in links.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    (tmp_path / "set/knot.png").symlink_to(tmp_path / "set/knot.png")
    (tmp_path / "set/gone.png").symlink_to(tmp_path / "nowhere.png")
    found = listed(tmp_path / "set")
    assert found.paths == ["b/1.png", "c/2.png", "c/3.png", "gone.png", "h.png", "knot.png"]
    assert sorted(found.links) == ["a", "b/far.png", "b/top", "b/twin.png", "b/up", "c/self", "d"]
    assert (found.classes, found.empty) == (["b", "c"], [])
    assert "skipped 7 links to what is counted already: 'a', 'b/far.png', " in "; ".join(found.remarks())


def test_two_links_to_one_picture_elsewhere(tmp_path: Path) -> None:
    target = write(tmp_path / "elsewhere" / "1.png")
    for place in ("a", "b"):
        (tmp_path / "set" / place).mkdir(parents=True)
        (tmp_path / "set" / place / "link.png").symlink_to(target)
    found = listed(tmp_path / "set")
    assert (found.paths, found.links) == (["a/link.png"], ["b/link.png"])
    assert found.empty == ["b"]


def test_hard_links_are_files_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.png")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.png").hardlink_to(tmp_path / "a" / "1.png")
    assert listed(tmp_path).paths == ["a/1.png", "b/1.png"]


# What cannot be read


def test_folders_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("a/1.png", "b/2.png", "a/c/3.png"):
        write(tmp_path / path)
    real = os.scandir

    def scandir(path: str) -> Iterator[os.DirEntry[str]]:
        if path.rstrip("/").endswith(locked):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    locked = ("b", "c")
    found = listed(tmp_path)
    assert (found.paths, found.classes, found.empty) == (["a/1.png", "a/c", "b"], ["a", "b"], [])
    assert str(found.broken["b"]) == "a folder that cannot be read: permission denied"
    locked = (tmp_path.name,)  # type: ignore[assignment]
    with pytest.raises(PermissionError):
        listed(tmp_path)
