"""One item of a data set: a picture, (picture, label), or a dictionary with a picture and perhaps a label.

Pictures are files, bytes, PIL images, arrays, or tensors; see `load_picture` and `network_space`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.errors import ConvscopeError, DataError, PictureError
from convscope.pictures import Source

BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)  # from others' decoding
CHANNELS = (1, 3)
PICTURE_KEYS = ("image", "img", "picture", "pixel_values", "pixels", "path", "file")
LABEL_KEYS = ("label", "labels", "target", "class", "y")


def read_item(items: Sequence[Any], index: int, name: str) -> Any:
    """Return item `index`. Raises PictureError where it cannot be decoded, DataError, which gives the `name`, for any
    other exception of the data set.
    """
    try:
        return items[index]
    except (ConvscopeError, MemoryError):
        raise
    except BROKEN as error:
        raise PictureError(" ".join(str(error).split()) or type(error).__name__) from error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        raise DataError(f"{name}: the data set raised {reason}") from error


def picture_of(item: Any) -> Any:
    """Return the picture of an item. Raises PictureError for a dictionary without one."""
    if isinstance(item, Mapping):
        key = next((key for key in PICTURE_KEYS if key in item), None)
        values = [value for value in item.values() if _is_picture(value)] if key is None else [item[key]]
        if len(values) != 1:
            keys = ", ".join(map(str, item)) or "nothing"
            raise PictureError(f"a dictionary of {keys}, expected a picture under 'image'")
        return values[0]
    return item[0] if isinstance(item, tuple | list) and len(item) else item


def label_of(item: Any) -> int | None:
    """Return the label of an item, where that is a whole number."""
    if isinstance(item, Mapping):
        label = next((item[key] for key in LABEL_KEYS if key in item), None)
    else:
        label = item[1] if isinstance(item, tuple | list) and len(item) > 1 else None
    value = np.asarray(label) if isinstance(label, int | np.ndarray | np.generic | Tensor) else None
    return int(value) if value is not None and value.ndim == 0 and value.dtype.kind in "iu" else None


def _is_picture(value: object) -> bool:
    several = isinstance(value, np.ndarray | Tensor) and value.ndim > 1
    return several or isinstance(value, Path | bytes | Image.Image)


def in_network_space(picture: object) -> TypeGuard[Tensor]:
    """Whether it is a tensor of floats."""
    return isinstance(picture, Tensor) and picture.is_floating_point()


def require_channels_first(picture: Tensor, name: str) -> None:
    """Raise DataError for a tensor of floats (H, W, C), or of a number of channels that no picture has."""
    if picture.ndim == 3 and len(picture) not in CHANNELS:
        fix = "; permute(2, 0, 1) makes it so" if picture.shape[-1] in CHANNELS else ""
        raise DataError(f"{name} is a float tensor of shape {tuple(picture.shape)}: expected (C, H, W), C 1 or 3{fix}")


def network_space(picture: Tensor, name: str) -> Tensor:
    """Return the tensor (C, H, W). Raises PictureError for another rank, DataError for another order of axes or values
    that are not finite.
    """
    if picture.ndim != 3 or 0 in picture.shape:
        raise PictureError(f"a float tensor of shape {tuple(picture.shape)}, expected (C, H, W)")
    require_channels_first(picture, name)
    if not picture.isfinite().all():
        where = tuple((~picture.isfinite()).nonzero()[0].tolist())
        raise DataError(f"{name} is {float(picture[where])} at {where}: expected finite values")
    return picture


def pixels_of(picture: Any) -> Source:
    """Return what `load_picture` reads; uint8 tensors are (C, H, W), as torchvision's, or (H, W).

    Raises PictureError for a tensor (H, W, C), and for what is no picture.
    """
    if isinstance(picture, Tensor):
        if picture.ndim == 3 and len(picture) not in (*CHANNELS, 4):
            fix = "; permute(2, 0, 1) makes it so" if picture.shape[-1] in (*CHANNELS, 4) else ""
            raise PictureError(f"a tensor of shape {tuple(picture.shape)}: expected (C, H, W), C 1, 3 or 4{fix}")
        return np.asarray(picture.movedim(0, -1) if picture.ndim == 3 else picture)
    if isinstance(picture, os.PathLike):
        return Path(picture)
    if isinstance(picture, str | bytes | Image.Image | np.ndarray):
        return picture
    raise PictureError(f"an item of type {type(picture).__name__}, expected a picture, an array or a tensor")


def raw_bytes(picture: Image.Image | Tensor) -> NDArray[np.uint8]:
    """Return the pixels, or the numbers of a tensor, row by row: (n,)."""
    if isinstance(picture, Tensor):
        return picture.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return np.frombuffer(picture.tobytes(), np.uint8)
