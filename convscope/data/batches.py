"""Pictures on their way into a network: decoded by a few threads ahead of the consumer, a batch at a time."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from convscope.data.picture_set import Pictures
from convscope.errors import ArgumentError, DataError, PictureError


@dataclass(frozen=True)
class Batch:
    """Pictures on their way into a network.

    `indices` (n,) int64, places in the source; `inputs` (n, C, H, W), laid out channels-last; `checksums` (n,) int64
    of the pictures, as `Pictures.checksum` has them.
    """

    indices: Tensor
    inputs: Tensor
    checksums: Tensor


Decoded = tuple[int, Tensor, int]  # place, input, checksum


def batches(
    pictures: Pictures,
    transform: Callable[[Image.Image], Tensor],
    batch_size: int = 64,
    indices: Iterable[int] | None = None,
) -> Iterator[Batch]:
    """Batches in the order of `indices` (default: all), decoded by a few threads ahead of the consumer.

    Besides the batch being used about one more is in memory. Pictures that cannot be read are left out and recorded
    in `pictures.skipped`, so that a batch holds the next `batch_size` good ones. Float tensors pass unchanged.
    Raises PictureError at the first broken picture where `pictures.skip_bad` is False, DataError for items of
    different sizes or with values that are not finite.
    """
    if batch_size < 1:
        raise ArgumentError("batch_size", batch_size, "expected at least 1")
    ready: list[Decoded] = []
    for index, value, checksum in _decoded(pictures, transform, indices, batch_size):
        if isinstance(value, PictureError):
            pictures.skipped[index] = str(value)
            if not pictures.skip_bad:
                raise PictureError(f"{pictures.paths[index]}: {value}")
            continue
        if ready and value.shape != ready[0][1].shape:
            sizes = f"{tuple(value.shape)}, {pictures.paths[ready[0][0]]} of {tuple(ready[0][1].shape)}"
            raise DataError(f"{pictures.paths[index]} is of shape {sizes}: expected one size")
        ready.append((index, value, checksum))
        if len(ready) == batch_size:
            yield _batch(ready)
            ready = []
    if ready:
        yield _batch(ready)


def _decoded(
    pictures: Pictures,
    transform: Callable[[Image.Image], Tensor],
    indices: Iterable[int] | None,
    ahead: int,
) -> Iterator[tuple[int, Tensor | PictureError, int]]:
    """Every picture in order, or why not; about `ahead` of them are decoded while the consumer is busy."""

    reading = threading.Lock()

    def load(index: int) -> tuple[Tensor | PictureError, int]:
        try:
            item = pictures.item(index, reading)
            checksum = pictures.checksum(index, item)
            return item if isinstance(item, Tensor) else transform(item), checksum
        except PictureError as error:
            return error, 0

    order = iter(range(len(pictures)) if indices is None else indices)
    workers = min(4, os.cpu_count() or 1)
    waiting: deque[tuple[int, Future[tuple[Tensor | PictureError, int]]]] = deque()
    with ThreadPoolExecutor(workers, "decode") as pool:
        try:
            while True:
                while len(waiting) < ahead + 2 * workers and (place := next(order, None)) is not None:
                    waiting.append((int(place), pool.submit(load, int(place))))
                if not waiting:
                    return
                index, future = waiting.popleft()
                yield index, *future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _batch(ready: list[Decoded]) -> Batch:
    indices, inputs, checksums = zip(*ready, strict=True)
    rows = torch.stack([value.permute(1, 2, 0) for value in inputs])  # (n, H, W, C)
    return Batch(torch.tensor(indices), rows.permute(0, 3, 1, 2), torch.tensor(checksums))
