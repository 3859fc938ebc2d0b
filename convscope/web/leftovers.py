"""Folders that are in use while this process lives, and the clearing away of those that a killed one left.

hold(folder)                 # until `release`, or the end of the process, however it comes
clear(parent, ".job-*")      # what nobody holds
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # no Unix: nothing is held, and nothing cleared
    fcntl = None  # type: ignore[assignment]

_held: dict[Path, int] = {}


def hold(folder: Path) -> None:
    """Lock a folder; the system takes the lock away when the process ends."""
    if fcntl and folder not in _held:
        _held[folder] = os.open(folder, os.O_RDONLY)
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
