"""What layers make of pictures, on disk: computed once, for every experiment that asks (METHODS E0, TB7).

    with kept("cache") as store:
        found = features(network, pictures, ["norm1", "relu7"], store)
        found["relu7"].raw(places)                       # (n, 4096)
        found["norm1"].inner(train, test)                # (n, m) cosines

Of a layer with more numbers than there are pictures only the inner products of all pairs stay, all that a linear
classifier needs. They are computed a few columns at a time, so that memory does not grow with the layer.
"""

import hashlib
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.data.batches import batches
from convscope.data.picture_set import Pictures
from convscope.device import resolve
from convscope.disk.cache import Cache
from convscope.disk.scratch_dirs import scratch
from convscope.errors import DataError
from convscope.models.network import Network
from convscope.probe.descriptors.hog import hog
from convscope.probe.trace.record import run
from convscope.progress import progress

HOG = "HOG"
CHUNK = 2**25  # features read at a time, and inner products added up: 128 MiB in single precision
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """What one layer, or HOG, makes of N pictures: `size` numbers each.

    `values` (N, size), or else `gram` (N, N), their inner products; mapped, in single precision, zero where a picture
    could not be read, as `read` (N,) has it. `key`: what they follow from.
    """

    size: int
    key: Mapping[str, Any]
    read: NDArray[np.bool_]
    values: Floats | None = None
    gram: Floats | None = None

    def inner(self, rows: Sequence[int], columns: Sequence[int]) -> Tensor:
        """Cosines between pictures, (rows, columns): inner products of features scaled to length one."""
        if self.gram is not None:
            found = torch.from_numpy(self.gram[np.asarray(rows)][:, np.asarray(columns)])
            squares = torch.from_numpy(self.gram.diagonal().copy())
            return found * _inverse(squares[list(rows)])[:, None] * _inverse(squares[list(columns)])
        return self.unit(rows) @ self.unit(columns).T

    def unit(self, rows: Sequence[int]) -> Tensor:
        """Values scaled to length one, (rows, size); zeros stay."""
        raw = self.raw(rows)
        return raw * _inverse(raw.square().sum(1))[:, None]

    def raw(self, rows: Sequence[int]) -> Tensor:
        """Values as the layer gives them, (rows, size)."""
        assert self.values is not None
        return torch.from_numpy(self.values[np.asarray(rows)])

    def chunks(self, rows: Sequence[int]) -> Iterator[Tensor]:
        """`raw` some columns at a time, as many as `CHUNK` allows."""
        assert self.values is not None
        width = max(1, CHUNK // max(1, len(rows)))
        for start in range(0, self.size, width):
            yield torch.from_numpy(self.values[:, start : start + width][np.asarray(rows)])


def _inverse(squares: Tensor) -> Tensor:
    """One over the length; 0 of what has none."""
    return torch.where(squares > 0, squares.clamp_min(torch.finfo(squares.dtype).tiny).rsqrt(), 0)


@contextmanager
def kept(cache: Cache | str | Path | None) -> Iterator[Cache]:
    """The cache asked for, or one that is gone afterwards."""
    if cache is not None:
        yield cache if isinstance(cache, Cache) else Cache(cache)
        return
    with tempfile.TemporaryDirectory(prefix="convscope-") as folder:
        yield Cache(folder)


def features(
    network: Network,
    pictures: Pictures,
    layers: Sequence[str],
    store: Cache,
    *,
    content: str,
    narrow: bool = True,
    batch_size: int = 64,
    device: str | None = None,
) -> dict[str, Features]:
    """What each of `layers` makes of the centre crop of all pictures, "HOG" being one of them (METHODS I3).

    One forward pass serves all layers that are not in `store` yet. `content`: what the pictures are, as
    `contents.together` says it; `narrow`: of a layer with more numbers than there are pictures keep only the inner
    products. Raises LayerError, DataError where no picture can be read.
    """
    sizes = {layer: _size(network, layer) for layer in layers}
    kinds = {layer: "inner" if narrow and sizes[layer] > len(pictures) else "features" for layer in layers}
    keys = {layer: {**_key(network, layer), "pictures": content} for layer in layers}
    missing = [layer for layer in layers if not store.place(kinds[layer], keys[layer]).is_dir()]
    if missing:
        with _scratch(store) as folder:
            few = max(1, CHUNK // len(pictures))
            shapes = {k: (sizes[k], min(few, sizes[k]) if kinds[k] == "inner" else sizes[k]) for k in missing}
            made = _compute(network, pictures, shapes, folder, batch_size, device)
            for layer, file in made.items():
                store.part(kinds[layer], keys[layer], partial(_keep, file, kinds[layer]))
    found = {}
    for layer in layers:
        arrays = store.arrays(kinds[layer], keys[layer], dict)
        if "values" in arrays:
            arrays["values"] = arrays["values"].reshape(len(pictures), -1)
        found[layer] = Features(sizes[layer], keys[layer], **arrays)
        for place in np.flatnonzero(~found[layer].read).tolist():
            pictures.skipped.setdefault(place, "cannot be read")
    return found


@contextmanager
def _scratch(store: Cache) -> Iterator[Path]:
    """A folder beside the parts, gone afterwards."""
    try:
        Path(store.folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cache is {str(store.folder)!r}: {error.strerror}; expected a folder to write to") from error
    with scratch(Path(store.folder), "computing-") as folder:
        yield folder


def _key(network: Network, layer: str) -> dict[str, Any]:
    """What a layer's features follow from besides the pictures."""
    transform = network.transform
    size = [*transform.input_size, *transform.resized]
    if layer == HOG:
        return {"layer": layer, "size": size}
    tables = b"".join(table.numpy().tobytes() for table in (transform.mean_table, transform.std_table))
    graph = repr([(node.op, node.shape) for node in network.graph().nodes])
    made = hashlib.sha256(tables + graph.encode()).hexdigest()
    return {"layer": layer, "size": size, "weights": network.fingerprint(), "made": made}


def _size(network: Network, layer: str) -> int:
    if layer == HOG:
        return _hog(network, torch.zeros(1, *network.input_size)).shape[1]
    return math.prod(network.graph().node(layer).shape[1:])


def _hog(network: Network, inputs: Tensor) -> Tensor:
    """Descriptors (N, size) of inputs in network space."""
    std, mean = (
        network.transform.cropped(table) for table in (network.transform.std_table, network.transform.mean_table)
    )
    return hog((inputs.float() * std + mean).clamp(0, 1)).flatten(1)


@torch.inference_mode()
def _compute(
    network: Network,
    pictures: Pictures,
    sizes: Mapping[str, tuple[int, int]],
    folder: Path,
    batch_size: int,
    device: str | None,
) -> dict[str, Path]:
    """A folder of its own for every layer, with `values.npy` and `read.npy` in it.

    `sizes`: numbers a picture, and how many of these columns lie together: values are (parts, N, columns), with zeros
    at the end.
    """
    files = {layer: folder / str(number) for number, layer in enumerate(sizes)}
    for layer, (size, width) in sizes.items():
        files[layer].mkdir()
        shape = math.ceil(size / width), len(pictures), width
        np.lib.format.open_memmap(files[layer] / "values.npy", "w+", np.float32, shape)
    module, where, read = network.working(device), resolve(device), np.zeros(len(pictures), bool)
    reducers = {layer: lambda maps: maps.float().flatten(1).cpu() for layer in sizes if layer != HOG}
    times = network.graph().times if reducers else None
    with progress(len(pictures), f"features of {network.name}") as advance:
        for batch in batches(pictures, network.transform, batch_size):
            inputs = network.inputs(batch.inputs)
            rows = batch.indices.numpy()
            found = run(module, inputs.to(where), reducers, times=times) if reducers else {}
            if HOG in sizes:
                found[HOG] = _hog(network, inputs)
            for layer, made in found.items():
                _write(files[layer] / "values.npy", rows, made.numpy())
            read[rows] = True
            advance(len(rows))
    if not read.any():
        raise pictures.unreadable()
    for place in files.values():
        np.save(place / "read.npy", read)
    return files


def _write(file: Path, rows: NDArray[np.int64], made: Floats) -> None:
    """Values of some pictures into their file, mapped no longer than that takes: what is mapped counts as memory."""
    parts = np.load(file, mmap_mode="r+")
    width = parts.shape[-1]
    for number, part in enumerate(parts):
        columns = made[:, number * width : (number + 1) * width]
        part[rows, : columns.shape[1]] = columns


def _keep(made: Path, kind: str, part: Path) -> None:
    """Fill a part with the features of one layer, or with their inner products."""
    if kind == "inner":
        _inner(made / "values.npy", part / "gram.npy")
    else:
        shutil.move(made / "values.npy", part / "values.npy")
    shutil.move(made / "read.npy", part / "read.npy")


def _inner(values: Path, file: Path) -> None:
    """Inner products of N pictures, (N, N), to a file, as many of its rows at a time as `CHUNK` allows."""
    parts, count, _ = np.load(values, mmap_mode="r").shape
    gram = np.lib.format.open_memmap(file, "w+", np.float32, (count, count))
    height = max(1, CHUNK // count)
    tops = range(0, count, height)
    with progress(len(tops) * parts, "inner products") as advance:
        for top in tops:
            end = min(top + height, count)
            block = torch.zeros(end - top, end)
            for number in range(parts):
                part = torch.from_numpy(np.array(np.load(values, mmap_mode="r")[number, :end]))
                block.addmm_(part[top:], part.T)
                advance(1)
            gram[top:end, :end] = block
            gram[:top, top:end] = block[:, :top].T
    gram.flush()
