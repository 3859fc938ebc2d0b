"""Which pictures take part: those with a class, not excluded, and of a seeded split the wanted part (METHODS D2)."""

from collections.abc import Sequence

from convscope.data.exclusions import Exclude, Exclusion, exclusion
from convscope.data.labels import not_classes
from convscope.data.picture_set import Pictures
from convscope.data.sources import images
from convscope.data.splits import per_class as split_per_class
from convscope.errors import ArgumentError, DataError, PictureError


def choose(
    source: object,
    *,
    validation: object | None = None,
    exclude: Exclude | Exclusion = (),
    per_class: int | None = None,
    test_cap: int | None = 50,
    split_seed: int = 0,
) -> tuple[Pictures, Pictures | None]:
    """Pictures to train on, and to validate on where there are any, of the same classes.

    The latter are `validation`, or with `per_class` up to `test_cap` of the pictures left in every class.

    Raises:
        ArgumentError: both `validation` and `per_class`; an exclusion that names nothing.
        DataError: pictures without classes, labels beyond them, too few of a class or none; other classes in
            `validation`.
    """
    everything = images(source)
    out = excluded(everything, exclude)
    pictures = labelled(complete(everything, 1 if per_class is None else per_class + 1, out), out)
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


def complete(pictures: Pictures, need: int = 1, exclude: Exclude | Exclusion = ()) -> Pictures:
    """The pictures as they are.

    Raises DataError for a class folder that cannot be read and for a class without any picture (it takes `need`) unless
    `exclude` names it. A class without pictures is an empty folder, or the labels are not the classes' numbers.
    """
    present = set(pictures.labels or ())
    missing = [name for number, name in enumerate(pictures.classes or ()) if number not in present]
    out = exclusion(pictures, exclude)
    for name, place in _unreadable(pictures).items():
        if name not in out.names:
            raise DataError(f"class {name!r} of {pictures.name} is {_reason(pictures, place)}; exclude it to go on")
    for name in (*missing, *pictures.empty) if present else ():
        if name not in out.names:
            raise DataError(f"class {name!r} of {pictures.name} has 0 pictures, need {need} or more")
    return pictures


def _unreadable(pictures: Pictures) -> dict[str, int]:
    """Class folders that cannot be read, each with the place it takes among the pictures: they stand for themselves."""
    classes = pictures.classes or ()
    found = {}
    for place, (path, label) in enumerate(zip(pictures.paths, pictures.labels or (), strict=False)):
        name = path.partition("/")[2] if pictures.joint else path
        if 0 <= label < len(classes) and name == classes[label]:
            found[name] = place
    return found


def _reason(pictures: Pictures, place: int) -> str:
    try:
        pictures.item(place)
    except PictureError as error:
        return str(error)
    return "a file"


def labelled(pictures: Pictures, exclude: Exclude | Exclusion = ()) -> Pictures:
    """The pictures that have a class and are not excluded, of the classes that are left, labels from 0 without gaps.

    Raises as `excluded`, and DataError where no picture is left.
    """
    labels, classes = _labels(pictures)
    chosen_places = [place for place in included(pictures, exclude) if labels[place] >= 0]
    if not chosen_places:
        raise DataError(f"{pictures.name}: no picture with a class is left")
    chosen = pictures.subset(chosen_places)
    number = {label: place for place, label in enumerate(sorted(set(chosen.labels or [])))}
    chosen.classes = tuple(classes[label] for label in number)
    chosen.labels = [number[label] for label in chosen.labels or []]
    return chosen


def excluded(pictures: Pictures, exclude: Exclude | Exclusion) -> Exclusion:
    """Return what `exclude` leaves out of pictures with classes.

    Raises DataError for pictures without classes, for folders that are parts of a data set, and for a label that none
    of the classes has; ArgumentError and DataError as `exclusion`.
    """
    _labels(pictures)
    return exclusion(pictures, exclude)


def _labels(pictures: Pictures) -> tuple[Sequence[int], Sequence[str]]:
    """The labels and the classes. Raises DataError where there are none, or where they do not fit."""
    if pictures.truth is not None:
        raise DataError(
            f"pictures of {pictures.name} may show several classes: expected one each, or `transfer` with test"
        )
    if pictures.labels is None or pictures.classes is None:
        raise DataError(
            f"{pictures.name} has no classes: expected class folders, a labelled data set, or --labels FILE"
        )
    if problem := not_classes(pictures):
        raise DataError(problem)
    if beyond := [label for label in pictures.labels if label >= len(pictures.classes)]:
        expected = f"expected 0 to {len(pictures.classes) - 1}, one a class"
        raise DataError(f"{pictures.name} has label {beyond[0]}, {expected}")
    return pictures.labels, pictures.classes


def included(pictures: Pictures, exclude: Exclude | Exclusion = ()) -> list[int]:
    """Places of the pictures that are not excluded."""
    out = exclusion(pictures, exclude)
    return [place for place in range(len(pictures)) if place not in out.places]
