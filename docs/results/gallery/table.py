"""The results of commands.sh, without their arrays, beside this file: python table.py FOLDER.

Of the faces also how far the probability of the class falls where the occluder is on the face, and where it is not
(METHODS F7): a position counts as on the face when its centre lies in the box of `object`.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import convscope
from convscope.data.part_boxes import FACES
from convscope.data.part_boxes import read as boxes
from convscope.disk.results import read, read_arrays, write

RUNS = ("figure2", "invariance", "occlude", "redundancy", "digit", *(f"channels-relu{n}" for n in range(1, 6)))
HERE = Path(__file__).parent


def faces(folder: Path) -> list[dict[str, Any]]:
    """Of every face the mean drop of the probability on it and beside it, and whether the least is on it."""
    network, pictures, known = convscope.load("zfnet128"), convscope.images("gallery"), boxes(FACES)
    arrays = read_arrays(folder)
    rows = []
    for number, path in enumerate(path for path in pictures.paths if path in known.boxes):
        size = pictures.picture(pictures.paths.index(path)).size
        top, left, bottom, right = network.transform.located(known.box(path, "object", size), size)
        down, across = arrays["rows"], arrays["columns"]
        inside = ((down >= top) & (down < bottom))[:, None] & ((across >= left) & (across < right))[None]
        drop, least = arrays["drop"][number].squeeze(), arrays["probability"][number].squeeze()
        rows.append(
            {"picture": path, "drop on the object": float(drop[inside].mean())}
            | {"drop beside it": float(drop[~inside].mean())}
            | {
                "least on the object": bool(inside.flatten()[least.argmin()]),
                "share of positions": float(inside.mean()),
            }
        )
    return rows


def main(folder: Path) -> None:
    """Write the result.json files."""
    for run in RUNS:
        write(HERE / run, read(folder / run))
    found = read(folder / "faces")
    write(HERE / "faces", replace(found, rows=[*found.rows, *faces(folder / "faces")]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
