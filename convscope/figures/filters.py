"""Filters as pictures. Knows nothing of networks: arrays (F, C, h, w) in, tiles (h, w, 3) uint8 out."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pixels = NDArray[np.uint8]


def tiles(filters: Tensor, *, one_scale: bool = False) -> list[Pixels]:
    """Each filter from its least weight as black to its largest as white, or on `one_scale` for all of them (F6).

    One channel is grey, three are colours; of any other number the spatial pattern most of them share. A filter of one
    value is mid-grey.
    """
    values = _shown(filters.detach().cpu().double())
    across = (1, 2, 3)
    low = values.min() if one_scale else values.amin(across, keepdim=True)
    high = values.max() if one_scale else values.amax(across, keepdim=True)
    scaled = torch.where(high > low, (values - low) / (high - low).clamp_min(1e-300), torch.full_like(values, 0.5))
    pixels = (255 * scaled).round().to(torch.uint8).expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    return list(np.ascontiguousarray(pixels.numpy()))


def _shown(filters: Tensor) -> Tensor:
    if filters.shape[1] in (1, 3):
        return filters
    flat = filters.flatten(2)  # (F, C, h w)
    _, sizes, patterns = torch.linalg.svd(flat, full_matrices=False)
    first: Tensor = sizes[:, :1] * patterns[:, 0]
    return first.reshape(len(filters), 1, *filters.shape[2:])
