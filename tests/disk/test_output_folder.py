"""A folder that is written to loses nothing of the user's, and has one writer."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from convscope.disk.output_folder import HIDDEN, RECORD, Kind, OutputFolder, output_folder, require_free
from convscope.errors import ArgumentError

NOTES = Kind("a notebook")
OLD = Kind("a notebook", lambda folder: ["a.txt"] if (folder / "a.txt").read_text() == "old" else [])


def census(folder: Path) -> dict[str, bytes | None]:
    """Every file's bytes, None for folders, by path; without what convscope keeps for itself."""
    found = {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
    return {path.as_posix(): content for path, content in found.items() if HIDDEN not in path.parts}


def publish(folder: OutputFolder, **files: str) -> None:
    """Publish NAME.txt with its text; a double underscore stands for a slash."""
    with folder.staging() as staged:
        for name, text in files.items():
            file = staged / f"{name.replace('__', '/')}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        folder.publish(staged, last=f"{next(reversed(files))}.txt")


def write(path: Path, kind: Kind = NOTES, **files: str) -> None:
    with output_folder(path, kind) as folder:
        publish(folder, **files)


def test_files_of_before_are_replaced_and_others_stay(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    write(out, a="1", b__c="1", b__d__e="1")
    (out / "mine.txt").write_text("mine")
    (out / "b" / "mine.txt").write_text("mine")
    write(out, a="2", f="2")
    assert census(out) == {"a.txt": b"2", "f.txt": b"2", "mine.txt": b"mine", "b": None, "b/mine.txt": b"mine"}
    write(out, a="3")
    assert census(out) == {"a.txt": b"3", "mine.txt": b"mine", "b": None, "b/mine.txt": b"mine"}


@pytest.mark.parametrize("name", ["b.txt", "d", "c.txt"])
def test_a_file_of_the_users_with_such_a_name_is_in_the_way_before_anything_changes(tmp_path: Path, name: str) -> None:
    write(tmp_path, a="1")
    (tmp_path / name).write_text("mine") if name != "c.txt" else (tmp_path / name).symlink_to("nowhere")
    before = census(tmp_path)
    with pytest.raises(ArgumentError, match=rf"holds '{name}', which convscope did not write, .*; move it away"):
        write(tmp_path, a="2", b="2", c="2", d__e="2")
    assert census(tmp_path) == before
    assert os.path.lexists(tmp_path / name)


@pytest.mark.parametrize(
    "names", [["thesis.tex"], ["a.txt", "b.txt", ".convscope/"], [".convscope/"], [".convscope/record.json"], ["sub/"]]
)
def test_a_folder_of_the_users_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArgumentError, match=r"holds '.*'.*, but not a notebook of convscope; choose a new or an empty"):
        write(tmp_path, a="1")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", [".gitignore", "earlier"])
def test_hidden_files_and_folders_of_convscope_are_no_obstacle(tmp_path: Path, name: str) -> None:
    if name == "earlier":
        write(tmp_path / name, a="1")
    else:
        (tmp_path / name).write_text("*")
    before = census(tmp_path)
    write(tmp_path, a="2")
    assert census(tmp_path) == before | {"a.txt": b"2"}


@pytest.mark.parametrize("change", ["edited", "replaced", "a folder now"])
def test_a_file_that_the_user_changed_is_the_users(tmp_path: Path, change: str) -> None:
    write(tmp_path, a="1", b="1")
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.txt").mkdir() if change == "a folder now" else (tmp_path / "a.txt").write_text(change)
    before = census(tmp_path)
    for files in ({"a": "2", "b": "2"}, {"b": "2"}):
        with pytest.raises(ArgumentError, match=r"holds 'a.txt', .* which was changed since; move it away"):
            write(tmp_path, **files)  # type: ignore[arg-type]
        assert census(tmp_path) == before


def test_a_copy_of_a_folder_is_as_good(tmp_path: Path) -> None:
    write(tmp_path / "first", a="1")
    shutil.copytree(tmp_path / "first", tmp_path / "second", copy_function=shutil.copyfile)
    write(tmp_path / "second", a="2")
    assert census(tmp_path / "second") == {"a.txt": b"2"}


def test_a_folder_that_was_emptied_is_empty(tmp_path: Path) -> None:
    write(tmp_path, Kind("an atlas"), a="1")
    (tmp_path / "a.txt").unlink()
    write(tmp_path, b="2")
    assert census(tmp_path) == {"b.txt": b"2"}


def test_a_folder_of_another_kind_is_named(tmp_path: Path) -> None:
    write(tmp_path, Kind("an atlas"), a="1")
    with pytest.raises(ArgumentError, match="holds an atlas; choose another folder for a notebook"):
        write(tmp_path, a="2")
    assert census(tmp_path) == {"a.txt": b"1"}


def test_a_folder_without_a_record_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    write(tmp_path, OLD, b="2")
    assert census(tmp_path) == {"b.txt": b"2", "mine.txt": b"mine"}


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="out is '': expected a folder; is a variable not set"):
        require_free("", NOTES)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="expected a folder, and this is a file"):
        write(tmp_path / "file", a="1")
    with pytest.raises(ArgumentError, match=r"cannot be written \(Not a directory\); choose another folder"):
        write(tmp_path / "file" / "out", a="1")


