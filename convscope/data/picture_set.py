"""Pictures by index: what every source of them becomes, whatever its items are.

Indices are places in the source: sorted relative-path order for files, the data set's own order otherwise. A picture
that cannot be read is skipped, with its reason in `Pictures.skipped`, and keeps its place.
"""

import hashlib
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.data.dataset_items import (
    BROKEN,
    in_network_space,
    label_of,
    network_space,
    picture_of,
    pixels_of,
    raw_bytes,
    read_item,
    require_channels_first,
)
from convscope.errors import ArgumentError, DataError, PictureError
from convscope.pictures import WidePixels, bundled, read_pixels, window
from convscope.printable import decodable

NO_CLASS = -1  # the label of a picture that lies beside the class folders
REASONS = 3  # why pictures cannot be read, in one line
MEASURED = 32  # pictures of a source tell how many of 16 bits all of them use


class Pictures:
    """Pictures by index, with labels where there are any.

    `name`; `paths`, relative and sorted, or "name[i]"; `classes`, and `labels`, for every picture the place of its
    class among them, or None; `truth` (N, classes), where pictures may show several, 1 present, 0 absent, -1 only
    difficult to see, else None; `tensors`: the items are float tensors, already in network space; `skip_bad`: broken
    pictures are left out of batches; `skipped`: index -> reason, filled as broken pictures are met; `empty`: folders
    beside those of the classes in which there is no picture; `joint`: made by `joined`; `alphabetical`: the classes
    are numbered in the order of their names, and not by the data set itself; `by_table`: they come from a table.
    """

    def __init__(
        self,
        name: str,
        items: Sequence[Any],
        *,
        paths: Sequence[str] | None = None,
        labels: Sequence[int] | None = None,
        classes: Sequence[str] | None = None,
        truth: NDArray[np.int8] | None = None,
        skip_bad: bool = True,
        empty: Sequence[str] = (),
        joint: bool = False,
        alphabetical: bool = False,
        by_table: bool = False,
        depth: "_Depth | None" = None,
    ) -> None:
        self.name, self._items, self.skip_bad, self.empty = decodable(name), items, skip_bad, tuple(empty)
        self.paths = list(paths) if paths is not None else [f"{name}[{i}]" for i in range(len(items))]
        self.classes = tuple(map(decodable, classes)) if classes is not None else None
        self.truth, self.joint, self.alphabetical, self.by_table = truth, joint, alphabetical, by_table
        self.skipped: dict[int, str] = {}
        self._labels = list(labels) if labels is not None else None
        first, at = _first(items, self.paths)
        picture = None if first is None else picture_of(first)
        self.tensors = in_network_space(picture)
        if in_network_space(picture):
            require_channels_first(picture, at)
        self._labelled_items = label_of(first) is not None
        self._depth = depth or _Depth(name, items)
        whole = _whole(items)
        self._parallel = isinstance(whole, list | np.ndarray | Tensor) or getattr(whole, "parallel", False)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        kinds = f", {len(self.classes)} classes" if self.classes else ""
        return f"Pictures({self.name!r}, {len(self)} pictures{kinds})"

    @property
    def labels(self) -> list[int] | None:
        """Class of every picture, or None. Where only the items know them, the first use reads all items."""
        if self._labels is None and self._labelled_items:
            self._labels = [self._label(index) for index in range(len(self))]
        return self._labels

    @labels.setter
    def labels(self, labels: list[int] | None) -> None:
        self._labels, self._labelled_items = labels, False

    def _label(self, index: int) -> int:
        try:
            label = label_of(read_item(self._items, index, self.paths[index]))
        except PictureError:
            return NO_CLASS
        return NO_CLASS if label is None else label

    def item(self, index: int, reading: AbstractContextManager[object] | None = None) -> Image.Image | Tensor:
        """Picture `index` as RGB, or its float tensor (C, H, W). Leaves `skipped` alone.

        16-bit pictures are read by the range that a sample of the source uses, so that all are as bright.
        `reading` is held while a data set is asked for its item, unless it is known to answer many threads at once.
        Raises PictureError where it cannot be decoded, DataError for another exception of the data set, for a float
        tensor (H, W, C), and for floats that are not finite.
        """
        if not 0 <= index < len(self):
            raise ArgumentError("index", index, f"expected 0 to {len(self) - 1}, a picture of {self.name}")
        alone = nullcontext() if reading is None or self._parallel else reading
        with alone:
            picture = picture_of(read_item(self._items, index, self.paths[index]))
        if isinstance(picture, PictureError):
            raise picture
        if in_network_space(picture):
            return network_space(picture, self.paths[index])
        pixels = read_pixels(pixels_of(picture))
        if isinstance(pixels, Image.Image):
            return pixels
        return pixels.picture(pixels.bits or self._depth.bits(self.paths[index], pixels, alone))

    def checksum(self, index: int, item: Image.Image | Tensor) -> int:
        """CRC-32 of the file of picture `index`, or where it is none, of `item`, which is the picture."""
        file = self.file(index)
        try:
            return zlib.crc32(raw_bytes(item).data if file is None else bundled(file).read_bytes())
        except OSError as error:
            raise PictureError((error.strerror or str(error)).lower()) from error

    def file(self, index: int) -> Path | None:
        """The file of picture `index`, where the source is a list of files."""
        item = picture_of(self._items[index]) if isinstance(_whole(self._items), list) else None
        return bundled(item) if isinstance(item, Path | str) else None

    def picture(self, index: int) -> Image.Image:
        """Picture `index`, RGB and upright. Raises PictureError, naming it, and records it in `skipped`."""
        try:
            item = self.item(index)
            if isinstance(item, Tensor):
                raise PictureError("a tensor in network space, not a picture")
            return item
        except PictureError as error:
            self.skipped[index] = str(error)
            raise PictureError(f"{self.paths[index]}: {error}") from error

    def subset(self, indices: Iterable[int]) -> "Pictures":
        """The pictures at `indices`, in that order, numbered from 0."""
        chosen = [int(i) for i in indices]
        return Pictures(
            self.name,
            _Chosen(self._items, chosen),
            paths=[self.paths[i] for i in chosen],
            labels=None if self._labels is None else [self._labels[i] for i in chosen],
            classes=self.classes,
            truth=None if self.truth is None else self.truth[chosen],
            skip_bad=self.skip_bad,
            alphabetical=self.alphabetical,
            by_table=self.by_table,
            depth=self._depth,
        )

    def joined(self, other: "Pictures") -> "Pictures":
        """These and, after them, `other`'s, their paths below "first" and "second". Raises DataError where the classes
        differ, or only one knows of several in a picture.
        """
        self.require_same_classes(other)
        if (self.truth is None) != (other.truth is None):
            one, several = (self, other) if self.truth is None else (other, self)
            raise DataError(
                f"pictures of {several.name} may show several classes, those of {one.name} one: expected both alike"
            )
        both = self._items, other._items
        return Pictures(
            f"{self.name} and {other.name}",
            [*both[0], *both[1]] if all(isinstance(each, list) for each in both) else _Both(*both),
            paths=[*(f"first/{path}" for path in self.paths), *(f"second/{path}" for path in other.paths)],
            labels=None if self.labels is None or other.labels is None else [*self.labels, *other.labels],
            classes=self.classes,
            truth=None if self.truth is None or other.truth is None else np.concatenate([self.truth, other.truth]),
            skip_bad=self.skip_bad,
            empty=[name for name in self.empty if name in other.empty],
            joint=True,
            alphabetical=self.alphabetical and other.alphabetical,
            by_table=self.by_table or other.by_table,
        )

    def require_same_classes(self, other: "Pictures") -> None:
        """Raises DataError, naming a class, unless `other` has the same classes in the same order."""
        need, have = self.classes or (), other.classes or ()
        if have == need:
            return
        if missing := [name for name in need if name not in have]:
            apart = f"no picture of {missing[0]!r}, one of {len(missing)} that are missing"
        elif unknown := [name for name in have if name not in need]:
            apart = f"{unknown[0]!r} too, one of {len(unknown)} that are unknown there"
        else:
            place = next(k for k, (a, b) in enumerate(zip(need, have, strict=True)) if a != b)
            apart = f"{have[place]!r} in place of {need[place]!r}"
        raise DataError(f"{other.name} has other classes than {self.name}: {apart}")

    def without(self, *classes: str) -> "Pictures":
        """The pictures of all other classes, their labels numbered anew. Raises ArgumentError for an unknown class."""
        if self.classes is None or self.labels is None:
            raise DataError(f"{self.name} has no classes, so none can be left out")
        for name in classes:
            if name not in self.classes:
                raise ArgumentError("classes", name, f"expected a class of {self.name}")
        keep = [name for name in self.classes if name not in classes]
        number = {self.classes.index(name): k for k, name in enumerate(keep)}
        rest = self.subset(i for i, label in enumerate(self.labels) if label in number)
        rest.classes, rest.labels = tuple(keep), [number[label] for label in rest.labels or []]
        return rest

    def unreadable(self) -> DataError:
        """Return the error that not one of these pictures can be read: how many there are, and why, for the first."""
        some = [f"{self.paths[index]}: {self.skipped[index]}" for index in sorted(self.skipped)[:REASONS]]
        more = ["…"] * (len(self.skipped) > REASONS)
        return DataError(f"none of the {len(self)} pictures of {self.name} can be read: {'; '.join(some + more)}")

    def fingerprint(self) -> str:
        """File count and SHA-256 of the sorted name list (G0), with the classes where a table gives them."""
        names = self.paths
        if self.by_table and self.labels is not None:
            kinds = [*(self.classes or ()), ""]  # "" where the label is -1
            names = [f"{path}\t{kinds[label]}" for path, label in zip(self.paths, self.labels, strict=True)]
        return f"{len(self)}-{hashlib.sha256(chr(10).join(sorted(names)).encode()).hexdigest()}"

    def identity(self) -> dict[str, Any]:
        """What results say of them: name, how many, fingerprint."""
        return {"name": self.name, "pictures": len(self), "fingerprint": self.fingerprint()}


