"""The paper's figures from results of ours: Figure 2 from an atlas. Knows nothing of how the results came about."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convscope.atlases.figure2_sample import Sample
from convscope.atlases.store import Entry
from convscope.errors import ArgumentError
from convscope.figures.grid import beside, canvas, heading, mosaic, place

Pixels = NDArray[np.uint8]

TILE, COLUMNS, GAP, LEFT = 40, 4, 18, 28  # pixels of a tile; maps to a row; between maps; the margin


def figure2(chosen: Sample) -> Figure:
    """Per layer, the chosen maps: their projections, 3 x 3, beside the patches, 3 x 3, strongest first (F2).

    Cells stay empty where a map fired in fewer pictures.
    """
    if not chosen.entries:
        raise ArgumentError("chosen", "no layer", "expected at least one")
    block = 3 * (TILE + 2) - 2
    wide = COLUMNS * (2 * block + 6 + GAP) - GAP
    heights = [-(-len(entries) // COLUMNS) * (block + GAP + 16) + 34 for entries in chosen.entries.values()]
    figure = canvas(wide + 2 * LEFT, sum(heights) + 24)
    top = 24
    for (layer, entries), height in zip(chosen.entries.items(), heights, strict=True):
        heading(figure, layer, LEFT, top + 12)
        for number, entry in enumerate(entries):
            row, column = divmod(number, COLUMNS)
            x, y = LEFT + column * (2 * block + 6 + GAP), top + 38 + row * (block + GAP + 16)
            place(figure, plate(entry), x, y, title=_caption(entry), size=7)
        top += height
    return figure


def plate(entry: Entry, side: int = TILE, top: int = 9, columns: int = 3) -> Pixels:
    """The projections of a feature map beside its patches, (H, W, 3) uint8."""
    halves = [_filled(list(tiles), top) for tiles in (entry.projections, entry.patches)]
    return beside(*(mosaic(tiles, columns, side=side) for tiles in halves))


def _filled(tiles: list[Pixels], count: int) -> list[Pixels | None]:
    return [*tiles[:count], *[None] * (count - len(tiles))]


def _caption(entry: Entry) -> str:
    return f"{entry.channel}" if len(entry) else f"{entry.channel}: dead"
