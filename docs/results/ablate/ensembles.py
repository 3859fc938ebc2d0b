"""Ensembles of the trained variants beside their members: python ensembles.py CACHE PICTURES OUT (METHODS M4, TB2)."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convscope import evaluate, load
from convscope.disk.results import Result, write
from convscope.training.evaluate import Evaluation, combine, score
from convscope.training.published import table2

FIVE = (("zfnet", 0), ("zfnet", 1), ("zfnet", 2), ("zfnet-fc-2048", 0), ("zfnet-fc-8192", 0))
WIDE = ("zfnet-wide", 0)


def main(cache: Path, pictures: str, out: Path) -> None:
    """Five networks, and those with the wide one, on ten crops and on the centre; writes OUT/result.json."""
    trained = {}
    for key in cache.glob("ablate-*/key.json"):
        made = json.loads(key.read_text())
        trained[made["variant"], made["recipe"]["seed"]] = key.parent / "network.safetensors"
    members = [load(str(trained[each])) for each in (*FIVE, WIDE)]
    for network, (name, seed) in zip(members, (*FIVE, WIDE), strict=True):
        network.name = f"{name}, seed {seed}"
    six = evaluate(members, pictures, crops="ten")
    ten = [alone for _, alone in six.members[:-1]]
    centre = [alone.centre for alone in ten if alone.centre]
    five = replace(_together(ten), centre=_together(centre))
    rows = [row for row in (*six.rows("six, (a) + (b)"), *five.rows("five, (a)")) if row["class"] is None]
    notes = ["the published networks are other ones, on ImageNet 2012"]
    write(out, Result("ensembles", {}, [*rows, *table2()], warnings=notes))
    for row in rows:
        print(f"{row['network']:28}{row['crops']:8}{row['measure']:14}{row['value']:7.2f}")


def _together(members: Sequence[Evaluation]) -> Evaluation:
    """The mean of the members' probabilities."""
    return score(combine([alone.probabilities for alone in members]), members[0].labels, members[0].classes)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
