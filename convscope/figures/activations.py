"""The maps of layers for one picture, in pages of 8 x 8 (METHODS P1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from convscope.experiments.activations import Activations
from convscope.figures.grid import FAINT, canvas, fitted, heading, mosaic, place
from convscope.figures.svg import COOL
from convscope.models.network import Network

Pixels = NDArray[np.uint8]
Scale = Literal["both", "map", "layer"]

ROW, PAGE = 8, 64  # maps in a row, and on a page
TILE, GAP = 38, 2  # pixels of a map, between maps
LEFT, BETWEEN, LINE = 52, 44, 352  # the margin and the space between pages, where numbers stand; from page to page
SIDE = ROW * (TILE + GAP) - GAP
PICTURE, HEAD = 128, 200  # the picture, and what it and the legend take
WIDEST = 4  # pages side by side
COLOURS = "magma"  # from black


@dataclass(frozen=True)
class Page:
    """Up to 64 maps of a layer on one scale, from map `first` on; `pixels` (H, W, 3). framed: inactive ones are."""

    first: int
    count: int
    title: str
    pixels: Pixels
    framed: bool


def activations(
    network: Network,
    found: Activations,
    *,
    scale: Annotated[
        Scale, "what white stands for: each map's largest value, the layer's, or both beside one another"
    ] = "both",
) -> Figure:
    """The picture, and below it every layer's maps, 64 to a page, in their order; inactive ones are framed."""
    pages = {layer: _pages(maps, scale) for layer, maps in found.maps.items()}
    across = min(WIDEST, max(map(len, pages.values())))
    figure = canvas(max(2 * LEFT + across * (SIDE + BETWEEN) - BETWEEN, 640), HEAD + sum(map(_height, pages.values())))
    _head(figure, network, found)
    top = HEAD
    for layer, each in pages.items():
        heading(figure, layer, LEFT, top)
        heading(figure, _summary(found, layer), LEFT, top + 19, 9, FAINT)
        for number, page in enumerate(each):
            line, column = divmod(number, WIDEST)
            _show(figure, page, found.inactive(layer), LEFT + column * (SIDE + BETWEEN), top + 52 + line * LINE)
        top += _height(each)
    return figure


def _height(pages: Sequence[Page]) -> int:
    """Pixels that a layer's pages take, with its name above them."""
    lines = [max(len(page.pixels) for page in pages[k : k + WIDEST]) for k in range(0, len(pages), WIDEST)]
    return 96 + LINE * (len(lines) - 1) + lines[-1]


def _summary(found: Activations, layer: str) -> str:
    maps, still = found.maps[layer], len(found.inactive(layer))
    size = f"{len(maps)} maps of {maps.shape[1]} × {maps.shape[2]}" if maps[0].numel() > 1 else f"{len(maps)} units"
    return f"{size}, {f'{still} of them' if still else 'none'} inactive"


def _show(figure: Figure, page: Page, inactive: Sequence[int], left: float, top: float) -> None:
    """A page with the number of the first map of every row, and frames around inactive maps."""
    axes = place(figure, page.pixels, left, top, page.title, 8)
    step = TILE + GAP
    for number in range(page.first, page.first + page.count):
        row, column = divmod(number - page.first, ROW)
        if column == 0:
            axes.text(-6, row * step + TILE / 2, str(number), color=FAINT, fontsize=7, ha="right", va="center")
        if number in inactive and page.framed:
            corner = (column * step, row * step)
            axes.add_patch(Rectangle(corner, TILE - 1, TILE - 1, fill=False, edgecolor=COOL, linewidth=0.8))


def _head(figure: Figure, network: Network, found: Activations) -> None:
    place(figure, fitted(network.transform.picture(found.inputs[0].float()), PICTURE), LEFT, 28)
    beside = LEFT + PICTURE + 20
    heading(figure, f"What {network.name} makes of this picture", beside, 48)
    lines = (
        "Every tile is a feature map, from black (its smallest value) to white (its largest).",
        "Numbers count maps; row 8 begins with map 8.",
        "Framed: inactive, nowhere above zero for this picture. Dark grey: no map.",
    )
    for number, line in enumerate(lines):
        heading(figure, line, beside, 76 + 20 * number, 9, FAINT)


def _pages(maps: Tensor, scale: Scale) -> list[Page]:
    """The pages of a layer; where both scales are shown, a page's two versions follow one another."""
    scales = ("map", "layer") if scale == "both" else (scale,)
    vector = maps[0].numel() == 1  # one number has no range of its own
    span = f"one scale for the layer, {float(maps.min()):.3g} to {float(maps.max()):.3g}"
    found = []
    for first in range(0, len(maps), PAGE):
        part = maps[first : first + PAGE]
        which = f"{first} to {first + len(part) - 1}, "
        for each in ("layer",) if vector else scales:
            own = each == "map"
            values = stretched(part, *((part.amin((1, 2)), part.amax((1, 2))) if own else (maps.min(), maps.max())))
            title = which + ("each on its own scale" if own else span)
            found.append(Page(first, len(part), title, _sheet(values), framed=not vector))
    return found


def stretched(maps: Tensor, low: Tensor, high: Tensor) -> NDArray[np.float64]:
    """Maps (n, h, w) from [low, high], of each or of all, to [0, 1]; 0 where both are equal, so constant is black."""
    low, span = low.double().reshape(-1, 1, 1), (high - low).double().reshape(-1, 1, 1)
    values = (maps.double() - low) / span.where(span > 0, 1)
    return np.asarray(values.clamp(0, 1) * (span > 0))


def _sheet(values: NDArray[np.float64]) -> Pixels:
    """Maps (n, h, w) in [0, 1] as one sheet of rows of eight."""
    tiles: list[Pixels | None] = [(colormaps[COLOURS](one)[..., :3] * 255).round().astype(np.uint8) for one in values]
    return mosaic(tiles + [None] * (-len(tiles) % ROW), ROW, side=TILE, gap=GAP)
