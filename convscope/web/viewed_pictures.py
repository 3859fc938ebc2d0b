"""Pictures to look at: those of the atlas, and those that a reader brings, which are gone when the server ends.

    with Slides(atlas, network) as slides:
        key = slides.bring(data, "dog.jpg")
        slides[key].inputs

A picture from outside is bounded in bytes and pixels, decoded by Pillow in a few common formats only, and kept in a
temporary folder under a name of ours.
"""

import io
import secrets
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.atlases.store import Atlas
from convscope.disk.atomic import put
from convscope.disk.scratch_dirs import clear, hold, release
from convscope.errors import ArgumentError, PictureError
from convscope.models.network import Network
from convscope.pictures import load_picture

PIXELS = 50_000_000  # of a picture that is brought: a large camera's
FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}
FORMATS |= {"MPO": "jpg"}  # what Pillow calls a JPEG of several pictures once it is open
KEPT = 64  # brought pictures; the oldest goes first
NAME = 80  # letters of a brought picture's name


@dataclass(frozen=True, eq=False)
class Slide:
    """A picture as the network sees it: `inputs` (1, C, H, W) in network space, `shown` (H, W, 3) uint8 the same.

    `file` is the picture itself where a reader brought it; of the atlas' own there is only what the network saw.
    """

    key: str
    name: str
    label: str | None
    inputs: Tensor
    shown: NDArray[np.uint8]
    notes: tuple[str, ...]
    file: Path | None


def passing_folder() -> Path:
    """A temporary folder's path, which nobody can guess; who first writes there makes it, for this user alone.

    Those that apps left when they were killed are cleared away.
    """
    clear(Path(tempfile.gettempdir()), "convscope-app-*")
    return Path(tempfile.gettempdir()) / f"convscope-app-{secrets.token_hex(16)}"


class Slides:
    """Pictures by key: the number of one of the atlas', or "u" and random letters for one that was brought."""

    def __init__(self, atlas: Atlas, network: Network, folder: Path | None = None) -> None:
        self.atlas, self.network, self._folder = atlas, network, folder or passing_folder()
        self._brought: OrderedDict[str, tuple[Path, str]] = OrderedDict()
        self._lock, self._decoding = Lock(), Lock()
        self._prepared = lru_cache(KEPT)(self._prepare)

    def __enter__(self) -> "Slides":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything that was brought."""
        release(self._folder)

    @property
    def brought(self) -> tuple[tuple[str, str], ...]:
        """Keys and names of the pictures that were brought, the newest first."""
        with self._lock:
            return tuple((key, name) for key, (_, name) in reversed(self._brought.items()))

    def bring(self, content: BinaryIO, name: str) -> str:
        """Keep a picture; returns its key. Raises PictureError for what is none, and for one that is too large.

        One picture at a time is read and decoded, so that several do not fill the memory; the others wait.
        """
        key = f"u{secrets.token_hex(8)}"
        with self._decoding:
            data = content.read()
            suffix = _checked(data)
            load_picture(data, name="the picture")
            self._folder.mkdir(mode=0o700, exist_ok=True)
            hold(self._folder)
            file = self._folder / f"{key}.{suffix}"
            put(file, data)
        shown = "".join(letter for letter in name if letter.isprintable())[-NAME:] or "your picture"
        with self._lock:
            self._brought[key] = (file, shown)
            gone = [self._brought.popitem(last=False)[1][0] for _ in range(len(self._brought) - KEPT)]
        for old in gone:
            old.unlink(missing_ok=True)
        return key

    def __getitem__(self, key: str) -> Slide:
        """The picture of a key. Raises ArgumentError for a key of none, PictureError when it can no longer be read."""
        if not key.startswith("u"):
            return self._prepared(key)
        with self._lock:
            there = key in self._brought
        if not there:
            raise ArgumentError("picture", key, "no longer here: pictures that you bring are kept until the app ends")
        return self._prepared(key)

    def _prepare(self, key: str) -> Slide:
        transform = self.network.transform
        if key.startswith("u"):
            file, name = self._brought[key]
            with self._decoding, _noted() as notes:
                inputs = self.network.inputs(file.read_bytes())
            return Slide(key, name, None, inputs, transform.picture(inputs[0].float()), tuple(notes), file)
        picture = self.atlas.picture(int(key))
        pixels, (_, height, width) = picture.thumbnail, self.network.input_size
        kept = "" if max(pixels.shape) <= 64 else "as a JPEG "
        note = f"From the atlas, which keeps it {kept}of {pixels.shape[0]} × {pixels.shape[1]} pixels"
        if pixels.shape[:2] != (height, width):
            note += f"; enlarged to {height} × {width}"
            resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
            pixels = np.array(resized)
        inputs = transform.normalise(pixels[None]).to(self.network.dtype)
        said = (f"{note}. Values may differ a little from the atlas’.",) if kept else ()
        return Slide(key, picture.path, picture.label, inputs, pixels, said, None)


def _checked(data: bytes) -> str:
    """The file type of a picture small enough and in one of our formats, known from its header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the same bound
            with Image.open(io.BytesIO(data), formats=[kind for kind in FORMATS if kind != "MPO"]) as image:
                kind, size = image.format, image.width * image.height
    except Image.DecompressionBombError as error:  # of Pillow's own, larger bound
        raise PictureError(f"the picture: too many pixels, more than {PIXELS:,}") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on broken files
        known = "JPEG, PNG, WebP, GIF, BMP or TIFF"
        raise PictureError(f"the picture: {len(data)} bytes that are no {known}") from error
    if size > PIXELS:
        raise PictureError(f"the picture: too many pixels, {size:,}; at most {PIXELS:,}")
    return FORMATS[str(kind)]


@contextmanager
def _noted() -> Iterator[list[str]]:
    """Our warnings of a picture as sentences for its page."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    notes += [f"{str(warning.message)[:1].upper()}{str(warning.message)[1:]}." for warning in caught]