@pytest.mark.parametrize("name", ["../other/a.txt", "/other/a.txt", "link/a.txt", "a.txt"])
def test_nothing_outside_the_folder_is_touched(tmp_path: Path, name: str) -> None:
    """Whatever the record of a folder from a stranger says, and wherever links in it lead."""
    out, other = tmp_path / "out", tmp_path / "other"
    write(other, a="precious")
    write(out, link__a="1")
    record = json.loads((out / HIDDEN / RECORD).read_text())
    record["files"] = {name.replace("/other", str(other)) if name[0] == "/" else name: []}
    (out / HIDDEN / RECORD).write_text(json.dumps(record))
    if name == "link/a.txt":
        shutil.rmtree(out / "link")
        (out / "link").symlink_to(other)
    if name == "a.txt":
        shutil.rmtree(out / HIDDEN)
        (out / HIDDEN).symlink_to(other / HIDDEN)
    before = census(tmp_path)
    with pytest.raises(ArgumentError, match="holds "):
        write(out, b="2")
    assert census(tmp_path) == before


@pytest.mark.parametrize("there", [False, True])
def test_where_nothing_is_written_nothing_is_left(tmp_path: Path, there: bool) -> None:
    out = tmp_path / "deep" / "out"
    if there:
        out.mkdir(parents=True)
    with pytest.raises(KeyError), output_folder(out, NOTES) as folder, folder.staging():
        raise KeyError
    assert census(tmp_path) == ({"deep": None, "deep/out": None} if there else {})
    assert not list(tmp_path.rglob(f"{HIDDEN}*"))


def test_unfinished_work_is_found_again(tmp_path: Path) -> None:
    with output_folder(tmp_path, NOTES) as folder:
        (folder.work("building") / "half.txt").write_text("half")
    (tmp_path / "mine.txt").write_text("mine")
    with output_folder(tmp_path, NOTES) as folder:
        assert (folder.work("building") / "half.txt").read_text() == "half"
        folder.clear()
        assert not list(folder.work("building").iterdir())
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_the_record_keeps_its_key(tmp_path: Path) -> None:
    with output_folder(tmp_path, NOTES) as folder:
        publish(folder, a="1")
        folder.remember({"lr": 0.1})
    with output_folder(tmp_path, NOTES) as folder:
        assert folder.record.key == {"lr": 0.1}


HOLD = """
import sys, time
from convscope.disk.output_folder import Kind, output_folder
with output_folder(sys.argv[1], Kind("a notebook")) as folder:
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_told_who_writes_until_that_one_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscope.disk.output_folder.PATIENCE", 0.1)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ArgumentError, match=rf"process {process.pid}, since .*, writes to it; wait until it ends"):
            write(tmp_path, a="1")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    write(tmp_path, a="2")
    assert census(tmp_path) == {"a.txt": b"2"}


@pytest.mark.parametrize("step", range(12))
def test_interrupted_anywhere_nothing_of_the_users_is_lost_and_the_next_writer_ends_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Every call that moves, deletes or names a file is where it ends, in turn, as if killed there."""
    write(tmp_path, a="1", b__c="1", z="1")
    foreign = {"mine.txt": b"mine", "b": None, "b/mine.txt": b"mine"}
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "b" / "mine.txt").write_text("mine")
    with monkeypatch.context() as patch:
        calls = 0

        def counted(original):  # type: ignore[no-untyped-def]
            def call(*args, **options):  # type: ignore[no-untyped-def]
                nonlocal calls
                calls += 1
                if calls > step:
                    raise KeyboardInterrupt
                return original(*args, **options)

            return call

        for name in ("unlink", "replace", "rmdir", "mkdir"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, a="2", d="2", z="2")
    left = census(tmp_path)
    assert left.items() >= foreign.items()
    written = {name: text for name, text in left.items() if name not in foreign}
    assert "z.txt" not in written or len(set(written.values())) == 1  # a folder that has the last file is complete
    write(tmp_path, a="3", e="3", z="3")
    assert census(tmp_path) == foreign | {"a.txt": b"3", "e.txt": b"3", "z.txt": b"3"}
    record = json.loads((tmp_path / HIDDEN / RECORD).read_text())
    assert sorted(record["files"]) == ["a.txt", "e.txt", "z.txt"]
