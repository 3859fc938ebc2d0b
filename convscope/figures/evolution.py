"""How features formed: a block a layer, in it a row a feature map, a column an epoch (Figure 4 of the paper)."""

from typing import Annotated

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convscope.experiments.evolution import Evolution
from convscope.figures.grid import FAINT, TEXT, canvas, heading, mosaic, place, rgb
from convscope.models.network import Network
from convscope.pictures import display

Pixels = NDArray[np.uint8]

LEFT, GAP, BAR = 28, 4, "#f0a65a"  # the margin; between cells; marks a jump to another picture
LETTER = 9  # pixels of the title that a letter takes, at most on average
LABEL, SETTLED = 44, 72  # what stands left and right of a row of cells
WIDE = 1400  # pixels that two blocks side by side may take


def evolution(
    network: Network,
    found: Evolution,
    *,
    cell: Annotated[int, "pixels of a projection's side"] = 64,
    patches: Annotated[bool, "below each projection the picture it is of"] = False,
) -> Figure:
    """The projections of every map at every epoch, with enhanced contrast (F4, V5).

    An orange bar stands where another picture became the strongest; at the end of a row is the epoch from which the
    feature counts as formed. Cells are empty where no picture excites the map.
    """
    across = LABEL + len(found.epochs) * (cell + GAP) + SETTLED
    columns = 2 if len(found.projections) > 1 and 2 * across + 2 * LEFT <= WIDE else 1
    lines = 2 if patches else 1
    heights = [len(tiles) * lines * (cell + GAP) + 62 for tiles in found.projections.values()]
    bands = [max(heights[first : first + columns]) for first in range(0, len(heights), columns)]
    title = _title(network, found)
    figure = canvas(2 * LEFT + max(columns * across, LETTER * len(title)), 84 + sum(bands))
    heading(figure, title, LEFT, 34)
    heading(figure, _legend(found), LEFT, 56, 8.5, FAINT)
    first = 0
    for number, (layer, tiles) in enumerate(found.projections.items()):
        band, side = divmod(number, columns)
        rows = range(first, first + len(tiles))
        _block(figure, found, layer, rows, LEFT + side * across, 84 + sum(bands[:band]), cell, patches)
        first += len(tiles)
    return figure


def _title(network: Network, found: Evolution) -> str:
    of = f" of {found.total:,}" if found.looked < found.total else ""
    return f"{network.name} in training: what excites its maps most in {found.looked:,}{of} pictures"


def _legend(found: Evolution) -> str:
    epochs = ", ".join(map(str, found.epochs))
    return f"after epochs {epochs}; an orange bar: another picture than before"


def _block(
    figure: Figure, found: Evolution, layer: str, rows: range, left: float, top: float, cell: int, patches: bool
) -> None:
    heading(figure, layer, left, top + 20, 11)
    for column, epoch in enumerate(found.epochs):
        middle = left + LABEL + column * (cell + GAP) + cell / 2
        heading(figure, str(epoch), middle - 3.5 * len(str(epoch)), top + 20, 8, FAINT)
    end = left + LABEL + len(found.epochs) * (cell + GAP) + 6
    heading(figure, "formed by", end, top + 20, 7.5, FAINT)
    lines = 2 if patches else 1
    cells = [tile for row in rows for tile in _row(found, layer, row, row - rows.start, patches)]
    sheet = mosaic(cells, len(found.epochs), side=cell, gap=GAP)
    for number, row in enumerate(rows):
        above = number * lines * (cell + GAP)
        for column in found.jumps[row].nonzero()[:, 0].tolist():
            edge = column * (cell + GAP)
            sheet[above : above + lines * (cell + GAP) - GAP, edge - GAP + 1 : edge - 1] = rgb(BAR)
        middle = top + 28 + above + cell / 2 + 3
        settled = found.converged[row]
        heading(figure, str(found.units[row].channel), left, middle, 8.5, FAINT)
        heading(
            figure, "dead" if settled is None else str(settled), end, middle, 8.5, FAINT if settled is None else TEXT
        )
    place(figure, sheet, left + LABEL, top + 28)


def _row(found: Evolution, layer: str, row: int, place_in_layer: int, patches: bool) -> list[Pixels | None]:
    alive = found.alive[row].tolist()
    tiles = found.projections[layer][place_in_layer]
    shown = [display(tile) if fires else None for tile, fires in zip(tiles, alive, strict=True)]
    if not patches:
        return shown
    pictures = [patch.numpy() for patch in found.patches[layer][place_in_layer]]
    return shown + [patch if fires else None for patch, fires in zip(pictures, alive, strict=True)]
