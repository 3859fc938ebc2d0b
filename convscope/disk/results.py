"""The one writer of result folders: `result.json`, `arrays.npz` where there are arrays, and `figure.png`.

    result = Result("project", network={"name": "zfnet128"}, rows=[{"value": 3.1}])
    write("out", result, arrays={"pixels": pixels})

A folder holds `result.json` only when all of it is complete. Only a folder that is new, empty, or holds a result is
written to (`output_folder`). Knows nothing of the experiments.
"""

import csv
import io
import json
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from convscope.disk.atomic import put
from convscope.disk.bounded_json import read_json
from convscope.disk.output_folder import Kind, OutputFolder, output_folder
from convscope.disk.paths import leads_out
from convscope.errors import DataError
from convscope.printable import decodable

FILES = ("result.json", "figure.png", "arrays.npz")
UNRECORDED = {  # experiment: its files beside result.json, where they are others than for most
    "evaluate": (),
    "figure2": ("figure.png",),
    "overlap": ("figure.png", "overlap.csv"),
}

Row = Mapping[str, Any]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "experiment": str,
    "convscope": str,
    "network": dict,
    "data": dict,
    "settings": dict,
    "seed": int,
    "device": str,
    "tier": int,
    "rows": list,
    "warnings": list,
}


class Figure(Protocol):
    """Anything that can save itself as a picture, such as a matplotlib figure."""

    def savefig(self, fname: Any, *, format: str) -> None:
        """Write the picture to `fname`."""


@dataclass(frozen=True)
class Result:
    """What an experiment found, as `result.json` spells it.

    `network` has at least a name, `data` a name and a fingerprint where there are data. `rows` are flat
    records; where a published number exists a row carries `reference` and `delta` (see `against`). `tier`
    says what the numbers may be compared with (G0): 0 synthetic or random weights, 1 small data, 2 the
    published setting.
    """

    experiment: str
    network: Mapping[str, Any]
    rows: Sequence[Row]
    data: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"
    tier: int = 1
    warnings: Sequence[str] = ()
    convscope: str = field(default_factory=lambda: version("convscope"))


def shown(value: float, deviation: float | None = None, published: float | None = None) -> str:
    """A number ± its deviation, as a table shows it, and what was published in brackets."""
    own = f"{value:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")
    return own if published is None else f"{own} ({published:.1f})"


def against(value: float, reference: float | None) -> dict[str, float]:
    """The columns of a row that set `value` beside a published number, where there is one."""
    return (
        {"value": value} if reference is None else {"value": value, "reference": reference, "delta": value - reference}
    )


def write(
    folder: str | Path | OutputFolder,
    result: Result,
    *,
    arrays: Mapping[str, Any] | None = None,
    figure: Figure | None = None,
    tables: Mapping[str, Sequence[Row]] | None = None,
) -> Path:
    """Write a result folder, whole or not at all; returns its path.

    `arrays` are written as numpy arrays under their names, `tables` as CSV files. Not-finite numbers become null in the
    JSON. An earlier result in the folder is replaced as a whole; other files in it stay. Raises ArgumentError for a
    folder that is neither new, empty, nor a result's, or where another file has a name of the result's.
    """
    if not isinstance(folder, OutputFolder):
        with output_folder(folder, RESULT) as held:
            return write(held, result, arrays=arrays, figure=figure, tables=tables)
    text = json.dumps(_plain(asdict(result)), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    check(json.loads(text), folder.path)
    with folder.staging() as staged:
        if arrays:
            named: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items()}
            np.savez_compressed(staged / "arrays.npz", **named)
        if figure is not None:
            figure.savefig(staged / "figure.png", format="png")
        for name, rows in (tables or {}).items():
            write_csv(staged / name, rows)
        (staged / FILES[0]).write_text(text, encoding="utf-8")
        folder.publish(staged, last=FILES[0])
    return folder.path


def _unrecorded(folder: Path) -> list[str]:
    """Return the files of a result that was written before records were kept."""
    try:
        beside = UNRECORDED.get(read(folder).experiment, FILES[1:])
    except DataError:
        return []
    return [name for name in (FILES[0], *beside) if (folder / name).is_file()]


