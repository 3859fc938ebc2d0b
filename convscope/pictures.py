"""Everything between files or bytes and 8-bit arrays: reading any picture upright and in RGB, encoding, display.

Knows nothing of networks or data sets. A picture that cannot be read raises PictureError with a one-line reason.
"""

import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageChops, ImageOps, ImageStat, UnidentifiedImageError
from torch import Tensor

from convscope.errors import ArgumentError, PictureError
from convscope.printable import decodable

Source: TypeAlias = "Path | str | bytes | Image.Image | NDArray[Any]"

GALLERY = Path(__file__).parent / "assets" / "gallery"  # the bundled pictures
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})  # at byte 8
PNG_SIDE = 64  # up to here a PNG is about as small as a JPEG, and keeps every bit
JPEG_QUALITY = 92
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
GREY = 128  # of 255: a projection's zero, what lies beyond a picture's border, what covers a part of it (V5, V6, F7)
DEPTHS = (0, 8, 10, 12, 14, 16)  # how many of 16 bits cameras and scanners use
OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}  # of two bytes, as Pillow spells it
BITS, COMPRESSION, PLANES = 258, 259, 284  # tags of TIFF
STRIP = 64  # rows at a time
SAMPLE = 1024  # of a picture with alpha, as many rows and columns tell whether its colours show its shape
FAINT = 32  # of 255: a difference of colours that is hard to see


@dataclass(frozen=True)
class WidePixels:
    """Pixels of 16 bits, upright: `values` (H, W) or (H, W, 3 or 4) uint16. `bits`: how many of the 16 the file says
    that it uses, None where it does not say.
    """

    values: NDArray[np.uint16]
    bits: int | None = None

    @property
    def used_bits(self) -> int:
        """As the file says, or the fewest of DEPTHS that hold the largest value; 0 where all are 0."""
        largest = int(self.values.max())
        return self.bits or next(bits for bits in DEPTHS if largest < 2**bits)

    def picture(self, bits: int) -> Image.Image:
        """RGB of 8 bits: 0 to 2**bits - 1 becomes 0 to 255."""
        limit = 2 ** (bits or 16) - 1
        table = np.rint(np.arange(2**16).clip(max=limit) * (255 / limit)).astype(np.uint8)
        scaled = np.empty(self.values.shape, np.uint8)
        for first in range(0, len(scaled), STRIP):  # an index needs four times the memory of its pixels
            scaled[first : first + STRIP] = table[self.values[first : first + STRIP]]
        return _from_bytes(scaled)


def load_picture(source: Source, *, name: str | None = None) -> Image.Image:
    """The picture as 8-bit RGB, upright (T1, step 1).

    `source` is a file (`gallery/...` may be a bundled one), encoded bytes, a PIL image, or an array (H, W), (H, W, 1),
    (H, W, 3) or (H, W, 4) of uint8 or uint16. Grey becomes three equal channels, CMYK and palettes are converted, the
    EXIF orientation is applied; of an animation the first frame counts. Alpha is dropped, as torchvision does; a
    picture that mostly vanishes without it, as black lines on transparent black, is put on white or black, whichever
    shows it. 16 bits are scaled to 8. Where they only use 8, 10, 12 or 14 bits, that range is scaled, with a warning.
    `name` is what errors call the picture (default: its path).

    Raises PictureError for what cannot be read: no such file, no picture, truncated, a side of 0, or more pixels than
    `PIL.Image.MAX_IMAGE_PIXELS` (about 89 million, Pillow's bound against decompression bombs).
    """
    if name is None:
        name = str(source) if isinstance(source, Path | str) else "picture"
    pixels = read_pixels(source, name)
    if isinstance(pixels, Image.Image):
        return pixels
    bits = pixels.used_bits
    if bits not in (pixels.bits, 0, 16):
        warnings.warn(f"{name}: {window(bits)}", stacklevel=2)
    return pixels.picture(bits)


def read_pixels(source: Source, name: str = "") -> Image.Image | WidePixels:
    """The picture as `load_picture` gives it, but 16 bits as they are. Raises PictureError."""
    try:
        return _read(source)
    except PictureError as error:
        raise PictureError(f"{name}: {error}" if name else str(error)) from error


def window(bits: int) -> str:
    """How 16 bits of which only `bits` are used are read, as a warning says it."""
    return (
        f"16-bit pixels that only use {bits} bits: 0 to {2**bits - 1} is read as 0 to 255; "
        "convert the pictures to 8 bits for another range"
    )


