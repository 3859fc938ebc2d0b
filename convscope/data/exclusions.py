"""Work out which pictures `exclude` leaves out: pictures, folders and classes by name, and lists of them in files.

out = exclusion(pictures, ["BACKGROUND_Google", "overlap.csv"])
out.places                           # numbers of the pictures that are left out
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convscope.data import tables
from convscope.data.folders import EXTENSIONS
from convscope.data.picture_names import PictureNames
from convscope.data.picture_set import Pictures
from convscope.errors import ArgumentError

Exclude = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Exclusion:
    """`names` of pictures, folders and classes that are left out, and the `places` of all their pictures."""

    names: frozenset[str] = frozenset()
    places: frozenset[int] = frozenset()


def exclusion(pictures: Pictures, exclude: Exclude | Exclusion) -> Exclusion:
    """Return what `exclude` leaves out of the pictures.

    An entry is a class, a folder, a picture or a file that lists any of these (`convscope.data.tables`), spelled as
    `PictureNames` finds them; what the pictures know goes before a file of that name. Warns of lines that name nothing.

    Raises ArgumentError for an entry that is none of these, DataError for a list of which no line names anything.
    """
    if isinstance(exclude, Exclusion):
        return exclude
    entries = [exclude] if isinstance(exclude, str | Path) else exclude
    if not len(entries):
        return Exclusion()
    known = PictureNames(pictures)
    names = {name for entry in entries for name in _named(str(entry), known)}
    return Exclusion(frozenset(names), frozenset(place for name in names for place in known.places[name]))


def _named(entry: str, known: PictureNames) -> list[str]:
    """The names that an entry stands for."""
    if (name := known.find(entry)) is not None:
        return [name]
    file = Path(entry).expanduser()
    if not file.exists() or file.is_dir() or file.suffix.lower() in EXTENSIONS:
        kinds = f"no such picture, folder or class in {known.pictures}, and no such file with a list"
        raise ArgumentError("exclude", entry, f"{kinds}; there a picture is called {known.example!r}")
    table = tables.read(file, known)
    table.require_matches("so they exclude nothing")
    if not table.lines:
        warnings.warn(f"{file} lists nothing, so it excludes nothing", stacklevel=2)
    return [line.picture for line in table.lines if line.picture is not None]
