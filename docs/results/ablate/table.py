"""README.md of the results beside this file: python table.py (METHODS TB2, TB3, M4).

The tables and the verdicts follow from ablate/result.json and ensembles/result.json; only the words around them do not.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MEASURES = ("train top-1", "val top-1", "val top-5")

HEAD = """# Table 3 and ensembles, in numbers

The twelve variants of the paper's Table 3 ([M3](../../methods.md#m3), [TB3](../../methods.md#tb3)) trained by `ablate`.
**Not a reproduction**: the published errors are of 224-pixel pictures of ImageNet 2012, 1,000 classes, 1.3 million
pictures to train on. Ours are of tiny-imagenet-100 at 64 pixels, {pictures:,} pictures to train on in 100 classes, each
variant at {width:g} of its maps and {units:g} of its fully connected units, {epochs} epochs of the scaled recipe. At 64
pixels `pool5` has one position where the paper's has 36, so layers 6 and 7 hold far less of the parameters here, and
networks of so few epochs are far from trained: compare orders, not numbers.

![Errors here and published, and which pairs are told apart](ablate/figure.png)
"""

READING = """What it says. After so few pictures the network that is easier to train wins: AlexNet without layers 6
and 7, and without 3 and 4 as well (53,000 parameters), errs less than whole, and both are told apart. That is the
reverse of what is published, and no wonder: these networks were shown 400,000 pictures, the published ones some 90
million. Filters of 7 pixels every 2 in place of 11 every 4 gain 2.0 points, about as much as published; corrected for
66 pairs, three seeds are too few to tell it from chance. Nothing over-fits yet: train errors are at most 4 points
below validation errors, and wider layers only help.
"""


def main() -> None:
    """Write README.md."""
    result = json.loads((HERE / "ablate/result.json").read_text())
    together = HERE / "ensembles/result.json"
    rows, settings = result["rows"], result["settings"]
    lines = [
        HEAD.format(
            pictures=100 * settings["per_class"] if settings["per_class"] else result["data"]["pictures"],
            width=settings["width"],
            units=settings["units"],
            epochs=settings["epochs"],
        )
    ]
    lines += ["Errors in per cent, ours and (published); ± the standard deviation over seeds.", "", *table(rows)]
    lines += ["", "## Which findings hold", "", *findings(rows)]
    lines += ["", READING.rstrip()]
    if together.exists():
        lines += ["", "## Ensembles", "", *ensembles(json.loads(together.read_text())["rows"])]
    lines += [
        "",
        "`ablate/result.json` has every pair and its p values. `commands.sh` made all of it, `table.py` this page.",
    ]
    (HERE / "README.md").write_text("\n".join(lines) + "\n")


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each variant."""
    yield "| variant | parameters | seeds | " + " | ".join(MEASURES) + " |"
    yield "|---|---|---|---|---|---|"
    for variant in dict.fromkeys(row["variant"] for row in rows if "than" not in row):
        own = {row["measure"]: row for row in rows if row["variant"] == variant and "than" not in row}
        if "parameters" not in own:
            yield f"| {variant} | failed: {own['failed']['reason']} | | | | |"
            continue
        cells = [_cell(own[measure]) for measure in MEASURES]
        size = own["parameters"]
        yield f"| {variant} | {size['value']:,} | {size['seeds']} | " + " | ".join(cells) + " |"


def _cell(row: Mapping[str, Any]) -> str:
    spread = f" ± {row['spread']:.1f}" if row["spread"] is not None else ""
    return f"{row['value']:.1f}{spread} ({row['reference']:.1f})"


FINDINGS = (  # what the paper says of Table 3, the network that should err more, the one that should err less
    (
        "depth over size: worse without 3, 4, 6, 7 than without 3, 4",
        "alexnet-without-3-4-6-7",
        "alexnet-without-3-4",
    ),
    (
        "depth over size: worse without 3, 4, 6, 7 than without 6, 7",
        "alexnet-without-3-4-6-7",
        "alexnet-without-6-7",
    ),
    ("worse without layers 3 and 4", "alexnet-without-3-4", "alexnet"),
    ("worse without layers 6 and 7, by little", "alexnet-without-6-7", "alexnet"),
    ("worse with narrow layers 6 and 7, by little (AlexNet)", "alexnet-fc-2048", "alexnet"),
    ("worse with narrow layers 6 and 7, by little (ZFNet)", "zfnet-fc-2048", "zfnet"),
    ("smaller filters and strides in the first layers are better", "alexnet", "zfnet"),
    ("wider layers 3 to 5 are better", "zfnet", "zfnet-wide"),
    ("wide everywhere over-fits: worse than wide in 3 to 5 only", "zfnet-wide-fc-8192", "zfnet-wide"),
)


def findings(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each, with the verdict; an order that may be chance is neither held nor refuted."""
    pairs = {frozenset((row["variant"], row["than"])): row for row in rows if "than" in row}
    yield "Orders, told apart as [M3](../../methods.md#m3) says."
    yield ""
    yield "| finding | points of top-1, ours (published) | here |"
    yield "|---|---|---|"
    for words, worse, better in FINDINGS:
        pair = pairs.get(frozenset((worse, better)))
        if pair is None:
            continue
        sign = 1 if pair["variant"] == worse else -1
        points, published = sign * pair["value"], sign * pair["reference"]
        agrees = points * published > 0
        verdict = ("holds" if agrees else "the other way round") if pair["separated"] else "not told apart"
        yield f"| {words} | {points:+.1f} ({published:+.1f}) | {verdict} |"


def ensembles(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Members, the two ensembles, the published rows."""
    yield "Members are seeds and widths of what was trained anyway; the paper has five seeds (a) and one wide (b)."
    yield ""
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    yield f"| | crops | {' | '.join(measures)} |"
    yield "|---|---|" + "---|" * len(measures)
    lines: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        lines.setdefault((row["network"], row["crops"]), {})[row["measure"]] = row["value"]
    for (network, crops), line in lines.items():
        cells = [f"{line[measure]:.1f}" if measure in line else "" for measure in measures]
        yield f"| {network} | {crops} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
