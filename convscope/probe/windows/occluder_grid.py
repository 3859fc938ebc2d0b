"""Where an occluder goes over a picture, and arithmetic of maps over its positions (METHODS F7, F7b).

    places = grid((224, 224), (50, 50), (5, 5))
    places.boxes, places.shape          # (1225, 4), (35, 35)

Knows nothing of networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.errors import ArgumentError

Anchor = Literal["inside", "centre"]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """R x C positions, row by row: `boxes` (R*C, 4) top, left, bottom, right (exclusive), clipped to the picture.

    `rows` (R,) and `columns` (C,): the occluders' centres, in pixels from the picture's edge; `size`: height, width.
    """

    boxes: Tensor
    rows: Tensor
    columns: Tensor
    size: Pair

    @property
    def shape(self) -> Pair:
        """R and C."""
        return len(self.rows), len(self.columns)


def grid(
    picture: Pair,
    size: Pair,
    stride: Pair,
    anchor: Anchor = "inside",
    *,
    allow_full: bool = False,
    allow_empty: bool = False,
) -> Grid:
    """Every `stride` pixels an occluder of `size`: as many as fit inside the `picture`, (side - size) // stride + 1.

    One where it is larger than the picture. With the anchor "centre" its centre is at 0, stride, 2 stride, … instead.
    Raises ArgumentError for a stride below 1, a size below 1 (0 with `allow_empty`) or larger than the picture
    (unless `allow_full`).
    """
    if anchor not in get_args(Anchor):
        raise ArgumentError("anchor", anchor, f"expected one of {', '.join(get_args(Anchor))}")
    if min(size) < (0 if allow_empty else 1):
        raise ArgumentError("size", min(size), "expected at least 0" if allow_empty else "expected at least 1 pixel")
    if (size[0] > picture[0] or size[1] > picture[1]) and not allow_full:
        asked = size[0] if size[0] == size[1] else size
        raise ArgumentError("size", asked, f"the picture is {picture[0]} x {picture[1]}; allow_full covers it whole")
    if min(stride) < 1:
        raise ArgumentError("stride", min(stride), "expected at least 1 pixel")
    spans, centres = [], []
    for length, extent, step in zip(picture, size, stride, strict=True):
        if anchor == "inside":
            starts = torch.arange(0, max(length - extent, 0) + 1, step)
        else:
            starts = torch.arange(0, length, step) - extent // 2
        spans.append(torch.stack([starts, starts + extent], 1).clamp(0, length))
        centres.append(starts + min(extent, length) / 2 if anchor == "inside" else starts + extent // 2)
    rows = spans[0][:, None].expand(-1, len(spans[1]), -1)
    columns = spans[1][None].expand(len(spans[0]), -1, -1)
    boxes = torch.cat([rows, columns], 2)[..., [0, 2, 1, 3]].reshape(-1, 4)
    return Grid(boxes, centres[0].double(), centres[1].double(), size)


def hide(picture: Tensor, box: Sequence[int], cover: Tensor) -> Tensor:
    """A copy of a picture (..., C, H, W) with what is in the box (top, left, bottom, right) that of `cover` (C, H, W).

    The box may reach past the border.
    """
    top, left, bottom, right = (max(0, place) for place in box)
    covered = picture.clone()
    covered[..., top:bottom, left:right] = cover[..., top:bottom, left:right]
    return covered


def box_means(values: Tensor, boxes: Tensor) -> Tensor:
    """The mean of `values` (H, W) in each box (B, 4); 0 in an empty one."""
    table = torch.nn.functional.pad(values.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    t, l, b, r = boxes.unbind(1)  # noqa: E741
    sums = table[b, r] - table[t, r] - table[b, l] + table[t, l]
    return sums / ((b - t) * (r - l)).clamp(min=1)


def coarse(shape: Pair, step: int) -> tuple[list[int], list[int]]:
    """Every `step`-th row and column of a grid, and the last ones."""
    rows, columns = (sorted({*range(0, n, step), n - 1}) for n in shape)
    return rows, columns


def weights(known: Sequence[float], wanted: Sequence[float]) -> Tensor:
    """Linear interpolation as a matrix (len(wanted), len(known)): the shares of values at ascending places `known`.

    Beyond the outermost of them their values go on.
    """
    shares = [np.interp(wanted, known, one) for one in np.eye(len(known))]
    return torch.from_numpy(np.stack(shares, 1))


def spread(values: Tensor, down: Tensor, across: Tensor, nearest: bool = False) -> Tensor:
    """Values (..., r, c) interpolated to (..., R, C) by `weights` (R, r) and (C, c): bilinear, or the nearest one."""
    if nearest:
        return values[..., down.argmax(1), :][..., across.argmax(1)]
    return (down @ values.double() @ across.T).to(values.dtype)


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's: the correlation of ranks, ties sharing the mean of theirs; NaN where one of both is constant."""
    x, y = (_ranks(each.detach().cpu().double().flatten().numpy()) for each in (a, b))
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else float("nan")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: NDArray[np.float64] = (ends - (counts - 1) / 2)[which.reshape(-1)]
    return ranks
