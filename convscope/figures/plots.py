"""What a command draws: one function per command, named after it, results in, a matplotlib figure out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from convscope.data.overlap import Pair
from convscope.data.sources import Pictures
from convscope.experiments.project import Projection
from convscope.figures.grid import FAINT, canvas, cut, fitted, heading, mosaic, place
from convscope.models.network import Network
from convscope.pictures import display

Pixels = NDArray[np.uint8]

SIDE, LEFT, GAP = 200, 28, 14  # pixels of a tile, the margin, between tiles
SHOWN = 60  # pairs of pictures on one montage


def project(net: Network, found: Mapping[str, Projection], *, contrast: Any = "max") -> Figure:
    """A row for each unit: the picture with the box the unit sees, that box, and its projections by unpooling (V2, V5).

    `found`: unpooling -> projections of the same units on the same pictures.
    """
    first = next(iter(found.values()))
    columns = 2 + len(found)
    figure = canvas(2 * LEFT + columns * (SIDE + GAP) - GAP, len(first.units) * (SIDE + 62) + 40)
    for row, unit in enumerate(first.units):
        top = 34 + row * (SIDE + 62)
        heading(figure, f"{unit} = {float(first.values[row]):.4g}", LEFT, top)
        box = min((p.boxes[row].tolist() for p in found.values()), key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
        picture = net.transform.picture(first.inputs[row].float())
        tiles = {"what the unit sees": cut(picture, box)}
        for way, projection in found.items():
            part = cut(projection.pixels[row].permute(1, 2, 0).numpy(), box, fill=0)
            tiles[f"what excited it ({way})"] = display(_channels_first(part), contrast=contrast)
        _outlined(figure, picture, box, LEFT, top + 32)
        for number, (name, tile) in enumerate(tiles.items(), 1):
            place(figure, fitted(tile, SIDE), LEFT + number * (SIDE + GAP), top + 32, title=name)
    return figure


def _channels_first(pixels: NDArray[Any]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)


def _outlined(figure: Figure, picture: Pixels, box: Sequence[int], left: float, top: float) -> None:
    """The picture with a box (top, left, bottom, right) around what a unit sees."""
    axes = place(figure, fitted(picture, SIDE), left, top, title="the picture")
    down, across = (SIDE / size for size in picture.shape[:2])
    corner, size = (box[1] * across, box[0] * down), ((box[3] - box[1]) * across, (box[2] - box[0]) * down)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="#f0a65a", linewidth=1.5))


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
