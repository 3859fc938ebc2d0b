"""From a picture to a network's input and back: the one place where T1 (resize, centre) and T2 (ten crops) are stated.

The rule for any input side: the shortest side is resized to round(side * 8/7) (224 -> 256, 128 -> 146, 64 -> 73),
bilinear with antialias, the centre square of that is cut, and of the square the centre of `side` pixels, or ten crops.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.errors import ArgumentError
from convscope.pictures import Source, load_picture

PerChannel: TypeAlias = "Sequence[float] | float | NDArray[np.float32] | Tensor"

UNIT = 2  # a mean or std above this is none of pictures in [0, 1]
ELONGATED = 10  # from here on the centre square drops more than 90 % of the picture


def margin(side: int) -> int:
    """What the shortest side is resized to before `side` pixels are cropped: 256 for 224, and in that proportion."""
    return round(side * 8 / 7)


def cover(image: Image.Image, height: int, width: int) -> Image.Image:
    """The centre (height, width) of the picture scaled, aspect kept, until it just covers that box (T1, steps 2, 3)."""
    wide, high, left, top = _covering(image.width, image.height, width, height)
    if wide * high >= ELONGATED * width * height:
        warnings.warn(
            f"a picture of {image.width} x {image.height}: its centre crop drops more than 90 %", stacklevel=2
        )
        # Only the part that stays is computed: 100,000 x 1 pixels would grow to 25,600,000 x 256.
        across, down = image.width / wide, image.height / high
        box = (left * across, top * down, (left + width) * across, (top + height) * down)
        return image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    if (wide, high) != image.size:
        image = image.resize((wide, high), Image.Resampling.BILINEAR)  # Pillow's is antialiased
    return image.crop((left, top, left + width, top + height))


def _covering(own_width: int, own_height: int, width: int, height: int) -> tuple[int, int, int, int]:
    """The size (width, height) that a picture of its own size is scaled to so as to cover a box, and where in that the
    box begins (left, top).
    """
    scale = max(width / own_width, height / own_height)
    wide, high = max(width, round(own_width * scale)), max(height, round(own_height * scale))
    return wide, high, (wide - width) // 2, (high - height) // 2


def lattice(side: int, step: int) -> NDArray[np.int64]:
    """Every `step`-th of `side` pixels, from the middle of the first `step`; the last of a side that is shorter."""
    return np.arange(min(step // 2, side - 1), side, step)


@dataclass(frozen=True, eq=False)
class Preprocess:
    """A network's input transform (T1, T2).

    `input_size` is (C, H, W), C 3 or 1 (grey). `mean` and `std` are per channel, or (C, H, W) of the input size or of
    the resized square (the paper's mean image, cropped with the picture), in units of a picture scaled to [0, 1].
    `resize` is the shortest side before cropping (default: 8/7 of the input's), or (height, width).
    """

    input_size: tuple[int, int, int]
    mean: PerChannel = 0.0
    std: PerChannel = 1.0
    resize: int | tuple[int, int] | None = None
    resized: tuple[int, int] = field(init=False)
    mean_table: Tensor = field(init=False, repr=False)
    std_table: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        channels, height, width = self.input_size
        if channels not in (1, 3) or height < 1 or width < 1:
            raise ArgumentError("input_size", self.input_size, "expected (C, H, W) with C 1 or 3, H and W at least 1")
        object.__setattr__(self, "resized", self._resized())
        object.__setattr__(self, "mean_table", self._table("mean", self.mean))
        object.__setattr__(self, "std_table", self._table("std", self.std))
        if not (self.std_table > 0).all():
            raise ArgumentError("std", self.std, "expected values above 0")
        for name, given, table in (("mean", self.mean, self.mean_table), ("std", self.std, self.std_table)):
            if float(table.max()) > UNIT:
                shown = given if table.shape[-1] == 1 else f"of up to {float(table.max()):g}"
                raise ArgumentError(name, shown, f"expected the scale of 0 to 1; {self._divided()}")

    def _divided(self) -> str:
        """How to write a mean and std of the scale of 0 to 255, a mean that is below 1 already excepted."""
        mean, std = self.mean_table, self.std_table
        if mean.shape[-1] != 1 or std.shape[-1] != 1:
            return "if it is that of 0 to 255, divide by 255"
        scaled = {"mean": mean / 255 if float(mean.max()) > UNIT else mean, "std": std / 255}
        values = (
            f"{name}=({', '.join(f'{x:.4g}' for x in table.flatten().tolist())})" for name, table in scaled.items()
        )
        return f"if it is that of 0 to 255, write {', '.join(values)}"

    def _resized(self) -> tuple[int, int]:
        _, height, width = self.input_size
        if self.resize is None:
            return margin(height), margin(width)
        if isinstance(self.resize, int):
            short = min(height, width)
            size = round(self.resize * height / short), round(self.resize * width / short)
        else:
            size = self.resize
        if size[0] < height or size[1] < width:
            raise ArgumentError("resize", self.resize, f"expected at least the input size, {height} x {width}")
        return size

    def _table(self, name: str, given: PerChannel) -> Tensor:
        """`given` as float32 (C, 1, 1), or (C, h, w) of the input size or of the resized square."""
        channels, height, width = self.input_size
        value = torch.as_tensor(given, dtype=torch.float32).detach().cpu()
        if value.ndim == 0:
            value = value.expand(channels)
        if value.ndim == 1:
            value = value[:, None, None]
        allowed = [(channels, 1, 1), (channels, height, width), (channels, *self.resized)]
        if tuple(value.shape) not in allowed:
            raise ArgumentError(name, f"of shape {tuple(value.shape)}", f"expected one of {allowed}")
        if not value.isfinite().all():
            raise ArgumentError(name, given, "expected finite values")
        return value.clone()

    def square(self, image: Source, channels: int = 3) -> NDArray[np.uint8]:
        """The resized, centred picture before cropping: (R, R, channels) uint8, R = 256 for an input of 224."""
        return _grey(np.array(cover(load_picture(image), *self.resized)), channels)

    def __call__(self, image: Source) -> Tensor:
        """The centre crop in network space, (C, H, W) float32, laid out channels-last."""
        pixels = self.square(image, self.input_size[0])
        # In numpy: torch would start a team of threads in every decoding thread.
        value = _centre(pixels, *self.input_size[1:]).astype(np.float32)
        value /= np.float32(255)
        value -= self.cropped(self.mean_table).permute(1, 2, 0).numpy()
        value /= self.cropped(self.std_table).permute(1, 2, 0).numpy()
        return torch.from_numpy(value).permute(2, 0, 1)

    def located(self, box: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Where a box (top, left, bottom, right) of a picture of `size` (width, height) lies in the centre crop."""
        wide, high, left, top = _covering(*size, self.resized[1], self.resized[0])
        top, left = (
            top + (self.resized[0] - self.input_size[1]) // 2,
            left + (self.resized[1] - self.input_size[2]) // 2,
        )
        down, across = high / size[1], wide / size[0]
        return box[0] * down - top, box[1] * across - left, box[2] * down - top, box[3] * across - left

    def sampled(self, field: NDArray[Any], step: int) -> NDArray[Any]:
        """A field over the whole picture, (h, w) of its shape at any scale, at every `step`-th pixel of the centre crop
        (see `lattice`), by the nearest of its values.
        """
        wide, high, _, _ = _covering(field.shape[1], field.shape[0], self.resized[1], self.resized[0])
        picks = []
        for axis, scaled in enumerate((high, wide)):
            own, box, side = field.shape[axis], self.resized[axis], self.input_size[1 + axis]
            before = (scaled - box) // 2 + (box - side) // 2
            picks.append(((lattice(side, step) + 0.5 + before) * own / scaled).astype(np.int64).clip(0, own - 1))
        return field[np.ix_(*picks)]

    def cropped(self, table: Tensor) -> Tensor:
        """A mean or std table at the centre crop: (C, H, W), or (C, 1, 1) as it is."""
        return table if table.shape[-1] == 1 else _centre_last(table, *self.input_size[1:])

    def normalise(self, pixels: Tensor | NDArray[np.uint8]) -> Tensor:
        """Pixels (N, h, w, 3) or (N, h, w, C) uint8 in network space: (N, C, h, w) float32, laid out channels-last.

        A mean or std table (C, H, W) asks for h, w of the input or of the resized square.
        """
        if not isinstance(pixels, Tensor):
            pixels = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
        channels, height, width = self.input_size
        if pixels.ndim != 4 or pixels.dtype != torch.uint8 or pixels.shape[3] not in (3, channels):
            raise ArgumentError("pixels", f"{pixels.dtype} {tuple(pixels.shape)}", "expected uint8 (N, h, w, 3)")
        if channels == 1 and pixels.shape[3] == 3:
            pixels = torch.from_numpy(_grey(pixels.cpu().numpy(), 1)).to(pixels.device)
        value = pixels.permute(0, 3, 1, 2).float().div_(255)
        size = tuple(value.shape[2:])
        for table, operate in ((self.mean_table, value.sub_), (self.std_table, value.div_)):
            if table.shape[-1] != 1 and tuple(table.shape[1:]) != size:
                if size != (height, width):
                    raise ArgumentError("pixels", size, f"the mean image is of size {tuple(table.shape[1:])}")
                table = _centre_last(table, height, width)
            operate(table.to(value.device))
        return value

    def offsets(self) -> list[tuple[int, int]]:
        """Top left corners (row, column) of T2's five crops in the resized square: the corners, then the centre."""
        _, height, width = self.input_size
        down, across = self.resized[0] - height, self.resized[1] - width
        return [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)]

    def ten_crops(self, image: Source) -> Tensor:
        """The five crops, then the five mirrored left to right, in network space: (10, C, H, W) float32 (T2).

        A mean image of the resized square is cropped with the picture; mirrored after subtraction.
        """
        _, height, width = self.input_size
        square = torch.from_numpy(self.square(image))
        if tuple(self.mean_table.shape[1:]) == self.resized or tuple(self.std_table.shape[1:]) == self.resized:
            whole = self.normalise(square[None])[0]
            crops = torch.stack([whole[:, r : r + height, c : c + width] for r, c in self.offsets()])
        else:
            crops = self.normalise(torch.stack([square[r : r + height, c : c + width] for r, c in self.offsets()]))
        return torch.cat([crops, crops.flip(3)])

    def picture(self, x: Tensor) -> NDArray[np.uint8]:
        """Network space (C, H, W) back to pixels (H, W, 3) uint8; values outside are clipped. H and W are those of the
        centre crop, or any where mean and std are per channel.
        """
        std, mean = self.cropped(self.std_table), self.cropped(self.mean_table)
        fixed = any(table.shape[-1] != 1 and table.shape[1:] != x.shape[1:] for table in (std, mean))
        if x.ndim != 3 or len(x) != self.input_size[0] or fixed:
            raise ArgumentError("x", tuple(x.shape), f"expected {tuple(self.input_size)}")
        value = x.detach().to("cpu", torch.float32) * std + mean
        shown = value.clamp(0, 1).mul(255).round().to(torch.uint8)
        return np.ascontiguousarray(shown.expand(3, -1, -1).permute(1, 2, 0).numpy())


def _grey(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """(..., 3) as (..., 1) for networks of one channel, with the weights of ITU-R 601 that Pillow's "L" uses."""
    if channels == 3:
        return pixels
    red, green, blue = (pixels[..., k].astype(np.uint32) for k in range(3))
    grey = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return grey.astype(np.uint8)[..., None]


def _centre(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _centre_last(table: Tensor, height: int, width: int) -> Tensor:
    top, left = (table.shape[-2] - height) // 2, (table.shape[-1] - width) // 2
    return table[..., top : top + height, left : left + width]
