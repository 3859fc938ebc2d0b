"""What pictures are, not what they are called: for caches, and for pictures that occur twice (METHODS E0)."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from convscope.data.picture_set import Pictures
from convscope.errors import PictureError


def digests(pictures: Pictures) -> list[str]:
    """SHA-256 of every file, or where a picture is none, of its pixels; "" for what cannot be read."""
    return [_digest(pictures, index) for index in range(len(pictures))]


def _digest(pictures: Pictures, index: int) -> str:
    try:
        if isinstance(file := pictures.file(index), Path):
            return hashlib.sha256(file.read_bytes()).hexdigest()
        pixels = np.asarray(pictures.item(index))
    except (OSError, PictureError):
        return ""
    return hashlib.sha256(f"{pixels.dtype} {pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def together(digests_: Iterable[str]) -> str:
    """One digest of many, in their order."""
    return hashlib.sha256("\n".join(digests_).encode()).hexdigest()


def shared(digests_: Sequence[str], train: Iterable[int], test: Iterable[int]) -> list[int]:
    """The test pictures that are also among those to train on, under another name."""
    known = {digests_[place] for place in train} - {""}
    return [place for place in test if digests_[place] in known]
