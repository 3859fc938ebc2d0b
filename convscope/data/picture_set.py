"""Pictures by index: what every source of them becomes, whatever its items are.

Indices are places in the source: sorted relative-path order for files, the data set's own order otherwise. A picture
that cannot be read is skipped, with its reason in `Pictures.skipped`, and keeps its place.
"""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.errors import ArgumentError, DataError, PictureError
from convscope.pictures import Source, load_picture

NO_CLASS = -1  # the label of a picture that lies beside the class folders
BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)  # from others' decoding


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
    ) -> None:
        self.name, self._items, self.skip_bad, self.empty = name, items, skip_bad, tuple(empty)
        self.paths = list(paths) if paths is not None else [f"{name}[{i}]" for i in range(len(items))]
        self.classes = tuple(classes) if classes is not None else None
        self.truth, self.joint, self.alphabetical, self.by_table = truth, joint, alphabetical, by_table
        self.skipped: dict[int, str] = {}
        self._labels = list(labels) if labels is not None else None
        first = _first(items)
        self.tensors = _is_network_space(_picture_of(first))
        self._labelled_items = _label_of(first) is not None
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
            label = _label_of(self._items[index])
        except BROKEN:
            return NO_CLASS
        return NO_CLASS if label is None else label

    def item(self, index: int, reading: AbstractContextManager[object] | None = None) -> Image.Image | Tensor:
        """Picture `index` as RGB, or its float tensor (C, H, W). Raises PictureError, and leaves `skipped` alone.

        `reading` is held while a data set is asked for its item, unless it is known to answer many threads at once.
        """
        if not 0 <= index < len(self):
            raise ArgumentError("index", index, f"expected 0 to {len(self) - 1}, a picture of {self.name}")
        try:
            with nullcontext() if reading is None or self._parallel else reading:
                raw = _picture_of(self._items[index])
        except BROKEN as error:
            raise PictureError(" ".join(str(error).split()) or type(error).__name__) from error
        if isinstance(raw, PictureError):
            raise raw
        if _is_network_space(raw):
            return _network_space(raw, self.paths[index])
        return load_picture(_pixels(raw), name="")

    def file(self, index: int) -> Path | None:
        """The file of picture `index`, where it is one."""
        item = self._items[index] if isinstance(_whole(self._items), list) else None
        return item if isinstance(item, Path) else None

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


def _first(items: Sequence[Any]) -> Any:
    """The first item that can be read, of the first few; it tells what kind the others are."""
    for index in range(min(len(items), 8)):
        try:
            item = items[index]
            if isinstance(_picture_of(item), Image.Image):
                _picture_of(item).load()  # which closes its file
            return item
        except BROKEN:
            continue
    return None


def _picture_of(item: Any) -> Any:
    return item[0] if isinstance(item, tuple | list) and len(item) else item


def _label_of(item: Any) -> int | None:
    """The label of an item (picture, label), where that is a whole number."""
    if not isinstance(item, tuple | list) or len(item) < 2:
        return None
    label = np.asarray(item[1]) if isinstance(item[1], int | np.ndarray | np.generic | Tensor) else None
    return int(label) if label is not None and label.ndim == 0 and label.dtype.kind in "iu" else None


def _is_network_space(item: object) -> bool:
    return isinstance(item, Tensor) and item.is_floating_point()


def _network_space(item: Tensor, name: str) -> Tensor:
    if item.ndim != 3 or 0 in item.shape:
        raise PictureError(f"a float tensor of shape {tuple(item.shape)}, expected (C, H, W)")
    if not item.isfinite().all():
        where = tuple((~item.isfinite()).nonzero()[0].tolist())
        raise DataError(f"{name} is {float(item[where])} at {where}: expected finite values")
    return item


def _pixels(item: Any) -> Source:
    """A data set's item as what `load_picture` reads; uint8 tensors are (C, H, W), as torchvision's, or (H, W)."""
    if isinstance(item, Tensor):
        return np.asarray(item.movedim(0, -1) if item.ndim == 3 else item)
    if isinstance(item, Path | str | bytes | Image.Image | np.ndarray):
        return item
    raise PictureError(f"an item of type {type(item).__name__}, expected a picture, an array or a tensor")
