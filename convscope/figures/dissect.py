"""What the units of some layers detect: bars by category, and the best of them on their pictures (METHODS N1)."""

from collections import Counter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from convscope.experiments.dissect import Dissection, Example
from convscope.figures.grid import COLOURS, FAINT, TEXT, canvas, chart, fitted, heading, place, rgb
from convscope.figures.svg import ACCENT
from convscope.models.network import Network

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

TILE, GAP, UNIT = 104, 3, 26  # pixels of a picture, between pictures, between units
LEFT, HEAD, BAR, NAMES, WORDS = 40, 124, 26, 90, 330  # margin, heading, a bar, the words left and right of the bars
PER_UNIT, PER_LAYER = 3, 3
WIDE = PER_LAYER * (PER_UNIT * (TILE + GAP) + UNIT) - UNIT
DIM = 0.4  # how much is left of the light where a unit is not on


def dissect(network: Network, found: Dissection) -> Figure:
    """A bar for each layer, its detectors by category, hollow in a random basis; then its best units with their
    strongest pictures, outlined where the unit is on.
    """
    bars = (BAR + 12) * len(found.iou)
    lines = list(dict.fromkeys(example.layer for example in found.examples))
    figure = canvas(2 * LEFT + NAMES + WIDE, HEAD + bars + 40 + len(lines) * (TILE + 44) + 10)
    heading(figure, f"Which concept does each unit of {network.name} match?", LEFT, 36)
    on = f"Concepts: {found.name}. A unit is on at its highest {100 * found.quantile:g} % of activations"
    heading(figure, f"{on}; a detector overlaps a concept by more than {found.minimum:g} (IoU).", LEFT, 60, 9, FAINT)
    _legend(figure, found)
    _bars(chart(figure, LEFT + NAMES, HEAD, WIDE - WORDS, bars), found)
    top = HEAD + bars + 40 + 22
    for number, layer in enumerate(lines):
        above = top + number * (TILE + 44)
        heading(figure, layer, LEFT, above + TILE / 2, 11)
        for column, example in enumerate([one for one in found.examples if one.layer == layer][:PER_LAYER]):
            _unit(figure, found, example, LEFT + NAMES + column * (PER_UNIT * (TILE + GAP) + UNIT), above)
    return figure


def _legend(figure: Figure, found: Dissection) -> None:
    left = float(LEFT + NAMES)
    for number, category in enumerate(found.categories):
        heading(figure, "■", left, 92, 10, COLOURS[number % len(COLOURS)])
        heading(figure, category, left + 15, 92, 9, TEXT)
        left += 32 + 7 * len(category)
    if found.rotated:
        heading(figure, "□ in a random basis, mean", left + 6, 92, 9, FAINT)


def _bars(axes: Axes, found: Dissection) -> None:
    """Detectors by category, one bar a layer, in words beside it."""
    rows = found.summary
    for line, row in enumerate(rows):
        kinds = Counter(concept.category for concept in found.detectors(row["layer"]).values())
        start = 0
        for number, category in enumerate(found.categories):
            axes.barh(line, kinds[category], left=start, height=0.62, color=COLOURS[number % len(COLOURS)])
            start += kinds[category]
        words = f"{row['detectors']} of {row['units']} units, {row['unique']} concepts"
        if "detectors rotated" in row:
            axes.barh(line, row["detectors rotated"], height=0.8, fill=False, edgecolor=FAINT, linewidth=1.2)
            words += f"; random basis {row['detectors rotated']:.0f}, {row['unique rotated']:.0f}"
        axes.text(1.015, line, words, color=TEXT, fontsize=8.5, va="center", transform=axes.get_yaxis_transform())
    axes.set_yticks(range(len(rows)), [row["layer"] for row in rows])
    axes.tick_params(axis="y", labelsize=9, colors=TEXT, length=0)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, max(1, *(1.04 * max(row["detectors"], row.get("detectors rotated", 0)) for row in rows)))
    axes.set_xlabel("detectors", color=FAINT, fontsize=8)
    axes.grid(axis="x", color=FAINT, alpha=0.2, linewidth=0.6)
    axes.set_axisbelow(True)


def _unit(figure: Figure, found: Dissection, example: Example, left: float, top: float) -> None:
    values, places = found.best(example.layer)
    concept, value = found.concepts[int(places[example.channel])], float(values[example.channel])
    heading(figure, f"{example.channel}  {concept.name}", left, top - 7, 9.5, TEXT)
    words = f"{concept.category}, IoU {value:.2f}"
    heading(figure, words, left + PER_UNIT * (TILE + GAP) - GAP - 5.4 * len(words), top - 7, 8.5, FAINT)
    for column, (picture, mask) in enumerate(zip(example.pictures.numpy(), example.masks.numpy(), strict=True)):
        place(figure, outlined(picture, mask, TILE), left + column * (TILE + GAP), top)


def outlined(picture: Pixels, mask: Mask, side: int) -> Pixels:
    """A picture (H, W, 3) at (side, side, 3), dim outside `mask` (H, W), which has an outline."""
    shown = fitted(picture, side).astype(np.float32)
    inside = np.asarray(Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST))
    shown[~inside] *= DIM
    wide = np.pad(inside, 1, mode="edge")
    core = inside & wide[2:, 1:-1] & wide[:-2, 1:-1] & wide[1:-1, 2:] & wide[1:-1, :-2]
    shown[inside & ~core] = rgb(ACCENT)
    return shown.astype(np.uint8)