class _Chosen(Sequence[Any]):
    """Some items of a sequence, read only when asked for."""

    def __init__(self, items: Sequence[Any], places: list[int]) -> None:
        self.items, self.places = items, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        return self.items[self.places[index]]


class _Both(Sequence[Any]):
    """One sequence after another."""

    def __init__(self, first: Sequence[Any], second: Sequence[Any]) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, index: Any) -> Any:
        return self.first[index] if index < len(self.first) else self.second[index - len(self.first)]


def _whole(items: Sequence[Any]) -> Any:
    return _whole(items.items) if isinstance(items, _Chosen) else items


class _Depth:
    """How many of 16 bits the pictures of a source use; measured when the first such picture is met."""

    measuring = Lock()

    def __init__(self, name: str, items: Sequence[Any]) -> None:
        self.name, self.items = name, items
        self.most: int | None = None

    def bits(self, path: str, pixels: WidePixels, alone: AbstractContextManager[object]) -> int:
        """As many as a sample of the source uses; more, with a warning, where the picture at hand uses more.

        `alone` is held while the data set is asked for an item.
        """
        with self.measuring:
            if self.most is None:
                self.most = max(self._sample(alone), default=0)
                if 0 < self.most < 16:
                    warnings.warn(f"{self.name}: {window(self.most)}", stacklevel=2)
        if (used := pixels.used_bits) > self.most:
            others = f"16-bit pixels that use {used} bits where others of {self.name} use {self.most}: shown darker"
            warnings.warn(f"{path}: {others if self.most else window(used)}", stacklevel=2)
        return max(self.most, used)

    def _sample(self, alone: AbstractContextManager[object]) -> Iterator[int]:
        count = len(self.items)
        for index in sorted({round(k * (count - 1) / (MEASURED - 1)) for k in range(MEASURED)}):
            with suppress(PictureError):
                with alone:
                    item = read_item(self.items, index, f"{self.name}[{index}]")
                pixels = read_pixels(pixels_of(picture_of(item)))
                if isinstance(pixels, WidePixels) and pixels.bits is None:
                    yield pixels.used_bits


def _first(items: Sequence[Any], paths: Sequence[str]) -> tuple[Any, str]:
    """The first item that can be read, of the first few, and its path; it tells what kind the others are."""
    for index in range(min(len(items), 8)):
        try:
            item = read_item(items, index, paths[index])
            picture = picture_of(item)
            if isinstance(picture, Image.Image):
                picture.load()  # which closes its file
            return item, paths[index]
        except BROKEN:
            continue
    return None, ""
