"""List the pictures below a folder, and everything in it that is not used.

    found = listed(Path("pictures/"))
    found.paths, list(found.remarks())      # ["cat/1.png", …], ["ignored 3 files: .txt 2, .db 1"]

Every picture counts once: links are followed unless they lead back or to what is counted already. Hidden folders and
those that systems make (@eaDir, __MACOSX) are skipped.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from convscope.errors import PictureError
from convscope.pictures import HEIF_SUFFIXES, reads_heif

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".j2k", ".avif", ".ico"}
)
SYSTEM = frozenset(  # made by macOS, network drives and Windows, with thumbnails or deleted files in them
    {"__macosx", "@eadir", "#recycle", "#snapshot", "@recycle", "$recycle.bin", "system volume information"}
    | {"lost+found", "__pycache__"}
)
TABLES = frozenset({".csv", ".tsv"})  # not worth a remark: options name them
SHOWN = 5  # names or suffixes in a remark

Identity = tuple[int, int]  # device and inode


@dataclass
class Listing:
    """Pictures below a folder by relative path, sorted, and what else lies there.

    `broken`: folders among them that cannot be read, with the reason. `classes`: the first-level folders that hold
    any; `empty`: those without. `ignored`: files that are no pictures, by suffix; `skipped`: hidden folders and those
    of systems; `links` that lead back or to pictures counted already.
    """

    paths: list[str] = field(default_factory=list)
    broken: dict[str, PictureError] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def remarks(self) -> Iterator[str]:
        """Yield what is not used, a part of a sentence each."""
        if self.ignored:
            counts = [f"{suffix} {count:,}" for suffix, count in self.ignored.most_common(SHOWN)]
            more = ", …" if len(self.ignored) > SHOWN else ""
            heif = " (.heic needs pip install 'convscope[heic]')" if HEIF_SUFFIXES & set(self.ignored) else ""
            yield f"ignored {_count(self.ignored.total(), 'file')}: {', '.join(counts)}{more}{heif}"
        if self.skipped:
            yield f"skipped {_count(len(self.skipped), 'hidden or system folder')}: {some(self.skipped)}"
        if self.links:
            yield f"skipped {_count(len(self.links), 'link')} to what is counted already: {some(self.links)}"


def listed(root: Path) -> Listing:
    """Return what is below `root`. Raises OSError where the folder itself cannot be read."""
    return _Walk(str(root)).result()


class _Walk:
    """One walk below a folder: real folders first, then links, so that a picture counts where it lies."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.kinds = EXTENSIONS | (HEIF_SUFFIXES if reads_heif() else frozenset())
        self.listing = Listing()
        self.above = {_identity(str(folder)) for folder in Path(root).resolve().parents}
        self.visited: set[Identity] = set()
        self.pending = [""]
        self.linked_folders: list[str] = []
        self.linked_files: list[str] = []

    def result(self) -> Listing:
        """Walk; folders nest deeper than Python's calls may."""
        found = self.listing
        while self.pending or self.linked_folders:
            self._enter(self.pending.pop() if self.pending else self._next_link())
        self._add_linked_files()
        found.paths = sorted([*found.paths, *found.broken])
        first = {path.partition("/")[0] for path in found.paths if "/" in path or path in found.broken}
        found.classes = sorted(first)
        found.empty = sorted(set(found.empty) - first - {*found.links})
        return found

    def _next_link(self) -> str:
        self.linked_folders.sort(reverse=True)
        return self.linked_folders.pop()

    def _enter(self, folder: str) -> None:
        full = self._full(folder)
        try:
            here = _identity(full)
            if here in self.visited or here in self.above:
                self.listing.links.append(folder)
                return
            entries = list(os.scandir(full))
        except OSError as error:
            if not folder:
                raise
            reason = (error.strerror or str(error)).lower()
            self.listing.broken[folder] = PictureError(f"a folder that cannot be read: {reason}")
            return
        self.visited.add(here)
        for entry in entries:
            self._take(entry, f"{folder}/{entry.name}" if folder else entry.name)

    def _take(self, entry: os.DirEntry[str], path: str) -> None:
        """Sort an entry into what is to be walked, what is a picture, and what is neither."""
        link, hidden = entry.is_symlink(), entry.name.startswith(".")
        if os.path.isdir(entry.path) if link else entry.is_dir():  # noqa: PTH112 - False for links in circles
            if hidden or entry.name.lower() in SYSTEM:
                self.listing.skipped.append(path)
                return
            (self.linked_folders if link else self.pending).append(path)
            if "/" not in path:
                self.listing.empty.append(path)
        elif hidden:
            if _suffix(path) in self.kinds:
                self.listing.ignored["hidden"] += 1
        elif not self._is_picture(entry.path):
            if _suffix(path) not in TABLES:
                self.listing.ignored[_suffix(path) or "no suffix"] += 1
        else:
            (self.linked_files if link else self.listing.paths).append(path)

    def _add_linked_files(self) -> None:
        """Files behind links, but for those that lie in a folder that was walked, and those that two links lead to."""
        targets: set[str] = set()
        for path in sorted(self.linked_files):
            target = os.path.realpath(self._full(path))
            if target in targets or self._counts(target):
                self.listing.links.append(path)
                continue
            self.listing.paths.append(path)
            if os.path.exists(target):  # noqa: PTH110 - else each is reported as it is met
                targets.add(target)

    def _counts(self, target: str) -> bool:
        folder, name = os.path.split(target)
        known = os.path.exists(target) and _identity(folder) in self.visited  # noqa: PTH110
        return known and not name.startswith(".") and self._is_picture(target)

    def _is_picture(self, full: str) -> bool:
        """Whether it is one by its suffix or, without one, by how it begins (Caltech-101 has one of these)."""
        if suffix := _suffix(full):
            return suffix in self.kinds
        try:
            if not os.path.isfile(full):  # noqa: PTH113 - a pipe would never end
                return False
            with Image.open(full):
                return True
        except Exception:  # its name promised nothing
            return False

    def _full(self, path: str) -> str:
        return os.path.join(self.root, path)  # noqa: PTH118 - a Path a file is slow for 50,000


def _identity(folder: str) -> Identity:
    found = os.stat(folder)  # noqa: PTH116
    return found.st_dev, found.st_ino


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def some(names: Sequence[str]) -> str:
    """Return the first few names, for a message."""
    return ", ".join(map(repr, sorted(names)[:SHOWN])) + (", …" if len(names) > SHOWN else "")
