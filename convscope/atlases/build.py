"""Build an atlas: scan, project, write down, and go on where a killed build stopped (METHODS F2, V5, V6).

    atlas(network, pictures, "out/atlas")
    atlas(network, pictures, "out/atlas", shard=(0, 4))       # a quarter of the scan, perhaps on another machine

Work units are fixed ranges of picture indices. What is known of finished units lies in `out/building`, a file for each
span of them, and so do finished chunks of projections; the finished files are put together from these. Killed at any
moment, in any order of shards, the result is the same to the byte.
"""

import errno
import hashlib
import shutil
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from convscope.atlases.checkpoints import Known, Spans
from convscope.atlases.scan import UNIT, Scanner, Score, Top, chosen_layers, require_enough
from convscope.atlases.store import (
    BUILDING,
    CHANNELS,
    GROUP,
    MANIFEST,
    PICTURES,
    TOP,
    Atlas,
    Info,
    Skipped,
    open_atlas,
    put_table,
    tile_box,
)
from convscope.atlases.tally import Leaders, Statistics, Tally
from convscope.data.batches import batches
from convscope.data.collection import NO_CLASS, Pictures
from convscope.data.sources import images
from convscope.device import resolve
from convscope.errors import ArgumentError, AtlasError, DataError, PictureError
from convscope.files import put
from convscope.models.network import Layer, Network
from convscope.pictures import display, encode
from convscope.probe.rectify import LRN, Rule
from convscope.probe.reverse import Projected, Reverse, Start, Units
from convscope.progress import progress

PLAN = "plan.json"
CHUNK = 128 * 2**20  # bytes of pictures that one chunk of projections may need at a time
CACHE = 256 * 2**20  # bytes of pictures kept for the next chunk
STRETCH = 256  # pictures, or channels, to a row group of the small tables
THUMBNAIL = 160  # pixels of the larger side, at most
GREY = 128
SLICE = 32  # projections made presentable at a time, in float64

Project = Callable[[Tensor, Mapping[str, Units]], Mapping[str, Projected]]
Row = dict[str, Any]


