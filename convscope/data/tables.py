"""Read any table about pictures: exclusion lists, labels, boxes of parts, concepts.

    table = read("overlap.csv", PictureNames(images("pictures/")))
    table.require_matches("exclude nothing")
    [line.picture for line in table.lines]

A table does not say how it is encoded, what separates its cells or how it spells paths. The file is read in every
plausible way; the way in which most lines name a picture counts, the plainest of equals.
"""

import csv
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convscope.data import encodings
from convscope.data.picture_names import PictureNames
from convscope.errors import DataError

SEPARATORS = (None, ",", ";", "\t", " ")  # None: the whole line is the cell
PATHS = ("path", "image", "picture", "file", "filename", "file_name", "filepath", "image_path", "image_id", "img", "id")
LARGEST = 2**28  # bytes of a table
SAMPLE = 1000  # lines that decide how the file is read
SHOWN = 3  # lines that a message quotes
LONGEST = 60  # letters of a quoted line


@dataclass(frozen=True)
class Line:
    """One line: its number from 1, its cells, and the picture, folder or class that its path stands for, or None."""

    number: int
    cells: tuple[str, ...]
    picture: str | None = None

    def cell(self, column: int) -> str:
        """Return the text of a column without spaces around it; "" where the line is too short."""
        return self.cells[column].strip() if column < len(self.cells) else ""

    def quoted(self) -> str:
        """Return the line as a message quotes it: not too long, without control characters."""
        text = ",".join(self.cells)
        return f"line {self.number} {text if len(text) <= LONGEST else text[:LONGEST] + '…'!r}"


@dataclass(frozen=True)
class Table:
    """The `lines` of a `file` that are not blank, below its `header`, the names of the columns, () for none.

    `path`: the column of the paths; `names` of the pictures in which these were looked up.
    """

    file: str
    header: tuple[str, ...]
    lines: tuple[Line, ...]
    path: int = 0
    names: PictureNames | None = None

    def column(self, *titles: str, default: int = 0) -> int:
        """Return the place of the first of these columns that the header has."""
        header = [title.lower() for title in self.header]
        return next((header.index(title) for title in titles if title in header), default)

    def records(self) -> list[dict[str, str]]:
        """Return the lines by the header's names."""
        return [{title: line.cell(k) for k, title in enumerate(self.header) if title} for line in self.lines]

    @property
    def unmatched(self) -> tuple[Line, ...]:
        """The lines that name no picture."""
        return tuple(line for line in self.lines if line.picture is None)

    def require_matches(self, consequence: str) -> None:
        """Warn of lines that name no picture and so have this `consequence`. Raises DataError where no line does."""
        lost, names = self.unmatched, self.names
        if not lost or names is None:
            return
        example = f"there a picture is called {names.example!r}"
        if len(lost) == len(self.lines):
            raise DataError(f"{self.file}: no line names a picture of {names.pictures}: {quoted(lost)}; {example}")
        count = f"{len(lost)} of {len(self.lines)} lines name no picture of {names.pictures}, {consequence}"
        warnings.warn(f"{self.file}: {count}: {quoted(lost)}; {example}", stacklevel=3)


def quoted(lines: Sequence[Line]) -> str:
    """Return the first few lines as a message quotes them."""
    return ", ".join(line.quoted() for line in lines[:SHOWN]) + (", …" if len(lines) > SHOWN else "")


def read(file: str | Path, names: PictureNames | None = None, columns: Sequence[str] = ()) -> Table:
    """Return the lines of a table with what of `names` each one stands for.

    Its header must have `columns`, of which the first holds the paths. Without `columns` there may be a header or not,
    and the paths are in the column that is called so, else in the first.

    Raises DataError for a file that cannot be read, or that lacks columns.
    """
    data, beside = _bytes(file), Path(file).absolute().parent
    best: tuple[tuple[int, int], Table] | None = None
    lacking = list(columns)
    for rows in _readings(data):
        header = _header(rows, columns, names)
        if missing := [column for column in columns if column not in header]:
            lacking = min(lacking, missing, key=len)
            continue
        table = Table(str(file), header, rows[1:] if header else rows, names=names)
        table = replace(table, path=table.column(*(columns[:1] or PATHS)))
        sample = [line for line in table.lines[:SAMPLE] if _named(line, table, beside) is None]
        score = (min(len(table.lines), SAMPLE) - len(sample), -len(sample))
        if best is None or score > best[0]:
            best = score, table
        if names is None or not sample:
            break
    if best is None:
        raise DataError(f"{file}: expected the columns {', '.join(columns)}; {', '.join(lacking)} missing")
    table = best[1]
    return replace(table, lines=tuple(replace(line, picture=_named(line, table, beside)) for line in table.lines))


def _bytes(file: str | Path) -> bytes:
    try:
        if (size := Path(file).stat().st_size) > LARGEST:
            raise DataError(f"{file}: {size:,} bytes, too large for a table; expected at most {LARGEST:,}")
        return Path(file).read_bytes()
    except OSError as error:
        raise DataError(f"{file}: no such table ({(error.strerror or str(error)).lower()})") from error


def _readings(data: bytes) -> Iterator[tuple[Line, ...]]:
    """The lines in every way to read the bytes, the plainest first."""
    for text in encodings.candidates(data):
        for separator in SEPARATORS:
            try:
                yield tuple(_lines(text, separator))
            except csv.Error:  # a quote that opens and never closes
                continue


def _lines(text: str, separator: str | None) -> Iterator[Line]:
    """The lines that are not blank. Quoted cells may hold line ends; without a separator quotes mean nothing."""
    rows: Iterator[tuple[int, list[str]]]
    if separator is None:
        rows = ((number, [line.rstrip("\n")]) for number, line in enumerate(io.StringIO(text, newline=None), 1))
    else:
        rows = _records(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    for number, cells in rows:
        if any(cell.strip() for cell in cells):
            yield Line(number, tuple(cells))


def _records(reader: Any) -> Iterator[tuple[int, list[str]]]:
    number = 1
    for cells in reader:
        yield number, cells
        number = reader.line_num + 1


def _header(rows: Sequence[Line], columns: Sequence[str], names: PictureNames | None) -> tuple[str, ...]:
    """The names of the columns: the first row where `columns` are expected, or where it has a usual name for paths and
    no picture is called so.
    """
    if not rows:
        return ()
    titles = tuple(cell.strip() for cell in rows[0].cells)
    if columns:
        return tuple(title.lower() if title.lower() in columns else title for title in titles)
    if not {title.lower() for title in titles} & {*PATHS}:
        return ()
    return () if names and any(names.find(title) for title in titles) else titles


def _named(line: Line, table: Table, beside: Path) -> str | None:
    """What the line's path stands for."""
    if table.names is None or table.path >= len(line.cells):
        return None
    return table.names.find(line.cells[table.path], beside)