def bundled(path: str | Path) -> Path:
    """The path; into the bundled gallery where it is spelled `gallery/...` and nothing of that name is here."""
    inside = Path(path)
    here = inside.parts[:1] != ("gallery",) or ".." in inside.parts or inside.exists()
    return inside if here else GALLERY.joinpath(*inside.parts[1:])


def separate(pictures: Any) -> list[Any]:
    """Pictures one by one: those of a list, an array (N, H, W, 3) or a tensor (N, C, H, W), or the single one."""
    together = isinstance(pictures, list | tuple) or getattr(pictures, "ndim", 3) == 4
    return list(pictures) if together else [pictures]


def called(picture: Any, place: int) -> str:
    """What results call a picture: its file with its folder, or its place among those given."""
    return decodable("/".join(Path(picture).parts[-2:])) if isinstance(picture, str | Path) else f"picture {place}"


def _read(source: Source) -> Image.Image | WidePixels:
    if isinstance(source, np.ndarray):
        return _from_array(source)
    try:
        if isinstance(source, Image.Image):
            image, low = source, None
            _require_size(image)
        else:
            data = _bytes_of(source)
            image = _open(data)
            _require_size(image)
            _require_no_wide_planes(image)
            low = _low_bytes(image, data)
        bits = _stated_bits(image)
        image = _upright(image)
        if low is not None:
            values = np.asarray(image).astype(np.uint16)
            values <<= 8
            values |= low
            return WidePixels(values)
        pixels = _rgb(image, bits)
        return pixels.copy() if pixels is source else pixels
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(_too_large(str(error))) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on broken files
        raise PictureError(_reason(error)) from error


def _require_size(image: Image.Image) -> None:
    if 0 in image.size:
        raise PictureError(f"a side of 0 pixels (width {image.width}, height {image.height})")
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise PictureError(_too_large(f"{image.width * image.height} pixels"))


def _require_no_wide_planes(image: Image.Image) -> None:
    """Pillow takes the uncompressed 16-bit planes of a TIFF for 8-bit ones."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(PLANES) == 2 and max(tags.get(BITS, (8,))) > 8 and tags.get(COMPRESSION, 1) == 1:
        raise PictureError("16-bit colours in separate planes, which cannot be read; save them pixel by pixel")


def _too_large(size: str) -> str:
    """`size` may be Pillow's own words, of which only the count is of use."""
    count = re.search(r"\d+ pixels", size)
    size = count[0] if count else size
    return f"{size}: too large to decode safely, at most PIL.Image.MAX_IMAGE_PIXELS = {Image.MAX_IMAGE_PIXELS}"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in any known format"
    if isinstance(error, OSError) and error.strerror:  # the path is in the name already
        return error.strerror.lower()
    return " ".join(str(error).split()) or type(error).__name__


def _bytes_of(source: Path | str | bytes) -> bytes:
    """The encoded picture."""
    if not isinstance(source, bytes | str | os.PathLike):
        raise PictureError(f"an item of type {type(source).__name__}, expected a file, a PIL image or an array")
    if isinstance(source, bytes):
        data = source
    else:
        path = bundled(source)
        if path.exists() and not path.is_file():  # a pipe would never end
            raise PictureError("a folder, expected a picture" if path.is_dir() else "not a regular file")
        data = path.read_bytes()
    if not data:
        raise PictureError("empty, 0 bytes")
    return data


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        if data[4:8] != b"ftyp" or data[8:12] not in HEIF_BRANDS:
            raise
    if not reads_heif():
        raise PictureError("a HEIC picture, which needs pillow-heif: pip install 'convscope[heic]'")
    return Image.open(io.BytesIO(data))


@cache
def reads_heif() -> bool:
    """Return whether HEIC pictures can be read; Pillow does so from the first call on, where pillow-heif is there."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _low_bytes(image: Image.Image, data: bytes) -> NDArray[np.uint8] | None:
    """The low bytes of 16-bit colours, upright, since Pillow only keeps the high ones; None for other pictures.

    A second decoding, told that the bytes stand in the other order, takes the low byte for the high one.
    """
    given = getattr(image, "tile", [])
    tiles = [tile._replace(args=_in_other_order(tile.args)) for tile in given]
    if tiles == given:
        return None
    other: Any = _open(data)
    other.tile = tiles
    return np.asarray(_upright(other))


def _in_other_order(decoding: Any) -> Any:
    """The arguments of one of Pillow's decoders with the byte order of 16-bit colours exchanged."""
    if isinstance(decoding, tuple):
        return tuple(_in_other_order(each) for each in decoding)
    colours = re.fullmatch(r"(RGB|RGBX|RGBA);16([LBN])", decoding) if isinstance(decoding, str) else None
    return f"{colours[1]};16{OTHER_ORDER[colours[2]]}" if colours else decoding


