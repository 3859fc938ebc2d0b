"""Pairs of pictures that two sources share, side by side for a look by eye (METHODS D9)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convscope.data.overlap import Pair
from convscope.data.picture_set import Pictures
from convscope.figures.grid import FAINT, canvas, cut, heading, mosaic, place

Pixels = NDArray[np.uint8]

LEFT = 28  # the margin, pixels
SHOWN = 60  # pairs of pictures on one montage


def overlap(a: Pictures, b: Pictures, pairs: Sequence[Pair]) -> Figure:
    """The pairs side by side for a look by eye (D9), the least certain first, at most 60."""
    shown = sorted(pairs, key=lambda pair: pair.ncc)[:SHOWN]
    rows = max(1, -(-len(shown) // 4))
    side = 96
    figure = canvas(2 * LEFT + 4 * (2 * side + 30) - 30, 60 + rows * (side + 30))
    heading(figure, f"{len(pairs)} pairs; the {len(shown)} with the lowest correlation", LEFT, 30, 11, FAINT)
    for number, pair in enumerate(shown):
        row, column = divmod(number, 4)
        two = mosaic([_square(a, pair.a), _square(b, pair.b)], 2, side=side)
        place(figure, two, LEFT + column * (2 * side + 30), 60 + row * (side + 30), f"{pair.ncc:.3f}", 7)
    return figure


def _square(pictures: Pictures, index: int) -> Pixels:
    image = pictures.picture(index)
    image.thumbnail((192, 192))
    side, (width, height) = max(image.size), image.size
    top, left = (height - side) // 2, (width - side) // 2
    return cut(np.asarray(image), (top, left, top + side, left + side), fill=36)
