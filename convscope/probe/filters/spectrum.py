"""Spatial frequencies of small pictures: how their power spreads, and what a stride folds over (METHODS F6).

Frequencies are in cycles per pixel, at most 0.5 along an axis. Arrays (N, C, h, w) in, numbers of each out.
"""

import math
from functools import cache

import torch
from torch import Tensor

SIZE = 64  # samples of a spectrum along each axis, at least: pictures are padded with zeros (METHODS F6)
BANDS = (0.10, 0.25)  # cycles per pixel: low below the first, high above the second
BINS = 8  # of the histogram of mean frequencies, over 0 to 0.5
DRAWS, LEVEL = 1000, 0.95  # of the noise that selectivities are compared with: how many filters, and which quantile


def power(pictures: Tensor, size: int = SIZE) -> Tensor:
    """Power over the channels, (N, size, size), as shares that sum to 1; all zero for a picture of zeros.

    Row and column k hold the frequency `frequencies(size)[k]`. The constant part is kept.
    """
    size = max(size, *pictures.shape[2:])
    spectrum: Tensor = torch.fft.fft2(pictures.double(), s=(size, size)).abs().square().sum(1)
    total = spectrum.sum((1, 2), keepdim=True)
    shares: Tensor = spectrum / torch.where(total > 0, total, torch.ones_like(total))
    return shares


def frequencies(size: int) -> Tensor:
    """The frequencies along one axis, in the order of `power`: (size,)."""
    line: Tensor = torch.fft.fftfreq(size, dtype=torch.float64)
    return line


def radius(size: int) -> Tensor:
    """The radial frequency of every cell of a spectrum: (size, size)."""
    line = frequencies(size)
    return torch.hypot(line[:, None], line[None, :])


def centroid(shares: Tensor) -> Tensor:
    """Mean radial frequency of each spectrum, (N,); NaN where there is no power."""
    mean = (shares * radius(shares.shape[1])).sum((1, 2))
    return torch.where(shares.sum((1, 2)) > 0, mean, torch.full_like(mean, math.nan))


def bands(shares: Tensor) -> Tensor:
    """Shares of the power in the low, middle and high band: (N, 3)."""
    which = torch.bucketize(radius(shares.shape[1]), torch.tensor(BANDS, dtype=torch.float64), right=True)
    return torch.stack([(shares * (which == band)).sum((1, 2)) for band in range(3)], 1)


def folded(shares: Tensor, stride: tuple[int, int]) -> Tensor:
    """Aliasing index: the share of each spectrum that sampling every `stride` (row, column) pixels folds over, (N,)."""
    line = frequencies(shares.shape[1]).abs()
    beyond = (line[:, None] > 1 / (2 * stride[0])) | (line[None, :] > 1 / (2 * stride[1]))
    return (shares * beyond).sum((1, 2))


def orientation_selectivity(shares: Tensor) -> Tensor:
    """How far each spectrum's power lies along one orientation, (N,): 0 for none or all alike, 1 for a single one.

    The length of the mean of exp(2iθ), weighted by power; the constant part has no orientation and is left out.
    """
    line = frequencies(shares.shape[1])
    angle = torch.atan2(line[:, None], line[None, :])
    varying = shares * (radius(shares.shape[1]) > 0)
    total = varying.sum((1, 2))
    length = torch.hypot((varying * (2 * angle).cos()).sum((1, 2)), (varying * (2 * angle).sin()).sum((1, 2)))
    return length / torch.where(total > 0, total, torch.ones_like(total))


def frequency_selectivity(shares: Tensor) -> Tensor:
    """How far each spectrum's power gathers at some radial frequencies, (N,), in nats: 0 for white noise.

    The divergence of the power in 8 rings over 0 to 0.5, and the corners beyond, from the rings' areas.
    """
    ring = (radius(shares.shape[1]) * 2 * BINS).long().clamp(max=BINS)
    area = torch.bincount(ring.flatten(), minlength=BINS + 1).double() / ring.numel()
    power = torch.stack([(shares * (ring == k)).sum((1, 2)) for k in range(BINS + 1)], 1)
    return torch.xlogy(power, power / area).sum(1)


@cache
def noise_floors(channels: int, high: int, wide: int) -> tuple[float, float]:
    """The selectivities for orientation and frequency that 95 % of filters of white noise of this shape stay below."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(DRAWS, channels, high, wide, generator=generator)
    shares = torch.cat([power(part) for part in torch.split(noise, max(1, DRAWS // channels))])  # for the memory
    orientation, frequency = (
        float(measure(shares).quantile(LEVEL)) for measure in (orientation_selectivity, frequency_selectivity)
    )
    return orientation, frequency


def spread(means: Tensor) -> float:
    """Entropy of the histogram of mean frequencies, 0 (all in one bin) to 1 (all bins alike); NaN are left out."""
    counts = torch.histc(means[means.isfinite()].clamp(0, 0.5), BINS, 0, 0.5)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * shares.log()).sum() / math.log(BINS)) + 0.0


def grid(pictures: Tensor, stride: tuple[int, int]) -> float | None:
    """How strongly pictures repeat with the period of a stride: about 1 where no grid shows, more where one does.

    The mean power at the multiples of 1/stride (zero apart), over the medians of the samples beside each in its row and
    its column, of which the larger counts: a ridge along an axis, as natural pictures have, is no peak. The largest of
    these. Pictures fade towards their borders first (Hann), as their edges would add to every frequency. None for a
    stride of 1, and for pictures of zeros.
    """
    if max(stride) == 1 or not bool(pictures.any()):
        return None
    window = torch.outer(*(torch.hann_window(n, periodic=False, dtype=torch.float64) for n in pictures.shape[2:]))
    step = math.lcm(*stride)
    size = step * -(-max(SIZE, *pictures.shape[2:]) // step)  # so that the multiples fall on samples
    mean = power(pictures.double() * window, size).mean(0)
    scores = []
    for row in range(0, size, size // stride[0]):
        for column in range(0, size, size // stride[1]):
            if row or column:
                lines = (mean[:, column].roll(-row), mean[row].roll(-column))
                beside = max(
                    float(line[_beside(size, s, n)].median())
                    for line, s, n in zip(lines, stride, pictures.shape[2:], strict=True)
                )
                scores.append(float(mean[row, column]) / beside if beside > 0 else math.inf)
    return max(scores)


def _beside(size: int, stride: int, length: int) -> list[int]:
    """Distances on both sides of a peak, in samples: beyond its own width, 2/length, and closer than to the next."""
    half = size // (2 * max(stride, 2))
    own = min(-(-2 * size // length), half // 2)
    return [sign * distance for distance in range(max(1, own), half + 1) for sign in (1, -1)]
