"""How a picture looks, in one number: how colourful it is, how much it is like another (METHODS P3).

Arrays (N, C, H, W) in, one number a picture out.
"""

import torch
from torch import Tensor

from convscope.probe.optimize.priors import blurred


def colourfulness(levels: Tensor) -> Tensor:
    """Hasler & Süsstrunk's (2003) colourfulness of pictures in levels of 0 to 255, (N,); 0 for pictures in grey.

    The length of the standard deviations of red − green and (red + green)/2 − blue, and 0.3 times that of their means.
    A constant added to all channels changes nothing.
    """
    if levels.shape[1] != 3:
        return torch.zeros(len(levels), dtype=levels.dtype)
    red, green, blue = levels.flatten(2).unbind(1)
    opposed = torch.stack([red - green, (red + green) / 2 - blue])
    found: Tensor = opposed.std(2, unbiased=False).norm(dim=0) + 0.3 * opposed.mean(2).norm(dim=0)
    return found


def resemblance(picture: Tensor, others: Tensor, sigma: float) -> Tensor:
    """Mean correlation, -1 to 1, of a picture (C, H, W) with others (N, C, H, W), blurred; 0 where one is constant."""
    several = blurred(torch.cat([picture[None], others]).double(), sigma).flatten(1)
    several = several - several.mean(1, keepdim=True)
    several = several / several.norm(dim=1, keepdim=True).clamp(min=1e-12)
    found: Tensor = (several[1:] @ several[0]).mean()
    return found