@overload
def atlas(
    network: Network,
    pictures: object,
    out: str | Path,
    layers: Sequence[str] | None = None,
    top: int = 9,
    score: Score = "max",
    batch_size: int = 64,
    device: str | torch.device | None = None,
    dtype: str | None = None,
    *,
    rule: Rule = "deconvnet",
    lrn: LRN = "identity",
    start: Start = "activation",
    unit: int = UNIT,
    shard: None = None,
) -> Atlas: ...
@overload
def atlas(
    network: Network,
    pictures: object,
    out: str | Path,
    layers: Sequence[str] | None = None,
    top: int = 9,
    score: Score = "max",
    batch_size: int = 64,
    device: str | torch.device | None = None,
    dtype: str | None = None,
    *,
    rule: Rule = "deconvnet",
    lrn: LRN = "identity",
    start: Start = "activation",
    unit: int = UNIT,
    shard: tuple[int, int],
) -> None: ...
def atlas(
    network: Network,
    pictures: object,
    out: str | Path,
    layers: Sequence[str] | None = None,
    top: int = 9,
    score: Score = "max",
    batch_size: int = 64,
    device: str | torch.device | None = None,
    dtype: str | None = None,
    *,
    rule: Rule = "deconvnet",
    lrn: LRN = "identity",
    start: Start = "activation",
    unit: int = UNIT,
    shard: tuple[int, int] | None = None,
) -> Atlas | None:
    """What every feature map of `layers` responds to, in the folder `out`: built, resumed, or opened where finished.

    For each channel the `top` pictures with the highest score (as in `scan`), the patch around the position where the
    map is largest (V6) and the projection of that one unit under `rule`, `lrn` and `start` (V1), shown by V5; besides,
    how the channel behaves over all pictures. Pictures in which a map's score is not above 0 take no place (F2), unless
    `score` is a function. Pictures that cannot be read are left out and listed in `info.skipped`.

    `shard=(i, n)` only scans the i-th of n parts and returns None; when all parts are in `out`, a call without it
    finishes. `unit` is the number of pictures between checkpoints. Batch size and device may change between calls
    (they change values by rounding); anything else that is different from what the folder holds, network and pictures
    included, raises AtlasError, as does a full disk, which leaves the last checkpoint usable. Raises otherwise what
    `scan` raises.
    """
    source, out = images(pictures), Path(out)
    require_enough(source, top)
    chosen = chosen_layers(network, layers)
    scanner = Scanner(network, chosen, score, batch_size, device, dtype)
    place = resolve(device)
    reverse = Reverse(network.working(place), network.graph(), network.geometry(), list(chosen), rule, lrn, start)
    settings = {"top": top, "rule": rule, "lrn": lrn, "start": start, "unit": unit}
    if unit < 1:
        raise ArgumentError("unit", unit, "expected at least 1")
    units = -(-len(source) // unit)
    part = _part(shard, units)
    info = _describe(scanner, source, settings)
    with _disk(out):
        if _begin(out, info):
            return None if shard else open_atlas(out)
        spans = Spans(out / BUILDING, units)
        scan_units(scanner, source, spans, top, unit, part)
        if shard:
            return None
        total = spans.total()
        build = _Build(out / BUILDING, info, source, network, chosen, total.tallies, reverse, place, callable(score))
        build.finish(out, replace(info, skipped=_skipped(source, total.skipped)))
        return open_atlas(out)


def _describe(scanner: Scanner, source: Pictures, settings: Mapping[str, Any]) -> Info:
    network, score = scanner.network, scanner.score
    return Info(
        network=network.name,
        spec=network.spec,
        weights=network.fingerprint(),
        transform=transform_sum(network),
        input_size=network.input_size,
        classes=network.classes,
        parameters=sum(p.numel() for p in network.module.parameters()),
        table=tuple(network.layers()),
        layers=tuple(scanner.layers),
        data=source.name,
        fingerprint=source.fingerprint(),
        sample=_sample_sum(source),
        data_classes=source.classes,
        pictures=len(source),
        skipped=(),
        score=f"{score.__module__}.{score.__qualname__}" if callable(score) else score,
        dtype=None if scanner.dtype == "float32" else scanner.dtype,
        batch_size=scanner.batch_size,
        device=str(resolve(scanner.device)),
        convscope=version("convscope"),
        torch=torch.__version__,
        **settings,
    )


def transform_sum(network: Network) -> str:
    """SHA-256 of all that decides what a picture becomes before the network sees it."""
    transform = network.transform
    digest = hashlib.sha256(repr((transform.input_size, transform.resized)).encode())
    for table in (transform.mean, transform.std):
        digest.update(np.asarray(table, np.float32).tobytes())
    return digest.hexdigest()


def _sample_sum(source: Pictures, count: int = 8) -> str:
    """SHA-256 of the pixels of a few pictures: names alone do not tell one array of tensors from another."""
    digest = hashlib.sha256()
    for index in sorted({round(k * (len(source) - 1) / (count - 1)) for k in range(count)}):
        try:
            digest.update(np.ascontiguousarray(source.item(index)).tobytes())
        except PictureError:
            digest.update(b"none")
    return digest.hexdigest()


@contextmanager
def _disk(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        again = "free some and run the same command again: it goes on from its last checkpoint"
        raise AtlasError(f"{out}: no space left on the disk; {again}") from error


SAME = {  # what a folder's build and a new call must have in common
    "another network": ("weights", "transform", "input_size", "table"),
    "other pictures": ("fingerprint", "sample"),
    "other settings": ("layers", "top", "score", "rule", "lrn", "start", "dtype", "unit"),
    "another version": ("convscope", "format"),
}
PLAIN = (*SAME["other settings"], "input_size", "convscope")  # short enough to quote


def _begin(out: Path, info: Info) -> bool:
    """Make or check the folder; whether the atlas in it is finished. Raises AtlasError when it is of something else."""
    building = out / BUILDING
    finished = (out / MANIFEST).is_file()
    file = out / MANIFEST if finished else building / PLAN
    if file.is_file():
        _require_same(out, Info.read(file), info)
    if finished:
        shutil.rmtree(building, ignore_errors=True)
        return True
    try:
        building.mkdir(parents=True, exist_ok=True)
        put(file, info.encoded())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise AtlasError(f"out is {str(out)!r}: cannot be written ({error.strerror})") from error
    return False


def _require_same(out: Path, there: Info, here: Info) -> None:
    for what, names in SAME.items():
        for name in names:
            old, new = getattr(there, name), getattr(here, name)
            if old != new:
                detail = f"{name} is {old!r} there, {new!r} here" if name in PLAIN else f"not the same {name}"
                raise AtlasError(f"out is {str(out)!r}: holds an atlas of {what} ({detail}); choose another folder")


def _part(shard: tuple[int, int] | None, units: int) -> range:
    """The units of a shard: a range, so that its spans merge."""
    if shard is None:
        return range(units)
    part, parts = shard
    if not 0 <= part < parts:
        raise ArgumentError("shard", shard, "expected (i, n) with i from 0 to n - 1")
    return range(part * units // parts, (part + 1) * units // parts)


def _skipped(source: Pictures, reasons: Mapping[int, str]) -> tuple[Skipped, ...]:
    source.skipped.update(reasons)
    return tuple(Skipped(image, source.paths[image], reason) for image, reason in sorted(reasons.items()))


def scan_units(scanner: Scanner, source: Pictures, spans: Spans, top: int, unit: int, part: range) -> None:
    """Finish the missing units of `part`."""
    missing = spans.missing(part)
    ranges = {k: range(k * unit, min((k + 1) * unit, len(source))) for k in missing}
    with progress(sum(map(len, ranges.values())), "scanning") as advance:
        for number, indices in ranges.items():
            places, tables = scanner.tables(source, indices, advance)
            tallies = {
                layer: Tally(
                    Leaders.of(table.values, table.places, places, top),
                    Statistics.of(table.values, table.places, _extent(scanner.layers[layer])),
                )
                for layer, table in tables.items()
            }
            skipped = {index: source.skipped[index] for index in indices if index in source.skipped}
            spans.add(number, Known(tallies, skipped), part)


def _extent(layer: Layer) -> tuple[int, int]:
    return layer.height, layer.width


class _Inputs:
    """The pictures of a source in network space, the most recent kept."""

    def __init__(self, source: Pictures, network: Network) -> None:
        self.source, self.network = source, network
        size = 4 * int(np.prod(network.input_size))
        self.capacity = max(1, CACHE // size)
        self.kept: OrderedDict[int, Tensor] = OrderedDict()

    def __call__(self, indices: Sequence[int]) -> Tensor:
        """The pictures at `indices`, (n, C, H, W). Raises DataError when one can no longer be read."""
        found = {index: self.kept[index] for index in indices if index in self.kept}
        missing = [index for index in indices if index not in found]
        for batch in batches(self.source, self.network.transform, 32, missing):
            found |= zip(batch.indices.tolist(), batch.inputs.unbind(0), strict=True)
        for index in indices:
            if index not in found:
                raise DataError(f"{self.source.paths[index]} was read by the scan and now cannot be: pictures changed")
            self.kept[index] = found[index]
            self.kept.move_to_end(index)
        while len(self.kept) > self.capacity:
            self.kept.popitem(last=False)
        return torch.stack([found[index] for index in indices])


@dataclass
class _Build:
    """The part of a build that follows the scan."""

    folder: Path
    info: Info
    source: Pictures
    network: Network
    layers: Mapping[str, Layer]
    tallies: Mapping[str, Tally]
    project: Project
    device: torch.device
    keep_all: bool

    def __post_init__(self) -> None:
        if not self.tallies:
            raise DataError(f"no picture of {self.source.name} can be read")
        self.tops = {layer: Top.of(self.tallies[layer].leaders, at.width) for layer, at in self.layers.items()}
        self.inputs = _Inputs(self.source, self.network)

    def finish(self, out: Path, info: Info) -> None:
        """Project what is missing, write the tables, then `atlas.json`, which says that all is there."""
        tops, pictures = self._project(), self._picture()
        put_table(out / "top.parquet", TOP, _groups(tops), self.folder)
        put_table(out / "channels.parquet", CHANNELS, self._channels(), self.folder)
        put_table(out / "pictures.parquet", PICTURES, _groups(pictures), self.folder)
        put(out / MANIFEST, info.encoded(), self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _project(self) -> list[Path]:
        """A file for each chunk of channels."""
        size = 4 * int(np.prod(self.info.input_size)) * self.info.top
        step = GROUP * max(1, min(8, CHUNK // size // GROUP))
        chunks = [(layer, first) for layer, at in self.layers.items() for first in range(0, at.channels, step)]
        files = [self.folder / f"top-{k:06d}.parquet" for k in range(len(chunks))]
        missing = [(file, *chunk) for file, chunk in zip(files, chunks, strict=True) if not file.exists()]
        with progress(len(missing) * step, "projecting") as advance, _flat_ones():
            for file, layer, first in missing:
                rows = self._rows(layer, range(first, min(first + step, self.layers[layer].channels)))
                groups = [
                    pa.Table.from_pylist([row for row in rows if row["channel"] // GROUP == group], TOP)
                    for group in range(first // GROUP, -(-(first + step) // GROUP))
                ]
                put_table(file, TOP, groups)
                advance(step)
        return files

    def filled(self, layer: str) -> Tensor:
        """(C, top) bool: the places that a picture takes."""
        top = self.tops[layer]
        return (top.images >= 0) & ((top.values > 0) | self.keep_all)

    def _rows(self, layer: str, channels: range) -> list[Row]:
        """Rows of `top.parquet`: patches and projections of some channels of a layer."""
        top, at = self.tops[layer], self.layers[layer]
        places = self.filled(layer)[channels.start : channels.stop].nonzero()
        if not len(places):
            return []
        channel, rank = places[:, 0] + channels.start, places[:, 1]
        chosen, picture = torch.unique(top.images[channel, rank], return_inverse=True)
        inputs = self.inputs(chosen.tolist())
        position = top.positions[channel, rank]
        on_device = inputs.to(self.device, self.network.dtype)
        found = self.project(on_device, {layer: Units(picture, channel, position)})[layer]
        boxes = [tile_box(at, self.info.input_size, *p) for p in position.tolist()]
        corners, pixels = found.top_left.tolist(), [self._pixels(x) for x in inputs]
        patches = [cut(pixels[p], (0, 0), box, GREY) for p, box in zip(picture.tolist(), boxes, strict=True)]
        projections: list[bytes] = []
        with ThreadPoolExecutor(4, "encode") as pool:
            encoded = pool.map(lambda patch: encode(patch.permute(1, 2, 0).numpy()), patches)
            for k in range(0, len(boxes), SLICE):
                crops = found.crops[k : k + SLICE].float().cpu()
                tiles = [
                    cut(*tile, 0) for tile in zip(crops, corners[k : k + SLICE], boxes[k : k + SLICE], strict=True)
                ]
                projections += pool.map(encode, display(torch.stack(tiles)))
        facts = zip(channel.tolist(), rank.tolist(), position.tolist(), boxes, encoded, projections, strict=True)
        return [self._row(layer, *fact) for fact in facts]

    def _row(
        self,
        layer: str,
        channel: int,
        rank: int,
        position: list[int],
        box: tuple[int, int, int, int],
        patch: bytes,
        projection: bytes,
    ) -> Row:
        top = self.tops[layer]
        image = int(top.images[channel, rank])
        row = {"layer": layer, "channel": channel, "rank": rank, "value": float(top.values[channel, rank])}
        row |= self._source(image) | {"row": position[0], "column": position[1]}
        row |= dict(zip(("top", "left", "bottom", "right"), box, strict=True))
        return row | {"patch": patch, "projection": projection}

    def _source(self, image: int) -> Row:
        source = self.source
        label = source.labels[image] if source.labels is not None and source.classes is not None else NO_CLASS
        name = source.classes[label] if source.classes is not None and label != NO_CLASS else None
        return {"image": image, "path": source.paths[image], "label": name}

    def _pixels(self, x: Tensor) -> Tensor:
        """A picture in network space as (3, H, W) uint8."""
        return torch.from_numpy(self.network.transform.picture(x)).permute(2, 0, 1)

    def _picture(self) -> list[Path]:
        """A file for each stretch of the pictures that appear."""
        shown = torch.unique(torch.cat([self.tops[layer].images[self.filled(layer)] for layer in self.layers])).tolist()
        stretches = [shown[k : k + STRETCH] for k in range(0, len(shown), STRETCH)]
        files = [self.folder / f"pictures-{k:06d}.parquet" for k in range(len(stretches))]
        for file, stretch in zip(files, stretches, strict=True):
            if not file.exists():
                thumbnails = [_thumbnail(self._pixels(x)) for k in stretch for x in self.inputs([k])]
                rows = [self._source(k) | {"thumbnail": t} for k, t in zip(stretch, thumbnails, strict=True)]
                put_table(file, PICTURES, [pa.Table.from_pylist(rows, PICTURES)])
        return files

    def _channels(self) -> Iterator[pa.Table]:
        """Row groups of `channels.parquet`."""
        for layer in self.layers:
            rows = _statistics(layer, self.tallies[layer].statistics)
            for first in range(0, len(rows), STRETCH):
                yield pa.Table.from_pylist(rows[first : first + STRETCH], CHANNELS)


def _statistics(layer: str, found: Statistics) -> list[Row]:
    low, high = found.edges()
    similar, correlation = found.similar()
    columns = {
        "channel": range(len(low)),
        "mean": found.mean.tolist(),
        "maximum": found.high.tolist(),
        "fires": (found.fires / found.pictures).tolist(),
        "dead": (found.fires == 0).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "histogram": found.histogram.tolist(),
        "peaks": found.peaks.flatten(1).tolist(),
        "similar": similar.tolist(),
        "correlation": correlation.tolist(),
    }
    shape = {"layer": layer, "peak_rows": found.peaks.shape[1], "peak_columns": found.peaks.shape[2]}
    return [shape | dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def cut(source: Tensor, corner: Sequence[int], box: tuple[int, int, int, int], fill: int) -> Tensor:
    """The part of `source` (C, h, w) in `box`, both in pixels of one picture; `corner` is where source begins (V6)."""
    top, left, bottom, right = (edge - corner[k % 2] for k, edge in enumerate(box))
    tile = source.new_full((len(source), bottom - top, right - left), fill)
    rows = slice(max(top, 0), min(bottom, source.shape[1]))
    columns = slice(max(left, 0), min(right, source.shape[2]))
    if rows.start < rows.stop and columns.start < columns.stop:
        tile[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = source[
            :, rows, columns
        ]
    return tile


def _thumbnail(pixels: Tensor) -> bytes:
    image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    return encode(np.asarray(image))


@contextmanager
def _flat_ones() -> Iterator[None]:
    """One warning for all projections that are zero everywhere, not one a chunk."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        warnings.warn(message, stacklevel=2)


def _groups(files: Sequence[Path]) -> Iterator[pa.Table]:
    for path in files:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)
