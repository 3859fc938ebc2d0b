"""Where pictures come from: folders, files, what is bundled, torchvision, Hugging Face, any torch data set.

Indices are places in the source: sorted relative-path order for files, the data set's own order otherwise. A picture
that cannot be read is skipped, with its reason in `Pictures.skipped`, and keeps its place.
"""

import hashlib
import importlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.data import protocols
from convscope.errors import ArgumentError, DataError, PictureError
from convscope.pictures import Source, load_picture

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".j2k", ".avif", ".ico"}
)
GALLERY = Path(__file__).parent.parent / "assets" / "gallery"
NO_CLASS = -1  # the label of a picture that lies beside the class folders
BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)  # from others' decoding


class Pictures:
    """Pictures by index, with labels where there are any.

    `name`; `paths`, relative and sorted, or "name[i]"; `classes`, and `labels`, for every picture the place of its
    class among them, or None; `truth` (N, classes), where pictures may show several, 1 present, 0 absent, -1 only
    difficult to see, else None; `tensors`: the items are float tensors, already in network space; `skip_bad`: broken
    pictures are left out of batches; `skipped`: index -> reason, filled as broken pictures are met.
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
    ) -> None:
        self.name, self._items, self.skip_bad = name, items, skip_bad
        self.paths = list(paths) if paths is not None else [f"{name}[{i}]" for i in range(len(items))]
        self.classes = tuple(classes) if classes is not None else None
        self.truth = truth
        self.skipped: dict[int, str] = {}
        self._labels = list(labels) if labels is not None else None
        first = _first(items)
        self.tensors = _is_network_space(_picture_of(first))
        self._labelled_items = _label_of(first) is not None
        self._parallel = isinstance(_whole(items), list | np.ndarray | Tensor | _HuggingFace)

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
        )

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
        """File count and SHA-256 of the sorted name list (G0)."""
        return f"{len(self)}-{hashlib.sha256(chr(10).join(sorted(self.paths)).encode()).hexdigest()}"


class _Chosen(Sequence[Any]):
    """Some items of a sequence, read only when asked for."""

    def __init__(self, items: Sequence[Any], places: list[int]) -> None:
        self.items, self.places = items, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        return self.items[self.places[index]]


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


# Sources ------------------------------------------------------------------------------------------------------------


def images(source: object, *, skip_bad: bool = True) -> Pictures:
    """The pictures of `source`, one of

    - a folder, searched to any depth; where pictures lie in subfolders, the first-level folders are the classes
      (and a picture beside them has label -1). Files that are no pictures by their extension are ignored;
    - one file, an array, a PIL image, or a list of any of these;
    - "gallery", the bundled pictures; "digits", the 1,797 handwritten ones, 8×8, that come with scikit-learn;
    - "torchvision:NAME@ROOT", a data set that torchvision finds in ROOT (nothing is downloaded);
    - "hf:NAME@SPLIT", a Hugging Face data set, its first picture column (needs the extra `datasets`); NAME may be a
      folder that `save_to_disk` wrote;
    - "imagenet:ROOT@val", "caltech101:ROOT", "caltech256:ROOT", "voc2012:ROOT@val", "mnist:ROOT@test" or
      "five:ROOT@test", data sets as their authors divide them, their counts checked (METHODS D1 to D6);
    - a torch or Hugging Face data set with a length. Items are pictures, or (picture, label); uint8 tensors are
      (C, H, W), float tensors (C, H, W) are taken as already in network space.

    `skip_bad=False` makes `batches` raise PictureError at the first broken picture instead of leaving it out.
    Raises DataError for a source that is empty, missing, or cannot be read by index.
    """
    if isinstance(source, Pictures):
        return source
    if isinstance(source, str):
        kind, colon, rest = source.partition(":")
        if source == "gallery":
            return _folder(GALLERY, "gallery", skip_bad)
        if source == "digits":
            return _digits()
        if colon and kind in SCHEMES:
            return _dataset(SCHEMES[kind](rest), source.partition("@")[0], skip_bad)
    if isinstance(source, str | Path):
        return _path(Path(source), skip_bad)
    if isinstance(source, Image.Image | bytes) or (isinstance(source, np.ndarray | Tensor) and source.ndim < 4):
        return Pictures("picture", [source], paths=["picture"], skip_bad=skip_bad)
    return _dataset(source, type(source).__name__, skip_bad)


def _path(path: Path, skip_bad: bool) -> Pictures:
    path = path.expanduser()
    if path.is_dir():
        return _folder(path, path.resolve().name, skip_bad)
    if path.is_file():
        return Pictures(path.name, [path], paths=[_printable(path.name)], skip_bad=skip_bad)
    raise DataError(
        f"images is {str(path)!r}: no such folder or file; "
        'expected one, "gallery", "digits", "torchvision:NAME@ROOT" or "hf:NAME@SPLIT"'
    )


def _folder(root: Path, name: str, skip_bad: bool) -> Pictures:
    found = sorted(_walk(str(root)))
    if not found:
        raise DataError(f"no pictures in {root}")
    first = [path.split("/", 1)[0] if "/" in path else None for path, _ in found]
    number = {folder: k for k, folder in enumerate(sorted({folder for folder in first if folder is not None}))}
    return Pictures(
        name,
        [item if isinstance(item, PictureError) else root / path for path, item in found],
        paths=[_printable(path) for path, _ in found],
        labels=[number[folder] if folder is not None else NO_CLASS for folder in first] if number else None,
        classes=[_printable(folder) for folder in number] if number else None,
        skip_bad=skip_bad,
    )


def _digits() -> Pictures:
    """Grey values 0 to 16 as 0 to 255."""
    from sklearn.datasets import load_digits  # a second that nobody else need wait for

    found = load_digits()
    pixels = np.rint(found.images * (255 / 16)).astype(np.uint8)
    labels = found.target.tolist()
    return Pictures("digits", list(pixels), labels=labels, classes=[str(digit) for digit in range(10)])


def _printable(name: str) -> str:
    """A file name as text that any file format takes: bytes that are no UTF-8 become question marks."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _walk(root: str) -> Iterator[tuple[str, PictureError | None]]:
    """Relative paths of the pictures below `root`, and of folders that cannot be read, with the reason.

    Links are followed, except back into a folder that leads to them. A stack, since folders nest deeper than Python.
    """
    stack: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while stack:
        folder, above = stack.pop()
        full = os.path.join(root, folder)  # noqa: PTH118 - a Path a file is slow for 50,000
        try:
            found = os.stat(full)  # noqa: PTH116
            here = (found.st_dev, found.st_ino)
            entries = [] if here in above else list(os.scandir(full))
        except OSError as error:
            yield folder, PictureError(f"a folder that cannot be read: {(error.strerror or str(error)).lower()}")
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                continue
            if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():  # noqa: PTH112 - False for loops
                stack.append((path, above | {here}))
            elif _is_candidate(entry):
                yield path, None


