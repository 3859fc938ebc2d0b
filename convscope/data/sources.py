"""Where pictures come from: folders, files, what is bundled, torchvision, Hugging Face, any torch data set."""

import importlib
import os
import warnings
from collections.abc import Callable, Iterator, KeysView, Sequence, ValuesView
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convscope.data import standard_datasets
from convscope.data.dataset_items import PICTURE_KEYS
from convscope.data.folders import listed
from convscope.data.labels import labelled_by, not_classes
from convscope.data.picture_set import NO_CLASS, Pictures
from convscope.errors import ArgumentError, DataError, PictureError
from convscope.pictures import GALLERY, bundled
from convscope.printable import decodable

BUNDLED = ("gallery", "digits")


def images(source: object, *, labels: str | Path | None = None, skip_bad: bool = True) -> Pictures:
    """The pictures of `source`, one of

    - a folder, searched to any depth; where pictures lie in subfolders, the first-level folders are the classes
      (and a picture beside them has label -1), those without any picture being listed as `empty`. Warns of files that
      are no pictures by their suffix, and of all else in it that is not used;
    - one file, an array, a PIL image, or a list, an array, a pandas or polars Series or an iterator of any of these;
    - "gallery", the bundled pictures; "digits", the 1,797 handwritten ones, 8×8, that come with scikit-learn. A folder
      of that name in the current one goes first; "bundled:gallery" and "bundled:digits" are always the bundled ones;
    - "torchvision:NAME@ROOT", a data set that torchvision finds in ROOT (nothing is downloaded);
    - "hf:NAME@SPLIT", a Hugging Face data set, its first picture column (needs the extra `datasets`); NAME may be a
      folder that `save_to_disk` wrote;
    - "imagenet:ROOT@val", "caltech101:ROOT", "caltech256:ROOT", "voc2012:ROOT@val", "mnist:ROOT@test" or
      "five:ROOT@test", data sets as their authors divide them, their counts checked (METHODS D1 to D6);
    - a torch or Hugging Face data set with a length. Items are pictures, (picture, label), or dictionaries with
      "image" and perhaps "label"; uint8 tensors are (C, H, W), float tensors (C, H, W) are taken as already in network
      space.

    `labels` is a table of paths and classes (`convscope.data.labels`), in place of the classes that the source has.
    `skip_bad=False` makes `batches` raise PictureError at the first broken picture instead of leaving it out.
    Raises DataError for a source that is empty, missing, or cannot be read by index, and for labels that do not fit.
    """
    pictures = _opened(source, skip_bad)
    if labels is not None:
        return labelled_by(pictures, labels)
    if pictures is not source and (problem := not_classes(pictures)):
        warnings.warn(problem, stacklevel=2)
    return pictures


def with_classes(source: object, labels: str | Path | None) -> Pictures:
    """Return the pictures of `source`, with the classes of the table where they have none of their own."""
    pictures = images(source)
    return pictures if labels is None or pictures.classes else images(pictures, labels=labels)


def bundled_spelling(name: str) -> str:
    """Return how bundled pictures are spelled here, where a folder of the user's may have their name."""
    return f"bundled:{name}" if name in BUNDLED and Path(name).exists() else name


def _opened(source: object, skip_bad: bool) -> Pictures:
    if isinstance(source, Pictures):
        return source
    if isinstance(source, str):
        if not source.strip():
            raise DataError("images is '': expected a folder, a file or a name of pictures; is a variable not set?")
        kind, colon, rest = source.partition(":")
        if bundled_spelling(source) != source:
            warnings.warn(f"{source} is the folder here; bundled:{source} is what comes with convscope", stacklevel=3)
        elif source == "digits" or source == "bundled:digits":
            return _digits()
        elif source == "bundled:gallery":
            return _folder(GALLERY, "gallery", skip_bad)
        if colon and kind in SCHEMES:
            return _dataset(SCHEMES[kind](rest), f"{kind}:{_without_part(kind, rest)}", skip_bad)
    if isinstance(source, str | Path):
        return _path(Path(source), skip_bad)
    if isinstance(items := _as_list(source), list):
        return _dataset(items, type(source).__name__, skip_bad)
    if isinstance(source, Image.Image | bytes) or (isinstance(source, np.ndarray | Tensor) and source.ndim < 4):
        return Pictures("picture", [source], paths=["picture"], skip_bad=skip_bad)
    return _dataset(source, type(source).__name__, skip_bad)


