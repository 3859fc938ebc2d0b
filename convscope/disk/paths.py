"""Paths for libraries that take only UTF-8, and paths that stay inside a folder.

with utf8_path(path) as spelled: safe_open(spelled, "pt")
leads_out(folder, folder / "figure.png")
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def utf8_path(path: str | Path) -> Iterator[str]:
    """Yield a path in UTF-8 to the file, to be read: its own, or that of the open file where a name has other bytes.

    safetensors and Arrow take no others. Raises what opening the file raises.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with Path(path).open("rb") as file:
            yield f"/dev/fd/{file.fileno()}"
    else:
        yield str(path)


def leads_out(folder: Path, path: Path) -> bool:
    """Return whether the path, links followed, lies outside the folder."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
