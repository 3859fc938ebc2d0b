"""Files that appear whole or not at all."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def put(path: Path, content: bytes | Callable[[BinaryIO], object], scratch: Path | None = None) -> None:
    """Write a file, or have `content` write it, and move it into place once it is on the disk.

    Until then it lies under a temporary name in the folder `scratch`, by default beside its place.
    """
    part = temporary((scratch or path.parent) / path.name)
    try:
        with part.open("xb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def temporary(path: Path) -> Path:
    """Return a name beside `path` that nobody has: its own, eight random letters and ".part"."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
