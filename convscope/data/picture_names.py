"""Find pictures by any spelling of their path, or by a folder or class that holds them.

    names = PictureNames(images("pictures/"))
    names.find(".\\\\cat\\\\001.png")        # "cat/001.png"
    names.places["cat"]                  # the places of all pictures in that folder

Paths may be absolute, or relative to the folder of the pictures, the folder above it, the current one, or the list's.
"""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from unicodedata import normalize

from convscope.data.encodings import file_name
from convscope.data.picture_set import Pictures
from convscope.printable import decodable


class PictureNames:
    """`places`: for every path, folder and class the places of its pictures, in order; none for an empty class.

    `pictures`: their name; `example`: the path of the first. Of two sources joined, both sources' own paths count too.
    """

    def __init__(self, pictures: Pictures) -> None:
        self.pictures, self.example = pictures.name, pictures.paths[0] if len(pictures) else ""
        self.places: dict[str, list[int]] = {}
        self._paths: set[str] = set()
        self._roots: set[str] = set()
        self._here = file_name(Path.cwd().as_posix())
        self._followed: dict[str, str] = {}
        for place in range(len(pictures)):
            for path in self._paths_of(pictures, place):
                self._paths.add(path)
                for name in _with_folders(path):
                    held = self.places.setdefault(name, [])
                    if held[-1:] != [place]:
                        held.append(place)
        for name, places in _by_class(pictures).items():
            self.places[name] = sorted({*self.places.get(name, ()), *places})

    def _paths_of(self, pictures: Pictures, place: int) -> Iterator[str]:
        """A picture's path, that in its own source, and its file's where that differs or is not UTF-8."""
        path = pictures.paths[place]
        inner = path.partition("/")[2] if pictures.joint else path
        yield from {path, inner}
        if (file := pictures.file(place)) is None:
            return
        full = os.path.abspath(file).replace(os.sep, "/")  # noqa: PTH100 - a Path each is slow for a million
        below = "/".join(full.split("/")[-1 - inner.count("/") :])
        if decodable(below) == inner:
            self._roots.add(full[: -len(below) - 1])
            yield file_name(below)
        else:
            yield file_name(full)

    def find(self, text: str, beside: Path | None = None) -> str | None:
        """Return the name in `places` that the text spells, None for none or several. `beside`: the list's folder."""
        if text in self.places:
            return text
        spellings = list(dict.fromkeys(self._spellings(text, beside)))
        for spelling in spellings:
            if spelling in self.places:
                return spelling
        for known in (self._by_composed, self._by_stem):
            for spelling in spellings:
                if name := known.get(composed(spelling)):
                    return name
        return None

    def _spellings(self, text: str, beside: Path | None) -> Iterator[str]:
        """Ways to read the text as a path, the plainest first."""
        for path in dict.fromkeys((text.strip(), text.strip().replace("\\", "/"))):
            plain = posixpath.normpath(re.sub("/+", "/", path)) if path else "."
            if plain == ".":
                continue
            yield plain
            expanded = os.path.expanduser(plain)  # noqa: PTH111 - a Path fails where there is no home
            above = map(posixpath.dirname, self._all_roots)  # for "pictures/cat/1.png" of the folder "pictures"
            for base in (self._here, *([file_name(beside.as_posix())] if beside else []), *above):
                full = posixpath.normpath(posixpath.join(base, expanded))
                for way in (full, self._real(full)):
                    yield way
                    yield from (way[len(root) + 1 :] for root in self._all_roots if way.startswith(root + "/"))

    @cached_property
    def _all_roots(self) -> list[str]:
        """The folders of the pictures, as they were given and with links followed; the root of the disk is ""."""
        both = [each for root in sorted(self._roots) for each in (root, os.path.realpath(root or "/"))]
        return list(dict.fromkeys(file_name(root.replace(os.sep, "/").rstrip("/")) for root in both))

    def _real(self, full: str) -> str:
        """The path with links in its folders followed."""
        folder, _, name = full.rpartition("/")
        if folder not in self._followed:
            try:
                real = os.path.realpath(folder or "/").replace(os.sep, "/")
            except ValueError:  # letters that no name on this system has, such as zero
                real = folder
            self._followed[folder] = file_name(real.rstrip("/"))
        return f"{self._followed[folder]}/{name}"

    @cached_property
    def _by_composed(self) -> Mapping[str, str | None]:
        return _unambiguous((composed(name), name) for name in self.places)

    @cached_property
    def _by_stem(self) -> Mapping[str, str | None]:
        """Paths by all but their suffix, which tables of labels often leave out."""
        return _unambiguous((composed(re.sub(r"\.[^./]+$", "", path)), path) for path in self._paths)


def composed(text: str) -> str:
    """Return Unicode's composed form (NFC): macOS writes ä as a letter and two dots, other systems as one letter."""
    return text if text.isascii() else normalize("NFC", text)


def _unambiguous(pairs: Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """The name of each key, None for a key of several names."""
    found: dict[str, str | None] = {}
    for key, name in pairs:
        found[key] = None if found.get(key, name) != name else name
    return found


def _with_folders(path: str) -> Iterator[str]:
    """A path and the folders above it."""
    yield path
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _by_class(pictures: Pictures) -> dict[str, list[int]]:
    """The places of each class's pictures; none for a folder or class without any."""
    classes = pictures.classes or ()
    found: dict[str, list[int]] = {name: [] for name in (*pictures.empty, *classes)}
    for place, label in enumerate(pictures.labels or ()):
        if 0 <= label < len(classes):
            found[classes[label]].append(place)
    return found
