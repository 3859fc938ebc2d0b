"""Give pictures their classes from a table, and notice folders that are no classes.

    path,class
    holiday/0001.jpg,beach
    holiday/0002.jpg,city

Any table that `convscope.data.tables` reads, with a header or without; a folder in it stands for all its pictures.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

from convscope.data import tables
from convscope.data.folders import some
from convscope.data.picture_names import PictureNames
from convscope.data.picture_set import NO_CLASS, Pictures
from convscope.errors import DataError

CLASSES = ("class", "label", "category", "species", "breed", "target", "class_name", "name")
PARTS = frozenset(  # of a data set; where every folder is called so, none is a class
    "train training trainval val valid validation test testing dev "
    "images image imgs img jpegimages labels label annotations annotation masks".split()
)


def labelled_by(pictures: Pictures, file: str | Path) -> Pictures:
    """Return the pictures with the classes of a table, sorted by name; a picture that it does not list has label -1.

    Warns of lines that name no picture or no class, and of pictures without a line. Raises DataError for a table that
    labels none of the pictures, or one of them twice.
    """
    names = PictureNames(pictures)
    table = tables.read(file, names)
    table.require_matches("so they label nothing")
    column = table.column(*CLASSES, default=0 if table.path else 1)
    class_of: dict[int, str] = {}
    without = [line for line in table.lines if line.picture is not None and not line.cell(column)]
    for line in table.lines:
        label = line.cell(column)
        for place in names.places[line.picture] if line.picture is not None and label else ():
            if class_of.setdefault(place, label) != label:
                both = f"{class_of[place]!r} and {label!r} (line {line.number})"
                raise DataError(f"{file}: {pictures.paths[place]} is {both}; expected one class for each picture")
    if not class_of:
        raise DataError(f"{file}: no line has a path and a class: {tables.quoted(table.lines) or 'it is empty'}")
    if without:
        count = f"{len(without)} of {len(table.lines)} lines have no class"
        warnings.warn(f"{file}: {count}: {tables.quoted(without)}", stacklevel=3)
    if missing := [path for place, path in enumerate(pictures.paths) if place not in class_of]:
        count = f"{len(missing)} of {len(pictures)} pictures of {pictures.name}"
        warnings.warn(f"{file} has no class for {count}, which take no part: {some(missing)}", stacklevel=3)
    return _relabelled(pictures, class_of)


def _relabelled(pictures: Pictures, class_of: dict[int, str]) -> Pictures:
    number = {name: k for k, name in enumerate(sorted(set(class_of.values())))}
    chosen = pictures.subset(range(len(pictures)))
    chosen.labels = [number[class_of[place]] if place in class_of else NO_CLASS for place in range(len(pictures))]
    chosen.classes, chosen.truth, chosen.alphabetical, chosen.by_table = tuple(number), None, True, True
    return chosen


def not_classes(pictures: Pictures) -> str | None:
    """Return what is wrong where all class folders are called as parts of a data set are, else None."""
    folders: Sequence[str] = (*(pictures.classes or ()), *pictures.empty)
    if not (pictures.alphabetical and pictures.classes) or not {folder.lower() for folder in folders} <= PARTS:
        return None
    are = "is a part" if len(folders) == 1 else "are parts"
    ways = f"expected one of the folders, as {pictures.name}/{pictures.classes[0]}, or --labels FILE with the classes"
    return f"{pictures.name}: {some(folders)} {are} of a data set by name, not classes: {ways}"
