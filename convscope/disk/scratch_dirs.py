"""Folders that are in use while this process lives, and the clearing away of those that a killed one left.

hold(folder)                 # until `release`, or the end of the process, however it comes
clear(parent, ".job-*")      # what nobody holds
with scratch(parent, ".job-") as folder:    # all of these together
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # no Unix: nothing is held, and nothing cleared
    fcntl = None  # type: ignore[assignment]

_held: dict[Path, int] = {}


def hold(folder: Path) -> None:
    """Lock a folder; the system takes the lock away when the process ends. Where a disk knows no locks, nothing."""
    if fcntl and folder not in _held:
        _held[folder] = os.open(folder, os.O_RDONLY)
        with suppress(OSError):  # and nobody clears there either
            fcntl.flock(_held[folder], fcntl.LOCK_EX)


def release(folder: Path) -> None:
    """Remove the folder, if it is still there, and its lock."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder in _held:
        os.close(_held.pop(folder))


def clear(parent: Path, pattern: str) -> None:
    """Remove the folders of this name that no process holds."""
    for folder in parent.glob(pattern) if fcntl else ():
        with suppress(OSError):  # held, or somebody else's
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


@contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `parent`, gone afterwards; those of this prefix that killed processes left go before."""
    clear(parent, f"{prefix}*")
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    hold(folder)
    try:
        yield folder
    finally:
        release(folder)
