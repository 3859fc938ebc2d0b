"""The results that lie beside an atlas, read for pages: by experiment, and by the feature map they are about.

    notebook = Notebook(atlas.path / FOLDER)
    notebook.findings("occlude"), notebook.about("relu5", 42)

By convention they lie in ATLAS/experiments, one below the other in any depth; what a result says of itself counts, not
where it lies. Looked at again when they change, so that a server shows what a command has just written.
"""

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

import numpy as np
from PIL import Image

from convscope.disk.paths import leads_out
from convscope.disk.results import FILES, Result, Row, collected, read_arrays
from convscope.errors import ConvscopeError
from convscope.experiments import TABLE
from convscope.parameters import Field
from convscope.printable import decodable
from convscope.probe.trace.address import parse
from convscope.runner import experiment
from convscope.web.contexts.experiments import Finding, Mention, Table, Trial, Value

FOLDER = "experiments"  # of an atlas
SHOWN = 200  # rows of a table on a page
CELLS = 6  # of a row on a feature map's page
NAMES = ("unit", "target", "layer", "channel")  # columns that say which map a row is about
CONCEPTS = ("concept", "label")  # columns of such a row that say what the map detects: the first that there is
SHOWN_ROWS = "shown"  # an array (rows, height, width, 3) uint8: a picture of every row
ARRAY = 512 * 2**20  # bytes of an array that pages look into, at most
SEVERAL = 3  # values of one setting in a line
AGAIN = 1.0  # seconds until the folders are looked at anew

UNSAVED = "unsaved:"  # begins the keys of results that go with the server
UNUSUAL: tuple[object, ...] = (None, "", [], ())


@dataclass(frozen=True)
class Contents:
    """What a notebook held when it was read."""

    findings: tuple[Finding, ...] = ()
    folders: Mapping[str, Path] = field(default_factory=dict)  # by key
    mentions: Mapping[tuple[str, int], list[Mention]] = field(default_factory=dict)


class Notebook:
    """Results in the folder `kept`, and in `passing`, which goes when the server ends.

    Links out of an atlas, which may be somebody else's, are not followed: results with such files are left out. The
    folders are looked at anew after `again` seconds.
    """

    def __init__(self, kept: Path, passing: Path | None = None, again: float = AGAIN) -> None:
        self._places = {True: kept} | ({False: passing} if passing else {})
        self._seen: dict[Path, int] = {}
        self._contents, self._looked, self._again, self._version = Contents(), -math.inf, again, 0
        self._lock = Lock()

    @property
    def version(self) -> int:
        """Another number when the contents have changed."""
        self.contents()
        return self._version

    def contents(self, now: bool = False) -> Contents:
        """What the folders hold, or held not long ago; if asked, `now`."""
        with self._lock:
            if now or monotonic() - self._looked >= self._again:
                self._looked = monotonic()
                with suppress(OSError):  # a folder that vanishes while it is read: there is a next time
                    seen = {file: file.stat().st_mtime_ns for place in self._places.values() for file in _files(place)}
                    if seen != self._seen:
                        self._contents, self._seen = self._read(), seen
                        self._version += 1
            return self._contents

    def _read(self) -> Contents:
        findings, folders, mentions = [], {}, dict[tuple[str, int], list[Mention]]()
        for kept, place in self._places.items():
            for folder, result in collected(place, place.parent):
                if result.experiment not in TABLE:
                    continue
                name = decodable(folder.relative_to(place).as_posix())
                found = finding(name if kept else UNSAVED + name, folder, result)
                findings.append(found)
                folders[found.key] = folder
                for unit, mention in _mentions(found, folder, result.rows):
                    mentions.setdefault(unit, []).append(mention)
        return Contents(tuple(findings), folders, mentions)

    def findings(self, name: str) -> tuple[Finding, ...]:
        """The results of an experiment, in order."""
        return tuple(found for found in self.contents().findings if found.experiment == name)

    def about(self, layer: str, channel: int) -> tuple[Mention, ...]:
        """The results with rows about a feature map."""
        return tuple(self.contents().mentions.get((layer, channel), ()))

    def file(self, key: str, name: str) -> Path | None:
        """A file of a result; None where there is none, or by now a link to elsewhere."""
        folder = self.contents().folders.get(key)
        place = next((place for place in self._places.values() if folder and folder.is_relative_to(place)), None)
        if folder is None or place is None or name not in FILES or leads_out(place.parent, folder / name):
            return None
        return folder / name if (folder / name).is_file() else None

    def picture(self, key: str, row: int) -> bytes | None:
        """The picture of a row as a PNG; None where there is none."""
        folder = self.contents().folders.get(key)
        shown = _shown(folder) if folder else None
        if shown is None or row >= len(shown):
            return None
        file = io.BytesIO()
        Image.fromarray(shown[row]).save(file, "PNG")
        return file.getvalue()

    def trials(self, everything: bool = False) -> tuple[Trial, ...]:
        """The experiments that have results; with `everything` all there are."""
        contents = self.contents()
        found = {name: [one for one in contents.findings if one.experiment == name] for name in TABLE}
        return tuple(
            Trial(name, TABLE[name].question, len(results), results[-1] if results else None)
            for name, results in found.items()
            if results or everything
        )


