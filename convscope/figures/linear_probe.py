"""Accuracy of linear classifiers, layer by layer, beside what was published (METHODS TB7)."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convscope.experiments.linear_probe import Probed
from convscope.figures.grid import FAINT, TEXT, canvas, chart, heading
from convscope.models.network import Network
from convscope.training.feature_store import HOG

COLOURS = {"svm": "#f0a65a", "softmax": "#6fb3c8"}
WORDS = {"svm": "support vector machines", "softmax": "softmax"}
LEFT, TOP, HIGH, STEP = 64, 118, 330, 104  # the margin, above the chart, its height, pixels from layer to layer


def linear_probe(network: Network, found: Probed) -> Figure:
    """A point for each layer and classifier with the deviation between folds; published ones hollow."""
    wide = max(STEP * len(found.sizes), 620)
    kinds = list(dict.fromkeys(kind for _, kind in found.measured))
    figure = canvas(2 * LEFT + wide, TOP + HIGH + 84 + 20 * len(kinds))
    heading(figure, f"How discriminative are the layers of {network.name}?", LEFT, 36)
    data = found.data or f"{len(found.classes)} classes"
    words = (
        f"{data}, {found.train} pictures of a class to train on; per cent right, mean over the classes ± between folds"
    )
    heading(figure, words, LEFT, 58, 9, FAINT)
    axes = chart(figure, LEFT, TOP, wide, HIGH)
    left = float(LEFT)
    for number, kind in enumerate(kinds):
        rows = [row for row in found.rows if row["classifier"] == kind]
        published = _draw(axes, kind, rows, (number - (len(kinds) - 1) / 2) * 0.12)
        for place, row in enumerate(rows):
            words = f"{row['value']:.1f}" + ("" if row["std"] is None else f" ± {row['std']:.1f}")
            middle = LEFT + (place + 0.5) * wide / len(rows)
            heading(figure, words, middle - 3.2 * len(words), TOP + HIGH + 56 + 20 * number, 9, COLOURS[kind])
        heading(figure, "●", left, 86, 10, COLOURS[kind])
        words = WORDS[kind] + ("; hollow: published, another network" if published else "")
        heading(figure, words, left + 16, 86, 8.5, TEXT)
        left += 50 + 6.2 * len(words)
    labels = [f"{layer}\n{size:,} numbers" for layer, size in found.sizes.items()]
    axes.set_xticks(range(len(labels)), labels)
    axes.tick_params(axis="x", labelsize=8, length=0)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(0, min(100, axes.get_ylim()[1] * 1.05))
    axes.axhline(100 / len(found.classes), color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.text(len(labels) - 0.47, 100 / len(found.classes), " chance", color=FAINT, fontsize=7.5, va="center")
    axes.grid(axis="y", color=FAINT, alpha=0.15, linewidth=0.6)
    return figure


def _draw(axes: Axes, kind: str, rows: list[dict[str, Any]], shift: float) -> bool:
    """The points of one classifier; whether there are published ones."""
    places = [number + shift for number in range(len(rows))]
    values = [row["value"] for row in rows]
    bars = [row["std"] or 0.0 for row in rows]
    joined = [(place, row["value"]) for place, row in zip(places, rows, strict=True) if row["layer"] != HOG]
    if joined:
        axes.plot(*zip(*joined, strict=True), color=COLOURS[kind], linewidth=1.2)
    axes.errorbar(places, values, bars, color=COLOURS[kind], fmt="o", elinewidth=1.2, markersize=4, capsize=2)
    known = [(place, row["reference"]) for place, row in zip(places, rows, strict=True) if "reference" in row]
    if known:
        axes.plot(
            *zip(*known, strict=True), color=COLOURS[kind], linestyle="", marker="o", markersize=5, fillstyle="none"
        )
    return bool(known)