def _is_candidate(entry: os.DirEntry[str]) -> bool:
    """A picture by its extension; or, without one, by how it begins (Caltech-101 has one of these)."""
    extension = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
    if extension:
        return extension in EXTENSIONS
    try:
        if not entry.is_file():
            return False
        with Image.open(entry.path):
            return True
    except Exception:  # its name promised nothing
        return False


def _dataset(source: Any, name: str, skip_bad: bool) -> Pictures:
    if type(source).__module__.partition(".")[0] == "datasets":
        source = _HuggingFace(source)
    if not hasattr(source, "__getitem__") or not hasattr(source, "__len__") or isinstance(source, dict):
        raise DataError(f"images is of type {type(source).__name__}: expected pictures by index and a length")
    if len(source) == 0:
        raise DataError(f"no pictures in {name}: it is empty")
    files = _files(source)
    return Pictures(
        name,
        source if files is None else files,
        paths=None if files is None else [_printable(os.path.relpath(file, source.root)) for file in files],
        labels=_labels(source),
        classes=_classes(source),
        truth=getattr(source, "truth", None),
        skip_bad=skip_bad,
    )


def _files(dataset: Any) -> list[Path] | None:
    """The files behind torchvision's folder data sets, which `load_picture` reads better than their loader."""
    if isinstance(dataset, protocols.Listed):
        return dataset.files
    folder = _optional("torchvision.datasets.folder")
    if not isinstance(dataset, folder.ImageFolder):
        return None
    if dataset.transforms is not None or dataset.loader is not folder.default_loader:
        return None
    return [Path(path) for path, _ in dataset.samples]


def _labels(dataset: Any) -> list[int] | None:
    """Labels that a data set keeps beside its pictures, by the names that torchvision's use."""
    if isinstance(dataset, torch.utils.data.Subset):
        labels = _labels(dataset.dataset)
        return None if labels is None else [labels[i] for i in dataset.indices]
    for name in ("targets", "labels", "_labels", "y"):
        labels = getattr(dataset, name, None)
        if isinstance(labels, list | tuple | np.ndarray | Tensor) and len(labels) == len(dataset):
            values = np.asarray(labels)
            if values.ndim == 1 and values.dtype.kind in "iu" and getattr(dataset, "target_transform", None) is None:
                return [int(value) for value in values]
    return None


def _classes(dataset: Any) -> list[str] | None:
    if isinstance(dataset, torch.utils.data.Subset):
        return _classes(dataset.dataset)
    for name in ("classes", "categories"):
        classes = getattr(dataset, name, None)
        if isinstance(classes, list | tuple) and classes and all(isinstance(each, str) for each in classes):
            return list(classes)
    return None


def _optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra = module.partition(".")[0]
        raise DataError(f"{extra} is not installed: pip install 'convscope[{extra}]'") from error


