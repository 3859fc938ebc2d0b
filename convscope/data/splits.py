"""Which pictures train and which test: so many of every class, drawn by a seed (D2, E0)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.errors import ArgumentError, DataError


@dataclass(frozen=True)
class Split:
    """Places in the source, ascending: `train`, the same number of every class; `test`, the rest up to a cap."""

    train: list[int]
    test: list[int]


def per_class(
    labels: Sequence[int],
    train: int,
    test_cap: int | None = 50,
    seed: int = 0,
    *,
    classes: Sequence[str] | None = None,
    tested: bool = True,
) -> Split:
    """`train` pictures of every class for training, up to `test_cap` of its others for testing (None: all of them;
    none, and none needed, where they are not `tested`, there being others).

    What is drawn depends on nothing but the seed and, of a picture, its label and its place among those of its class
    (by sorted path, from a folder). A smaller `train` draws a part of what a larger one draws, and as far as the cap
    allows the test pictures are the same. `classes` are the names that errors call the classes by.

    Raises DataError for a class without enough pictures for training and one test, and for pictures without a class.
    """
    if train < 1:
        raise ArgumentError("train", train, "expected at least 1 picture a class")
    if test_cap is not None and test_cap < 1:
        raise ArgumentError("test_cap", test_cap, "expected at least 1 picture a class, or None")
    members: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        members.setdefault(int(label), []).append(place)
    if not members:
        raise DataError("labels is empty: nothing to split")
    if min(members) < 0:
        raise DataError(f"picture {members[min(members)][0]} has no class (label {min(members)})")
    split = Split([], [])
    for label, places in sorted(members.items()):
        if len(places) < train + tested:
            name = repr(classes[label]) if classes is not None and label < len(classes) else label
            need = f"{train + 1}: {train} for training, 1 for testing" if tested else f"{train} for training"
            raise DataError(f"class {name} has {len(places)} pictures, need {need}")
        order = [places[rank] for rank in _shuffled(len(places), f"{seed} {label}")]
        split.train.extend(order[:train])
        # Tested from the far end, so that curves over `train` (F9) keep their test pictures.
        if tested:
            split.test.extend(order[train if test_cap is None else max(train, len(order) - test_cap) :])
    return Split(sorted(split.train), sorted(split.test))


def folds(
    labels: Sequence[int],
    train: int,
    count: int = 5,
    test_cap: int | None = 50,
    seed: int = 0,
    *,
    classes: Sequence[str] | None = None,
    tested: bool = True,
) -> list[Split]:
    """`count` draws of `per_class`, one after another (E0). Other seeds draw others, and the first of seed 0 is the
    split of that seed.
    """
    if count < 1:
        raise ArgumentError("folds", count, "expected at least 1")
    seeds = range(seed * count, (seed + 1) * count)
    return [per_class(labels, train, test_cap, each, classes=classes, tested=tested) for each in seeds]


def table(splits: Sequence[Split]) -> dict[str, Tensor]:
    """Splits of the same pictures as (splits, pictures) places: `train` and `test`; none of no split."""
    if not splits:
        return {}
    return {part: torch.tensor([getattr(split, part) for split in splits]) for part in ("train", "test")}


def parts(labels: Sequence[int], count: int) -> list[Split]:
    """The pictures in `count` parts with about as many of every class in each; every part tests once, while the others
    train. Fewer parts where the smallest class has fewer pictures; none where it has one.
    """
    members: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        members.setdefault(int(label), []).append(place)
    count = min(count, *map(len, members.values()))
    held = [[place for places in members.values() for place in places[k::count]] for k in range(count)]
    everything = set(range(len(labels)))
    return [] if count < 2 else [Split(sorted(everything - set(part)), sorted(part)) for part in held]


def _shuffled(count: int, key: str) -> list[int]:
    """0 to count - 1 in an order fixed by `key`: by hashes, since generators may change between library versions."""
    return sorted(range(count), key=lambda rank: hashlib.sha256(f"{key} {rank}".encode()).digest())
