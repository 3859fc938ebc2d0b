"""The errors of commands.sh's trainings in one result.json, and normalisation/ as it is: python table.py FOLDER."""

import sys
from dataclasses import replace
from pathlib import Path

from convscope.disk.results import read, write

TRAININGS = ("plateau-none", "plateau-0.1", "cosine-none", "cosine-0.1")
HERE = Path(__file__).parent


def main(folder: Path) -> None:
    """Write result.json and normalisation/result.json beside this file."""
    found = {name: read(folder / name) for name in TRAININGS}
    rows = [{"training": name, **row} for name, result in found.items() for row in result.rows]
    write(HERE, replace(found[TRAININGS[0]], rows=rows, settings={"commands": "commands.sh"}))
    write(HERE / "normalisation", read(folder / "normalisation"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
