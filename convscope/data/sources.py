"""Where pictures come from: folders, single files, the bundled gallery, torchvision, Hugging Face, any torch data set.

Indices are places in the source: sorted relative-path order for files, the data set's own order otherwise. A picture
that cannot be read is skipped, with its reason in `Pictures.skipped`, and keeps its place.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ArgumentError, DataError, PictureError
from convscope.pictures import Source, load_picture

EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .png .bmp .dib .gif .tif .tiff .webp .ppm .pgm .pbm .pnm .tga .jp2 .j2k .avif .ico".split()
)
GALLERY = Path(__file__).parent.parent / "assets" / "gallery"
NO_CLASS = -1  # the label of a picture that lies beside the class folders


class Pictures:
    """Pictures by index, with labels where there are any.

    `name`; `paths`, relative and sorted, or "name[i]"; `classes` and `labels` (an index into `classes` a picture), or
    None; `tensors`: the items are float tensors, already in network space; `skipped`: index -> reason, filled as
    broken pictures are met.
    """

    def __init__(
        self,
        name: str,
        items: Sequence[Any],
        *,
        paths: list[str] | None = None,
        labels: list[int] | None = None,
        classes: Sequence[str] | None = None,
        skip_bad: bool = True,
    ) -> None:
        self.name, self._items, self.skip_bad = name, items, skip_bad
        self.paths = paths if paths is not None else [f"{name}[{i}]" for i in range(len(items))]
        self.labels = labels
        self.classes = tuple(classes) if classes is not None else None
        self.skipped: dict[int, str] = {}
        self.tensors = _is_network_space(_first(items))

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        kinds = f", {len(self.classes)} classes" if self.classes else ""
        return f"Pictures({self.name!r}, {len(self)} pictures{kinds})"

    def item(self, index: int) -> Image.Image | Tensor:
        """Picture `index` as RGB, or its float tensor (C, H, W). Raises PictureError and leaves `skipped` alone."""
        try:
            raw = self._items[index]
        except (OSError, SyntaxError, ValueError, EOFError) as error:  # what a data set's own decoding raises
            raise PictureError(" ".join(str(error).split()) or type(error).__name__) from error
        raw = raw[0] if isinstance(raw, tuple | list) else raw
        if _is_network_space(raw):
            return _network_space(raw)
        return load_picture(_pixels(raw), name="")

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
            labels=None if self.labels is None else [self.labels[i] for i in chosen],
            classes=self.classes,
            skip_bad=self.skip_bad,
        )

    def without(self, *classes: str) -> "Pictures":
        """The pictures of all other classes, their labels numbered anew."""
        if self.classes is None or self.labels is None:
            raise DataError(f"{self.name} has no classes, so none can be left out")
        for name in classes:
            if name not in self.classes:
                raise ArgumentError("classes", name, f"no such class in {self.name}")
        keep = [name for name in self.classes if name not in classes]
        number = {self.classes.index(name): k for k, name in enumerate(keep)}
        rest = self.subset(i for i, label in enumerate(self.labels) if label in number)
        rest.classes, rest.labels = tuple(keep), [number[label] for label in rest.labels or []]
        return rest

    def fingerprint(self) -> str:
        """File count and SHA-256 of the sorted name list (G0)."""
        names = "\n".join(sorted(self.paths)).encode("utf-8", "surrogateescape")
        return f"{len(self)}-{hashlib.sha256(names).hexdigest()}"


class _Chosen(Sequence[Any]):
    """Some items of a sequence, read only when asked for."""

    def __init__(self, items: Sequence[Any], places: list[int]) -> None:
        self.items, self.places = items, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        return self.items[self.places[index]]


def _first(items: Sequence[Any]) -> Any:
    if isinstance(items, list) and isinstance(items[0], Path):
        return items[0]
    first = items[0]
    return first[0] if isinstance(first, tuple | list) else first


def _is_network_space(item: object) -> bool:
    return isinstance(item, Tensor) and item.is_floating_point()


def _network_space(item: Tensor) -> Tensor:
    if item.ndim != 3 or 0 in item.shape:
        raise PictureError(f"a float tensor of shape {tuple(item.shape)}, expected (C, H, W)")
    return item


def _pixels(item: Any) -> Source:
    """A data set's item as what `load_picture` reads; uint8 tensors are (C, H, W), as torchvision's, or (H, W)."""
    if isinstance(item, Tensor):
        return np.asarray(item.movedim(0, -1) if item.ndim == 3 else item)
    if isinstance(item, Path | str | bytes | Image.Image | np.ndarray):
        return item
    raise PictureError(f"an item of type {type(item).__name__}, expected a picture, an array or a tensor")


def images(source: object, *, skip_bad: bool = True) -> Pictures:
    """The pictures of a folder, one file, "gallery", or a data set."""
    if isinstance(source, Pictures):
        return source
    if source == "gallery":
        return _folder(GALLERY, "gallery", skip_bad)
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir():
            return _folder(path, path.resolve().name, skip_bad)
        if path.is_file():
            return Pictures(path.name, [path], paths=[path.name], skip_bad=skip_bad)
        raise DataError(f"images is {str(source)!r}: no such folder or file")
    return Pictures(type(source).__name__, source, skip_bad=skip_bad)  # type: ignore[arg-type]


def _folder(root: Path, name: str, skip_bad: bool) -> Pictures:
    files = sorted(_walk(root, ()), key=lambda file: file.relative_to(root).as_posix())
    if not files:
        raise DataError(f"no pictures in {root}")
    parts = [file.relative_to(root).parts for file in files]
    classes = sorted({part[0] for part in parts if len(part) > 1})
    labels = [classes.index(part[0]) if len(part) > 1 else NO_CLASS for part in parts]
    return Pictures(
        name,
        files,
        paths=["/".join(part) for part in parts],
        labels=labels if classes else None,
        classes=classes or None,
        skip_bad=skip_bad,
    )


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """Picture files below `folder`, links followed except back into a folder that leads here."""
    here = os.path.realpath(folder)
    if here in above:
        return
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, (*above, here))
        elif entry.suffix.lower() in EXTENSIONS or (not entry.suffix and _looks_like_a_picture(entry)):
            yield entry


def _looks_like_a_picture(file: Path) -> bool:
    """Whether a file without an extension begins as a picture does (Caltech-101 has one)."""
    try:
        with Image.open(file):
            return True
    except Exception:  # no picture, or none that opens: nothing has been promised by its name
        return False


@dataclass(frozen=True)
class Batch:
    """Pictures on their way into a network: `indices` (n,) int64, places in the source; `inputs` (n, C, H, W) float32,
    laid out channels-last.
    """

    indices: Tensor
    inputs: Tensor


def batches(
    pictures: Pictures,
    transform: Callable[[Image.Image], Tensor],
    batch_size: int = 64,
    indices: Iterable[int] | None = None,
) -> Iterator[Batch]:
    """Batches in index order, decoded ahead of the consumer by a few threads, never more than two batches at a time.

    Pictures that cannot be read are left out and recorded in `pictures.skipped`. Float tensors pass unchanged.
    """
    if batch_size < 1:
        raise ArgumentError("batch_size", batch_size, "expected at least 1")

    def load(index: int) -> Tensor | PictureError:
        try:
            item = pictures.item(index)
            return item if isinstance(item, Tensor) else transform(item)
        except PictureError as error:
            return error

    order = iter(range(len(pictures)) if indices is None else indices)
    workers = min(4, os.cpu_count() or 1)
    waiting: deque[tuple[int, Future[Tensor | PictureError]]] = deque()
    ready: list[tuple[int, Tensor]] = []
    with ThreadPoolExecutor(workers, "decode") as pool:
        try:
            while True:
                while len(waiting) < batch_size + 2 * workers and (index := next(order, None)) is not None:
                    waiting.append((index, pool.submit(load, index)))
                if not waiting:
                    break
                index, future = waiting.popleft()
                value = future.result()
                if isinstance(value, PictureError):
                    pictures.skipped[index] = str(value)
                    if not pictures.skip_bad:
                        raise PictureError(f"{pictures.paths[index]}: {value}")
                    continue
                ready.append((index, value))
                if len(ready) == batch_size:
                    yield _batch(ready)
                    ready = []
            if ready:
                yield _batch(ready)
        finally:
            for _, future in waiting:
                future.cancel()


def _batch(ready: list[tuple[int, Tensor]]) -> Batch:
    indices = torch.tensor([index for index, _ in ready])
    stacked = torch.stack([value.permute(1, 2, 0) for _, value in ready])  # (n, H, W, C)
    return Batch(indices, stacked.permute(0, 3, 1, 2))
