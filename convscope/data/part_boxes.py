"""Boxes around the parts of pictures, from a table: where an eye is, where a nose (METHODS D8).

    image,part,top,left,bottom,right
    Faces_easy/image_0040.jpg,right eye,138,80,164,112

Pixels of the picture itself, upright, from 0; bottom and right are exclusive. Any tool that draws boxes can make it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from convscope.data import tables
from convscope.data.picture_names import PictureNames
from convscope.data.picture_set import Pictures
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


def read(source: str | Path, pictures: Pictures | None = None) -> Parts:
    """The boxes of a table (`convscope.data.tables`), or those of `gallery`'s faces for "faces".

    With `pictures` the images are called by their paths there; warns of lines that name none of them.

    Raises DataError for a file that cannot be read, columns that are missing, no line that names a picture, numbers
    that are none, empty boxes and two boxes for one part.
    """
    file = FACES if source == "faces" and not Path(source).exists() else Path(source)
    names = None if pictures is None else PictureNames(pictures)
    table = replace(tables.read(file, names, COLUMNS), file=str(source))
    if not table.lines:
        raise DataError(f"{source}: no boxes in it")
    table.require_matches("so their boxes are not used")
    boxes: dict[str, dict[str, Box]] = {}
    for line, row in zip(table.lines, table.records(), strict=True):
        where = f"{source}, line {line.number}"
        image = row["image"] if names is None else _image(line, names, where)
        if image is None:
            continue
        part, box = row["part"], _box(row, where)
        if part in boxes.setdefault(image, {}):
            raise DataError(f"{where}: a second box for {part} of {image}")
        boxes[image][part] = box
    return Parts(str(source), boxes)


def _image(line: tables.Line, names: PictureNames, where: str) -> str | None:
    """The path of the line's picture, None where it names none."""
    if line.picture is None:
        return None
    if len(names.places[line.picture]) != 1:
        raise DataError(f"{where}: {line.picture!r} holds {len(names.places[line.picture])} pictures; expected one")
    return line.picture


def _box(row: dict[str, str], where: str) -> Box:
    try:
        top, left, bottom, right = (float(row[column]) for column in COLUMNS[2:])
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: expected numbers for {', '.join(COLUMNS[2:])}") from error
    if not (top < bottom and left < right):
        raise DataError(f"{where}: the box {spelled((top, left, bottom, right))} is empty")
    return top, left, bottom, right
