"""What an experiment takes, said once in its signature: commands, web forms and docs are made from it.

    def occlude(
        network: Network,
        pictures: Pictures,
        *,
        size: Annotated[int | None, "side of the occluder, pixels [default: 50/224 of the picture's]"] = None,
    ) -> Occlusion: ...

    fields(occlude)     # one Field for every parameter, in order

Positional parameters are a command's arguments, keyword-only ones its options. Knows no experiment.
"""

import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Kind:
    """What the text that stands for a parameter means."""

    name: Literal["network", "picture", "pictures", "images", "file", "folder"]


Picture = Annotated[Any, Kind("picture"), "a picture file; gallery/… (bundled)"]
Pictures = Annotated[Any, Kind("pictures"), "picture files; gallery/… (bundled)"]
SOURCES = (
    "a folder, a file, gallery or digits (bundled), torchvision:NAME@ROOT, hf:NAME@SPLIT, or NAME:ROOT@SPLIT for "
    "imagenet, caltech101, caltech256, voc2012, mnist and five"
)
EXCLUDE = "a class, folder or picture to leave out, or a file that lists some"
LABELS = "a table of paths and classes, for pictures that do not lie in class folders"
Images = Annotated[Any, Kind("images"), SOURCES]
Exclude = Annotated[Sequence[str], EXCLUDE]
Labels = Annotated[Any, Kind("file"), LABELS]
File = Annotated[Any, Kind("file"), "a file"]
Folder = Annotated[Any, Kind("folder"), "a folder"]

SHARED = {  # parameters that mean the same everywhere
    "seed": "of everything random",
    "device": "auto, cpu, cuda, cuda:N or mps",
    "batch_size": "pictures at a time",
}


@dataclass(frozen=True)
class Field:
    """One parameter of an experiment, as its command and its form offer it.

    kind: a `Kind`'s name, or "text", "integer", "number", "flag" or "choice". many: takes several values, as a list.
    optional: may be left out; `default` then holds (None: the experiment chooses).
    """

    name: str
    kind: str
    help: str
    many: bool = False
    choices: tuple[str, ...] = ()
    positional: bool = False
    optional: bool = False
    default: Any = None


PLAIN = {int: "integer", float: "number", bool: "flag", str: "text"}


def fields(function: Callable[..., Any], options: bool = False) -> tuple[Field, ...]:
    """The parameters of an experiment, in order; with `options`, the keyword-only ones.

    Raises TypeError for one that no text could stand for, or that has no help: a mistake of ours.
    """
    hints = get_type_hints(function, include_extras=True)
    wanted = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY or not options]
    return tuple(_field(parameter, hints[parameter.name]) for parameter in wanted)


def _field(parameter: inspect.Parameter, hint: Any) -> Field:
    kind, many, choices, words = _read(hint)
    help_text = words or SHARED.get(parameter.name, "")
    if kind is None or not (help_text or kind == "network"):
        raise TypeError(f"{parameter.name}: {hint} {'needs a line of help' if kind else 'has no spelling as text'}")
    optional = parameter.default is not inspect.Parameter.empty
    return Field(
        name=parameter.name,
        kind=kind,
        help=help_text,
        many=many,
        choices=choices,
        positional=parameter.kind is not inspect.Parameter.KEYWORD_ONLY,
        optional=optional,
        default=parameter.default if optional else None,
    )


def _read(hint: Any) -> tuple[str | None, bool, tuple[str, ...], str]:
    """The kind of an annotation, whether it takes several, its choices, and its help."""
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        named = next((note.name for note in notes if isinstance(note, Kind)), None)
        words = next((note for note in reversed(notes) if isinstance(note, str)), "")
        if named:
            return named, named == "pictures", (), words
        kind, many, choices, inner_words = _read(inner)
        return kind, many, choices, words or inner_words
    if get_origin(hint) in (Union, types.UnionType):  # the first of several is what a text becomes; None: optional
        return _read(next(part for part in get_args(hint) if part is not type(None)))
    if get_origin(hint) is Literal:
        return "choice", False, tuple(map(str, get_args(hint))), ""
    if get_origin(hint) in (Sequence, list, tuple):
        kind, _, choices, words = _read(get_args(hint)[0])
        return kind, True, choices, words
    if getattr(hint, "__name__", "") == "Network":
        return "network", False, (), ""
    return PLAIN.get(hint), False, (), ""