RESULT = Kind("a result", _unrecorded)


def write_csv(file: str | Path, rows: Sequence[Row]) -> Path:
    """Write flat records as a table under a header of their keys, moved into place when complete; returns the file."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    table.writeheader()
    table.writerows([_plain(row) for row in rows])
    put(Path(file), text.getvalue().encode())
    return Path(file)


def read(folder: str | Path) -> Result:
    """The result a folder holds. Raises DataError when it holds none, or not in this schema."""
    file = Path(folder) / "result.json"
    try:
        record = read_json(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} holds no readable result.json: expected the folder of an experiment") from error
    check(record, file)
    return Result(**record)


def collected(folder: str | Path, within: Path | None = None) -> Iterator[tuple[Path, Result]]:
    """Every result folder in and below `folder`, itself included, in the order of their names, "9" before "10".

    What cannot be read as a result is left out, and so is what lies in folders with a leading dot (being written).
    With `within`, results of which a file is a link out of that folder are left out with a warning.
    """
    root = Path(folder)
    found = [file.parent.relative_to(root) for file in root.rglob(FILES[0])]
    for place in sorted((path for path in found if not any(part[0] == "." for part in path.parts)), key=_natural):
        links = [name for name in FILES if within is not None and leads_out(within, root / place / name)]
        if links:
            warnings.warn(f"{root / place / links[0]} is a link out of {within}: the result is left out", stacklevel=2)
            continue
        try:
            yield root / place, read(root / place)
        except DataError:
            continue


def _natural(path: Path) -> list[list[tuple[bool, int, str]]]:
    """Numbers in names in their order as numbers."""
    parts = [re.findall(r"\d+|\D+", part) for part in path.parts]
    return [
        [(not piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in part] for part in parts
    ]


def read_arrays(file: str | Path, names: Collection[str] | None = None, limit: int | None = None) -> dict[str, Any]:
    """The numpy arrays of an .npy or .npz file, or of a result folder, by name; with `names`, of those what is there.

    Raises DataError where there are no arrays, and where one has more bytes than `limit`.
    """
    file = Path(file)
    try:
        with (file / "arrays.npz" if file.is_dir() else file).open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if not hasattr(loaded, "files"):
                return {file.stem: loaded}
            wanted = [key for key in loaded if names is None or key in names]
            for key in wanted:
                if limit is not None and loaded.zip.getinfo(f"{key}.npy").file_size > limit:
                    raise DataError(f"{file}: the array {key!r} is larger than {limit >> 20} MiB")
            return {key: loaded[key] for key in wanted}
    except (OSError, ValueError, EOFError, BadZipFile, ZlibError) as error:
        raise DataError(f"{file} holds no arrays: expected .npy, .npz or the folder of an experiment") from error


def check(record: object, origin: object = "result.json") -> None:
    """Raise DataError unless `record` has exactly the keys of a result, each of its type, and flat rows."""
    if not isinstance(record, dict) or set(record) != {item.name for item in fields(Result)}:
        found = sorted(record) if isinstance(record, dict) else type(record).__name__
        raise DataError(f"{origin}: expected the keys {', '.join(_TYPES)}; found {found}")
    for key, kind in _TYPES.items():
        if not isinstance(record[key], kind):
            raise DataError(f"{origin}: {key} is {record[key]!r}, not of the expected type")
    for number, row in enumerate(record["rows"]):
        if not isinstance(row, dict):
            raise DataError(f"{origin}: row {number} is {row!r}, not a record")
        nested = [key for key, value in row.items() if isinstance(value, dict | list)]
        if nested:
            raise DataError(f"{origin}: row {number} is not flat: {', '.join(nested)}")
        if ("reference" in row) != ("delta" in row):
            raise DataError(f"{origin}: row {number} has one of reference and delta without the other")


def _plain(value: Any) -> Any:
    """`value` in JSON's own types: array scalars as numbers, tuples as lists, numbers that are not finite as null."""
    if isinstance(value, Mapping):
        return {decodable(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if isinstance(value, int | bool | None) else decodable(str(value))
