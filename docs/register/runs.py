"""What has been run, and its numbers: folders of docs/results, each with a `run.json` that says on what and when.

    found = RUNS["ablate"].open(RESULTS)        # None where it has not been made
    found.number(variant="zfnet", measure="val top-1")

What is asked for and is not there is an error that names the file.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from convscope.errors import DataError

RESULTS = Path(__file__).parents[1] / "results"
SETTING = ("data", "pictures", "size", "epochs", "seeds", "date")  # what run.json says, in words

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """The records of all files of a run, and the folder that has its `run.json`."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    records: tuple[Record, ...]

    @cached_property
    def setting(self) -> dict[str, str]:
        """What `run.json` says by the words of `SETTING`, of which none may be missing (DataError), and `network`."""
        file = self.folder / "run.json"
        try:
            said: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: not there, or no JSON; expected {', '.join(SETTING)} of this run") from error
        if missing := [key for key in SETTING if not said.get(key)]:
            raise DataError(f"{file} does not say {', '.join(missing)}")
        return {key: said[key] for key in (*SETTING, "network") if key in said}

    def rows(self, *keys: str, **which: Any) -> list[Record]:
        """The records that have these keys and values, in their order. Raises DataError where there are none."""
        chosen = [row for row in self.records if which.items() <= row.items() and set(keys) <= set(row)]
        if not chosen:
            raise DataError(
                f"{self._told}: no row with {', '.join([*keys, *(f'{k}={v!r}' for k, v in which.items())])}"
            )
        return chosen

    def number(self, key: str = "value", **which: Any) -> float:
        """The one number that these records have under `key`. Raises DataError for none, and for several."""
        return self._one([row.get(key) for row in self.rows(**which)], key, which)

    def numbers(self, key: str = "value", *keys: str, **which: Any) -> list[float]:
        """Those of all the records that have `keys` and these values. Raises DataError for a record without."""
        return [self._one([row.get(key)], key, which) for row in self.rows(*keys, **which)]

    def _one(self, values: list[Any], key: str, which: Record) -> float:
        distinct = {value for value in values if isinstance(value, int | float) and not isinstance(value, bool)}
        if len(distinct) != 1 or None in values:
            raise DataError(f"{self._told}: {key} of {dict(which)} is {values}, expected one number")
        return float(distinct.pop())

    @property
    def _told(self) -> str:
        return ", ".join(map(str, self.files))


NOTHING = Found("", Path(), (), ())  # of what follows from printed numbers alone


@dataclass(frozen=True)
class Run:
    """Result files below docs/results, as a pattern (JSON or CSV), and the command that makes them.

    shown_by: a record with these values is there once it has been made. needs: what it takes that is not at hand.
    """

    files: str
    command: str
    shown_by: Record = field(default_factory=dict)
    needs: str = ""

    @property
    def folder(self) -> str:
        """The folder in docs/results."""
        return self.files.partition("/")[0]

    def open(self, results: Path) -> Found | None:
        """Its records; None where it has not been made."""
        files = tuple(sorted(results.glob(self.files)))
        records = tuple(row for file in files for row in _records(file))
        made = any(self.shown_by.items() <= row.items() for row in records)
        return Found(self.folder, results / self.folder, files, records) if made else None


def _records(file: Path) -> list[Record]:
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as stream:
            return [{key: _value(text) for key, text in row.items()} for row in csv.DictReader(stream)]
    try:
        rows: list[Record] = json.loads(file.read_text(encoding="utf-8"))["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} holds no rows: expected the result of an experiment") from error
    return rows


