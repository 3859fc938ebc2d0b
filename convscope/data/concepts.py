"""Pictures with concepts marked in them: Broden, any folder with masks and a table, photographs in folders of their
classes, or drawn pictures (METHODS D7).

    found = concepts("drawn:24")            # | "broden1_224/" | "marked/" | "101_ObjectCategories/" | "gallery"
    found.pictures, found.concepts
    found.marks(7)                          # where which concept is in picture 7

A folder of one's own has a table concepts.csv:

    image,category,concept,mask
    street/1.jpg,object,car,masks/1-car.png     a picture that is not black where the car is
    street/1.jpg,scene,street,                  no mask: the whole picture
    lawn/2.jpg,object,,                         looked for objects, found none of the concepts

Of photographs in classes the class is an object in the whole picture, and every pixel has the name of its colour.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.data import tables
from convscope.data.drawn.canvas import SIDE
from convscope.data.drawn.scenes import COLOURS, NAMES, draw, named_colours
from convscope.data.folders import listed
from convscope.data.picture_names import PictureNames
from convscope.data.picture_set import NO_CLASS, Pictures
from convscope.data.preprocess import Preprocess, lattice
from convscope.data.sources import images
from convscope.errors import ArgumentError, DataError
from convscope.printable import decodable

DRAWN = 480  # pictures, unless said otherwise: some ten of each texture
CATEGORIES = ("color", "texture", "material", "part", "object", "scene")  # Broden's, in its order; others come after
TABLE, COLUMNS = "concepts.csv", ("image", "category", "concept", "mask")
INDEX = ("image", "split", "ih", "iw", "sh", "sw")  # Broden's columns that are no category
VALIDATION = "val"

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Concept:
    """What somebody may see in a picture, and of which kind it is."""

    name: str
    category: str

    def __str__(self) -> str:
        return f"{self.name} ({self.category})"


@dataclass(frozen=True)
class Mark:
    """A concept in one picture, its place among all; `mask` (h, w) has the picture's shape, None: all of it."""

    concept: int
    mask: Mask | None


@dataclass(frozen=True)
class Marks:
    """What is marked in one picture; only of these `categories` does anybody know whether they are in it."""

    categories: frozenset[str]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Concepts:
    """Pictures, the concepts that may be in them, and `marks(index)` of each picture. `held_out`: pictures kept for
    validation, None where nobody said which. `synthetic`: drawn, not photographed.
    """

    name: str
    pictures: Pictures
    concepts: tuple[Concept, ...]
    marks: Callable[[int], Marks]
    held_out: tuple[bool, ...] | None = None
    synthetic: bool = False

    @property
    def categories(self) -> tuple[str, ...]:
        """Those that have concepts, Broden's six first."""
        return _ordered({concept.category for concept in self.concepts})

    def seen(self, index: int, transform: Preprocess, step: int) -> "Seen":
        """What is marked in a picture where a network sees it, at every `step`-th pixel of its input."""
        found, size = self.marks(index), tuple(len(lattice(side, step)) for side in transform.input_size[1:])
        masks: dict[int, Mask] = {}
        for mark in found.marks:
            if mark.mask is None:
                mask = np.ones(size, np.bool_)
            elif self.pictures.tensors:  # already what the network sees
                rows, columns = (lattice(side, step) for side in transform.input_size[1:])
                mask = mark.mask[np.ix_(rows, columns)]
            else:
                mask = transform.sampled(mark.mask, step)
            masks[mark.concept] = masks.get(mark.concept, False) | mask
        present = [k for k, mask in masks.items() if mask.any()]
        flat = np.stack([masks[k] for k in present]) if present else np.zeros((0, *size), np.bool_)
        return Seen(found.categories, torch.tensor(present, dtype=torch.int64), torch.from_numpy(flat))


@dataclass(frozen=True)
class Seen:
    """The concepts that a network sees in one picture: `concepts` (l,) int64, `masks` (l, rows, columns) bool, none of
    them empty; `categories` as in Marks.
    """

    categories: frozenset[str]
    concepts: Tensor
    masks: Tensor


def _ordered(categories: set[str]) -> tuple[str, ...]:
    return (*(c for c in CATEGORIES if c in categories), *sorted(categories - set(CATEGORIES)))