def _stated_bits(image: Image.Image) -> int | None:
    """How many of 16 bits the file says that it uses: TIFF may pack 12; formats that state the largest value are
    scaled to all 16 by Pillow. To be asked before the pixels are loaded.
    """
    tile = next(iter(getattr(image, "tile", [])), None)
    if tile is None:
        return None
    if "I;12" in tile.args:
        return 12
    return 16 if tile.codec_name in ("ppm", "ppm_plain", "jpeg2k") else None


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image  # of an upright picture it would make a copy
    except Exception:  # broken EXIF says nothing about the pixels
        return image


def _rgb(image: Image.Image, bits: int | None) -> Image.Image | WidePixels:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        values = np.asarray(image)
        _require_range(float(values.min()), float(values.max()), 65535)
        return WidePixels(values.astype(np.uint16), bits)
    if image.mode == "F":
        return _from_bytes(_float_to_uint8(image))
    if image.mode in ("RGBA", "LA", "P", "PA", "RGBa", "La") or "transparency" in image.info:
        return _without_alpha(image if image.mode == "RGBA" else image.convert("RGBA"))
    return image.convert("RGB")


def _without_alpha(image: Image.Image) -> Image.Image:
    """The colours of RGBA. Where most of what is visible has about the colour of what is transparent, the shape is
    only in the alpha, and the picture is put on white or black, whichever contrasts with more of it.
    """
    size = min(image.width, SAMPLE), min(image.height, SAMPLE)
    sample = image if size == image.size else image.resize(size, Image.Resampling.NEAREST)
    colours, visible = sample.convert("RGB"), sample.getchannel("A")
    clear = visible.point([255] + [0] * 255)
    if clear.getbbox() and visible.getbbox():
        behind = tuple(round(level) for level in ImageStat.Stat(colours, clear).median)
        if _contrasting(colours, behind, visible) < 0.5:
            ground = max((WHITE, BLACK), key=lambda ground: _contrasting(colours, ground, visible))
            return Image.alpha_composite(Image.new("RGBA", image.size, ground), image).convert("RGB")
    return image.convert("RGB")


def _contrasting(colours: Image.Image, ground: tuple[int, ...], visible: Image.Image) -> float:
    """The share of the visible pixels with a channel that differs from `ground` by at least FAINT."""
    distance = ImageChops.difference(colours, Image.new("RGB", colours.size, ground))
    largest = reduce(ImageChops.lighter, distance.split())
    apart = largest.point([255 * (level >= FAINT) for level in range(256)])
    return ImageStat.Stat(apart, visible).mean[0] / 255


def _float_to_uint8(image: Image.Image) -> NDArray[np.uint8]:
    """Floats of [0, 1] or, where one is above 1, of [0, 255]."""
    extremes = np.array([(rows.min(), rows.max()) for _, rows in _strips(image)])
    low, high = float(extremes[:, 0].min()), float(extremes[:, 1].max())
    if not (isfinite(low) and isfinite(high)):
        raise PictureError("pixels that are not finite")
    _require_range(low, high, 255)
    scaled = np.empty((image.height, image.width), np.uint8)
    for first, rows in _strips(image):
        scaled[first : first + STRIP] = np.rint(rows * (255.0 if high <= 1 else 1.0))
    return scaled


def _strips(image: Image.Image) -> Iterator[tuple[int, NDArray[Any]]]:
    """A few rows at a time, each with the place of its first: the whole image as an array takes its memory thrice."""
    for first in range(0, image.height, STRIP):
        yield first, np.asarray(image.crop((0, first, image.width, min(first + STRIP, image.height))))


def _require_range(low: float, high: float, limit: int) -> None:
    if low < 0 or high > limit:
        raise PictureError(f"pixels from {low:g} to {high:g}, expected 0 to {limit:g}")


def _from_array(array: NDArray[Any]) -> Image.Image | WidePixels:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.dtype not in (np.uint8, np.uint16):
        raise PictureError(
            f"an array of shape {array.shape} and type {array.dtype}, expected (H, W), (H, W, 3) or (H, W, 4) of uint8"
        )
    if 0 in array.shape:
        raise PictureError(f"a side of 0 pixels (array of shape {array.shape})")
    array = array.reshape(array.shape[:2]) if channels == 1 else array
    return WidePixels(array) if array.dtype == np.uint16 else _from_bytes(array)


