"""Where pictures come from: folders, files, what is bundled, torchvision, Hugging Face, any torch data set."""

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convscope.data import standard_datasets
from convscope.data.picture_set import NO_CLASS, Pictures
from convscope.errors import ArgumentError, DataError, PictureError
from convscope.pictures import GALLERY, bundled

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".j2k", ".avif", ".ico"}
)


def images(source: object, *, skip_bad: bool = True) -> Pictures:
    """The pictures of `source`, one of

    - a folder, searched to any depth; where pictures lie in subfolders, the first-level folders are the classes
      (and a picture beside them has label -1), those without any picture being listed as `empty`. Files that are no
      pictures by their extension are ignored;
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
    path = bundled(path.expanduser())
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
    listed = {path for path, _ in found} | set(number)
    others = (each for each in root.iterdir() if each.name not in listed) if number else ()
    empty = sorted(each.name for each in others if not each.name.startswith(".") and each.is_dir())
    return Pictures(
        name,
        [item if isinstance(item, PictureError) else root / path for path, item in found],
        paths=[_printable(path) for path, _ in found],
        labels=[number[folder] if folder is not None else NO_CLASS for folder in first] if number else None,
        classes=[_printable(folder) for folder in number] if number else None,
        skip_bad=skip_bad,
        empty=[_printable(folder) for folder in empty],
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
    if isinstance(dataset, standard_datasets.Listed):
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
    **{name: partial(standard_datasets.read, name) for name in standard_datasets.READERS},
}


class _HuggingFace(Sequence[Any]):
    """A Hugging Face data set's first picture column, as encoded bytes or paths, and its first class column."""

    parallel = True

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