def concepts(source: object) -> Concepts:
    """The concepts of `source`: a folder in Broden's layout (with index.csv), one with a table concepts.csv, one of
    photographs in folders of their classes, "gallery" (the bundled ones), or "drawn", 480 pictures drawn by the package
    ("drawn:N": N of them).

    Raises DataError for a folder that is missing, without pictures or of no such layout, for tables that lack columns
    or name unknown labels; ArgumentError for a number of drawings that is none.
    """
    if isinstance(source, Concepts):
        return source
    spelled = str(source)
    if (found := re.fullmatch(r"drawn(?::(.*))?", spelled)) and not Path(spelled).exists():
        if found[1] is not None and not (found[1].isdecimal() and int(found[1])):
            raise ArgumentError("concepts", spelled, "expected drawn:N with N at least 1")
        return _drawn(int(found[1] or DRAWN))
    if spelled in ("gallery", "bundled:gallery") and not Path(spelled).exists():
        return _photographed(images(spelled))
    folder = Path(spelled).expanduser()
    if (folder / "index.csv").is_file():
        return _broden(folder)
    if (folder / TABLE).is_file():
        return _marked(folder)
    if not folder.is_dir():
        expected = f"expected one with index.csv, {TABLE} or folders of classes, gallery, or drawn"
        raise DataError(f"concepts is {spelled!r}: no such folder; {expected}")
    with suppress(DataError):  # no pictures in it
        if (pictures := images(folder)).classes:
            return _photographed(pictures)
    raise DataError(f"{spelled}: neither index.csv (Broden's layout) nor {TABLE} nor folders of classes in it")


# Drawn --------------------------------------------------------------------------------------------------------------


class _Drawings(Sequence[Any]):
    """Pixels (SIDE, SIDE, 3) by number, drawn when asked for."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: Any) -> Any:
        return draw(index).pixels


def _drawn(count: int) -> Concepts:
    known = tuple(Concept(name, category) for category in CATEGORIES for name in NAMES[category])
    first = {category: sum(len(NAMES[c]) for c in CATEGORIES[:k]) for k, category in enumerate(CATEGORIES)}

    def marks(index: int) -> Marks:
        drawing = draw(index)
        own = [Mark(first[category] + number - 1, None) for category, number in drawing.whole.items()]
        for category, labels in drawing.maps.items():
            own += [Mark(first[category] + int(k) - 1, np.equal(labels, k)) for k in np.unique(labels) if k]
        return Marks(frozenset((*drawing.whole, *drawing.maps)), tuple(own))

    paths = [f"drawn/{index:05d}" for index in range(count)]
    name = f"drawn, {SIDE} x {SIDE}"
    return Concepts("drawn", Pictures(name, _Drawings(count), paths=paths), known, marks, synthetic=True)


# Photographs in classes ---------------------------------------------------------------------------------------------


def _photographed(pictures: Pictures) -> Concepts:
    """Every pixel has the name of its colour; the class is an object in the whole picture."""
    classes, labels = pictures.classes or (), pictures.labels or []
    colours = [Concept(name, "color") for name in COLOURS]

    def marks(index: int) -> Marks:
        named, label = named_colours(np.asarray(pictures.picture(index))), labels[index]
        own = [Mark(int(k) - 1, np.equal(named, k)) for k in np.unique(named)]
        own += [Mark(len(colours) + label, None)] if label != NO_CLASS else []
        return Marks(frozenset(("color", "object")), tuple(own))

    return Concepts(pictures.name, pictures, (*colours, *(Concept(name, "object") for name in classes)), marks)


# Broden -------------------------------------------------------------------------------------------------------------


def _broden(folder: Path) -> Concepts:
    """Label pictures hold a label's number as red + 256 green; a number in a cell labels the whole picture."""
    rows = _table(folder / "index.csv", ("image",)).records()
    labels = _table(folder / "label.csv", ("number", "name")).records()
    name_of = {int(row["number"]): row["name"] for row in labels if row["number"].isdecimal()}
    categories = [column for column in rows[0] if column not in INDEX]
    found = {category: [_layers(row[category]) for row in rows] for category in _ordered(set(categories))}
    listed = {category: _numbers(folder, category, labels) for category in found}
    known = {(category, number): k for k, (category, number) in enumerate((c, n) for c in found for n in listed[c])}

    def marks(index: int) -> Marks:
        own: list[Mark] = []
        for category, cells in found.items():
            for layer in cells[index]:
                for number, mask in _read(folder, layer):
                    if (category, number) not in known:
                        wrong = f"{rows[index]['image']} has {category} {number}"
                        raise DataError(f"{folder}: {wrong}, which is not in c_{category}.csv")
                    own.append(Mark(known[category, number], mask))
        return Marks(frozenset(category for category, cells in found.items() if cells[index]), tuple(own))

    held_out = tuple(row["split"] == VALIDATION for row in rows) if "split" in rows[0] else None
    named = tuple(Concept(name_of.get(number, str(number)), category) for category, number in known)
    return Concepts(folder.name, _pictures(folder / "images", [row["image"] for row in rows]), named, marks, held_out)