def _torchvision(spec: str) -> Any:
    name, at, root = spec.partition("@")
    made = getattr(_optional("torchvision.datasets"), name, None)
    if not isinstance(made, type) or not at or not root:
        raise ArgumentError("images", f"torchvision:{spec}", 'expected "torchvision:NAME@ROOT", as "…:MNIST@data"')
    try:
        found = made(Path(root).expanduser())
    except Exception as error:
        reason = " ".join(str(error).split()) or "a file of another format"  # MNIST's parser says nothing
        raise DataError(f"torchvision's {name} is not in {root} ({reason}); nothing is downloaded here") from error
    pixels, labels = (getattr(found, part, ()) for part in ("data", "targets"))
    if len(pixels) and len(labels) and len(pixels) != len(labels):
        raise DataError(f"torchvision's {name} in {root} has {len(pixels)} pictures and {len(labels)} labels")
    return found


def _hugging_face(spec: str) -> Any:
    datasets = _optional("datasets")
    name, _, split = spec.rpartition("@") if "@" in spec else (spec, "", "train")
    try:
        if (Path(name) / "state.json").is_file() or (Path(name) / "dataset_dict.json").is_file():
            found = datasets.load_from_disk(name)
            return found[split] if isinstance(found, datasets.DatasetDict) else found
        return datasets.load_dataset(name, split=split)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(f"images is 'hf:{spec}': {reason or type(error).__name__}") from error


SCHEMES: dict[str, Callable[[str], Any]] = {
    "torchvision": _torchvision,
    "hf": _hugging_face,
    **{name: partial(protocols.read, name) for name in protocols.READERS},
}


class _HuggingFace(Sequence[Any]):
    """A Hugging Face data set's first picture column, as encoded bytes or paths, and its first class column."""

    def __init__(self, dataset: Any) -> None:
        datasets = _optional("datasets")
        if not isinstance(dataset, datasets.Dataset):
            some = f", one of {', '.join(dataset)}" if isinstance(dataset, dict) else ""
            raise DataError(f"images is a {type(dataset).__name__}: expected a Dataset{some}")
        kinds = dataset.features.items()
        self.column = next((name for name, kind in kinds if isinstance(kind, datasets.Image)), None)
        if self.column is None:
            raise DataError(f"images has no column of pictures, only {', '.join(dataset.column_names)}")
        labels = next((name for name, kind in kinds if isinstance(kind, datasets.ClassLabel)), None)
        plain = dataset.with_format(None)
        self.targets = [NO_CLASS if label is None else label for label in plain[labels]] if labels else None
        self.classes = list(dataset.features[labels].names) if labels else None
        # Undecoded: `load_picture` tells what is wrong with a broken one, and no other column is read.
        self.rows = plain.select_columns([self.column]).cast_column(self.column, datasets.Image(decode=False))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        value = self.rows[index][self.column]
        if value is None:
            return PictureError("no picture in this row")
        return value["bytes"] if value["bytes"] is not None else Path(value["path"])


# Batches ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Pictures on their way into a network.

    `indices` (n,) int64, places in the source; `inputs` (n, C, H, W), laid out channels-last.
    """

    indices: Tensor
    inputs: Tensor


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
    ready: list[tuple[int, Tensor]] = []
    for index, value in _decoded(pictures, transform, indices, batch_size):
        if isinstance(value, PictureError):
            pictures.skipped[index] = str(value)
            if not pictures.skip_bad:
                raise PictureError(f"{pictures.paths[index]}: {value}")
            continue
        if ready and value.shape != ready[0][1].shape:
            sizes = f"{tuple(value.shape)}, {pictures.paths[ready[0][0]]} of {tuple(ready[0][1].shape)}"
            raise DataError(f"{pictures.paths[index]} is of shape {sizes}: expected one size")
        ready.append((index, value))
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
) -> Iterator[tuple[int, Tensor | PictureError]]:
    """Every picture in order, or why not; about `ahead` of them are decoded while the consumer is busy."""

    reading = threading.Lock()

    def load(index: int) -> Tensor | PictureError:
        try:
            item = pictures.item(index, reading)
            return item if isinstance(item, Tensor) else transform(item)
        except PictureError as error:
            return error

    order = iter(range(len(pictures)) if indices is None else indices)
    workers = min(4, os.cpu_count() or 1)
    waiting: deque[tuple[int, Future[Tensor | PictureError]]] = deque()
    with ThreadPoolExecutor(workers, "decode") as pool:
        try:
            while True:
                while len(waiting) < ahead + 2 * workers and (place := next(order, None)) is not None:
                    waiting.append((int(place), pool.submit(load, int(place))))
                if not waiting:
                    return
                index, future = waiting.popleft()
                yield index, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _batch(ready: list[tuple[int, Tensor]]) -> Batch:
    indices = torch.tensor([index for index, _ in ready])
    rows = torch.stack([value.permute(1, 2, 0) for _, value in ready])  # (n, H, W, C)
    return Batch(indices, rows.permute(0, 3, 1, 2))
