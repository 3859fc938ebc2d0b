"""The last rows of the trainings' logs as result.json, beside the published figures: python table.py FOLDER."""

import csv
import json
import sys
from pathlib import Path

from convscope.disk.results import Result, against, write
from convscope.models.catalog import load

PUBLISHED = {"m5": (0.991, 0.982), "m6": (0.879, 0.801)}
HERE = Path(__file__).parent


def main(runs: Path) -> None:
    """Write result.json, and copies of the logs, beside this file."""
    rows = []
    for name in ("m5-A", "m5-C", "m6"):
        network = load(str(runs / name / "network.safetensors"))
        training = json.loads((runs / name / "training.json").read_text())
        data, split = training["recipe"]["data"], training["split"]
        with (runs / name / "log.csv").open() as file:
            log = list(csv.DictReader(file))
        (HERE / f"{name}.csv").write_text((runs / name / "log.csv").read_text())
        shown = sorted({min(12, len(log)), len(log)})  # M5's published training had at most 12 epochs
        for epoch, measure, column, part in (
            (epoch, *what) for epoch in shown for what in (("train", "train_error", 0), ("test", "val_top1", 1))
        ):
            accuracy = round(1 - float(log[epoch - 1][column]) / 100, 4)
            rows.append(
                {
                    "network": name,
                    "option": training["architecture"]["option"],
                    "parameters": sum(p.numel() for p in network.module.parameters()),
                    "data": data["training"]["name"],
                    "pictures": len(split["training"] if measure == "train" else split["validation"]),
                    "epoch": epoch,
                    "measure": f"{measure} accuracy",
                    **against(accuracy, PUBLISHED[name[:2]][part]),
                }
            )
    rows = [{**row, "delta": round(row["delta"], 4)} for row in rows]
    notes = ["not a reproduction: other data than the published figures are for"]
    write(HERE, Result("student", {}, rows, settings={"commands": "commands.sh"}, warnings=notes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
