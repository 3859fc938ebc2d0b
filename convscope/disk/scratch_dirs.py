"""Folders that are in use while this process lives; those that a killed process left are removed.

hold(folder)                 # until `release`, or the end of the process, however it comes
clear(parent, ".job-*")      # the folders of this name that nobody holds
with scratch(parent, ".job-") as folder:    # all of these together

A lock file in a folder shows that it is one of these: no other folder is removed, whatever its name.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

LOCK = ".convscope-scratch"

_locks: dict[Path, FileLock] = {}


def hold(folder: Path) -> None:
    """Lock a folder; the system takes the lock away when the process ends. Does nothing on a disk without locks."""
    if folder not in _locks:
        _locks[folder] = FileLock(folder / LOCK, thread_local=False)
        with suppress(OSError):
            _locks[folder].acquire()


def release(folder: Path) -> None:
    """Remove a folder that this process holds, and its lock."""
    if folder in _locks:
        _locks.pop(folder).release()
        shutil.rmtree(folder, ignore_errors=True)


def clear(parent: Path, pattern: str) -> None:
    """Remove the folders of this name that were held once, and that no process holds now."""
    for folder in parent.glob(pattern):
        with suppress(OSError):  # held, or another user's
            if not folder.is_symlink() and (folder / LOCK).is_file():
                with FileLock(folder / LOCK, timeout=0, thread_local=False):
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a new folder in `parent`, gone afterwards; those of this prefix that killed processes left go before."""
    clear(parent, f"{prefix}*")
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    hold(folder)
    try:
        yield folder
    finally:
        release(folder)
