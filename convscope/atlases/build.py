"""Build an atlas: scan, project, write down, and go on where a killed build stopped (METHODS F2, V5, V6).

    atlas(network, pictures, "out/atlas")
    atlas(network, pictures, "out/atlas", shard=(0, 4))       # a quarter of the scan, perhaps on another machine

Work units are fixed ranges of picture indices. What is known of finished units lies in `out/.convscope/building`, a
file for each span of them, and so do finished chunks of projections; the finished files are put together from these.
Killed at any moment, in any order of shards, the result is the same to the byte.
"""

import errno
import hashlib
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from convscope.atlases.channel_statistics import Leaders, Statistics, Tally
from convscope.atlases.checkpoints import Known, Spans, leading
from convscope.atlases.scan import UNIT, Scanner, Score, chosen_layers, require_enough
from convscope.atlases.store import ATLAS, BUILDING, MANIFEST, PLAN, TABLES, Atlas, Info, Skipped, open_atlas
from convscope.atlases.table_builder import Tables
from convscope.data.dataset_items import raw_bytes
from convscope.data.picture_set import Pictures
from convscope.data.sources import images
from convscope.device import resolve
from convscope.disk.atomic import put
from convscope.disk.output_folder import OutputFolder, lock, output_folder, require_free
from convscope.errors import ArgumentError, AtlasError, DamagedError, DataError, PictureError, resumable
from convscope.models.network import Layer, Network
from convscope.probe.projection import Reverse, Start
from convscope.probe.rectify import LRN, Rule
from convscope.progress import progress

READ_AGAIN = 2  # times, of each picture of a sample: one chance in 65,000 to miss that half of them are mirrored

GO_ON = "run the same command again: it goes on from its last checkpoint"


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
    included, raises AtlasError, as does a full disk, which leaves the last checkpoint usable. Raises ArgumentError for
    a folder that holds other files or that another process writes to, and otherwise what `scan` raises.
    """
    require_free(out, ATLAS)
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
    with _disk(out), resumable(GO_ON), ExitStack() as held:
        if _is_finished(out, info):
            return None if shard else open_atlas(out)
        _warn_of_pictures(source, out)
        with output_folder(out, ATLAS) as folder:
            if _is_finished(out, info):  # by a process that was waited for
                return None if shard else open_atlas(out)
            building = _begin(folder, info)
            spans = Spans(building, units)
            held.enter_context(_locked_units(building, out, part))
            if shard is None:
                scan_units(scanner, source, spans, top, unit, part)
                total = spans.total()
                build = Tables(building, info, source, network, chosen, total, reverse, place, callable(score))
                build.finish(out, replace(info, skipped=_skipped(source, total.skipped)))
                shutil.rmtree(building, ignore_errors=True)
                return open_atlas(out)
        scan_units(scanner, source, spans, top, unit, part)  # of a shard: others may scan theirs meanwhile
        return None


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
    """SHA-256 of the pixels of a few pictures: names alone do not tell one array of tensors from another.

    Raises DataError for a data set that gives another picture when it is asked again, as random augmentation does.
    """
    digest = hashlib.sha256()
    for index in sorted({round(k * (len(source) - 1) / (count - 1)) for k in range(count)}):
        pixels = _raw_pixels(source, index)
        if source.file(index) is None and any(_raw_pixels(source, index) != pixels for _ in range(READ_AGAIN)):
            raise DataError(
                f"{source.paths[index]} is another picture each time it is read; "
                "give the data set without random augmentation"
            )
        digest.update(pixels)
    return digest.hexdigest()


def _raw_pixels(source: Pictures, index: int) -> bytes:
    try:
        return raw_bytes(source.item(index)).tobytes()
    except PictureError:
        return b"none"


@contextmanager
def _disk(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise AtlasError(f"{out}: no space left on the disk; free some and {GO_ON}") from error


SAME = {  # what a folder's build and a new call must have in common
    "another network": ("weights", "transform", "input_size", "table"),
    "other pictures": ("fingerprint", "sample"),
    "other settings": ("layers", "top", "score", "rule", "lrn", "start", "dtype", "unit"),
    "another version": ("convscope", "format"),
}
PLAIN = (*SAME["other settings"], "input_size", "convscope")  # short enough to quote


def _is_finished(out: Path, info: Info) -> bool:
    """Return whether the folder holds the finished atlas. Raises AtlasError where it is of something else."""
    if (out / MANIFEST).is_file():
        _require_same(out, Info.read(out / MANIFEST), info)
        return True
    return False


def _begin(folder: OutputFolder, info: Info) -> Path:
    """Return the folder of the build, with its plan in it. Raises AtlasError where it is one of something else."""
    building = folder.work(BUILDING)
    plan = building / PLAN
    if not plan.is_file():
        _adopt(folder.path / BUILDING, building)
    if plan.is_file():
        try:
            _require_same(folder.path, Info.read(plan), info)
        except DamagedError as error:  # and nothing says any more what the rest is of
            warnings.warn(f"{error}; the build starts anew", stacklevel=4)
            shutil.rmtree(building)
            building.mkdir()
    put(plan, info.encoded())
    folder.reserve(MANIFEST, *TABLES)
    return building


def _adopt(old: Path, building: Path) -> None:
    """Move a build that began before there were records; other files in its folder stay."""
    with suppress(AtlasError, OSError):  # somebody else's folder, or none
        Info.read(old / PLAN)
        for pattern in ("units-*-*.safetensors", "top-*.parquet", "pictures-*.parquet", PLAN):
            for file in old.glob(pattern):
                file.rename(building / file.name)
        old.rmdir()


@contextmanager
def _locked_units(building: Path, out: Path, part: range) -> Iterator[None]:
    """Hold the units of a shard. Raises ArgumentError where another process scans some of them."""
    for file in building.glob("shard-*-*.lock"):
        first, last = map(int, file.stem.split("-")[1:])
        if first < part.stop and part.start < last:
            with lock(file, out):
                pass
    with lock(building / f"shard-{part.start:07d}-{part.stop:07d}.lock", out):
        yield


def _warn_of_pictures(source: Pictures, out: Path) -> None:
    """Warn where an atlas is written among the pictures it is of."""
    file = source.file(0)
    if file is not None and out.resolve() in file.resolve().parents:
        warnings.warn(f"{out} holds the pictures; an atlas is better kept in a folder of its own", stacklevel=3)


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
            places, checksums, tables = scanner.tables(source, indices, advance)
            tallies = {
                layer: Tally(
                    Leaders.of(table.values, table.places, places, top),
                    Statistics.of(table.values, table.places, _extent(scanner.layers[layer])),
                )
                for layer, table in tables.items()
            }
            skipped = {index: source.skipped[index] for index in indices if index in source.skipped}
            known = leading(tallies, dict(zip(places.tolist(), checksums.tolist(), strict=True))) if tallies else {}
            spans.add(number, Known(tallies, skipped, known), part)


def _extent(layer: Layer) -> tuple[int, int]:
    return layer.height, layer.width
