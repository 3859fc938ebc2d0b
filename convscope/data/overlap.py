"""Pictures that occur in two sets: overlap removal before a comparison between training and test sets (D9).

Normalised cross-correlation of grey centre squares: candidates at 32 x 32 by a blocked matrix product, confirmed at a
larger size. It does not change with brightness or contrast, and little with JPEG compression.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convscope.data.preprocess import cover
from convscope.data.sources import Pictures, batches

COARSE_SIDE, CONFIRM_SIDE = 32, 128
BLOCK = 4096  # rows of `a` multiplied at once: 4,096 x 9,145 correlations take 150 MB


@dataclass(frozen=True)
class Pair:
    """Picture `a` of the first set is picture `b` of the second: correlations at 32 x 32 and at the confirming size."""

    a: int
    b: int
    coarse: float
    ncc: float
    mirrored: bool = False


def overlaps(
    a: Pictures, b: Pictures, *, coarse: float = 0.95, confirm: float = 0.98, mirrored: bool = False
) -> list[Pair]:
    """The pairs that both thresholds keep, sorted by (a, b) (D9)."""
    return [pair for pair in candidates(a, b, coarse=coarse, mirrored=mirrored) if pair.ncc >= confirm]


def candidates(a: Pictures, b: Pictures, *, coarse: float = 0.95, mirrored: bool = False) -> list[Pair]:
    """The pairs that the coarse threshold keeps, with their correlation at the confirming size, sorted by (a, b)."""
    ours, left = _descriptors(a)
    theirs, right = _descriptors(b)
    pairs = []
    for flip in (False, True) if mirrored else (False,):
        other = theirs.reshape(-1, COARSE_SIDE, COARSE_SIDE).flip(2).flatten(1) if flip else theirs
        for start in range(0, len(ours), BLOCK):
            ncc = ours[start : start + BLOCK] @ other.T
            for row, column in (ncc >= coarse).nonzero().tolist():
                i, j = int(left[start + row]), int(right[column])
                pairs.append((i, j, float(ncc[row, column]), flip))
    return sorted((Pair(i, j, c, _confirm(a, i, b, j, f), f) for i, j, c, f in pairs), key=lambda p: (p.a, p.b))


def _grey(image: Image.Image, side: int) -> Tensor:
    return torch.from_numpy(np.asarray(cover(image.convert("L"), side, side), dtype=np.float32)[None])


def _descriptors(pictures: Pictures) -> tuple[Tensor, Tensor]:
    """Centred grey squares of norm 1, (n, 1024) float32, and the places (n,) they belong to."""
    rows, places = [], []
    for batch in batches(pictures, lambda image: _grey(image, COARSE_SIDE), 256):
        rows.append(batch.inputs.flatten(1))
        places.append(batch.indices)
    values = torch.cat(rows)
    values -= values.mean(1, keepdim=True)
    norm = values.norm(dim=1)
    constant = norm < 1e-3
    if constant.any():
        warnings.warn(f"{int(constant.sum())} constant pictures have no correlation: left out", stacklevel=3)
    return values[~constant] / norm[~constant, None], torch.cat(places)[~constant]


def _confirm(a: Pictures, i: int, b: Pictures, j: int, flip: bool) -> float:
    one, other = a.picture(i), b.picture(j)
    side = min(CONFIRM_SIDE, *one.size, *other.size)
    x, y = _grey(one, side).flatten(), _grey(other, side)
    y = (y.flip(2) if flip else y).flatten()
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / (x.norm() * y.norm()))
