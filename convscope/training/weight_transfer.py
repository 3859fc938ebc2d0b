"""Weights between trainings: carried over from another network."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from convscope.models.zfnet import Chain


@torch.no_grad()
def carry_over(module: Chain, tensors: Mapping[str, Tensor]) -> list[str]:
    """Copy every tensor that fits into `module`, and return the names of those that start afresh.

    The weights of `fc6` also fit when only the extent of `pool5` differs: their kernels are spread over the new
    extent by the nearest neighbour and scaled by old over new area: constant maps are answered as before where the
    old extent divides the new one.
    """
    fresh = []
    for name, own in module.state_dict().items():
        given = tensors.get(name)
        if given is not None and name == "fc6.weight" and given.shape != own.shape:
            given = _spread(given, own, int(module.architecture["maps"][-1]))
        if given is None or given.shape != own.shape:
            fresh.append(name)
        else:
            own.copy_(given)
    return fresh


def _spread(given: Tensor, own: Tensor, maps: int) -> Tensor | None:
    """(units, maps·h·h) as (units, maps·H·H), the shape of `own`; None where units or maps differ."""
    before, after = (round((tensor.shape[1] / maps) ** 0.5) for tensor in (given, own))
    if len(given) != len(own) or (maps * before**2, maps * after**2) != (given.shape[1], own.shape[1]):
        return None
    kernel = given.reshape(len(given), maps, before, before)
    spread = nn.functional.interpolate(kernel, (after, after), mode="nearest")
    flat: Tensor = spread.reshape(len(given), -1) * (before**2 / after**2)
    return flat
