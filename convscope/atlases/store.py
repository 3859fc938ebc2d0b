"""An atlas on disk: a folder of `atlas.json` and three Parquet tables, read lazily.

    atlas = open_atlas("out/atlas")
    atlas["relu5", 42].projections        # (n, h, w, 3) uint8
    pandas.read_parquet("out/atlas/top.parquet")

`top.parquet` has a row per (layer, channel, rank), `channels.parquet` one per channel, `pictures.parquet` one per
picture that appears. Each holds few channels of one layer per row group, so that one entry costs one small read. Files
are written under a temporary name and moved into place; `atlas.json` comes last, so a folder that has one is complete.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from convscope.disk.atomic import put
from convscope.disk.bounded_json import read_json
from convscope.disk.output_folder import HIDDEN, Kind
from convscope.disk.paths import utf8_path
from convscope.errors import ArgumentError, AtlasError, DamagedError, LayerError, UnitError
from convscope.models.network import Layer
from convscope.pictures import decode
from convscope.probe.trace.geometry import Pair, ReceptiveField

FORMAT = 1
MANIFEST = "atlas.json"
BUILDING = "building"  # the name of a build under way; before there were records, its folder in the atlas
PLAN = "plan.json"  # of a build: what its atlas will describe itself as
GROUP = 16  # channels per row group of top.parquet: some megabytes to read for one of them

TOP = pa.schema(
    [
        ("layer", pa.string()),
        ("channel", pa.int32()),
        ("rank", pa.int32()),
        ("value", pa.float32()),
        ("image", pa.int64()),
        ("path", pa.string()),
        ("label", pa.string()),
        ("row", pa.int32()),
        ("column", pa.int32()),
        ("top", pa.int32()),
        ("left", pa.int32()),
        ("bottom", pa.int32()),
        ("right", pa.int32()),
        ("patch", pa.binary()),
        ("projection", pa.binary()),
    ]
)
CHANNELS = pa.schema(
    [
        ("layer", pa.string()),
        ("channel", pa.int32()),
        ("mean", pa.float64()),
        ("maximum", pa.float32()),
        ("fires", pa.float64()),
        ("dead", pa.bool_()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("histogram", pa.list_(pa.int64())),
        ("peaks", pa.list_(pa.int64())),
        ("peak_rows", pa.int32()),
        ("peak_columns", pa.int32()),
        ("similar", pa.list_(pa.int32())),
        ("correlation", pa.list_(pa.float32())),
    ]
)
PICTURES = pa.schema([("image", pa.int64()), ("path", pa.string()), ("label", pa.string()), ("thumbnail", pa.binary())])
TABLES = {"top.parquet": TOP, "channels.parquet": CHANNELS, "pictures.parquet": PICTURES}
ENCODED = ("patch", "projection", "thumbnail")  # compressed already


@dataclass(frozen=True)
class Skipped:
    """A picture left out, and why."""

    image: int
    path: str
    reason: str


@dataclass(frozen=True)
class Info:
    """What an atlas is of and how it was made: `atlas.json`.

    `table` has every layer of the network, `layers` names those of the atlas; `score` is the name of a function where
    one was given; `spec` is what `load` opens the network from, None where it only lived in memory; `weights` and
    `transform` are SHA-256 sums; `fingerprint` of the data is METHODS G0's, `sample` the sum of a few pictures' pixels;
    `unit` is the number of pictures in a unit of work.
    """

    network: str
    spec: str | None
    weights: str
    transform: str
    input_size: tuple[int, int, int]
    classes: tuple[str, ...] | None
    parameters: int
    table: tuple[Layer, ...]
    layers: tuple[str, ...]
    data: str
    fingerprint: str
    sample: str
    data_classes: tuple[str, ...] | None
    pictures: int
    skipped: tuple[Skipped, ...]
    top: int
    score: str
    rule: str
    lrn: str
    start: str
    dtype: str | None
    unit: int
    batch_size: int
    device: str
    convscope: str
    torch: str
    format: int = FORMAT

    def layer(self, name: str) -> Layer:
        """The row of a layer; `name` means the last call of a module called more than once."""
        for layer in reversed(self.table):
            if name in (layer.name, layer.name.rpartition("#")[0]):
                return layer
        raise LayerError(name, self.layers)

    def encoded(self) -> bytes:
        """As JSON."""
        text = json.dumps(asdict(self), indent=1, default=_number, ensure_ascii=False) + "\n"
        return text.encode(errors="backslashreplace")  # JSON's escape for what a network's file may be called

    @classmethod
    def read(cls, path: Path) -> "Info":
        """From JSON. Raises AtlasError for anything else, and for a format of another time."""
        try:
            record = read_json(path)
            if record.get("format") != FORMAT:
                raise AtlasError(f"{path} has format {record.get('format')}, this convscope reads format {FORMAT}")
            lists = {key: tuple(value) for key, value in record.items() if isinstance(value, list)}
            lists["table"] = tuple(_layer(row) for row in record["table"])
            lists["skipped"] = tuple(Skipped(**row) for row in record["skipped"])
            return cls(**{**record, **lists})
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            raise DamagedError(f"{path} is no description of an atlas: {error}") from error


def _number(value: object) -> object:
    assert isinstance(value, Fraction), value
    return str(value)


def _pair(pair: list[Any]) -> Pair:
    rows, columns = (Fraction(n) if isinstance(n, str) else int(n) for n in pair)
    return rows, columns


def _layer(row: Mapping[str, Any]) -> Layer:
    field = row["receptive_field"]
    if field is not None:
        field = ReceptiveField(*(_pair(field[key]) for key in ("size", "jump", "start")))
    return Layer(**{**row, "receptive_field": field})


@dataclass(frozen=True)
class Entry:
    """The strongest pictures of one feature map, strongest first; n is at most `top`, less where a map fires rarely.

    `values` (n,) float32; `images` (n,) places in the source; `positions` (n, 2) row, column in the map; `boxes` (n, 4)
    top, left, bottom, right (exclusive) of the tiles in the network's input, which may reach past its borders;
    `patches` and `projections` (n, h, w, 3) uint8, grey outside the picture (V6), projections each scaled by its own
    largest value (V5). `encoded_patches` and `encoded_projections` are the same as PNG or JPEG files.
    """

    layer: str
    channel: int
    size: tuple[int, int]
    values: NDArray[np.float32]
    images: NDArray[np.int64]
    positions: NDArray[np.int64]
    boxes: NDArray[np.int64]
    paths: tuple[str, ...]
    labels: tuple[str | None, ...]
    encoded_patches: tuple[bytes, ...]
    encoded_projections: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def patches(self) -> NDArray[np.uint8]:
        """What the unit saw, (n, h, w, 3)."""
        return _decoded(self.encoded_patches, self.size)

    @cached_property
    def projections(self) -> NDArray[np.uint8]:
        """What in it excited the unit, (n, h, w, 3)."""
        return _decoded(self.encoded_projections, self.size)


def _decoded(files: tuple[bytes, ...], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.stack([decode(file) for file in files]) if files else np.empty((0, *size, 3), np.uint8)


@dataclass(frozen=True)
class Channel:
    """How one feature map behaves over all pictures, from its score in each.

    `fires` is the share of pictures with a score above 0, `dead` that there is none. `histogram` (64,) counts scores in
    equal bins from `low` to `high`. `peaks` (rows, columns) counts where the map is largest in the pictures in which it
    fires, on a grid of at most 32 cells a side. `similar` names the maps of the layer whose scores correlate most with
    this one's, with Pearson's r.
    """

    layer: str
    channel: int
    mean: float
    maximum: float
    fires: float
    dead: bool
    low: float
    high: float
    histogram: NDArray[np.int64]
    peaks: NDArray[np.int64]
    similar: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Picture:
    """A picture that appears in the atlas, as the network sees it: `encoded` is its thumbnail as a file."""

    image: int
    path: str
    label: str | None
    encoded: bytes

    @property
    def thumbnail(self) -> NDArray[np.uint8]:
        """(h, w, 3) uint8."""
        return decode(self.encoded)


class Atlas:
    """An atlas on disk: `atlas[layer, channel]`, statistics of its channels, its pictures. Read when asked for."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.info = Info.read(self.path / MANIFEST)
        self._tables = {name: _Table(self.path / name, schema) for name, schema in TABLES.items()}

    def __repr__(self) -> str:
        return f"Atlas({str(self.path)!r}: {self.info.network}, {self.info.pictures} pictures of {self.info.data})"

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the atlas, in the order of the network."""
        return self.info.layers

    def __getitem__(self, unit: tuple[str, int]) -> Entry:
        """The strongest pictures of (layer, channel)."""
        layer, channel = self._unit(*unit)
        rows = self._tables["top.parquet"].where(layer, channel)
        return self._entry(layer, channel, rows)

    def entries(self, layer: str, channels: range | None = None) -> Iterator[Entry]:
        """The entries of `channels` of a layer (default: all), in order."""
        size = self.info.layer(self._named(layer)).channels
        wanted = range(size) if channels is None else range(channels.start, min(channels.stop, size))
        for first in range(wanted.start, wanted.stop, GROUP):
            last = min(first + GROUP, wanted.stop)
            rows = self._tables["top.parquet"].where(layer, first, last - 1)
            for channel in range(first, last):
                yield self._entry(layer, channel, [row for row in rows if row["channel"] == channel])

    def channel(self, layer: str, channel: int) -> Channel:
        """The statistics of one feature map."""
        layer, channel = self._unit(layer, channel)
        return _channel(self._tables["channels.parquet"].where(layer, channel)[0])

    def channels(self, layer: str) -> list[Channel]:
        """The statistics of all feature maps of a layer, in order."""
        last = self.info.layer(self._named(layer)).channels - 1
        return [_channel(row) for row in self._tables["channels.parquet"].where(layer, 0, last)]

    def columns(self, table: str, names: Sequence[str], layer: str | None = None) -> dict[str, NDArray[Any]]:
        """Some columns of a table as arrays, of one layer or of all, in order; nothing else of it is read.

        `table` is "top", "channels" or "pictures". Thousands of rows in milliseconds.
        """
        return self._tables[f"{table}.parquet"].columns(names, None if layer is None else self._named(layer))

    def similar(self, layer: str, channel: int) -> tuple[tuple[int, float], ...]:
        """The channels whose scores correlate most with this one's, with Pearson's r, best first."""
        return self.channel(layer, channel).similar

    def dead(self, layer: str) -> list[int]:
        """The channels of a layer that never fire."""
        return [channel.channel for channel in self.channels(layer) if channel.dead]

    @property
    def pictures(self) -> Iterator[Picture]:
        """Every picture that appears, in index order."""
        for rows in self._tables["pictures.parquet"].groups():
            yield from map(_picture, rows)

    def picture(self, image: int) -> Picture:
        """One picture by its place in the source. Raises ArgumentError when it does not appear."""
        for row in self._tables["pictures.parquet"].holding("image", image):
            return _picture(row)
        raise ArgumentError("image", image, f"no such picture in {self.path}")

    def _named(self, layer: str) -> str:
        if layer not in self.layers:
            raise LayerError(layer, self.layers)
        return layer

    def _unit(self, layer: str, channel: int) -> tuple[str, int]:
        last = self.info.layer(self._named(layer)).channels - 1
        if not 0 <= channel <= last:
            raise UnitError("channel", channel, f"{layer} has channels 0 to {last}")
        return layer, int(channel)

    def _entry(self, layer: str, channel: int, rows: list[dict[str, Any]]) -> Entry:
        def column(*names: str) -> list[Any]:
            return [[row[name] for name in names] if len(names) > 1 else row[names[0]] for row in rows]

        return Entry(
            layer,
            channel,
            tile_size(self.info.layer(layer), self.info.input_size),
            np.array(column("value"), np.float32),
            np.array(column("image"), np.int64),
            np.array(column("row", "column"), np.int64).reshape(-1, 2),
            np.array(column("top", "left", "bottom", "right"), np.int64).reshape(-1, 4),
            tuple(column("path")),
            tuple(column("label")),
            tuple(column("patch")),
            tuple(column("projection")),
        )


def _channel(row: dict[str, Any]) -> Channel:
    peaks = np.array(row["peaks"], np.int64).reshape(row["peak_rows"], row["peak_columns"])
    plain = {key: row[key] for key in ("layer", "channel", "mean", "maximum", "fires", "dead", "low", "high")}
    similar = tuple(zip(row["similar"], row["correlation"], strict=True))
    return Channel(**plain, histogram=np.array(row["histogram"], np.int64), peaks=peaks, similar=similar)


def _picture(row: dict[str, Any]) -> Picture:
    return Picture(row["image"], row["path"], row["label"], row["thumbnail"])


class _Table:
    """A Parquet file of which only the row groups that can hold an answer are read."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        try:
            with utf8_path(path) as spelled:
                self.metadata = pq.read_metadata(spelled)
        except (OSError, pa.ArrowInvalid) as error:
            raise AtlasError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
        if not self.metadata.schema.to_arrow_schema().equals(schema):
            raise AtlasError(f"{path} has other columns than an atlas of format {FORMAT}")
        self.ranges: dict[str, list[tuple[Any, Any]]] = {}

    def groups(self) -> Iterator[list[dict[str, Any]]]:
        """The rows of every row group. The file is opened anew, so threads do not share a handle."""
        with self._open() as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group).to_pylist()

    def _between(self, groups: Iterable[int], column: str, low: Any, high: Any) -> list[dict[str, Any]]:
        """The rows of these row groups in which `column`, of numbers, lies between `low` and `high`."""
        found: list[dict[str, Any]] = []
        with self._open() as file:
            for group in groups:
                rows = file.read_row_group(group)
                values = rows[column].to_numpy()
                found += rows.filter(pa.array((values >= low) & (values <= high))).to_pylist()  # only these are made
        return found

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        try:
            with utf8_path(self.path) as spelled, opened_table(spelled, self.metadata) as file:
                yield file
        except (OSError, pa.ArrowException) as error:
            raise AtlasError(f"{self.path} cannot be read: {str(error).splitlines()[0]}") from error

    def columns(self, names: Sequence[str], layer: str | None = None) -> dict[str, NDArray[Any]]:
        """These columns, of the rows of a layer or of all."""
        whole = range(self.metadata.num_row_groups)
        chosen = [g for g in whole if layer is None or self._ranges("layer")[g][0] == layer]
        with self._open() as file:
            found = file.read_row_groups(chosen, columns=list(names))
        return {name: found[name].to_numpy() for name in names}

    def holding(self, column: str, value: int) -> list[dict[str, Any]]:
        """The rows in which `column` is `value`."""
        chosen = [g for g, (least, most) in enumerate(self._ranges(column)) if least <= value <= most]
        return self._between(chosen, column, value, value)

    def where(self, layer: str, first: int, last: int | None = None) -> list[dict[str, Any]]:
        """The rows with channels from `first` to `last` of a layer."""
        last = first if last is None else last
        pairs = zip(self._ranges("layer"), self._ranges("channel"), strict=True)
        chosen = [
            group
            for group, ((name, _), (least, most)) in enumerate(pairs)
            if name == layer and least <= last and most >= first
        ]
        return self._between(chosen, "channel", first, last)

    def _ranges(self, column: str) -> list[tuple[Any, Any]]:
        if column not in self.ranges:
            place = self.metadata.schema.to_arrow_schema().get_field_index(column)
            statistics = [
                self.metadata.row_group(group).column(place).statistics for group in range(self.metadata.num_row_groups)
            ]
            self.ranges[column] = [(s.min, s.max) for s in statistics]
        return self.ranges[column]