def _value(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _script(folder: str) -> str:
    return f"sh docs/results/{folder}/commands.sh"


FEATURES, HOG, SCRATCH = "relu7 + softmax", "HOG + SVM", "from scratch"
HERE = {"kind": "here"}  # of a result of `transfer`: ours, not what others published
TRANSFER = "docs/results/bundled/pretrained-112.safetensors"  # the network whose features are tried on other data

RUNS: Mapping[str, Run] = {
    "architecture": Run("architecture/result.json", "python docs/results/architecture/table.py"),
    "ablate": Run("ablate/ablate/result.json", _script("ablate")),
    "ensembles": Run("ablate/ensembles/result.json", _script("ablate")),
    "bundled": Run("bundled/result.json", _script("bundled")),
    "correspondence": Run("correspondence/result.json", _script("correspondence")),
    "curvature": Run("curvature/result.json", _script("curvature")),
    "diagnose": Run("diagnose/result.json", _script("diagnose")),
    "dissect": Run("dissect/result.json", _script("dissect")),
    "evolution": Run("evolution/result.json", _script("evolution")),
    "decoders": Run("invert/decoded.json", _script("invert")),
    "figure2": Run("gallery/figure2/result.json", _script("gallery")),
    "invariance": Run("gallery/invariance/result.json", _script("gallery")),
    "occlude": Run("gallery/occlude/result.json", _script("gallery")),
    "faces": Run("gallery/faces/result.json", _script("gallery")),
    "redundancy": Run("gallery/redundancy/result.json", _script("gallery")),
    "channels": Run("gallery/channels-*/result.json", _script("gallery")),
    "digit": Run("gallery/digit/result.json", _script("gallery")),
    "invert": Run("invert/result.json", _script("invert")),
    "linear-probe": Run("linear-probe/result.json", _script("linear-probe")),
    "maximize": Run("maximize/result.json", _script("maximize")),
    "net2vec": Run("net2vec/result.json", _script("net2vec")),
    "occlude-speed": Run("occlude/curve.csv", "python benchmarks/occlude.py --curve"),
    "schedule": Run("schedule/result.json", _script("schedule")),
    "normalisation": Run("schedule/normalisation/result.json", _script("schedule")),
    "student": Run("student/result.json", _script("student")),
    "transfer": Run("transfer/*/result.json", _script("transfer"), HERE | {"who": FEATURES}),
    "hog": Run("transfer/*/result.json", _script("transfer"), HERE | {"who": HOG}),
    "scratch": Run("transfer/*/result.json", _script("transfer"), HERE | {"who": SCRATCH}),
    **{
        f"{name} {train}": Run("transfer/*/result.json", _script("transfer"), HERE | {"who": who, "train": train})
        for name, who in (("hog", HOG), ("scratch", SCRATCH))
        for train in (15, 30)
    },
    # What takes data that are not at hand.
    "imagenet": Run(
        "imagenet/result.json",
        "convscope ablate imagenet:ROOT@train --validation imagenet:ROOT@val --out docs/results/imagenet",
        needs="ImageNet 2012, and weeks of a GPU",
    ),
    "caltech256": Run(
        "caltech256/result.json",
        f"convscope transfer {TRANSFER} caltech256:ROOT --train 6 --train 15 --train 30 --train 45 --train 60 "
        "--scratch 15 --scratch 30 --scratch 45 --scratch 60 --scratch-folds 5 --out docs/results/caltech256",
        needs="Caltech-256",
    ),
    "caltech256-layers": Run(
        "caltech256-layers/result.json",
        f"convscope linear-probe {TRANSFER} caltech256:ROOT --train 60 --out docs/results/caltech256-layers",
        needs="Caltech-256",
    ),
    "vgg16": Run(
        "vgg16/result.json",
        "convscope evaluate torchvision:vgg16@FILE five:ROOT@test --out docs/results/vgg16",
        needs="the weights of VGG16, and the five classes of ImageNet 2012",
    ),
    "voc2012": Run(
        "voc2012/result.json",
        f"convscope transfer {TRANSFER} voc2012:ROOT@train --test voc2012:ROOT@val --out docs/results/voc2012",
        needs="PASCAL VOC 2012",
    ),
}
