"""Which pictures take part: those with a class, not excluded, and of a seeded split the wanted part (METHODS D2)."""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from convscope.data.collection import Pictures
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
        DataError: pictures without classes, labels beyond them, too few of a class, or other classes in `validation`.
    """
    pictures = labelled(images(source), exclude)
    if per_class is not None:
        if validation is not None:
            raise ArgumentError("validation", validation, "with per_class the rest of the pictures validates")
        split = split_per_class(pictures.labels or [], per_class, test_cap, split_seed, classes=pictures.classes)
        return pictures.subset(split.train), pictures.subset(split.test)
    if validation is None:
        return pictures, None
    held_out = labelled(images(validation))
    if held_out.classes != pictures.classes:
        other = sorted(set(held_out.classes or ()) ^ set(pictures.classes or ()))
        raise DataError(f"validation has other classes than the training pictures: {', '.join(other[:5])}")
    return pictures, held_out


def complete(pictures: Pictures, need: int = 1) -> Pictures:
    """The pictures as they are. Raises DataError for a class without any (it takes `need`): most likely the labels are
    not the classes' numbers, which nothing may set right without being told.
    """
    if pictures.labels is None:
        return pictures
    present = set(pictures.labels)
    for number, name in enumerate(pictures.classes or ()):
        if number not in present:
            raise DataError(f"class {name!r} of {pictures.name} has 0 pictures, need {need} or more")
    return pictures


def labelled(pictures: Pictures, exclude: Exclude = ()) -> Pictures:
    """The pictures that have a class and are not excluded, of the classes that are left, labels from 0 without gaps.

    `exclude`: files of relative paths (one a line, or the first column of a CSV), paths, or folders. Raises DataError
    for pictures without classes, and for a label that none of them has.
    """
    if pictures.labels is None or pictures.classes is None:
        raise DataError(f"{pictures.name} has no classes: expected class folders or a labelled data set")
    if beyond := [label for label in pictures.labels if label >= len(pictures.classes)]:
        expected = f"expected 0 to {len(pictures.classes) - 1}, one a class"
        raise DataError(f"{pictures.name} has label {beyond[0]}, {expected}")
    out = _excluded([exclude] if isinstance(exclude, str | Path) else exclude, pictures.paths)
    kept = [
        place
        for place, (path, label) in enumerate(zip(pictures.paths, pictures.labels, strict=True))
        if label >= 0 and out.isdisjoint(_self_and_parents(path))
    ]
    if not kept:
        raise DataError(f"{pictures.name}: no picture with a class is left")
    chosen = pictures.subset(kept)
    number = {label: place for place, label in enumerate(sorted(set(chosen.labels or [])))}
    chosen.classes = tuple(pictures.classes[label] for label in number)
    chosen.labels = [number[label] for label in chosen.labels or []]
    return chosen


def _excluded(exclude: Sequence[str | Path], paths: Sequence[str]) -> set[str]:
    """The named paths and folders, those that files list among them."""
    known = {name for path in paths for name in _self_and_parents(path)}
    out: set[str] = set()
    for entry in exclude:
        name = Path(entry).as_posix()
        if Path(entry).is_file():
            with Path(entry).open(newline="") as file:
                out |= {row[0] for row in csv.reader(file) if row}
        elif name in known:
            out.add(name)
        else:
            raise ArgumentError("exclude", name, "no such file with a list, and no such picture or folder")
    return out


def _self_and_parents(path: str) -> list[str]:
    return [path, *map(str, PurePosixPath(path).parents)]
