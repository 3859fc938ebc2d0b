"""Pictures for training: decoded once into squares of bytes, cropped, flipped and normalised batch by batch.

Which crop a picture gets depends on (seed, epoch, its index) only, and the order on (seed, epoch) only: not on batch
size, workers, processes or what was interrupted. So a sampler's key carries the epoch: `epoch * len + index`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from convscope.data.picture_set import Pictures
from convscope.data.preprocess import Preprocess
from convscope.disk.scratch_dirs import scratch
from convscope.errors import PictureError
from convscope.progress import progress

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

CHUNK = 512  # pictures decoded ahead of the one that is written


def decode(pictures: Pictures, transform: Preprocess, cache: Path | None = None) -> tuple[Bytes, list[int]]:
    """All pictures as squares (METHODS T1 1-3), (n, R, R, C) uint8, and the indices of those that could be read.

    With `cache`, a folder, the squares are kept in a file and mapped, so that they need not fit into memory and a
    later run need not decode. The file is known by the source's name and its list of files, not by their content.
    """
    shape = (len(pictures), *transform.resized, transform.input_size[0])
    if cache is None:
        squares = np.empty(shape, np.uint8)
        kept = _fill(squares, pictures, transform)
        return squares[: len(kept)], kept
    grey = " grey" if shape[3] == 1 else ""
    key = hashlib.sha256(f"{pictures.name} {pictures.fingerprint()} {transform.resized}{grey}".encode())
    path = cache / f"squares-{key.hexdigest()[:16]}.npy"
    places = path.with_suffix(".kept.npy")
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with scratch(cache, ".decoding-") as folder:
            squares = np.lib.format.open_memmap(folder / path.name, "w+", np.uint8, shape)
            np.save(folder / places.name, _fill(squares, pictures, transform))
            del squares  # flushed before it moves
            for file in (places, path):  # in one move each: a killed run leaves no half file under the final name
                (folder / file.name).replace(file)
    kept = np.load(places).tolist()
    pictures.skipped |= dict.fromkeys(set(range(len(pictures))) - set(kept), "unreadable when it was cached")
    return np.load(path, mmap_mode="r")[: len(kept)], kept


def _fill(squares: Bytes, pictures: Pictures, transform: Preprocess) -> list[int]:
    """Write the squares of the readable pictures one after another; returns the pictures' indices."""
    kept: list[int] = []

    def square(index: int) -> Bytes | None:
        try:
            return transform.square(pictures.picture(index), squares.shape[3])
        except PictureError:  # recorded in pictures.skipped
            return None

    with progress(len(pictures), f"decoding {pictures.name}") as advance, ThreadPoolExecutor(4) as pool:
        for start in range(0, len(pictures), CHUNK):
            indices = range(start, min(start + CHUNK, len(pictures)))
            for index, pixels in zip(indices, pool.map(square, indices), strict=True):
                advance(1)
                if pixels is not None:
                    squares[len(kept)] = pixels
                    kept.append(index)
    if not kept:
        raise pictures.unreadable()
    return kept


def mean_picture(squares: Bytes) -> npt.NDArray[np.float64]:
    """Per-pixel mean of the squares, (R, R, C), in units of pictures in [0, 1], summed in float64 (METHODS T1)."""
    total = np.zeros(squares.shape[1:], np.float64)
    for start in range(0, len(squares), 256):
        total += squares[start : start + 256].sum(0, dtype=np.float64)
    return total / (255 * len(squares))


