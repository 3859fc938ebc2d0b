"""What the runs of commands.sh found, in one result.json: python table.py FOLDER [NAME=NETWORK...].

The NETWORKs are shown the class optima of FOLDER/classes: how many does each call by their class?
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from convscope.disk.results import Result, write
from convscope.models.catalog import load
from convscope.models.network import Network

RUNS = ("p5-noise", "p5-mean", "p5-literal", "p5-fourier", "p3-noise", "p3-mean", "p3-literal")
LAYERS = ("relu1", "relu2", "relu3", "relu4", "relu5")
LOOKS = ("colourfulness", "frequency", "fine")  # METHODS P2, P3
HERE = Path(__file__).parent


def rows_of(run: Path) -> list[dict[str, Any]]:
    """The records of a run; none where it was not made."""
    file = run / "result.json"
    return json.loads(file.read_text())["rows"] if file.exists() else []


def called(network: Network, own: Network, pictures: torch.Tensor, names: list[str]) -> list[bool]:
    """Whether a network gives each picture of `own`'s space its name."""
    pixels = pictures * own.std + own.mean
    pixels = F.interpolate(pixels, network.input_size[1:], mode="bilinear", antialias=True).clamp(0, 1)
    with torch.no_grad():
        scores = network.working("cpu")((pixels - network.mean) / network.std)
    classes = network.classes or ()
    return [classes[int(row.argmax())] == name for row, name in zip(scores, names, strict=True)]


def main(folder: Path, others: list[str]) -> None:
    """Write result.json beside this file, and copies of the figures."""
    rows: list[dict[str, Any]] = []
    for run in RUNS:
        kept = ("target", "start", "seed", "status", "steps", "score", "probability", *LOOKS, "agreement")
        rows += [{"run": run} | {key: row.get(key) for key in kept} for row in rows_of(folder / run)]
    for layer in LAYERS:
        channels = rows_of(folder / f"p2-{layer}")
        found = [row for row in channels if row["status"] != "skipped"]
        if found:
            means = {key: sum(row[key] for row in found) / len(found) for key in LOOKS}
            rose = sum(row["score"] > row["first_score"] for row in found)
            counts = {"channels": len(channels), "kept": len(found), "rose": rose}
            rows.append({"run": "p2", "layer": layer, **counts, **means})
    if rows_of(folder / "classes"):
        own, names = load("zfnet128"), [row["target"] for row in rows_of(folder / "classes")]
        pictures = torch.from_numpy(np.load(folder / "classes/arrays.npz")["pictures"])
        for other in ("itself=zfnet128", *others):
            label, _, spec = other.partition("=")
            right = called(load(spec), own, pictures, names)
            rows.append({"run": "classes", "network": label, "optima": len(names), "called_by_their_class": sum(right)})
    for run in (*RUNS, *(f"p2-{layer}" for layer in LAYERS), "classes"):
        if (folder / run / "figure.png").exists():
            figure = Image.open(folder / run / "figure.png").convert("RGB")
            figure.save(HERE / f"{run}.jpg", quality=80)
    write(HERE, Result("maximize", {"name": "m6, zfnet128"}, rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
