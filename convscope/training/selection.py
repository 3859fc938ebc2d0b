"""Which pictures take part: those with a class, not excluded, and of a seeded split the wanted part (METHODS D2)."""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from convscope.data.picture_set import NO_CLASS, Pictures
from convscope.data.sources import images
from convscope.data.splits import per_class as split_per_class
from convscope.errors import ArgumentError, DataError

Exclude = str | Path | Sequence[str | Path]


def choose(
    source: object,
    *,
    validation: object | None = None,
    exclude: Exclude = (),
    per_class: int | None = None,
    test_cap: int | None = 50,
    split_seed: int = 0,
) -> tuple[Pictures, Pictures | None]:
    """Pictures to train on, and to validate on where there are any, of the same classes.

    The latter are `validation`, or with `per_class` up to `test_cap` of the pictures left in every class.

    Raises:
        ArgumentError: both `validation` and `per_class`; a file of exclusions that does not exist.
        DataError: pictures without classes, labels beyond them, too few of a class or none; other classes in
            `validation`.
    """
    pictures = labelled(complete(images(source), 1 if per_class is None else per_class + 1, exclude), exclude)
    if per_class is not None:
        if validation is not None:
            raise ArgumentError("validation", validation, "with per_class the rest of the pictures validates")
        split = split_per_class(pictures.labels or [], per_class, test_cap, split_seed, classes=pictures.classes)
        return pictures.subset(split.train), pictures.subset(split.test)
    if validation is None:
        return pictures, None
    held_out = labelled(images(validation))
    pictures.require_same_classes(held_out)
    return pictures, held_out


def complete(pictures: Pictures, need: int = 1, exclude: Exclude = ()) -> Pictures:
    """The pictures as they are. Raises DataError for a class without any (it takes `need`) that is not excluded: an
    empty folder, or most likely the labels are not the classes' numbers, which nothing may set right without being
    told.
    """
    present = set(pictures.labels or ())
    missing = [name for number, name in enumerate(pictures.classes or ()) if number not in present]
    left_out = entries(exclude)
    for name in (*missing, *pictures.empty) if present else ():
        if name not in left_out:
            raise DataError(f"class {name!r} of {pictures.name} has 0 pictures, need {need} or more")
    return pictures


def labelled(pictures: Pictures, exclude: Exclude = ()) -> Pictures:
    """The pictures that have a class and are not excluded, of the classes that are left, labels from 0 without gaps.

    Raises DataError for pictures without classes, and for a label that none of them has; ArgumentError as `included`.
    """
    if pictures.truth is not None:
        raise DataError(
            f"pictures of {pictures.name} may show several classes: expected one each, or `transfer` with test"
        )
    if pictures.labels is None or pictures.classes is None:
        raise DataError(f"{pictures.name} has no classes: expected class folders or a labelled data set")
    if beyond := [label for label in pictures.labels if label >= len(pictures.classes)]:
        expected = f"expected 0 to {len(pictures.classes) - 1}, one a class"
        raise DataError(f"{pictures.name} has label {beyond[0]}, {expected}")
    kept = [place for place in included(pictures, exclude) if pictures.labels[place] >= 0]
    if not kept:
        raise DataError(f"{pictures.name}: no picture with a class is left")
    chosen = pictures.subset(kept)
    number = {label: place for place, label in enumerate(sorted(set(chosen.labels or [])))}
    chosen.classes = tuple(pictures.classes[label] for label in number)
    chosen.labels = [number[label] for label in chosen.labels or []]
    return chosen


def included(pictures: Pictures, exclude: Exclude = ()) -> list[int]:
    """Places of the pictures that `exclude` does not name.

    `exclude`: files of relative paths (one a line, or the first column of a CSV), paths, folders, or classes; of two
    sources joined, those of either. Raises ArgumentError for what is none of these.
    """
    if not exclude:
        return list(range(len(pictures)))
    classes = pictures.classes or ()
    known = {*pictures.empty, *classes, *(name for path in pictures.paths for name in _names(path, pictures.joint))}
    for entry in _listed(exclude):
        if not Path(entry).is_file() and Path(entry).as_posix() not in known:
            expected = "no such file with a list, and no such picture or folder"
            raise ArgumentError("exclude", Path(entry).as_posix(), expected)
    out = entries(exclude)
    left_out = {number for number, name in enumerate(classes) if name in out}
    labels = pictures.labels or [NO_CLASS] * len(pictures)
    return [
        place
        for place, (path, label) in enumerate(zip(pictures.paths, labels, strict=True))
        if label not in left_out and out.isdisjoint(_names(path, pictures.joint))
    ]


def _listed(exclude: Exclude) -> Sequence[str | Path]:
    return [exclude] if isinstance(exclude, str | Path) else exclude


def entries(exclude: Exclude) -> set[str]:
    """What is named, in files too."""
    out: set[str] = set()
    for entry in _listed(exclude):
        if Path(entry).is_file():
            with Path(entry).open(newline="") as file:
                out |= {row[0] for row in csv.reader(file) if row and row[0]}
        else:
            out.add(Path(entry).as_posix())
    return out


def _names(path: str, joint: bool) -> list[str]:
    """A path and the folders above it, for one of two sources also as that source has it."""
    own = [path.partition("/")[2]] if joint else []
    return [name for each in (path, *own) for name in (each, *map(str, PurePosixPath(each).parents))]
