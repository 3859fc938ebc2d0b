"""Boxes around the parts of pictures, from a table: where an eye is, where a nose (METHODS D8).

    image,part,top,left,bottom,right
    Faces_easy/image_0040.jpg,right eye,138,80,164,112

Pixels of the picture itself, upright, from 0; bottom and right are exclusive. Any tool that draws boxes can make it.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from convscope.errors import DataError

FACES = Path(__file__).parent.parent / "assets" / "faces.csv"
COLUMNS = ("image", "part", "top", "left", "bottom", "right")

Box = tuple[float, float, float, float]  # top, left, bottom, right


@dataclass(frozen=True)
class Parts:
    """The boxes of some parts in some pictures; `boxes`: image -> part -> box; `name` of the table, for errors."""

    name: str
    boxes: dict[str, dict[str, Box]]

    def named(self) -> tuple[str, ...]:
        """The parts, as the table first names them."""
        return tuple(dict.fromkeys(part for parts in self.boxes.values() for part in parts))

    def box(self, image: str, part: str, size: tuple[int, int]) -> Box:
        """Of a part in a picture of `size` (width, height). Raises DataError for none, or one outside the picture."""
        box = self.boxes[image].get(part)
        if box is None:
            raise DataError(f"{self.name}: {image} has no box for {part!r}; expected one for every part in every image")
        width, height = size
        if not (box[0] >= 0 and box[1] >= 0 and box[2] <= height and box[3] <= width):
            raise DataError(f"{self.name}: {part} of {image} is {spelled(box)}, outside the {width} x {height} picture")
        return box


def spelled(box: Iterable[float]) -> str:
    """A box in an error."""
    return "(" + ", ".join(f"{place:g}" for place in box) + ")"


def read(source: str | Path) -> Parts:
    """The boxes of a CSV file, or those of `gallery`'s faces for "faces".

    Raises DataError for a file that cannot be read, columns that are missing, numbers that are none, empty boxes and
    two boxes for one part.
    """
    file = FACES if source == "faces" and not Path(source).exists() else Path(source)
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            table = csv.DictReader(stream)
            missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
            if missing:
                raise DataError(f"{source}: expected the columns {', '.join(COLUMNS)}; {', '.join(missing)} missing")
            boxes: dict[str, dict[str, Box]] = {}
            for row in table:
                image, part, box = row["image"], row["part"], _box(row, f"{source}, line {table.line_num}")
                if part in boxes.setdefault(image, {}):
                    raise DataError(f"{source}, line {table.line_num}: a second box for {part} of {image}")
                boxes[image][part] = box
    except OSError as error:
        raise DataError(f"{source}: no table of boxes ({(error.strerror or str(error)).lower()})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source}: no table of boxes (not a CSV file)") from error
    if not boxes:
        raise DataError(f"{source}: no boxes in it")
    return Parts(str(source), boxes)


def _box(row: dict[str, str], where: str) -> Box:
    try:
        top, left, bottom, right = (float(row[column]) for column in COLUMNS[2:])
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: expected numbers for {', '.join(COLUMNS[2:])}") from error
    if not (top < bottom and left < right):
        raise DataError(f"{where}: the box {spelled((top, left, bottom, right))} is empty")
    return top, left, bottom, right
