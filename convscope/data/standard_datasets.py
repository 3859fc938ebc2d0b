"""Well-known data sets from disk, as their authors divide them, their counts checked (METHODS D1 to D6).

`images` opens them by such spellings as "caltech101:ROOT", "imagenet:ROOT@val" and "voc2012:ROOT@train". A part or a
rearrangement of one is read as any other folder. Nothing is downloaded.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.data import encodings
from convscope.errors import ArgumentError, DataError

SHOWN = 10  # of what is missing, in an error
PRESENT, ABSENT, DIFFICULT = 1, 0, -1
FIVE = {  # METHODS D6
    "n01443537": "goldfish",
    "n01518878": "ostrich",
    "n01729977": "green snake",
    "n02110185": "Siberian husky",
    "n07749582": "lemon",
}
TRAINED_ON = 0.8  # of the pictures of each of these


@dataclass(frozen=True)
class Counts:
    """How many pictures and classes a data set has, and the hash of its sorted names where that is known."""

    pictures: int
    classes: int
    names: str | None = None


COUNTS: Mapping[tuple[str, str], Counts] = {
    ("imagenet", "train"): Counts(1_281_167, 1000),
    ("imagenet", "val"): Counts(50_000, 1000),
    ("caltech101", ""): Counts(9144, 102, "7372ca924f512a8092ee55c216bda84d36a473e319c3fe23c84cdf9ba8fccacd"),
    ("caltech256", ""): Counts(29_780, 256),
    ("voc2012", "train"): Counts(5717, 20),
    ("voc2012", "val"): Counts(5823, 20),
    ("voc2012", "trainval"): Counts(11_540, 20),
    ("mnist", "train"): Counts(60_000, 10),
    ("mnist", "test"): Counts(10_000, 10),
}
ALIKE = {  # (pictures, classes) of what else goes by a name: no background or clutter, Caltech-101 with its stray tmp
    "Caltech-101": {(9144, 102), (9145, 102), (8677, 101)},
    "Caltech-256": {(29_780, 256), (30_607, 257)},
    "PASCAL VOC 2012": {(5717, 20), (5823, 20), (11_540, 20)},
}


def recognised(pictures: int, classes: int) -> str | None:
    """The well-known data set that has these numbers, for published results on it."""
    return next((name for name, counts in ALIKE.items() if (pictures, classes) in counts), None)


@dataclass(frozen=True)
class Listed(Sequence[Any]):
    """Files below `root` with what they show: `targets`, numbers of `classes`, or where a picture may show several
    `truth` (N, classes): 1 present, 0 absent, -1 only difficult to see.
    """

    root: Path
    files: list[Path]
    classes: list[str]
    targets: list[int] | None = None
    truth: NDArray[np.int8] | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        return self.files[index]


def read(name: str, spec: str) -> Any:
    """The data set `name` of "ROOT" or "ROOT@SPLIT", as torch has them.

    Raises ArgumentError for a split it does not have, DataError for folders or files that are not there, or counts
    that are not the data set's.
    """
    make, splits = READERS[name]
    root, split = without_split(spec)
    split = split or splits[0]
    if not root or split not in splits:
        wanted = f'"{name}:ROOT"' if splits == ("",) else f'"{name}:ROOT@SPLIT", SPLIT one of {", ".join(splits)}'
        raise ArgumentError("images", f"{name}:{spec}", f"expected {wanted}")
    found = make(Path(root).expanduser(), split)
    counts = COUNTS.get((name, split))
    if counts is not None:
        _check(f"{name}{'@' * bool(split)}{split} in {root}", found, counts)
    return found


def without_split(spec: str) -> tuple[str, str]:
    """Return ROOT and SPLIT of "ROOT@SPLIT", and "" for no SPLIT. An @ in the path of a folder does not begin one."""
    root, at, split = spec.rpartition("@")
    in_path = "/" in split or "\\" in split or Path(spec).expanduser().is_dir()
    return (root, split) if at and not in_path else (spec, "")


def _check(what: str, found: Any, counts: Counts) -> None:
    have = (len(found), len(found.classes))
    if have != (counts.pictures, counts.classes):
        expected = f"expected {counts.pictures:,} in {counts.classes}; give the folder itself for a part of it"
        raise DataError(f"{what} has {have[0]:,} pictures in {have[1]} classes, {expected}")
    if counts.names is not None and isinstance(found, Listed):
        names = "\n".join(sorted(file.relative_to(found.root).as_posix() for file in found.files))
        if hashlib.sha256(names.encode()).hexdigest() != counts.names:
            raise DataError(f"{what} has the right number of pictures under other names; give the folder itself")


def _place(root: Path, *known: str) -> Path:
    """The first of these places below `root`, or `root` itself, that is there."""
    places = [root / name for name in known]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise DataError(f"{root}: no such data here; expected a folder {' or '.join(known)}")
    return found


def _below(folder: Path, ending: str = ".jpg") -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() == ending and file.is_file())


def _by_folder(root: Path, folders: Mapping[str, str], ending: str = ".jpg") -> Listed:
    """A class for each of `folders`, name -> class. Raises DataError naming those without pictures."""
    found = {name: _below(root / name, ending) for name in folders}
    if empty := [str(root / name) for name, files in found.items() if not files]:
        more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
        raise DataError(f"no pictures in {', '.join(empty[:SHOWN])}{more}; expected a folder for each class")
    files = [file for each in found.values() for file in each]
    targets = [number for number, each in enumerate(found.values()) for _ in each]
    return Listed(root, files, list(folders.values()), targets)


def _folders(root: Path) -> dict[str, str]:
    return {place.name: place.name for place in sorted(root.iterdir()) if place.is_dir() and place.name[0] != "."}


def _caltech101(root: Path, split: str) -> Listed:
    place = _place(root, "caltech101/101_ObjectCategories", "101_ObjectCategories", ".")
    return _by_folder(place, _folders(place))


def _caltech256(root: Path, split: str) -> Listed:
    """Without the clutter."""
    place = _place(root, "caltech256/256_ObjectCategories", "256_ObjectCategories", ".")
    return _by_folder(place, {name: each for name, each in _folders(place).items() if not name.startswith("257.")})


def _imagenet(root: Path, split: str) -> Listed:
    """A folder for each class; validation pictures also in one, beside a file that says what they show."""
    place = _place(root, split, f"ILSVRC/Data/CLS-LOC/{split}")
    if split == "train" or any(child.is_dir() for child in place.iterdir()):
        return _by_folder(place, _folders(place), ".jpeg")
    classes = list(_folders(_place(root, "train", "ILSVRC/Data/CLS-LOC/train")))
    files = _below(place, ".jpeg")
    names = ("val.txt", "LOC_val_solution.csv", "val/val.txt")
    table = next((root / name for name in names if (root / name).is_file()), None)
    if table is None:
        raise DataError(f"{root} has no labels of its validation pictures; expected a file {' or '.join(names)}")
    labels = dict(_labelled_lines(table, classes))
    if missing := [file.name for file in files if file.stem not in labels]:
        raise DataError(f"{table} has no label of {', '.join(missing[:SHOWN])}")
    return Listed(place, files, classes, [labels[file.stem] for file in files])


def _labelled_lines(table: Path, classes: list[str]) -> Iterator[tuple[str, int]]:
    """Lines "NAME SYNSET", or "NAME NUMBER" with numbers of the sorted synsets, as (name, number)."""
    number = {name: place for place, name in enumerate(classes)} | {str(k): k for k in range(len(classes))}
    for line, text in enumerate(next(encodings.candidates(table.read_bytes())).splitlines(), 1):
        words = re.split(r"[\s,;]+", text.strip())
        if len(words) < 2 or words[0] == "ImageId":
            continue
        if words[1] not in number:
            raise DataError(f"{table}, line {line}: no class {words[1]!r} among the {len(classes)} of train")
        yield words[0].partition(".")[0], number[words[1]]


def _five(root: Path, split: str) -> Listed:
    """Four fifths of each of five classes, or the rest: by hashes of their names, the same everywhere."""
    place = _place(root, "train", "ILSVRC/Data/CLS-LOC/train", ".")
    whole = _by_folder(place, FIVE, ".jpeg")
    files: list[Path] = []
    targets: list[int] = []
    for number in range(len(FIVE)):
        own = [file for file, target in zip(whole.files, whole.targets or (), strict=True) if target == number]
        own.sort(key=lambda file: hashlib.sha256(file.name.encode()).digest())
        cut = round(TRAINED_ON * len(own))
        chosen = sorted(own[:cut] if split == "train" else own[cut:])
        files += chosen
        targets += [number] * len(chosen)
    return Listed(place, files, list(FIVE.values()), targets)


def _voc2012(root: Path, split: str) -> Listed:
    from torchvision.datasets import VOCDetection
    from torchvision.datasets.voc import ET_parse

    lists = root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main" / f"{split}.txt"
    if not lists.is_file():
        raise DataError(f"{root} has no PASCAL VOC 2012, or not its split {split}: there is no {lists}")
    found = VOCDetection(root, "2012", split)
    truth = np.zeros((len(found.images), len(VOC)), np.int8)
    for row, file in enumerate(found.annotations):
        try:
            shown = VOCDetection.parse_voc_xml(ET_parse(file).getroot())["annotation"]["object"]
        except (OSError, SyntaxError, KeyError) as error:
            raise DataError(f"{file}: no annotation of VOC's can be read") from error
        for thing in shown:
            if thing.get("name") in VOC:
                column, difficult = VOC.index(thing["name"]), thing.get("difficult") == "1"
                truth[row, column] = DIFFICULT if difficult and truth[row, column] != PRESENT else PRESENT
    return Listed(root, [Path(file) for file in found.images], list(VOC), truth=truth)


VOC = tuple(
    (
        "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant "
        "sheep sofa train tvmonitor"
    ).split()
)


def _mnist(root: Path, split: str) -> Any:
    from torchvision.datasets import MNIST

    try:
        return MNIST(root, train=split == "train")
    except Exception as error:  # its parser asserts, and says nothing
        reason = " ".join(str(error).split()) or "a file of another format"
        raise DataError(f"MNIST is not in {root} ({reason}); expected MNIST/raw/… as torchvision has it") from error


READERS: Mapping[str, tuple[Callable[[Path, str], Any], tuple[str, ...]]] = {
    "imagenet": (_imagenet, ("train", "val")),
    "caltech101": (_caltech101, ("",)),
    "caltech256": (_caltech256, ("",)),
    "voc2012": (_voc2012, ("train", "val", "trainval")),
    "mnist": (_mnist, ("train", "test")),
    "five": (_five, ("train", "test")),
}
