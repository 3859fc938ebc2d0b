"""Maps brought to the pixels of the network's input, anchored where their units look (METHODS N1).

    rows, columns = anchored(layer.receptive_field, (7, 7), places, (128, 128))
    spread(maps, rows, columns)         # (C, P, Q) of (C, h, w)

A unit's value belongs to the centre of its receptive field; between centres it is interpolated linearly, beyond the
outermost ones it stays. Knows nothing of networks.
"""

import torch
from torch import Tensor

from convscope.probe.trace.geometry import ReceptiveField


def anchored(
    field: ReceptiveField | None, size: tuple[int, int], places: tuple[Tensor, Tensor], picture: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Weights (P, h) and (Q, w) that interpolate maps of `size` at rows (P,) and columns (Q,) of a `picture`.

    Where units see the whole picture they are taken to be spread evenly over it.
    """
    found = []
    for axis, (length, side) in enumerate(zip(size, picture, strict=True)):
        if field is None:
            jump = side / length
            first = (jump - 1) / 2
        else:
            jump, first = float(field.jump[axis]), float(field.start[axis]) + (float(field.size[axis]) - 1) / 2
        found.append(_weights(places[axis].double(), first, jump, length))
    return found[0], found[1]


def _weights(places: Tensor, first: float, jump: float, length: int) -> Tensor:
    """(P, length): linear interpolation at `places` of samples at first, first + jump, …"""
    at = ((places - first) / jump).clamp(0, length - 1)
    low = at.floor().long().clamp(max=max(length - 2, 0))
    share = at - low
    weights = torch.zeros(len(places), length, dtype=torch.float64)
    rows = torch.arange(len(places))
    weights[rows, low] = 1 - share
    if length > 1:
        weights[rows, low + 1] = share
    return weights.float()


def spread(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Maps (..., h, w) at the places that weights (P, h) and (Q, w) stand for: (..., P, Q)."""
    return rows @ maps @ columns.T
