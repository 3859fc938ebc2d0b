"""Pictures that are the same but for colour, rotation, a shift or sign, and groups of such (METHODS P6).

    alike = similarity(pictures)          # (N, N)
    clusters(alike, 0.9)                  # [[0, 4, 7], [1], …]

Knows nothing of networks: arrays (N, C, h, w) in.
"""

import math
from itertools import permutations
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import ArgumentError

STEP = 15  # degrees between the rotations tried (METHODS P6)
SHIFT = 1  # pixels
SIDE = 32  # larger pictures are reduced to this

Colour = Literal["permutations", "grey"]


def varied(pictures: Tensor, colour: Colour = "permutations") -> Tensor:
    """Which pictures are not the same everywhere inside their circle, so that they can be compared: (N,) bool."""
    values, mask = _squares(pictures, colour)
    size = _normal(values, mask)[1]
    return size > 1e-9 * values.abs().amax().clamp_min(1e-300)


def similarity(pictures: Tensor, colour: Colour = "permutations") -> Tensor:
    """How alike pictures (N, C, h, w) are at best: (N, N) float64, symmetric, in [0, 1], ones on the diagonal.

    The largest |normalised correlation| of one with the other under rotations of 0 to 345 degrees (bilinear, inside
    the circle of their side), shifts of up to a pixel, and either all orders of three channels or their mean, "grey".
    The mean is removed and the norm made 1 each time. Rows of pictures that are not `varied` are zero.
    """
    values, mask = _squares(pictures, colour)
    here, _ = _normal(values, mask)
    best = torch.zeros(len(values), len(values), dtype=torch.float64)
    orders = list(permutations(range(3))) if values.shape[1] == 3 else [tuple(range(values.shape[1]))]
    for degrees in range(0, 360, STEP):
        turned = _rotated(values, degrees)
        for down in range(-SHIFT, SHIFT + 1):
            for across in range(-SHIFT, SHIFT + 1):
                other, norm = _normal(_shifted(turned, down, across), mask)
                other = other.reshape(len(other), values.shape[1], -1)
                for order in orders:
                    alike = here @ other[:, list(order)].flatten(1).T
                    best = torch.maximum(best, alike.abs() * (norm > 0))
    best = torch.maximum(best, best.T).clamp(max=1)
    known = varied(pictures, colour)
    return best.fill_diagonal_(1) * known * known[:, None]


def clusters(alike: Tensor, threshold: float) -> list[list[int]]:
    """Groups of pictures linked by pairs at or above `threshold` (single link), each sorted, by their first member."""
    parent = list(range(len(alike)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for a, b in (alike >= threshold).triu(1).nonzero().tolist():
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    found: dict[int, list[int]] = {}
    for node in range(len(alike)):
        found.setdefault(root(node), []).append(node)
    return list(found.values())


def _squares(pictures: Tensor, colour: Colour) -> tuple[Tensor, Tensor]:
    """The pictures as squares (N, C, side, side) float64, zero where they had no pixels, and the circle's mask."""
    if pictures.ndim != 4 or 0 in pictures.shape or not bool(pictures.isfinite().all()):
        raise ArgumentError("pictures", tuple(pictures.shape), "expected finite numbers (N, C, height, width)")
    values = pictures.detach().cpu().double()
    if colour == "grey":
        values = values.mean(1, keepdim=True)
    side = max(values.shape[2:])
    down, across = side - values.shape[2], side - values.shape[3]
    values = F.pad(values, (across // 2, across - across // 2, down // 2, down - down // 2))
    if side > SIDE:
        values, side = F.interpolate(values, (SIDE, SIDE), mode="bilinear", antialias=True), SIDE
    line = torch.arange(side).double() - (side - 1) / 2
    return values, (line[:, None] ** 2 + line[None] ** 2 <= (side / 2) ** 2).double()


def _normal(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures inside the mask, without their mean and of norm 1 (or zero), flat (N, C·h·w), and the norm they had."""
    inside = values * mask
    mean = inside.sum((1, 2, 3), keepdim=True) / (mask.sum() * values.shape[1])
    flat = ((inside - mean) * mask).flatten(1)
    size = flat.norm(dim=1)
    return flat / size.clamp_min(1e-300)[:, None], size


def _rotated(values: Tensor, degrees: int) -> Tensor:
    if degrees % 90 == 0:
        return torch.rot90(values, degrees // 90, (2, 3))
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]])
    grid = F.affine_grid(turn.double().expand(len(values), 2, 3), list(values.shape), align_corners=False)
    return F.grid_sample(values, grid, align_corners=False)


def _shifted(values: Tensor, down: int, across: int) -> Tensor:
    """Moved by whole pixels, zeros coming in."""
    padded = F.pad(values, (SHIFT,) * 4)
    return padded.roll((down, across), (2, 3))[:, :, SHIFT:-SHIFT, SHIFT:-SHIFT]
