"""Folders that commands write to: no file of the user's in them is lost, and one process writes at a time.

    with output_folder("out/occlude", RESULT) as folder, folder.staging() as staged:
        (staged / "result.json").write_text("{}")
        folder.publish(staged, last="result.json")

A folder is written to only if it is new, empty (names that begin with a dot, and folders of convscope's, aside), or was
written by a command of the same kind before. `.convscope` in it holds the record of the files that were written, the
lock, and unfinished work. Only files in the record are replaced or deleted.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from convscope.disk.atomic import put
from convscope.errors import ArgumentError

HIDDEN = ".convscope"
RECORD, LOCK, STAGED = "record.json", "lock", "staged"
PATIENCE = 2.0  # seconds to wait for a lock: shards of an atlas hold the folder's for a moment only
LOCKLESS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # disks on which nothing can be locked
FULL = (errno.ENOSPC, errno.EDQUOT)  # the folder is right, the disk is not


@dataclass(frozen=True)
class Kind:
    """What a command writes.

    name: in words, with the article. unrecorded: the files of such a folder that has no record, because it was written
    before records were kept; none for any other folder.
    """

    name: str
    unrecorded: Callable[[Path], Collection[str]] = lambda folder: ()


@dataclass(frozen=True)
class Record:
    """What convscope wrote into a folder.

    kind: the name of what it is. files: relative path -> digests of contents that the file may have; none where it may
    have any, because a command works on it. key: what the command knows it by.
    """

    kind: str
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    key: Mapping[str, Any] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """Return it as JSON."""
        content = {"convscope": version("convscope"), **asdict(self)}
        return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def read(cls, folder: Path) -> "Record | None":
        """Return the record of a folder, None where it has none, or one that leads out of the folder."""
        try:
            content = json.loads((folder / HIDDEN / RECORD).read_bytes())
            files = {str(name): tuple(digests) for name, digests in content["files"].items()}
            outside = [name for name in files if Path(name).is_absolute() or ".." in Path(name).parts]
            if outside or (folder / HIDDEN).is_symlink():
                return None
            return cls(str(content["kind"]), files, dict(content["key"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def describes(self, folder: Path) -> bool:
        """Return whether anything of it is there, finished or not."""
        work = (child.is_dir() for child in (folder / HIDDEN).iterdir())
        return any(os.path.lexists(folder / name) for name in self.files) or any(work)

    def foreign(self, folder: Path, name: str) -> str:
        """Return what is in the way of a file: its name, or that of a file or link where it needs a folder; else "".

        A file is in the way that is not in the record, or that was changed since.
        """
        for parent in Path(name).parents[:-1]:
            above = folder / parent
            if above.is_symlink() or (above.exists() and not above.is_dir()):
                return parent.as_posix()
        if not os.path.lexists(folder / name):
            return ""
        digests = self.files.get(name)
        return "" if digests == () or (digests and _digest(folder / name) in digests) else name


class OutputFolder:
    """A folder that this process holds; `record` says what convscope wrote into it."""

    def __init__(self, path: Path, record: Record, argument: str) -> None:
        self.path, self.record, self.argument = path, record, argument

    def reserve(self, *names: str) -> None:
        """Record files before they are written. Raises ArgumentError where another file is in the way."""
        self._require_free(names)
        if not set(names).issubset(self.record.files):
            self._write({**self.record.files, **dict.fromkeys(names, ())})

    def remember(self, key: Mapping[str, Any]) -> None:
        """Record by what the content is known."""
        self._write(self.record.files, key)

    def work(self, name: str) -> Path:
        """Return the folder of unfinished work of this name, which stays until it is removed."""
        folder = self.path / HIDDEN / name
        folder.mkdir(exist_ok=True)
        return folder

    def clear(self, *names: str) -> None:
        """Delete all unfinished work, and of the files in the record those of these names."""
        for child in (self.path / HIDDEN).iterdir():
            if child.is_dir():
                shutil.rmtree(child)
        self._delete(set(names).intersection(self.record.files))
        self._write({name: digests for name, digests in self.record.files.items() if name not in names})

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Make a new folder on the same disk for files to publish; it is gone afterwards."""
        staged = self.path / HIDDEN / STAGED
        shutil.rmtree(staged, ignore_errors=True)  # a killed process left it
        staged.mkdir()
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def publish(self, staged: Path, last: str) -> None:
        """Put all files of `staged` in the place of those in the record.

        The file `last` is the first to go and the last to come: a folder that has it is complete. Raises ArgumentError,
        before anything changes, where a file that convscope did not write has one of these names.
        """
        files = (file for file in sorted(staged.rglob("*")) if file.is_file())
        new, old = {file.relative_to(staged).as_posix(): (_digest(file),) for file in files}, self.record.files
        self._require_free({*old, *new})
        both = {name: (*old[name], *new[name]) if old[name] else () for name in set(old).intersection(new)}
        self._write({**old, **new, **both})
        self._delete([last] if last in old else [])
        self._delete(set(old).difference(new))
        for name in sorted(new, key=lambda name: name == last):
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).replace(self.path / name)
        self._write(new)

    def _require_free(self, names: Iterable[str]) -> None:
        for name in names:
            if foreign := self.record.foreign(self.path, name):
                line = f"holds {foreign!r}, which convscope did not write, or which was changed since"
                raise ArgumentError(self.argument, str(self.path), f"{line}; move it away, or choose another folder")

    def _delete(self, names: Collection[str]) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)
        for parent in {parent for name in names for parent in Path(name).parents[:-1]}:
            _remove_empty(self.path / parent)

    def _write(self, files: Mapping[str, Sequence[str]], key: Mapping[str, Any] | None = None) -> None:
        self.record = replace(self.record, files=dict(files), key=self.record.key if key is None else key)
        put(self.path / HIDDEN / RECORD, self.record.encoded())


