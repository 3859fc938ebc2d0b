"""Pictures side by side: tiles of any size on one sheet, and the dark figures that hold such sheets.

Knows nothing of networks: arrays (H, W, 3) uint8 in, one array or one matplotlib figure out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import ArgumentError
from convscope.printable import printable

Pixels = NDArray[np.uint8]

SHEET, EMPTY, TEXT, FAINT = "#131417", "#24262c", "#e8e6e1", "#8b909c"  # an empty cell is darker than mid-grey, zero
DPI = 100
COLOURS = ("#f0a65a", "#6fb3c8", "#b7d67a", "#e07a8b", "#b79be8", "#d9c25c", "#7fc4a4", "#c98f6b")  # categories


def rgb(colour: str) -> tuple[int, int, int]:
    """A hex colour as numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def fitted(tile: Pixels, side: int) -> Pixels:
    """A tile (h, w, 3) brought to (side, side, 3): enlarged pixel by pixel, so that nothing is smoothed away, or
    reduced with antialias.
    """
    if tile.ndim != 3 or tile.shape[2] != 3 or 0 in tile.shape:
        raise ArgumentError("tile", tile.shape, "expected (h, w, 3)")
    grows = max(tile.shape[:2]) <= side
    how = Image.Resampling.NEAREST if grows else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(tile).resize((side, side), how))


def mosaic(tiles: Sequence[Pixels | None], columns: int, *, side: int, gap: int = 2, ground: str = SHEET) -> Pixels:
    """Tiles row by row on one sheet (H, W, 3); None leaves a cell empty. Gaps lie between cells only."""
    if columns < 1 or not tiles:
        raise ArgumentError("columns and tiles", (columns, len(tiles)), "expected at least one of each")
    rows = -(-len(tiles) // columns)
    sheet = np.empty((rows * (side + gap) - gap, columns * (side + gap) - gap, 3), np.uint8)
    sheet[:] = rgb(ground)
    for number, tile in enumerate(tiles):
        top, left = (part * (side + gap) for part in divmod(number, columns))
        cell = sheet[top : top + side, left : left + side]
        cell[:] = rgb(EMPTY) if tile is None else fitted(tile, side)
    return sheet


def beside(*sheets: Pixels, gap: int = 6, ground: str = SHEET) -> Pixels:
    """Sheets of equal height next to one another."""
    height = sheets[0].shape[0]
    bar = np.empty((height, gap, 3), np.uint8)
    bar[:] = rgb(ground)
    return np.concatenate([part for sheet in sheets for part in (bar, sheet)][1:], axis=1)


def canvas(width: float, height: float) -> Figure:
    """An empty dark figure of `width` x `height` pixels, without pyplot and its global state."""
    return Figure((width / DPI, height / DPI), dpi=DPI, facecolor=SHEET)


def place(figure: Figure, pixels: Pixels, left: float, top: float, title: str = "", size: float = 9) -> Axes:
    """Show `pixels` one to one, their top left corner at (left, top) in pixels of the figure; the title above them."""
    width, height = figure.get_size_inches() * DPI
    h, w = pixels.shape[:2]
    axes = figure.add_axes((left / width, 1 - (top + h) / height, w / width, h / height))
    axes.imshow(pixels, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    if title:
        entitle(axes, title, size, pad=4)
    return axes


def chart(figure: Figure, left: float, top: float, width: float, height: float, title: str = "") -> Axes:
    """Empty axes in the sheet's colours, their top left corner at (left, top) in pixels; the title above them."""
    wide, high = figure.get_size_inches() * DPI
    axes = figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high), facecolor=EMPTY)
    axes.tick_params(colors=FAINT, labelsize=7, length=2)
    for spine in axes.spines.values():
        spine.set_visible(False)
    entitle(axes, title, 9, pad=6)
    return axes


def entitle(axes: Axes, title: str, size: float, pad: float) -> None:
    """Set the title of axes. It may name files and classes, so dollar signs are no formulas (as in `heading`)."""
    axes.set_title(printable(title, lines=True), color=FAINT, fontsize=size, pad=pad, parse_math=False)


def heading(figure: Figure, text: str, left: float, top: float, size: float = 13, colour: str = TEXT) -> None:
    """A line of text whose baseline is `top` pixels below the figure's upper edge."""
    width, height = figure.get_size_inches() * DPI
    words = printable(text, lines=True)
    figure.text(left / width, 1 - top / height, words, color=colour, fontsize=size, parse_math=False)


def cut(pixels: NDArray[Any], box: Sequence[int], fill: float = 128) -> NDArray[Any]:
    """What lies in the box (top, left, bottom, right; exclusive) of pixels (H, W, C); `fill` outside them (V6)."""
    top, left, bottom, right = box
    inside = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    tile = np.full((bottom - top, right - left, *pixels.shape[2:]), fill, pixels.dtype)
    down, across = max(-top, 0), max(-left, 0)
    tile[down : down + inside.shape[0], across : across + inside.shape[1]] = inside
    return tile