def _unrecorded(folder: Path) -> list[str]:
    """Return the files of an atlas, finished or not, that was written before records were kept."""
    try:
        Info.read(folder / (MANIFEST if (folder / MANIFEST).is_file() else f"{BUILDING}/{PLAN}"))
    except (AtlasError, OSError):
        return []
    return [MANIFEST, *TABLES]


ATLAS = Kind("an atlas", _unrecorded)


def opened_table(spelled: str, metadata: Any = None) -> pq.ParquetFile:
    """Open a Parquet file; a page of it that was damaged raises OSError when it is read."""
    return pq.ParquetFile(spelled, metadata=metadata, page_checksum_verification=True)


def open_atlas(path: str | Path) -> Atlas:
    """Open a finished atlas. Raises AtlasError for a folder that holds none, or one still being built."""
    folder = Path(path)
    if not (folder / MANIFEST).is_file():
        unfinished = any((place / BUILDING / PLAN).is_file() for place in (folder / HIDDEN, folder))
        why = "its build is not finished: run the same command again" if unfinished else f"there is no {MANIFEST} in it"
        raise AtlasError(f"{folder} is no atlas: {why}")
    return Atlas(folder)


def tile_size(layer: Layer, input_size: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width of a layer's patches: the receptive field, or along an axis where it is smaller the picture."""
    field, (_, height, width) = layer.receptive_field, input_size
    if field is None:
        return height, width
    top, left, bottom, right = field.box(0, 0)
    return min(bottom - top, height), min(right - left, width)


def tile_box(layer: Layer, input_size: tuple[int, int, int], row: int, column: int) -> tuple[int, int, int, int]:
    """Top, left, bottom, right (exclusive) of a unit's patch; all of an axis that the receptive field exceeds (V6)."""
    height, width = tile_size(layer, input_size)
    if layer.receptive_field is None:
        return 0, 0, height, width
    top, left, _, _ = layer.receptive_field.box(row, column)
    top, left = (0 if height == input_size[1] else top), (0 if width == input_size[2] else left)
    return top, left, top + height, left + width


def put_table(path: Path, schema: pa.Schema, groups: Iterable[pa.Table], scratch: Path | None = None) -> None:
    """Write a Parquet file by `put`, one row group for each table that has rows; equal tables give equal bytes."""

    def write(file: BinaryIO) -> None:
        options = {
            "compression": {name: "none" if name in ENCODED else "zstd" for name in _leaves(schema)},
            "use_dictionary": [name for name in schema.names if schema.field(name).type == pa.string()],
            "write_statistics": [name for name in schema.names if name not in ENCODED],
            "write_page_checksum": True,
        }
        with pq.ParquetWriter(file, schema, **options) as writer:
            for group in groups:
                if group.num_rows:
                    writer.write_table(group, row_group_size=group.num_rows)

    put(path, write, scratch)


def _leaves(schema: pa.Schema) -> list[str]:
    """Column paths as Parquet spells them."""
    return [f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name for f in schema]