@contextmanager
def output_folder(path: str | Path, kind: Kind, *, argument: str = "out") -> Iterator[OutputFolder]:
    """Hold a folder for writing, and make it where it is missing; if nothing was written, nothing is left of it.

    Raises ArgumentError, which names `argument`, for an empty name, a file, a folder with other files than of this
    kind, one that cannot be written, and one that another process writes to.
    """
    require_free(path, kind, argument=argument)
    folder = Path(path)
    made = _prepare(folder, kind, argument)
    try:
        with lock(folder / HIDDEN / LOCK, folder, argument=argument):
            try:
                yield OutputFolder(folder, require_free(folder, kind, argument=argument), argument)
            finally:
                _remove_unused(folder)
    finally:
        for each in made:
            _remove_empty(each)


def require_free(path: str | Path, kind: Kind, *, argument: str = "out") -> Record:
    """Return the record of a folder that may be written to, an empty one where there is none.

    Raises ArgumentError, which names `argument`, for an empty name, a file, and a folder that holds anything else.
    """
    if not str(path).strip():
        raise ArgumentError(argument, path, "expected a folder; is a variable not set?")
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(argument, str(path), "expected a folder, and this is a file")
    names = sorted(child.name for child in folder.iterdir()) if folder.is_dir() else []
    record = Record.read(folder)
    if record and record.kind == kind.name and (record.files or record.describes(folder)):
        return record
    if record and record.describes(folder):
        raise ArgumentError(argument, str(path), f"holds {record.kind}; choose another folder for {kind.name}")
    hidden = [HIDDEN] if HIDDEN in names and record is None else []
    if not hidden and record is None and (files := kind.unrecorded(folder)):
        return Record(kind.name, dict.fromkeys(files, ()))
    if foreign := hidden + [name for name in names if not name.startswith(".") and not _written(folder / name, kind)]:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        line = f"holds {foreign[0]!r}{more}, but not {kind.name} of convscope; choose a new or an empty folder"
        raise ArgumentError(argument, str(path), line)
    return Record(kind.name)


@contextmanager
def lock(file: Path, folder: Path, *, argument: str = "out") -> Iterator[None]:
    """Hold a lock file. Raises ArgumentError, which says who holds it, where another process writes to `folder`."""
    held, writer = FileLock(file, timeout=PATIENCE, thread_local=False), file.with_name(f"{file.name}.json")
    try:
        held.acquire()
        while not file.exists():  # the process before removed it at its end
            held.release()
            held.acquire()
    except Timeout as error:
        line = f"{_writer(writer)} writes to it; wait until it ends, or choose another folder"
        raise ArgumentError(argument, str(folder), line) from error
    except OSError as error:
        if error.errno not in LOCKLESS:
            raise _unwritable(error, folder, argument) from error
    try:
        with suppress(OSError):  # a full disk: the lock holds all the same
            who = {"process": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%H:%M on %Y-%m-%d}"}
            writer.write_text(json.dumps(who))
        yield
    finally:
        for left in (writer, file):
            with suppress(OSError):  # gone, or open on a system that keeps open files
                left.unlink()
        held.release()


def _written(folder: Path, kind: Kind) -> bool:
    """Return whether convscope wrote the folder, as the results below that of an experiment."""
    return folder.is_dir() and bool(Record.read(folder) or kind.unrecorded(folder))


def _unwritable(error: OSError, folder: Path, argument: str) -> Exception:
    """Return the error of a folder that cannot be written; `error` itself where the disk is full."""
    reason = f"cannot be written ({error.strerror or error}); choose another folder"
    return error if error.errno in FULL else ArgumentError(argument, str(folder), reason)


def _writer(file: Path) -> str:
    """Return who holds a lock, in words."""
    try:
        who = json.loads(file.read_bytes())
        place = "" if who["host"] == socket.gethostname() else f" on {who['host']}"
        return f"process {who['process']}{place}, since {who['since']},"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"


def _prepare(folder: Path, kind: Kind, argument: str) -> list[Path]:
    """Make the folder, and its record where it has none; returns the folders that were missing, the innermost first."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    part = folder / f"{HIDDEN}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / HIDDEN).exists():
            part.mkdir()
            put(part / RECORD, require_free(folder, kind, argument=argument).encoded())
            with suppress(OSError):  # another process was faster
                part.rename(folder / HIDDEN)
    except OSError as error:
        for each in made:
            _remove_empty(each)
        raise _unwritable(error, folder, argument) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return made


def _remove_unused(folder: Path) -> None:
    """Remove the record and the lock, which this process holds, from a folder into which nothing was written."""
    record, part = Record.read(folder), folder / f"{HIDDEN}-{secrets.token_hex(4)}"
    if record and not record.describes(folder) and all(child.name.startswith(".") for child in folder.iterdir()):
        with suppress(OSError):  # a system that keeps folders with open files
            (folder / HIDDEN).rename(part)
        shutil.rmtree(part, ignore_errors=True)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # not empty, or gone
        folder.rmdir()


def _digest(file: Path) -> str:
    """Return a digest of a file's content, "" where it cannot be read or is no file."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError:
        return ""
