"""JSON of a file that may come from anybody: no larger and no deeper than anything of ours.

read_json(folder / "result.json")
"""

import json
from pathlib import Path
from typing import Any

SIZE = 64 * 2**20  # bytes
DEPTH = 32  # lists and records within one another


def read_json(path: Path) -> Any:
    """Return what the file says. Raises ValueError for what is no JSON, too large or too deep, OSError as `open`."""
    with path.open("rb") as file:
        data = file.read(SIZE + 1)
    if len(data) > SIZE:
        raise ValueError(f"it is larger than {SIZE >> 20} MiB")
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError(f"it is nested more than {DEPTH} deep") from error
    level = [value]
    for _ in range(DEPTH + 1):
        level = [item for one in level if isinstance(one, dict | list) for item in _items(one)]
        if not level:
            return value
    raise ValueError(f"it is nested more than {DEPTH} deep")


def _items(value: dict[str, Any] | list[Any]) -> Any:
    return value.values() if isinstance(value, dict) else value
