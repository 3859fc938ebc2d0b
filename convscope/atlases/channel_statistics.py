"""What a scan remembers of each feature map, and how two memories become one.

Leaders are the strongest pictures, Statistics everything else; a Tally is both, of one layer. Tallies of different
pictures merge. Leaders, histograms and counts are exact, so any order of merging gives the same; the mean and the
co-moments are floating point, so who wants equal bytes merges along a fixed tree (`Spans` in build.py).
Knows tables of scores and positions, one row a picture, and nothing of networks or files.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

BINS = 64
GRID = 32  # cells a side, at most, of the grid of peak positions
MOST_CHANNELS = 4096  # above this a layer's co-moments (256 MB more for 8,192 channels) are not kept
SIMILAR = 8  # similar maps named per channel

EMPTY = torch.iinfo(torch.int64).min  # the key of a place no picture has taken; below the key of -inf
LAST_IMAGE = 0xFFFFFFFF


def keys(values: Tensor, images: Tensor) -> Tensor:
    """One int64 per (value, image), ordered by value and, where values are equal, by lower image first.

    `values` float32 and `images` int64 below 2**32 broadcast. The total order is what makes merging leaders
    associative and commutative, ties included.
    """
    bits = (values.float() + 0.0).view(torch.int32).long()  # + 0.0: minus zero equals zero
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # IEEE 754 order as integer order
    return (ordered << 32) | (LAST_IMAGE - images)


def unkey(key: Tensor) -> tuple[Tensor, Tensor]:
    """Values float32 and images int64 of keys; (-inf, -1) for EMPTY."""
    ordered = key >> 32
    bits = ordered ^ ((ordered >> 31) & 0x7FFFFFFF)
    values = bits.to(torch.int32).view(torch.float32)
    images = LAST_IMAGE - (key & LAST_IMAGE)
    empty = key == EMPTY
    return values.masked_fill(empty, -torch.inf), images.masked_fill(empty, -1)


@dataclass(frozen=True)
class Leaders:
    """The strongest pictures of each channel, strongest first: `keys` (C, top) int64, `places` (C, top) int32.

    A place is a position in the map, row * width + column.
    """

    keys: Tensor
    places: Tensor

    @classmethod
    def of(cls, values: Tensor, places: Tensor, images: Tensor, top: int) -> "Leaders":
        """Of a table: `values` and `places` (n, C), `images` (n,), all pictures different."""
        table = keys(values, images[:, None])
        best, rows = table.topk(min(top, len(table)), dim=0)
        missing = (0, top - len(best))  # fewer pictures than places
        pad = torch.nn.functional.pad
        return cls(
            pad(best.T, missing, value=EMPTY).contiguous(),
            pad(places.gather(0, rows).to(torch.int32).T, missing, value=-1).contiguous(),
        )

    def merge(self, other: "Leaders") -> "Leaders":
        """The leaders of both sets of pictures, which have none in common."""
        both = torch.cat([self.keys, other.keys], 1)
        best, columns = both.topk(self.keys.shape[1], dim=1)
        return Leaders(best, torch.cat([self.places, other.places], 1).gather(1, columns))


@dataclass(frozen=True)
class Statistics:
    """How C channels behave over a set of pictures, from one score and one position a picture.

    pictures: (1,) int64. mean: (C,) float64. comoment: (C, C) float32, sums of products of deviations from the mean
    (the covariance times `pictures`), or (0, 0) above MOST_CHANNELS. low, high: (C,) float32, the extremes.
    histogram: (C, 64) int32; bin j of channel c holds scores in [(origin + j), (origin + j + 1)) * 2**exponent, the
    finest power of two with which 64 bins span low to high: such bins nest, so merging loses nothing.
    fires: (C,) int64, pictures with a score above 0. peaks: (C, rows, columns) int32, where the map is largest in
    those pictures, on a grid of at most 32 cells a side.
    """

    pictures: Tensor
    mean: Tensor
    comoment: Tensor
    low: Tensor
    high: Tensor
    histogram: Tensor
    fires: Tensor
    peaks: Tensor

    @classmethod
    def of(cls, values: Tensor, places: Tensor, size: tuple[int, int]) -> "Statistics":
        """Of a table `values` and `places` (n, C) from maps of `size`, n at least 1."""
        n, channels = values.shape
        mean = values.double().mean(0)
        off = (values.double() - mean).float() if channels <= MOST_CHANNELS else values.new_empty(n, 0)
        low, high = values.amin(0), values.amax(0)
        exponent, origin = binning(low, high)
        bins = _floor(values, exponent) - origin
        fired = values > 0
        return cls(
            torch.tensor([n]),
            mean,
            off.T @ off,
            low,
            high,
            _count(bins, torch.ones_like(bins), BINS),
            fired.sum(0),
            _peaks(places, fired, size),
        )

    def merge(self, other: "Statistics") -> "Statistics":
        """Of both sets of pictures, which have none in common (Chan, Golub & LeVeque's pairwise update)."""
        pictures = self.pictures + other.pictures
        delta = other.mean - self.mean
        share = other.pictures.double() / pictures
        off = delta[: len(self.comoment)] * (self.pictures * share).sqrt()
        low, high = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        return Statistics(
            pictures,
            self.mean + delta * share,
            self.comoment + other.comoment + torch.outer(off, off).float(),
            low,
            high,
            self._rebinned(low, high) + other._rebinned(low, high),
            self.fires + other.fires,
            self.peaks + other.peaks,
        )

    def _rebinned(self, low: Tensor, high: Tensor) -> Tensor:
        """The histogram in the bins of a wider range."""
        (fine, start), (coarse, origin) = binning(self.low, self.high), binning(low, high)
        bins = (start[:, None] + torch.arange(BINS)) >> (coarse - fine).clamp(max=62)[:, None]
        bins = (bins - origin[:, None]).clamp(0, BINS - 1)  # only empty bins lie outside
        return torch.zeros_like(self.histogram).scatter_add_(1, bins, self.histogram)

    def edges(self) -> tuple[Tensor, Tensor]:
        """Lower edge of the first and upper edge of the last bin of each channel's histogram, (C,) float64 each."""
        exponent, origin = binning(self.low, self.high)
        return origin * _power(exponent), (origin + BINS) * _power(exponent)

    def similar(self, channel_count: int = SIMILAR) -> tuple[Tensor, Tensor]:
        """The channels whose scores correlate most with each channel's: (C, k) int64, and Pearson's r, (C, k).

        Best first, ties by lower channel; r is 0 with a channel whose score never changes.
        """
        if not len(self.comoment):
            return torch.empty(len(self.mean), 0, dtype=torch.int64), torch.empty(len(self.mean), 0)
        spread = self.comoment.diagonal().sqrt()
        scale = torch.where(spread > 0, 1 / spread, 0)
        r = (self.comoment * scale[:, None] * scale).clamp(-1, 1).fill_diagonal_(-torch.inf)
        best, channels = r.sort(dim=1, descending=True, stable=True)
        k = min(channel_count, len(r) - 1)
        return channels[:, :k], best[:, :k]


def binning(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The finest bins of width 2**exponent of which 64 span `low` to `high`: exponent and number of the first bin.

    Both depend on the extremes alone and only coarsen as these widen. At the finest, bins are as wide as float32
    resolves the larger extreme.
    """
    size = torch.maximum(low.abs(), high.abs()).double()
    finest = _ilogb(size).clamp(min=-100) - 23
    exponent = torch.maximum(_ilogb(high.double() - low.double()).clamp(min=-100) - 6, finest)
    for _ in range(2):
        exponent = exponent + (_floor(high, exponent) - _floor(low, exponent) >= BINS)
    return exponent, _floor(low, exponent)


def _ilogb(x: Tensor) -> Tensor:
    return torch.where(x > 0, torch.frexp(x).exponent.long() - 1, -1000)


def _power(exponent: Tensor) -> Tensor:
    """2**exponent to the last bit, which `torch.pow` does not promise."""
    return ((exponent + 1023) << 52).view(torch.float64)


def _floor(x: Tensor, exponent: Tensor) -> Tensor:
    return (x.double() * _power(-exponent)).floor().long()


def _count(cells: Tensor, weights: Tensor, size: int) -> Tensor:
    """Counts (C, size) int32 of the cells (n, C)."""
    return torch.zeros(cells.shape[1], size, dtype=torch.int32).scatter_add_(1, cells.T.long(), weights.T.int())


def grid(size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pool maps of `size` to at most 32 cells a side: positions per cell, and cells, along rows and columns."""
    rows, columns = (-(-n // GRID) for n in size)
    return (rows, columns), (-(-size[0] // rows), -(-size[1] // columns))


def _peaks(places: Tensor, fired: Tensor, size: tuple[int, int]) -> Tensor:
    (rows, columns), (height, width) = grid(size)
    cells = places // size[1] // rows * width + places % size[1] // columns
    return _count(cells, fired, height * width).view(-1, height, width)


@dataclass(frozen=True)
class Tally:
    """All that is kept of one layer."""

    leaders: Leaders
    statistics: Statistics

    def merge(self, other: "Tally") -> "Tally":
        """Of both sets of pictures, which have none in common."""
        return replace(
            self,
            leaders=self.leaders.merge(other.leaders),
            statistics=self.statistics.merge(other.statistics),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor under its name, to be written down."""
        return {
            f"{part.name}.{item.name}": getattr(getattr(self, part.name), item.name)
            for part in fields(self)
            for item in fields(getattr(self, part.name))
        }

    @classmethod
    def read(cls, tensors: dict[str, Tensor]) -> "Tally":
        """The tally that `tensors` was written from."""
        parts = {
            kind: {name.partition(".")[2]: t for name, t in tensors.items() if name.startswith(kind + ".")}
            for kind in ("leaders", "statistics")
        }
        return cls(Leaders(**parts["leaders"]), Statistics(**parts["statistics"]))
