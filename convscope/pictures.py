"""Everything between files or bytes and 8-bit arrays: reading any picture upright and in RGB, encoding, display.

Knows nothing of networks or data sets. A picture that cannot be read raises PictureError with a one-line reason.
"""

import io
import re
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from convscope.errors import ArgumentError, PictureError

Source: TypeAlias = "Path | str | bytes | Image.Image | NDArray[Any]"

GALLERY = Path(__file__).parent / "assets" / "gallery"  # the bundled pictures
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})  # at byte 8
PNG_SIDE = 64  # up to here a PNG is about as small as a JPEG, and keeps every bit
JPEG_QUALITY = 92
GREY = 128  # of 255: a projection's zero, what lies beyond a picture's border, what covers a part of it (V5, V6, F7)
SIXTEEN_BIT = 257  # 65535 / 255


def load_picture(source: Source, *, name: str | None = None) -> Image.Image:
    """The picture as 8-bit RGB, upright (T1, step 1).

    `source` is a file (`gallery/...` may be a bundled one), encoded bytes, a PIL image, or an array (H, W), (H, W, 1),
    (H, W, 3) or (H, W, 4) of uint8 or uint16. Grey becomes three equal channels, alpha is dropped, CMYK and palettes
    are converted, 16 bits are scaled to 8, the EXIF orientation is applied; of an animation the first frame counts.
    `name` is what errors call the picture (default: its path).

    Raises PictureError for what cannot be read: no such file, no picture, truncated, a side of 0, or more pixels than
    `PIL.Image.MAX_IMAGE_PIXELS` (about 89 million, Pillow's bound against decompression bombs).
    """
    if name is None:
        name = str(source) if isinstance(source, Path | str) else "picture"
    try:
        return _load(source)
    except PictureError as error:
        raise PictureError(f"{name}: {error}" if name else str(error)) from error


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
    return "/".join(Path(picture).parts[-2:]) if isinstance(picture, str | Path) else f"picture {place}"


def _load(source: Source) -> Image.Image:
    if isinstance(source, np.ndarray):
        return _from_array(source)
    try:
        image = source if isinstance(source, Image.Image) else _open(source)
        if 0 in image.size:
            raise PictureError(f"a side of 0 pixels (width {image.width}, height {image.height})")
        if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
            raise PictureError(_too_large(f"{image.width * image.height} pixels"))
        return _rgb(_upright(image))
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(_too_large(str(error))) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on broken files
        raise PictureError(_reason(error)) from error


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


def _open(source: Path | str | bytes) -> Image.Image:
    if isinstance(source, bytes):
        data = source
    else:
        path = bundled(source)
        if path.exists() and not path.is_file():  # a pipe would never end
            raise PictureError("a folder, expected a picture" if path.is_dir() else "not a regular file")
        data = path.read_bytes()
    if not data:
        raise PictureError("empty, 0 bytes")
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


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF says nothing about the pixels
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _from_array(_wide_to_uint8(np.asarray(image)))
    if image.mode in ("P", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns of palettes with transparency
    return image.convert("RGB")


def _wide_to_uint8(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Pillow's modes of more than 8 bits: "I" and "I;16" hold 16 bits; "F" holds [0, 1] or [0, 255]."""
    if not np.isfinite(values).all():
        raise PictureError("pixels that are not finite")
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind == "f":
        limit, scale = 255.0, 255.0 if high <= 1 else 1.0
    else:
        limit, scale = 65535.0, 1 / SIXTEEN_BIT
    if low < 0 or high > limit:
        raise PictureError(f"pixels from {low:g} to {high:g}, expected 0 to {limit:g}")
    return np.rint(values * scale).astype(np.uint8)


def _from_array(array: NDArray[Any]) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.dtype not in (np.uint8, np.uint16):
        raise PictureError(
            f"an array of shape {array.shape} and type {array.dtype}, expected (H, W), (H, W, 3) or (H, W, 4) of uint8"
        )
    if 0 in array.shape:
        raise PictureError(f"a side of 0 pixels (array of shape {array.shape})")
    if array.dtype == np.uint16:
        array = _wide_to_uint8(array)
    if channels == 1:
        array = np.broadcast_to(array.reshape(*array.shape[:2], 1), (*array.shape[:2], 3))
    return Image.fromarray(np.ascontiguousarray(array[..., :3]))


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