def _files(place: Path) -> Iterator[Path]:
    for file in place.rglob(FILES[0]):
        if not any(part.startswith(".") for part in file.relative_to(place).parts) and file.is_file():
            yield file


def _mentions(found: Finding, folder: Path, rows: Sequence[Row]) -> Iterator[tuple[tuple[str, int], Mention]]:
    """What a result says about each feature map that it has rows about."""
    by_map: dict[tuple[str, int], list[int]] = {}
    for place, row in enumerate(rows):
        if unit := _map(row):
            by_map.setdefault(unit, []).append(place)
    shown = _shown(folder) if by_map else None
    pictured = shown is not None and len(shown) == len(rows)
    for unit, places in by_map.items():
        first = rows[places[0]]
        cells = tuple((key, value) for key, value in first.items() if key not in NAMES and value not in UNUSUAL)
        concept = next((first[key] for key in CONCEPTS if key in first), None)
        detects = str(concept) if concept else None
        yield unit, Mention(found, len(places), cells[:CELLS], detects, places[0] if pictured else None)


def _map(row: Row) -> tuple[str, int] | None:
    """The feature map that a record is about: its `unit`, its `target`, or its `layer` and `channel`."""
    both = f"{row['layer']}:{row['channel']}" if {"layer", "channel"} <= row.keys() else None
    for spelled in (row.get("unit"), row.get("target"), both):
        with suppress(ConvscopeError):
            if isinstance(spelled, str):
                unit = parse(spelled)
                return unit.layer, unit.channel
    return None


def _shown(folder: Path) -> Any:
    """The pictures of a result's rows, if it has them."""
    with suppress(ConvscopeError):
        found = read_arrays(folder, [SHOWN_ROWS], ARRAY).get(SHOWN_ROWS)
        if found is not None and found.ndim == 4 and found.shape[3] == 3 and found.dtype == np.uint8 and found.size:
            return found
    return None


def finding(key: str, folder: Path, result: Result) -> Finding:
    """A result as pages show it."""
    known = experiment(result.experiment).fields
    data = result.data.get("name")
    facts = [(name.replace("_", " "), _words(value)) for name, value in result.settings.items() if name != "device"]
    circumstances = {
        "network": result.network.get("name"),
        "weights": result.network.get("weights"),
        "data": f"{data}, {result.data.get('pictures')} pictures" if data else None,
        "data fingerprint": result.data.get("fingerprint"),
        "device": result.device,
        "version": f"convscope {result.convscope}",
    }
    return Finding(
        key=key,
        experiment=result.experiment,
        question=TABLE[result.experiment].question,
        given=_given(known, result, f"data set {data}" if data else "the network itself"),
        network=str(result.network.get("name") or ""),
        tier=min(max(result.tier, 0), 2),
        table=table(result.rows),
        notes=tuple(map(str, result.warnings)),
        facts=(*facts, *((name, str(value)) for name, value in circumstances.items() if value)),
        files=tuple((name, (folder / name).stat().st_size) for name in FILES if (folder / name).is_file()),
        kept=not key.startswith(UNSAVED),
    )


def table(rows: Iterable[Row], shown: int = SHOWN) -> Table:
    """Records as a table of all their keys, the first `shown` of them."""
    records = list(rows)
    columns = tuple(dict.fromkeys(key for row in records for key in row))
    numeric = tuple(all(_is_number(row.get(name)) for row in records if row.get(name) is not None) for name in columns)
    cells = tuple(tuple(row.get(name) for name in columns) for row in records[:shown])
    return Table(columns, cells, numeric, len(records))


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _given(known: Iterable[Field], result: Result, otherwise: str) -> str:
    """The inputs, and after a semicolon the settings that are not the usual ones."""
    inputs, others = list[str](), list[str]()
    for one in known:
        value = result.settings.get(one.name)
        if one.name in ("device", "batch_size") or value in UNUSUAL or value == one.default:
            continue
        words = _words(value, short=one.kind in ("picture", "pictures", "images", "file", "folder"))
        (inputs if one.positional else others).append(words if one.positional else f"{_spaced(one.name)} {words}")
    return "; ".join(filter(None, [", ".join(inputs) or otherwise, ", ".join(others)]))


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _words(value: Any, short: bool = False) -> str:
    """A setting in words; `short`: of a path its end, of many values the first few."""
    if isinstance(value, list) and value:
        some = [_words(each, short) for each in (value[:SEVERAL] if short else value)]
        return ", ".join(some) + (f" and {len(value) - SEVERAL} more" if short and len(value) > SEVERAL else "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in UNUSUAL:
        return "as usual"
    return "/".join(str(value).replace("\\", "/").split("/")[-2:]) if short else str(value)
