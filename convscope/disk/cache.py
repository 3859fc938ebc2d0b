"""Finished parts of long work, kept in a folder under what they follow from, so that no start computes one twice.

    cache = Cache("out/cache")
    key = {"network": network.fingerprint(), "data": pictures.fingerprint()}
    folder = cache.part("tables", key, make)                                   # a folder that `make` fills
    arrays = cache.arrays("features", key, lambda: {"relu7": features})        # read-only, mapped from the disk

A part is a folder, made under another name and moved into place whole: what lies under the final name is finished.
Knows nothing of what it keeps. Several processes may read; one at a time may make a part.
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.disk.output_folder import lock
from convscope.errors import DataError

KEY = "key.json"  # in a finished part: what it follows from, for people to read

Key = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Cache:
    """A folder of finished parts. A `key` is whatever decides the outcome, in values that JSON can hold."""

    folder: str | Path

    def place(self, name: str, key: Key) -> Path:
        """Where the part of this name and key lies once it is finished."""
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return Path(self.folder) / f"{name}-{digest[:16]}"

    def part(self, name: str, key: Key, make: Callable[[Path], None]) -> Path:
        """The folder of a finished part; where there is none yet, `make` fills it first.

        `make` is handed a folder that keeps what an interrupted attempt at the same part has left in it. Raises
        DataError where the folder cannot be written, and what `make` raises: the part is unfinished then.
        """
        finished = self.place(name, key)
        if finished.is_dir():
            return finished
        under_way = finished.with_name(f"{finished.name}.part")
        try:
            under_way.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"cache is {str(self.folder)!r}: {error.strerror}; expected a folder to write to"
            ) from error
        with lock(under_way.with_suffix(".lock"), Path(self.folder), argument="cache"):
            if not finished.is_dir():  # another process was waited for
                under_way.mkdir(exist_ok=True)
                (under_way / KEY).unlink(missing_ok=True)  # once written before the part was finished
                make(under_way)
                (under_way / KEY).write_text(json.dumps(key, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                under_way.rename(finished)
        return finished

    def arrays(self, name: str, key: Key, make: Callable[[], Arrays]) -> dict[str, NDArray[Any]]:
        """Arrays by name, as `make` gave them when it was first asked; mapped, and not to be written to."""

        def save(folder: Path) -> None:
            for each, values in make().items():
                np.save(folder / f"{each}.npy", values, allow_pickle=False)

        folder = self.part(name, key, save)
        try:
            return _mapped(folder)
        except (OSError, ValueError, EOFError) as error:
            warnings.warn(f"{folder} is damaged: {error}; it is made anew", stacklevel=2)
            shutil.rmtree(folder)
            return _mapped(self.part(name, key, save))


def _mapped(folder: Path) -> dict[str, NDArray[Any]]:
    return {file.stem: np.load(file, mmap_mode="r") for file in sorted(folder.glob("*.npy"))}
