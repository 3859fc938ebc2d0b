"""The part of a build that follows the scan: projections, patches and statistics, written as tables (METHODS V5, V6).

A chunk of channels is a file in `folder`, and what a killed build has finished is not made again.
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from convscope.atlases.channel_statistics import Statistics
from convscope.atlases.checkpoints import Known
from convscope.atlases.scan import Top
from convscope.atlases.store import CHANNELS, GROUP, MANIFEST, PICTURES, TOP, Info, opened_table, put_table, tile_box
from convscope.data.batches import Batch, batches
from convscope.data.picture_set import NO_CLASS, Pictures
from convscope.disk.atomic import put
from convscope.disk.paths import utf8_path
from convscope.errors import DataError
from convscope.models.network import Layer, Network
from convscope.pictures import GREY, cut, display, encode
from convscope.probe.projection import Projected, Units
from convscope.progress import progress

CHUNK = 128 * 2**20  # bytes of pictures that one chunk of projections may need at a time
CACHE = 256 * 2**20  # bytes of pictures kept for the next chunk
STRETCH = 256  # pictures, or channels, to a row group of the small tables
THUMBNAIL = 160  # pixels of the larger side, at most
AGAIN = "pictures changed; build into another folder"
SLICE = 32  # projections made presentable at a time, in float64

Project = Callable[[Tensor, Mapping[str, Units]], Mapping[str, Projected]]
Row = dict[str, Any]


class _Inputs:
    """The pictures of a source in network space, the most recent kept; `checksums` are those that the scan saw."""

    def __init__(self, source: Pictures, network: Network, checksums: Mapping[int, int]) -> None:
        self.source, self.network, self.checksums = source, network, checksums
        size = 4 * int(np.prod(network.input_size))
        self.capacity = max(1, CACHE // size)
        self.kept: OrderedDict[int, Tensor] = OrderedDict()

    def __call__(self, indices: Sequence[int]) -> Tensor:
        """The pictures at `indices`, (n, C, H, W). Raises DataError when one has changed or can no longer be read."""
        found = {index: self.kept[index] for index in indices if index in self.kept}
        missing = [index for index in indices if index not in found]
        for batch in batches(self.source, self.network.transform, 32, missing):
            self._require_same(batch)
            found |= zip(batch.indices.tolist(), batch.inputs.unbind(0), strict=True)
        for index in indices:
            if index not in found:
                raise DataError(f"{self.source.paths[index]} was read by the scan and now cannot be: {AGAIN}")
            self.kept[index] = found[index]
            self.kept.move_to_end(index)
        while len(self.kept) > self.capacity:
            self.kept.popitem(last=False)
        return torch.stack([found[index] for index in indices])

    def _require_same(self, batch: Batch) -> None:
        for index, checksum in zip(batch.indices.tolist(), batch.checksums.tolist(), strict=True):
            if self.checksums.get(index, checksum) != checksum:
                raise DataError(f"{self.source.paths[index]} is another picture than the scan saw: {AGAIN}")


@dataclass
class Tables:
    """The pictures, projections and statistics of an atlas, from what a scan found; `folder` holds what is unfinished.

    Raises DataError where the scan could read no picture.
    """

    folder: Path
    info: Info
    source: Pictures
    network: Network
    layers: Mapping[str, Layer]
    known: Known
    project: Project
    device: torch.device
    keep_all: bool

    def __post_init__(self) -> None:
        self.tallies = self.known.tallies
        if not self.tallies:
            self.source.skipped.update(self.known.skipped)
            raise self.source.unreadable()
        self.tops = {layer: Top.of(self.tallies[layer].leaders, at.width) for layer, at in self.layers.items()}
        self.inputs = _Inputs(self.source, self.network, self.known.checksums)

    def finish(self, out: Path, info: Info) -> None:
        """Project what is missing, write the tables, then `atlas.json`, which says that all is there."""
        tops, pictures = self._project(), self._picture()
        put_table(out / "top.parquet", TOP, _groups(tops), self.folder)
        put_table(out / "channels.parquet", CHANNELS, self._channels(), self.folder)
        put_table(out / "pictures.parquet", PICTURES, _groups(pictures), self.folder)
        put(out / MANIFEST, info.encoded(), self.folder)

    def _project(self) -> list[Path]:
        """A file for each chunk of channels."""
        size = 4 * int(np.prod(self.info.input_size)) * self.info.top
        step = GROUP * max(1, min(8, CHUNK // size // GROUP))
        chunks = [(layer, first) for layer, at in self.layers.items() for first in range(0, at.channels, step)]
        files = [self.folder / f"top-{k:06d}.parquet" for k in range(len(chunks))]
        missing = [(file, *chunk) for file, chunk in zip(files, chunks, strict=True) if not _is_sound(file, TOP)]
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
            if not _is_sound(file, PICTURES):
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


def _is_sound(file: Path, schema: pa.Schema) -> bool:
    """Return whether a table is there, all of it; one that is damaged is dropped with a warning."""
    try:
        with utf8_path(file) as spelled, opened_table(spelled) as table:
            if table.schema_arrow.equals(schema):
                return all(table.read_row_group(group) is not None for group in range(table.num_row_groups))
            reason = "it has other columns"
    except FileNotFoundError:
        return False
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
    warnings.warn(f"{file} is damaged: {reason}; it is made anew", stacklevel=3)
    file.unlink(missing_ok=True)
    return False


def _groups(files: Sequence[Path]) -> Iterator[pa.Table]:
    for path in files:
        with utf8_path(path) as spelled, opened_table(spelled) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)
