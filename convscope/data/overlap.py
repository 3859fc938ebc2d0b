"""Pictures that occur in two sets: overlap removal before a comparison between training and test sets (D9).

Normalised cross-correlation of grey centre squares: candidates at 32 x 32 by a blocked matrix product, confirmed at a
larger size. It does not change with brightness or contrast, and little with JPEG compression.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from convscope.data.batches import batches
from convscope.data.picture_set import Pictures
from convscope.data.preprocess import cover
from convscope.errors import ArgumentError, DataError

COARSE_SIDE, CONFIRM_SIDE = 32, 128
BLOCK = 4096  # rows of `a` multiplied at once: 4,096 x 9,145 correlations take 150 MB


@dataclass(frozen=True)
class Pair:
    """Picture `a` of the first set is picture `b` of the second, or its mirror image.

    `coarse` and `ncc` are their correlations at 32 x 32 and at 128 x 128, or at the smaller one's shortest side.
    """

    a: int
    b: int
    coarse: float
    ncc: float
    mirrored: bool = False


def overlaps(
    a: Pictures, b: Pictures, *, coarse: float = 0.95, confirm: float = 0.98, mirrored: bool = False
) -> list[Pair]:
    """The pairs that pass both thresholds, sorted by (a, b) (D9).

    `mirrored` also compares with `b` mirrored left to right. The thresholds are for copies of like quality: a copy
    that was reduced without antialias falls below both (0.92 at 64 pixels, seen between Tiny ImageNet and
    Caltech-101), while skies above dark ground pass the first (0.98 at 32): lower `confirm` and look at the pairs.
    Constant pictures have no correlation; they are left out with a warning. Raises DataError for tensors.
    """
    return [pair for pair in candidates(a, b, coarse=coarse, mirrored=mirrored) if pair.ncc >= confirm]


def candidates(a: Pictures, b: Pictures, *, coarse: float = 0.95, mirrored: bool = False) -> list[Pair]:
    """The pairs that pass the first threshold alone, with their correlation at the confirming size."""
    if not 0 < coarse <= 1:
        raise ArgumentError("coarse", coarse, "expected a correlation above 0, at most 1")
    ours, left = _descriptors(a)
    best: dict[tuple[int, int], tuple[float, bool]] = {}  # of a pair and its mirror, the better
    for flip in (False, True) if mirrored else (False,):
        theirs, right = _descriptors(b, flip)
        for start in range(0, len(ours), BLOCK):
            ncc = ours[start : start + BLOCK] @ theirs.T
            for row, column in (ncc >= coarse).nonzero().tolist():
                pair, found = (int(left[start + row]), int(right[column])), (float(ncc[row, column]), flip)
                best[pair] = max(best.get(pair, found), found)
    return [Pair(i, j, ncc, _confirm(a, i, b, j, flip), flip) for (i, j), (ncc, flip) in sorted(best.items())]


def _grey(image: Image.Image, side: int, flip: bool = False) -> Tensor:
    """The centre square (1, side, side), float32; mirrored first, since the centre may be half a pixel off."""
    image = ImageOps.mirror(image) if flip else image
    return torch.from_numpy(np.asarray(cover(image.convert("L"), side, side), dtype=np.float32)[None])


def _descriptors(pictures: Pictures, flip: bool = False) -> tuple[Tensor, Tensor]:
    """Centred grey squares of norm 1, (n, 1024) float32, and the places (n,) they belong to."""
    if pictures.tensors:
        raise DataError(f"{pictures.name} holds tensors in network space: expected pictures")
    found = list(batches(pictures, lambda image: _grey(image, COARSE_SIDE, flip), 256))
    if not found:
        raise pictures.unreadable()
    values = torch.cat([batch.inputs.flatten(1) for batch in found])
    places = torch.cat([batch.indices for batch in found])
    values -= values.mean(1, keepdim=True)
    norm = values.norm(dim=1, keepdim=True)
    values /= norm
    varied = norm[:, 0] > 1e-3
    if varied.all():
        return values, places
    flat = int((~varied).sum())
    several = f"{flat} pictures are" if flat > 1 else "1 picture is"
    warnings.warn(f"{several} constant, without a correlation: left out of the comparison", stacklevel=4)
    return values[varied], places[varied]


def _confirm(a: Pictures, i: int, b: Pictures, j: int, flip: bool) -> float:
    """Correlation at 128 x 128, or at the smaller picture's shortest side: enlarged, it could only lose."""
    one, other = a.picture(i), b.picture(j)
    side = min(CONFIRM_SIDE, *one.size, *other.size)
    x, y = _grey(one, side).double(), _grey(other, side, flip).double()
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / (x.norm() * y.norm()))