def _from_bytes(array: NDArray[np.uint8]) -> Image.Image:
    """RGB of (H, W), (H, W, 3) or (H, W, 4)."""
    image = Image.fromarray(np.ascontiguousarray(array))
    return _without_alpha(image) if image.mode == "RGBA" else image.convert("RGB")


def encode(array: NDArray[np.uint8]) -> bytes:
    """An array (H, W, 3) as a file: PNG up to 64 pixels a side, above it JPEG of quality 92 without subsampling."""
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or 0 in array.shape:
        raise ArgumentError("array", f"{array.dtype} {array.shape}", "expected uint8 (H, W, 3)")
    file, image = io.BytesIO(), Image.fromarray(np.ascontiguousarray(array))
    if max(image.size) <= PNG_SIDE:
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return file.getvalue()


def decode(data: bytes) -> NDArray[np.uint8]:
    """The array (H, W, 3) uint8 of an encoded picture; PNGs come back bit for bit. Raises PictureError."""
    return np.array(load_picture(data))


def levels_of(values: Tensor) -> NDArray[np.uint8]:
    """A picture (C, H, W) of values in [0, 1] as (H, W, 3) uint8, what lies outside clipped; one channel in grey."""
    shown = values.clamp(0, 1).mul(255).round().to(torch.uint8).expand(3, -1, -1)
    return np.ascontiguousarray(shown.permute(1, 2, 0).numpy())


def standardised(picture: Tensor) -> NDArray[np.uint8]:
    """A picture (C, H, W) of any scale as (H, W, 3): mean at mid-grey, deviation a tenth of full contrast (V5)."""
    values = picture.double()
    deviation = values.std(unbiased=False)
    return levels_of((values - values.mean()) / torch.where(deviation > 0, deviation, 1.0) * 0.1 + 0.5)


def display(
    pixels: Tensor, *, contrast: Literal["max", "percentile"] = "percentile", gain: float = 1.0
) -> NDArray[np.uint8]:
    """Projections (..., C, H, W) as pictures (..., H, W, 3) uint8, zero at mid-grey (V5).

    v = 0.5 + 0.5 * gain * R / m, clipped; m is the 99.5th percentile of |R| of each picture ("percentile", Figure 4's
    enhanced contrast) or its largest |R| ("max"), the same for all channels. One channel is shown in grey. A picture
    that is zero everywhere becomes uniform grey, with a warning.
    """
    if pixels.ndim < 3 or pixels.shape[-3] not in (1, 3) or 0 in pixels.shape[-2:]:
        raise ArgumentError("pixels", tuple(pixels.shape), "expected (..., C, H, W) with C 1 or 3")
    if contrast not in ("max", "percentile"):
        raise ArgumentError("contrast", contrast, 'expected "max" or "percentile"')
    values = pixels.detach().to("cpu", torch.float64)
    if not values.isfinite().all():
        where = tuple((~values.isfinite()).nonzero()[0].tolist())
        raise ArgumentError("pixels", float(values[where]), f"not finite at {where}")
    size = values.abs().flatten(-3)  # (..., C H W)
    largest = size.amax(-1) if contrast == "max" else torch.quantile(size, 0.995, dim=-1)
    largest = torch.where(largest > 0, largest, size.amax(-1))  # fewer than 0.5 % of the pixels differ from zero
    if (largest == 0).any():
        warnings.warn("a projection is zero everywhere: shown as uniform grey", stacklevel=2)
    scale = torch.where(largest > 0, largest, torch.ones_like(largest))[..., None, None, None]
    shown = (0.5 + 0.5 * gain * values / scale).clamp(0, 1).mul(255).round().to(torch.uint8)
    shown = shown.expand(*shown.shape[:-3], 3, *shown.shape[-2:]).movedim(-3, -1)
    return np.ascontiguousarray(shown.numpy())


def cut(source: Tensor, corner: Sequence[int], box: tuple[int, int, int, int], fill: int) -> Tensor:
    """The part of `source` (C, h, w) in `box`, both in pixels of one picture; `corner` is where source begins (V6)."""
    top, left, bottom, right = (edge - corner[k % 2] for k, edge in enumerate(box))
    tile = source.new_full((len(source), bottom - top, right - left), fill)
    rows = slice(max(top, 0), min(bottom, source.shape[1]))
    columns = slice(max(left, 0), min(right, source.shape[2]))
    if rows.start < rows.stop and columns.start < columns.stop:
        tile[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = source[
            :, rows, columns
        ]
    return tile
