"""How far features move with the picture: moved pictures, distances at every layer, probability (METHODS F5)."""

from typing import Annotated

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from torch import Tensor

from convscope.data.warp import IDENTITY, Transform
from convscope.experiments.invariance import Invariance
from convscope.figures.grid import COLOURS, FAINT, TEXT, canvas, chart, fitted, heading, mosaic, place
from convscope.models.network import Network

TILE, GAP = 44, 2  # pixels of an example, between examples
WIDE, HIGH, BETWEEN = 250, 5 * (TILE + GAP) - GAP, 54  # of a chart, and between charts
LEFT, HEAD, ROW = 56, 118, HIGH + 92  # the margin, the heading with the legend, a transform with its words
WORDS: dict[Transform, tuple[str, str]] = {
    "translation": ("Vertical translation", "pixels down"),
    "scale": ("Scale", "factor"),
    "rotation": ("Rotation", "degrees counter-clockwise"),
}


def invariance(
    network: Network,
    found: Invariance,
    *,
    relative: Annotated[bool, "distances in units of the unmoved features' norm"] = False,
) -> Figure:
    """A row for each transform: the pictures moved, the distance of their features at each layer, P(class)."""
    columns = len(found.layers) + (found.probabilities is not None)
    figure = canvas(2 * LEFT + HIGH + columns * (WIDE + BETWEEN), HEAD + len(found.amounts) * ROW)
    _head(figure, network, found, relative)
    for number, transform in enumerate(found.amounts):
        top = HEAD + number * ROW
        words, unit = WORDS[transform]
        heading(figure, words, LEFT, top + 4)
        _examples(figure, network, found, transform, top + 44)
        left = float(LEFT + HIGH + BETWEEN)
        for k, layer in enumerate(found.layers):
            curves = (found.relative if relative else found.distances)[transform][k]
            axes = chart(figure, left, top + 44, WIDE, HIGH, f"distance at {layer}")
            _draw(axes, transform, found.amounts[transform], curves, unit)
            axes.set_ylim(0, 1.08 * max(float(curves.max()), 1e-9))
            if transform in found.linearity:
                straight = float(found.linearity[transform][k].mean())
                words = f"straight: R² {straight:.2f}"
                axes.text(0.97, 0.04, words, color=FAINT, fontsize=7.5, ha="right", transform=axes.transAxes)
            left += WIDE + BETWEEN
        if found.probabilities is not None:
            axes = chart(figure, left, top + 44, WIDE, HIGH, "probability of the class")
            _draw(axes, transform, found.amounts[transform], found.probabilities[transform], unit)
            axes.set_ylim(-0.02, 1.02)
    return figure


def _head(figure: Figure, network: Network, found: Invariance, relative: bool) -> None:
    """What is shown, and which colour is which picture."""
    heading(figure, f"How far do the features of {network.name} move with the picture?", LEFT, 36)
    unit = "in units of the unmoved picture's own norm" if relative else "Euclidean, to the unmoved picture's features"
    heading(figure, f"Distances: {unit}. Dashed: the picture as it is.", LEFT, 58, 9, FAINT)
    left = float(LEFT)
    for i, name in enumerate(found.pictures[: len(COLOURS)]):
        label = "" if found.labels is None else _class(network, found.labels[i])
        words = f"{name}, {label}" if label not in name.split("/") and label else name
        heading(figure, "●", left, 86, 10, COLOURS[i])
        heading(figure, words, left + 16, 86, 8.5, TEXT)
        left += 40 + 6.4 * len(words)


def _class(network: Network, label: int) -> str:
    return network.classes[label] if network.classes else f"class {label}"


def _examples(figure: Figure, network: Network, found: Invariance, transform: Transform, top: float) -> None:
    """A line for each picture, its colour at its left, a column for each amount, its number above."""
    examples, amounts = found.examples[transform], found.shown[transform].tolist()
    tiles = [fitted(network.transform.picture(x), TILE) for row in examples for x in row]
    axes = place(figure, mosaic(tiles, len(amounts), side=TILE, gap=GAP), LEFT, top)
    for column, amount in enumerate(amounts):
        middle = column * (TILE + GAP) + TILE / 2
        axes.text(middle, -5, f"{amount:.3g}", color=FAINT, fontsize=7.5, ha="center", va="bottom")
    for row in range(len(examples)):
        middle = row * (TILE + GAP) + TILE / 2
        axes.text(-8, middle, "●", color=COLOURS[row % len(COLOURS)], fontsize=10, ha="right", va="center")


def _draw(axes: Axes, transform: Transform, amounts: Tensor, curves: Tensor, unit: str) -> None:
    """A curve for each picture: curves (N, A) over amounts (A,)."""
    order = amounts.argsort()
    axes.axvline(IDENTITY[transform], color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))
    for row, curve in enumerate(curves):
        marker = "o" if len(order) == 1 else ""  # one amount makes no line
        colour = COLOURS[row % len(COLOURS)]
        axes.plot(amounts[order], curve[order], color=colour, linewidth=1.4, marker=marker, markersize=3)
    if transform == "rotation" and float(amounts.max() - amounts.min()) > 180:
        axes.xaxis.set_major_locator(MultipleLocator(90))
    axes.set_xlabel(unit, color=FAINT, fontsize=8)
    axes.margins(x=0.02)
    axes.grid(axis="y", color=FAINT, alpha=0.15, linewidth=0.6)