class Squares(Dataset[tuple[Tensor, int]]):
    """Squares and labels as batches in network space: `__getitems__(keys)` gives (n, C, h, w) and (n,) labels.

    `crops` as in `Recipe`; `mean` and `std` broadcast against (R, R, C), so that a mean picture is cropped along.
    """

    def __init__(
        self,
        squares: Bytes,
        labels: Sequence[int],
        size: tuple[int, int],
        mean: npt.NDArray[np.floating],
        std: npt.NDArray[np.floating],
        *,
        crops: str = "centre",
        area: float = 0.35,
        jitter: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.squares, self.size, self.seed = squares, size, seed
        self.crops, self.area, self.jitter = crops, area, jitter
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self.mean = (mean * 255).astype(np.float32)
        self.scale = (1 / (255 * std)).astype(np.float32)
        self.unit = 58 * float(self.scale.mean())  # a standard deviation of natural pictures, in network space
        self._epoch, self._dice = -1, np.empty((0, 0))

    def __len__(self) -> int:
        return len(self.squares)

    def __getitem__(self, key: int) -> tuple[Tensor, int]:
        """One picture and its label, as of the epoch in the key."""
        inputs, labels = self.__getitems__([key])
        return inputs[0], int(labels[0])

    def __getitems__(self, keys: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The batch of these keys, `epoch * len(self) + index` each."""
        epoch = keys[0] // len(self)
        indices = [key % len(self) for key in keys]
        dice = self._throw(epoch)[indices]
        cut = self._scaled if self.crops == "scale" else self._cut
        pixels = cut(indices, dice)
        if self.jitter:
            pixels = _jittered(pixels, dice[:, 5:10], self.jitter, self.unit)
        # (n, h, w, C) seen as (n, C, h, w) is channels-last without a copy
        return pixels.permute(0, 3, 1, 2), self.labels[indices]

    def centres(self, indices: Sequence[int]) -> Tensor:
        """Centre crops of these pictures as they are, (n, C, h, w)."""
        plain = Squares(self.squares, self.labels.tolist(), self.size, self.mean / 255, 1 / (255 * self.scale))
        return plain.__getitems__(indices)[0]

    def _throw(self, epoch: int) -> npt.NDArray[np.float64]:
        if epoch != self._epoch:
            generator = np.random.default_rng((self.seed, epoch, 1))
            self._epoch, self._dice = epoch, generator.random((len(self), 10))
        return self._dice

    def _normalised(self, pixels: Bytes, top: int, left: int) -> Floats:
        rows, columns = pixels.shape[:2]
        window = (slice(top, top + rows), slice(left, left + columns))
        mean = self.mean[window] if self.mean.ndim == 3 else self.mean
        scale = self.scale[window] if self.scale.ndim == 3 else self.scale
        result: Floats = (pixels - mean) * scale
        return result

    def _cut(self, indices: Sequence[int], dice: npt.NDArray[np.float64]) -> Tensor:
        (rows, columns), (h, w) = self.squares.shape[1:3], self.size
        batch = np.empty((len(indices), h, w, self.squares.shape[3]), np.float32)
        for place, (index, chance) in enumerate(zip(indices, dice, strict=True)):
            top, left = self._offset(rows - h, columns - w, chance)
            crop = self._normalised(self.squares[index, top : top + h, left : left + w], top, left)
            mirrored = self.crops not in ("centre", "whole") and chance[2] < 0.5
            batch[place] = crop[:, ::-1] if mirrored else crop
        return torch.from_numpy(batch)

    def _offset(self, down: int, right: int, chance: npt.NDArray[np.float64]) -> tuple[int, int]:
        if self.crops == "random":
            return int(chance[0] * (down + 1)), int(chance[1] * (right + 1))
        corners = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]  # METHODS T2
        return corners[int(chance[0] * 5)] if self.crops == "ten" else corners[4]

    def _scaled(self, indices: Sequence[int], dice: npt.NDArray[np.float64]) -> Tensor:
        """Windows of `area` to 1 of the square's area, sides up to 4:3, brought to size by bilinear sampling."""
        whole = np.stack([self._normalised(self.squares[index], 0, 0) for index in indices])
        area, aspect = self.area + (1 - self.area) * dice[:, 2], (4 / 3) ** (2 * dice[:, 3] - 1)
        height = np.minimum(np.sqrt(area / aspect), 1)  # as shares of the square, as is the centre
        width = np.minimum(np.sqrt(area * aspect), 1)
        # The sampling grid runs from -1 to 1: a window of share s may be centred within 1 - s of the middle.
        down, right = (1 - height) * (2 * dice[:, 0] - 1), (1 - width) * (2 * dice[:, 1] - 1)
        mirrored = np.where(dice[:, 4] < 0.5, -1, 1)
        zero = np.zeros_like(height)
        affine = np.stack([np.stack([width * mirrored, zero, right], 1), np.stack([zero, height, down], 1)], 1)
        shape = [len(indices), whole.shape[3], *self.size]
        grid = F.affine_grid(torch.from_numpy(affine.astype(np.float32)), shape, align_corners=False)
        inputs = torch.from_numpy(whole).permute(0, 3, 1, 2)
        sampled = F.grid_sample(inputs, grid, padding_mode="border", align_corners=False)
        return sampled.permute(0, 2, 3, 1).contiguous()


def _jittered(pixels: Tensor, dice: npt.NDArray[np.float64], jitter: float, unit: float) -> Tensor:
    """Contrast by a factor, channels by gains, brightness by a shift of up to `jitter` units."""
    throws = torch.from_numpy((2 * dice - 1).astype(np.float32)) * jitter  # (n, 5) in ±jitter
    gain = (1 + throws[:, :1]) * (1 + throws[:, 1:4])  # (n, 3)
    gain = gain if pixels.shape[3] == 3 else gain[:, :1]
    shift = throws[:, 4].view(-1, 1, 1, 1) * unit
    return pixels * gain.view(len(pixels), 1, 1, -1) + shift


class Presentations(Sampler[int]):
    """Keys of one epoch in an order that follows from (seed, epoch); in a group of processes, every `world`-th one.

    Lightning calls `set_epoch`. With `shuffle=False` the order is that of the indices, and no picture comes twice.
    """

    def __init__(self, length: int, *, seed: int = 0, shuffle: bool = True, rank: int = 0, world: int = 1) -> None:
        self.length, self.seed, self.shuffle, self.rank, self.world = length, seed, shuffle, rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch (from 0) that the next iteration is for."""
        self.epoch = epoch if self.shuffle else 0

    def _places(self) -> npt.NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(self.rank, self.length, self.world)
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        # Processes must take equally many steps, so the first ones come again where the length does not divide.
        return np.resize(order, -(-self.length // self.world) * self.world)[self.rank :: self.world]

    def __iter__(self) -> Iterator[int]:
        """Keys of this process's share of the epoch."""
        return iter((self.epoch * self.length + self._places()).tolist())

    def __len__(self) -> int:
        return len(self._places()) if not self.shuffle else -(-self.length // self.world)