def _as_list(source: Any) -> Any:
    """An iterator, a column of a table or an array of names or objects as a list; any other source as it is."""
    if isinstance(source, Iterator | KeysView | ValuesView):
        return list(source)
    if type(source).__name__ == "Series" or (isinstance(source, np.ndarray) and source.dtype.kind in "OU"):
        return list(source.tolist() if isinstance(source, np.ndarray) else source.to_list())
    return source


def _without_part(kind: str, spec: str) -> str:
    """What a spelling names, without the root of torchvision's data sets and the split of others."""
    return spec.partition("@")[0] if kind == "torchvision" else standard_datasets.without_split(spec)[0]


def _path(path: Path, skip_bad: bool) -> Pictures:
    path = bundled(path.expanduser())
    if path.is_dir():
        return _folder(path, path.resolve().name, skip_bad)
    if path.is_file():
        return Pictures(path.name, [path], paths=[decodable(path.name)], skip_bad=skip_bad)
    raise DataError(
        f"images is {str(path)!r}: no such folder or file; "
        'expected one, "gallery", "digits", "torchvision:NAME@ROOT" or "hf:NAME@SPLIT"'
    )


def _folder(root: Path, name: str, skip_bad: bool) -> Pictures:
    try:
        found = listed(root)
    except OSError as error:
        raise DataError(f"{root} cannot be read: {(error.strerror or str(error)).lower()}") from error
    remarks = "; ".join(found.remarks())
    if not found.paths:
        raise DataError(f"no pictures in {root}" + f": {remarks}" * bool(remarks))
    if remarks:
        warnings.warn(f"{name}: {remarks}", stacklevel=4)
    number = {folder: k for k, folder in enumerate(found.classes)}
    numbers = [number.get(path.partition("/")[0], NO_CLASS) for path in found.paths]
    return Pictures(
        name,
        [found.broken.get(path) or root / path for path in found.paths],
        paths=[decodable(path) for path in found.paths],
        labels=numbers if number else None,
        classes=list(number) if number else None,
        skip_bad=skip_bad,
        empty=[decodable(folder) for folder in found.empty] if number else (),
        alphabetical=bool(number),
    )


def _digits() -> Pictures:
    """Grey values 0 to 16 as 0 to 255."""
    from sklearn.datasets import load_digits  # a second that nobody else need wait for

    found = load_digits()
    pixels = np.rint(found.images * (255 / 16)).astype(np.uint8)
    labels = found.target.tolist()
    return Pictures("digits", list(pixels), labels=labels, classes=[str(digit) for digit in range(10)])


def _dataset(source: Any, name: str, skip_bad: bool) -> Pictures:
    if type(source).__module__.partition(".")[0] == "datasets":
        source = _HuggingFace(source)
    if isinstance(source, torch.utils.data.DataLoader):
        raise DataError("images is a DataLoader: expected its data set, loader.dataset")
    if type(source).__name__ == "DataFrame":
        columns = [str(column) for column in source.columns]
        path = next((column for column in columns if column in PICTURE_KEYS), "path")
        raise DataError(f"images is a DataFrame of {', '.join(columns)}: expected one column, as table[{path!r}]")
    if not hasattr(source, "__getitem__") or not hasattr(source, "__len__") or isinstance(source, dict):
        raise DataError(f"images is of type {type(source).__name__}: expected pictures by index and a length")
    if len(source) == 0:
        raise DataError(f"no pictures in {name}: it is empty")
    files = _files(source)
    return Pictures(
        name,
        source if files is None else files,
        paths=None if files is None else [decodable(os.path.relpath(file, source.root)) for file in files],
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
    name, split = standard_datasets.without_split(spec)
    folder, split = Path(name).expanduser(), split or "train"
    try:
        if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
            found = datasets.load_from_disk(str(folder))
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
