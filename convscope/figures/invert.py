"""What is left of pictures in what layers say of them, and how much (METHODS I1, I2, I4)."""

import math
from typing import Annotated

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from convscope.experiments.invert import Inverse, Inversion
from convscope.figures.grid import FAINT, canvas, chart, fitted, heading, place
from convscope.figures.maximize import pixels
from convscope.figures.svg import ACCENT, COOL
from convscope.models.network import Network

Pixels = NDArray[np.uint8]

LEFT, GAP, HEAD, UNDER = 28, 8, 66, 18  # pixels: the margin, between tiles, above them, the words below each
SIDE, CHART = 120, 150  # of a tile; the height of the charts
STRETCH = 0.995  # share of the values that a descriptor's picture shows unclipped: its contrast is lost anyway


def invert(
    network: Network,
    found: Inversion,
    *,
    most: Annotated[int, "pictures to draw"] = 4,
) -> Figure:
    """A column for every layer and descriptor, a line for every picture, the original first: what gradient descent
    makes with the error below it, and on a second line what the decoder makes, or the glyphs of a descriptor. Below,
    the mean errors, and the mean distances to the picture where there are several.
    """
    count = min(most, len(found.originals))
    decoded, drawn = (any(getattr(each, name) is not None for each in found.made) for name in ("decoded", "drawn"))
    second = decoded or drawn
    lines, pitch = 1 + second, SIDE + UNDER + 6
    across = SIDE + GAP
    wide = max(2 * LEFT + (1 + len(found.made)) * across - GAP, 560)
    below = HEAD + count * lines * pitch + 34
    figure = canvas(wide, below + CHART + 60)
    where = f" in {network.name}" if any(each.kind == "layer" for each in found.made) else ""
    heading(figure, f"What is left of a picture{where}", LEFT, 28)
    for n in range(count):
        top = HEAD + n * lines * pitch
        original = fitted(pixels(network, found.originals[n]), SIDE)
        place(figure, original, LEFT, top, title="" if n else "the picture")
        if second:
            words = " and ".join(["decoded"] * decoded + ["glyphs"] * drawn)
            heading(figure, words, LEFT, top + pitch + SIDE / 2, size=9, colour=FAINT)
        for column, each in enumerate(found.made):
            _column(figure, network, each, n, (LEFT + (column + 1) * across, top), pitch, titled=n == 0)
    _charts(figure, found, (LEFT, below, wide - 2 * LEFT))
    return figure


def _column(
    figure: Figure, network: Network, made: Inverse, n: int, where: tuple[float, float], pitch: int, titled: bool
) -> None:
    left, top = where
    shown = pixels(network, made.pictures[0, n])
    shown = _stretched(shown) if made.kind == "descriptor" else shown
    place(figure, fitted(shown, SIDE), left, top, title=made.source if titled else "")
    heading(figure, f"error {float(made.error[0, n]):.2g}", left, top + SIDE + 13, size=8, colour=COOL)
    if made.decoded is not None and made.decoded_error is not None:
        decoded = pixels(network, made.decoded[n])
        place(figure, fitted(decoded, SIDE), left, top + pitch)
        words = f"error {float(made.decoded_error[n]):.2g}"
        heading(figure, words, left, top + pitch + SIDE + 13, size=8, colour=ACCENT)
    elif made.drawn is not None:
        place(figure, fitted(_grey(made.drawn[n]), SIDE), left, top + pitch)


def _grey(values: Tensor) -> Pixels:
    """(h, w) of 0 to 1 as (h, w, 3); the root brings out what is faint."""
    shown = values.clamp(0, 1).sqrt().mul(255).round().to(torch.uint8)
    found: Pixels = np.repeat(shown[:, :, None].numpy(), 3, 2)
    return found


def _stretched(tile: Pixels) -> Pixels:
    low, high = np.quantile(tile, [1 - STRETCH, STRETCH])
    values = (tile - low) / max(high - low, 1) * 255
    found: Pixels = values.clip(0, 255).round().astype(np.uint8)
    return found


def _charts(figure: Figure, found: Inversion, where: tuple[float, float, float]) -> None:
    left, top, wide = where
    several = len(found.originals) > 1
    width = (wide - 90) / 2 if several else wide - 40
    titles = {"error": "mean error, ‖φ(x) − φ₀‖² / ‖φ₀‖²"}
    if several:
        titles["distance"] = "mean distance (two of the pictures: 1)"
    for number, (name, title) in enumerate(titles.items()):
        axes = chart(figure, left + 40 + number * (width + 50), top, width, CHART, title)
        _series(axes, found, name)


def _series(axes: Axes, found: Inversion, name: str) -> None:
    sources = [each.source for each in found.made]
    for method, colour, words in (("gradient", COOL, "descent"), ("upconvnet", ACCENT, "decoder")):
        rows = [row for row in found.means if row["method"] == method]
        if rows:
            places = [sources.index(row["source"]) for row in rows]
            values = [row[name] for row in rows]
            joined = sum(found.made[place].kind == "layer" for place in places)  # descriptors are no further layers
            axes.plot(places, values, "o", color=colour, ms=4, label=words)
            axes.plot(places[:joined], values[:joined], color=colour, lw=1.2)
    axes.set_xticks(range(len(sources)), sources)
    axes.set_xlim(-0.5, len(sources) - 0.5)
    if name == "error":
        axes.set_yscale("log")
        axes.minorticks_off()
        low, high = axes.get_ylim()
        axes.set_ylim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)))  # so that ticks are in view
    else:
        axes.set_ylim(bottom=0)
    axes.legend(fontsize=7.5, labelcolor=FAINT, frameon=False, loc="best")
