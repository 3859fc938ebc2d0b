"""What excited a unit: the picture, what the unit sees of it, and its projection, in a row."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from convscope.experiments.project import Projection
from convscope.figures.grid import canvas, cut, fitted, heading, place
from convscope.models.network import Network
from convscope.pictures import display

Pixels = NDArray[np.uint8]
Contrast = Literal["max", "percentile"]
Shown = Literal["signed", "saliency"]

SIDE, LEFT, GAP = 200, 28, 14  # pixels of a tile, the margin, between tiles


def project(
    network: Network,
    found: Projection,
    *,
    contrast: Annotated[Contrast, "what becomes full contrast"] = "percentile",
    shown: Annotated[Shown, "projections with their signs, or the largest size over the colours"] = "signed",
) -> Figure:
    """A row for each unit: the picture, what the unit sees of it, and its projections by unpooling (V2, V5).

    "saliency" shows the largest |projection| over the channels, black where it is 0: with the rule "gradient", the
    saliency map of Simonyan et al. (METHODS A2).
    """
    ways = list(dict.fromkeys(found.unpool))
    units = len(found.units) // len(ways)
    columns = 2 + len(ways)
    figure = canvas(2 * LEFT + columns * (SIDE + GAP) - GAP, units * (SIDE + 62) + 40)
    for number, unit in enumerate(found.units[:units]):
        top = 34 + number * (SIDE + 62)
        same = range(number, len(found.units), units)  # this unit, by every way
        heading(figure, f"{unit} = {float(found.values[number]):.4g}", LEFT, top)
        box = min((found.boxes[row].tolist() for row in same), key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
        picture = network.transform.picture(found.inputs[number].float())
        tiles = {"what the unit sees": cut(picture, box)}
        for way, row in zip(ways, same, strict=True):
            part = cut(found.pixels[row].permute(1, 2, 0).numpy(), box, fill=0)
            values = _channels_first(part)
            if shown == "saliency":
                tiles[f"saliency ({way})"] = saliency(values, contrast=contrast)
            else:
                tiles[f"what excited it ({way})"] = display(values, contrast=contrast)
        _outlined(figure, picture, box, LEFT, top + 32)
        for column, (name, tile) in enumerate(tiles.items(), 1):
            place(figure, fitted(tile, SIDE), LEFT + column * (SIDE + GAP), top + 32, title=name)
    return figure


def saliency(pixels: torch.Tensor, *, contrast: Contrast = "percentile") -> Pixels:
    """The largest |value| over the channels of (C, H, W), as (H, W, 3) from black at 0 (METHODS A2)."""
    shown = display(pixels.abs().amax(0, keepdim=True), contrast=contrast).astype(np.int16)
    return ((shown - 128).clip(0) * 255 // 127).astype(np.uint8)


def _channels_first(pixels: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)


def _outlined(figure: Figure, picture: Pixels, box: Sequence[int], left: float, top: float) -> None:
    """The picture with a box (top, left, bottom, right) around what a unit sees."""
    axes = place(figure, fitted(picture, SIDE), left, top, title="the picture")
    down, across = (SIDE / size for size in picture.shape[:2])
    corner, size = (box[1] * across, box[0] * down), ((box[3] - box[1]) * across, (box[2] - box[0]) * down)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="#f0a65a", linewidth=1.5))
