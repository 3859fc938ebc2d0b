"""What keeps a made picture near natural ones: norms, total variation, and what is done to it between steps.

    penalty = 0.1 * l1(x) + 1e-3 * total_variation(x)          # (N,), one number a picture
    x = blurred(x, 1.0)

Penalties are sums over a picture's values and differentiable; pictures are (N, C, H, W), zero at the mean picture.
Knows nothing of networks.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import ArgumentError


def l1(x: Tensor) -> Tensor:
    """Sum of |x| of each picture, (N,); its gradient is sign(x), 0 at 0 (METHODS P3)."""
    return x.abs().flatten(1).sum(1)


def l2(x: Tensor) -> Tensor:
    """Sum of x² of each picture, (N,) (METHODS A2)."""
    return x.square().flatten(1).sum(1)


def alpha_norm(x: Tensor, alpha: float = 6) -> Tensor:
    """Sum of |x|^alpha of each picture, (N,) (METHODS I1). Raises ArgumentError for alpha below 1."""
    if not alpha >= 1:
        raise ArgumentError("alpha", alpha, "expected at least 1")
    return x.abs().pow(alpha).flatten(1).sum(1)


def total_variation(x: Tensor, beta: float = 2) -> Tensor:
    """Sum of (down² + across²)^(beta/2) of each picture, (N,): differences to the next row and column, 0 at the last
    of them (METHODS I1, Mahendran & Vedaldi). Where both are 0 the gradient is 0 for every beta.

    Raises ArgumentError for beta not above 0.
    """
    if not beta > 0:
        raise ArgumentError("beta", beta, "expected above 0")
    down = F.pad(x[:, :, 1:] - x[:, :, :-1], (0, 0, 0, 1))
    across = F.pad(x[:, :, :, 1:] - x[:, :, :, :-1], (0, 1))
    squared = down.square() + across.square()
    if beta == 2:
        return squared.flatten(1).sum(1)
    flat = squared == 0  # a power below 1 has no derivative there
    powers = torch.where(flat, torch.ones_like(squared), squared).pow(beta / 2)
    return torch.where(flat, torch.zeros_like(powers), powers).flatten(1).sum(1)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Pictures under a Gaussian of `sigma` pixels, cut at three of them; borders are continued (METHODS A3).

    `sigma` 0 leaves them as they are. Raises ArgumentError for a negative one.
    """
    if not sigma >= 0:
        raise ArgumentError("sigma", sigma, "expected 0 or more")
    reach = math.ceil(3 * sigma)
    if reach == 0:
        return x
    offsets = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    line = torch.exp(-offsets.square() / (2 * sigma**2))
    line = (line / line.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    x = F.conv2d(x, line, groups=x.shape[1])
    return F.conv2d(x, line.transpose(2, 3), groups=x.shape[1])


def without_small(x: Tensor, size: Tensor, percentile: float) -> Tensor:
    """Pictures with the pixels zeroed whose `size` (N, H, W) is below that percentile of it (METHODS A3).

    Raises ArgumentError for a percentile outside [0, 100].
    """
    if not 0 <= percentile <= 100:
        raise ArgumentError("percentile", percentile, "expected 0 to 100")
    if percentile == 0:
        return x
    bound = torch.quantile(size.flatten(1).float(), percentile / 100, dim=1).to(size.dtype)
    return x * (size >= bound[:, None, None])[:, None]


def on_sphere(x: Tensor, norm: float) -> Tensor:
    """Each picture scaled to a Euclidean norm (METHODS A1); a picture of zeros stays one.

    Raises ArgumentError for a norm not above 0.
    """
    if not norm > 0:
        raise ArgumentError("norm", norm, "expected above 0")
    length = x.flatten(1).norm(dim=1)[:, None, None, None]
    return x * (norm / torch.where(length > 0, length, torch.ones_like(length)))
