"""Pictures shifted, scaled or turned about their centre, on their way into a network (METHODS F5).

    x = moved(network.transform, "dog.jpg", "rotation", [0, 10, 20])      # (3, C, H, W) in network space

The resized square moves, bilinearly, and then its centre is cut: what comes in from beyond the crop is the picture,
and only beyond the square the mean, which is 0 in network space.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.data.preprocess import Preprocess
from convscope.errors import ArgumentError

Transform = Literal["translation", "scale", "rotation"]
IDENTITY: dict[Transform, float] = {"translation": 0.0, "scale": 1.0, "rotation": 0.0}


def moved(preprocess: Preprocess, picture: Any, transform: Transform, amounts: Sequence[float]) -> Tensor:
    """A picture moved by each of `amounts`: (n, C, H, W) float32 in network space.

    "translation" in pixels of the input, downwards; "scale" a factor, larger than 1 enlarges; "rotation" in degrees,
    counter-clockwise. `picture` is what `Preprocess` takes, or a float tensor (C, H, W) in network space, which has
    nothing around it but zeros. The identity gives what `Preprocess` gives, to rounding. Raises ArgumentError for
    amounts that are not finite, and for scales of 0 or less.
    """
    for amount in amounts:
        if not math.isfinite(amount) or (transform == "scale" and amount <= 0):
            raise ArgumentError(transform, amount, "expected a finite number" + " above 0" * (transform == "scale"))
    if isinstance(picture, Tensor) and picture.is_floating_point():
        size = (int(picture.shape[1]), int(picture.shape[2]))
        return _sampled(picture, size, transform, amounts)[:, :-1]
    channels, size = preprocess.input_size[0], preprocess.input_size[1:]
    square = torch.from_numpy(preprocess.square(picture, channels)).permute(2, 0, 1)
    found = _sampled(square, size, transform, amounts)
    values, covered = found[:, :-1] / 255, found[:, -1:]
    mean, std = preprocess.cropped(preprocess.mean_table), preprocess.cropped(preprocess.std_table)
    return (values - covered * mean) / std


def _sampled(square: Tensor, size: tuple[int, int], transform: Transform, amounts: Sequence[float]) -> Tensor:
    """The centre (H, W) of a square (C, h, w) after each move, with what of each pixel the square covers: float32
    (n, C + 1, H, W); zero outside.
    """
    _, height, width = square.shape
    source = torch.cat([square.double(), torch.ones(1, height, width, dtype=torch.float64)])
    down = torch.arange(size[0], dtype=torch.float64) + (height - size[0]) // 2 - (height - 1) / 2
    across = torch.arange(size[1], dtype=torch.float64) + (width - size[1]) // 2 - (width - 1) / 2
    y, x = torch.meshgrid(down, across, indexing="ij")  # from the centre of the square
    places = [torch.stack(_origin(transform, amount, y, x)[::-1], -1) for amount in amounts]
    grid = torch.stack(places) * torch.tensor([2 / width, 2 / height], dtype=torch.float64)  # from -1 to 1
    found = F.grid_sample(source.expand(len(grid), -1, -1, -1), grid, "bilinear", "zeros", align_corners=False)
    return found.float()


def _origin(transform: Transform, amount: float, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Where in the unmoved picture lies what is seen at (y, x), from the centre, y downwards."""
    if transform == "translation":
        return y - amount, x
    if transform == "scale":
        return y / amount, x / amount
    cosine, sine = math.cos(math.radians(amount)), math.sin(math.radians(amount))
    return cosine * y + sine * x, cosine * x - sine * y
