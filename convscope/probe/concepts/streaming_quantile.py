"""The value that a given share of a long stream exceeds, for many streams at once, in memory that does not grow.

    tail = Tail(channels=256, total=1_000_000, share=0.005)
    for values in stream:               # (256, n)
        tail.add(values)
    tail.threshold(), tail.error()

Only the upper tail is kept. While it fits, the result is exact; beyond that every s-th of each batch's sorted values is
kept, from a random one on, which estimates any count above a value without bias and to within s a batch. Knows nothing
of networks.
"""

import math

import torch
from torch import Tensor

from convscope.errors import ArgumentError

CAPACITY = 8192  # values kept of each stream
UNLIKELY = 1e-6  # how often the stated error may be exceeded


class Tail:
    """The upper tail of `channels` streams of about `total` values each (more must not come, fewer may).

    share: of the values that are to lie above the threshold, in (0, 1). stride: every how many-th value is kept; 1: the
    threshold is exact. seen: values met so far, in each stream. Raises ArgumentError for a share outside (0, 1).
    """

    def __init__(self, channels: int, total: int, share: float, capacity: int = CAPACITY, seed: int = 0) -> None:
        if not 0 < share < 1:
            raise ArgumentError("quantile", share, "expected a share above 0, below 1")
        self.share, self.seen, self.batches = share, 0, 0
        wanted = self._above(total) + 1
        self.stride = math.ceil(wanted / capacity)
        self._kept = torch.full((channels, math.ceil(wanted / self.stride) + 1), -math.inf)
        self._random = torch.Generator().manual_seed(seed)

    def _above(self, total: int) -> int:
        """How many of `total` values are to lie above."""
        return math.floor(self.share * total + 1e-6)  # 0.29 * 100 is a little less than 29

    def add(self, values: Tensor) -> None:
        """The next values of every stream, (channels, n) float32."""
        self.seen += values.shape[1]
        self.batches += 1
        reach = min(values.shape[1], self._kept.shape[1] * self.stride)  # nothing deeper can still matter
        best = values.topk(reach, 1).values.cpu()
        if self.stride > 1:
            best = best[:, int(torch.randint(self.stride, (), generator=self._random)) :: self.stride]
        self._kept = torch.cat([self._kept, best], 1).topk(self._kept.shape[1], 1).values

    def threshold(self) -> Tensor:
        """(channels,) float32: of each stream the value that at most `share` of its values lie strictly above.

        Raises ArgumentError where that is none of the values.
        """
        wanted = self._above(self.seen)
        if wanted < 1:
            most = f"of {self.seen} values none lies in so small a share: expected at least {1 / max(self.seen, 2):.2g}"
            raise ArgumentError("quantile", self.share, most)
        return self._kept[:, min(round(wanted / self.stride), self._kept.shape[1] - 1)]

    def error(self) -> float:
        """How far the share above the threshold may be from `share`, ties apart, in shares; 0: exact.

        Exceeded once in a million streams: each batch's count above a value errs by less than `stride`, independently
        and zero on average, and so do two of them on either side of the threshold (Hoeffding's inequality).
        """
        if self.stride == 1 or not self.seen:
            return 0.0
        spread = math.sqrt(self.batches * math.log(4 / UNLIKELY) / 2)
        return self.stride * (spread + 1) / self.seen