def _layers(cell: str) -> tuple[str | int, ...]:
    """A cell of Broden's index: label pictures, or labels of the whole picture."""
    return tuple(int(part) if part.isdecimal() else part for part in cell.split(";") if part)


def _numbers(folder: Path, category: str, labels: list[dict[str, str]]) -> list[int]:
    """The labels of a category: those of its own table or, without one, those that label.csv gives it."""
    own = folder / f"c_{category}.csv"
    if own.is_file():
        return sorted({int(row["number"]) for row in _table(own, ("number",)).records() if int(row["number"])})
    mine = (row for row in labels if category in re.findall(r"(\w+)\(", row.get("category") or ""))
    return sorted({int(row["number"]) for row in mine})


def _read(folder: Path, layer: str | int) -> Iterator[tuple[int, Mask | None]]:
    """The labels of one cell with their masks."""
    if isinstance(layer, int):
        if layer:
            yield layer, None
        return
    pixels = _opened(folder / "images" / layer).astype(np.int32)
    numbers = pixels[..., 0] + 256 * pixels[..., 1]
    for number in np.unique(numbers):
        if number:
            yield int(number), np.equal(numbers, number)


# A folder with a table ----------------------------------------------------------------------------------------------


def _marked(folder: Path) -> Concepts:
    found = listed(folder)
    files = [path for path in found.paths if path not in found.broken]
    names = PictureNames(_pictures(folder, files))
    table = _table(folder / TABLE, COLUMNS, names)
    table.require_matches("so they mark nothing")
    own: dict[int, list[dict[str, str]]] = {}
    for line, row in zip(table.lines, table.records(), strict=True):
        row["mask"] = names.find(row["mask"], folder) or row["mask"]
        for place in names.places[line.picture] if line.picture is not None else ():
            own.setdefault(place, []).append(row)
    named = sorted({(row["category"], row["concept"]) for rows in own.values() for row in rows if row["concept"]})
    order = _ordered({category for category, _ in named})
    known = {pair: k for k, pair in enumerate(sorted(named, key=lambda pair: (order.index(pair[0]), pair[1])))}
    if not known:
        raise DataError(f"{folder / TABLE}: no concept in it")
    places = list(own)

    def marks(index: int) -> Marks:
        mine, image = own[places[index]], files[places[index]]
        marked = [
            Mark(known[row["category"], row["concept"]], _mask(folder, image, row["mask"]) if row["mask"] else None)
            for row in mine
            if row["concept"]
        ]
        return Marks(frozenset(row["category"] for row in mine), tuple(marked))

    pictures = _pictures(folder, [files[place] for place in places])
    return Concepts(folder.name, pictures, tuple(Concept(n, c) for c, n in known), marks)


def _mask(folder: Path, picture: str, name: str) -> Mask:
    """Where a mask is not black. Raises DataError where it has another shape than its picture."""
    mask: Mask = np.asarray(_opened(folder / name).any(2))
    try:
        with Image.open(folder / picture) as image:
            width, height = image.size
            if image.getexif().get(0x0112, 1) >= 5:  # lies on its side
                width, height = height, width
    except OSError:
        return mask  # a picture that cannot be read is skipped anyway
    if abs(mask.shape[1] * height - mask.shape[0] * width) > max(width, height):
        size = f"{mask.shape[1]} x {mask.shape[0]}"
        raise DataError(f"{name} is {size}: expected the shape of {picture}, {width} x {height}")
    return mask


# Files --------------------------------------------------------------------------------------------------------------


def _pictures(folder: Path, paths: list[str]) -> Pictures:
    name = folder.name if folder.name != "images" else folder.parent.name
    return Pictures(name, [folder / path for path in paths], paths=[decodable(path) for path in paths])


def _opened(file: Path) -> NDArray[np.uint8]:
    """A mask picture, (h, w, 3). Raises DataError."""
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{file}: no mask picture ({getattr(error, 'strerror', None) or 'not readable'})") from error


def _table(file: Path, columns: Sequence[str], names: PictureNames | None = None) -> tables.Table:
    """A table with these columns. Raises DataError for none, and for one without lines."""
    table = tables.read(file, names, columns)
    if not table.lines:
        raise DataError(f"{file}: no pictures in it")
    return table
