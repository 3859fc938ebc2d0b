"""How good features are: folds of so many pictures a class, a linear classifier on each, accuracy as a mean over the
classes (METHODS E0).

    task = labelled_task(images("caltech101/"))
    found = measured(task, features["relu7"], task.folds(2), ["softmax"], store, standardise=True)["softmax"]
    found.mean, found.std, found.strength
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor

from convscope.data.content_hashes import digests, shared, together
from convscope.data.exclusions import Exclude
from convscope.data.picture_set import Pictures
from convscope.data.splits import Split, folds, parts
from convscope.disk.cache import Cache
from convscope.errors import DataError
from convscope.training.feature_store import Features
from convscope.training.linear import STRENGTHS, Basis, Linear, fit, of_features, of_gram, penalty
from convscope.training.selection import complete, excluded, labelled

HELD_OUT = 5  # parts of the first fold's training pictures, each held out once to choose the strength
PATIENCE = 2  # strengths in a row that are worse than the best, after which weaker penalties are not tried
UNIT = 1000  # features of length one stand for about as many standardised ones: λ is that much smaller for them


@dataclass(frozen=True)
class Task:
    """Pictures to tell classes apart on. `places` in `pictures` of those that take part, by path; `labels` of these,
    numbers of `classes`; those from `tested` on are for tests only, where it is given.
    """

    pictures: Pictures
    places: list[int]
    labels: list[int]
    classes: tuple[str, ...]
    tested: int | None = None

    @cached_property
    def digests(self) -> list[str]:
        """Of every picture of the source."""
        return digests(self.pictures)

    @cached_property
    def content(self) -> str:
        """What all pictures of the source are."""
        return together(self.digests)

    @cached_property
    def label_of(self) -> dict[int, int]:
        """Place -> label."""
        return dict(zip(self.places, self.labels, strict=True))

    def folds(self, train: int, count: int = 5, test_cap: int | None = 50, seed: int = 0) -> list[Split]:
        """Draws of `train` pictures of each class, and up to `test_cap` of the others, as places in the source; of
        what could be read so far. Where there are pictures for tests only, every fold tests those. Raises DataError
        for a class that is too small, or that none of those shows.
        """
        able = [k for k, place in enumerate(self.places) if place not in self.pictures.skipped]
        apart = [self.places[k] for k in able if self.tested is not None and self.places[k] >= self.tested]
        able = [k for k in able if self.tested is None or self.places[k] < self.tested]
        if self.tested is not None and (missing := set(self.labels) - {self.label_of[place] for place in apart}):
            name = self.classes[min(missing)]
            raise DataError(f"class {name!r} has 0 pictures to test on that can be read, need 1 or more")
        labels = [self.labels[k] for k in able]
        drawn = folds(labels, train, count, test_cap, seed, classes=self.classes, tested=self.tested is None)
        names = [self.places[k] for k in able]
        return [Split([names[k] for k in one.train], apart or [names[k] for k in one.test]) for one in drawn]

    def remarks(self, splits: Sequence[Split]) -> tuple[str, ...]:
        """What a reader should know of the pictures: which could not be read, and which are trained and tested on."""
        found = []
        if unread := [place for place in self.places if place in self.pictures.skipped]:
            found.append(f"{len(unread)} of {len(self.places)} pictures could not be read and take no part")
        if twice := sum(len(shared(self.digests, split.train, split.test)) for split in splits):
            tested = sum(len(split.test) for split in splits)
            found.append(
                f"{twice} of the {tested:,} pictures tested in all folds are also trained on, under another name"
            )
        return tuple(found)


def labelled_task(pictures: Pictures, exclude: Exclude = (), tested: int | None = None) -> Task:
    """The pictures with a class that are not excluded, in the order of their paths.

    Raises DataError for pictures without classes, a class without pictures or a label without a class (its numbers
    are then not those of the classes; `exclude` leaves a class out), and for fewer than two classes.
    """
    out = excluded(pictures, exclude)
    chosen = labelled(complete(pictures, 2, out), out)
    classes, labels = chosen.classes or (), chosen.labels or []
    if len(classes) < 2:
        raise DataError(f"{pictures.name} has {len(classes)} class, need 2 or more to tell apart")
    place_of = {path: place for place, path in enumerate(pictures.paths)}
    ordered = sorted(zip(chosen.paths, labels, strict=True))
    return Task(pictures, [place_of[path] for path, _ in ordered], [label for _, label in ordered], classes, tested)


@dataclass(frozen=True)
class Measured:
    """How well a classifier did. confusion (folds, classes, classes): test pictures of a class, rows, by what they were
    taken for. `strength`: its λ or C, where it has one; `tried`: those it was chosen from -> accuracy in per cent.
    """

    confusion: Tensor
    strength: float | None
    tried: Mapping[float, float]

    @property
    def per_class(self) -> Tensor:
        """Shares that are right, in per cent, (folds, classes)."""
        return per_class(self.confusion)

    @property
    def accuracies(self) -> Tensor:
        """The mean over the classes, of every fold, in per cent."""
        return self.per_class.mean(1)

    @property
    def mean(self) -> float:
        """Over the folds."""
        return float(self.accuracies.mean())

    @property
    def std(self) -> float | None:
        """Between the folds (n - 1); None of one."""
        return float(self.accuracies.std()) if len(self.confusion) > 1 else None

    @property
    def overall(self) -> float:
        """The share of all test pictures that is right, in per cent, whatever their class."""
        right = int(self.confusion.diagonal(dim1=1, dim2=2).sum())
        return 100 * right / int(self.confusion.sum())


def explained(classes: int, found: Measured) -> str:
    """What the numbers of such a table are."""
    folds = "" if found.std is None else f" ± deviation between {len(found.confusion)} folds"
    return f"per cent right, mean over {classes} classes{folds}; by chance {100 / classes:.1f}"


def per_class(confusion: Tensor) -> Tensor:
    """Of (..., classes, classes) the shares that are right, in per cent, (..., classes)."""
    return 100 * confusion.diagonal(dim1=-2, dim2=-1) / confusion.sum(-1)


def confused(scores: Tensor, labels: Sequence[int], classes: int) -> Tensor:
    """(classes, classes) pictures of a class, rows, by the class with the largest score; the first of equal ones."""
    table = torch.zeros(classes, classes, dtype=torch.int64)
    largest = torch.from_numpy(scores.numpy().argmax(1))
    table.index_put_((torch.tensor(labels), largest), torch.tensor(1), accumulate=True)
    return table


def measured(
    task: Task,
    features: Features,
    splits: Sequence[Split],
    kinds: Sequence[str],
    store: Cache,
    *,
    standardise: bool = False,
) -> dict[str, Measured]:
    """Classifiers of `kinds`, "softmax" and "svm", on every fold; their strength is chosen on the first one.

    Features are scaled to length one, or with `standardise` each to mean 0 and variance 1 over the pictures to train
    on. Every choice and every fold is a part of `store`.
    """
    strengths: dict[str, float] = {}
    tried: dict[str, dict[float, float]] = {}
    tables: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
    for split in splits:
        fold = _Fold(task, features, split, standardise)
        for kind in kinds:
            if kind not in strengths:
                tried[kind] = _tried(fold, kind, store)
                strengths[kind] = max(tried[kind], key=lambda strength: tried[kind][strength])
            tables[kind].append(_confusion(fold, kind, strengths[kind], store))
    return {
        kind: Measured(
            torch.stack(tables[kind]), strengths[kind], tried[kind] if len(set(tried[kind].values())) > 1 else {}
        )
        for kind in kinds
    }


@dataclass(frozen=True)
class _Fold:
    """One fold of a task on some features; what is costly is made when it is first needed."""

    task: Task
    features: Features
    split: Split
    standardise: bool

    @cached_property
    def basis(self) -> Basis:
        return basis(self.features, self.split.train, self.split.test, self.standardise)

    @property
    def key(self) -> dict[str, object]:
        places = [
            [[place, self.task.label_of[place]] for place in part] for part in (self.split.train, self.split.test)
        ]
        marks = hashlib.sha256(json.dumps(places).encode()).hexdigest()
        scaling = "standardised" if self.standardise else "unit"
        return {"features": self.features.key, "split": marks, "scaling": scaling, "convscope": version("convscope")}

    @property
    def labels(self) -> list[int]:
        """Of the pictures to train on."""
        return [self.task.label_of[place] for place in self.split.train]

    def strengths(self, kind: str) -> list[float]:
        unit = kind == "softmax" and not self.standardise
        return [strength / UNIT if unit else strength for strength in STRENGTHS[kind]]


def basis(features: Features, train: Sequence[int], test: Sequence[int], standardise: bool) -> Basis:
    """Of features scaled to length one, or with `standardise` each to mean 0 and variance 1 over `train`."""
    if features.values is not None and features.size <= len(train):
        scaled = standardised(*map(features.raw, (train, test))) if standardise else map(features.unit, (train, test))
        return of_features(*scaled)
    if not standardise:
        return of_gram(features.inner(train, train), features.inner(test, train))
    gram, cross = torch.zeros(len(train), len(train)), torch.zeros(len(test), len(train))
    for part in features.chunks([*train, *test]):
        one, other = standardised(part[: len(train)], part[len(train) :])
        gram.addmm_(one, one.T)
        cross.addmm_(other, one.T)
    return of_gram(gram, cross)


def standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Features with mean 0 and variance 1 over `train`; one that never varies there is 0 everywhere."""
    std, mean = torch.std_mean(train, 0, correction=0)
    scale = torch.where(std > 0, 1 / std.clamp_min(torch.finfo(std.dtype).tiny), 0)
    return (train - mean) * scale, (test - mean) * scale


def _tried(fold: _Fold, kind: str, store: Cache) -> dict[float, float]:
    """Accuracy of the strengths by cross-validation on the fold's training pictures, from the strongest penalty on
    until weaker ones are worse; where these are one a class, and none can be held out, the same for all.
    """

    def make() -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
        strengths, held = fold.strengths(kind), parts(fold.labels, HELD_OUT)
        starts: list[Linear | None] = [None] * len(held)
        found = np.full(len(strengths), -np.inf) if held else np.zeros(len(strengths))
        for k, strength in enumerate(strengths if held else ()):
            right = []
            for number, part in enumerate(held):
                starts[number] = made = _fitted(fold, kind, strength, part.train, starts[number])
                labels = [fold.labels[i] for i in part.test]
                table = confused(made.scores(fold.basis.train[part.test]), labels, len(fold.task.classes))
                right.append(float(per_class(table).mean()))
            found[k] = np.mean(right)
            if k >= PATIENCE and found[k - PATIENCE + 1 : k + 1].max() < found.max():
                break
        return {"accuracy": found}

    found = store.arrays("choice", {**fold.key, "classifier": kind}, make)["accuracy"]
    tried = zip(fold.strengths(kind), found.tolist(), strict=True)
    return {strength: accuracy for strength, accuracy in tried if accuracy > -np.inf}


def _confusion(fold: _Fold, kind: str, strength: float, store: Cache) -> Tensor:
    def make() -> dict[str, np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
        found = _fitted(fold, kind, strength, list(range(len(fold.split.train))))
        labels = [fold.task.label_of[place] for place in fold.split.test]
        return {"confusion": confused(found.scores(fold.basis.test), labels, len(fold.task.classes)).numpy()}

    key = {**fold.key, "classifier": kind, "strength": strength}
    return torch.from_numpy(store.arrays("fold", key, make)["confusion"].copy())


def _fitted(fold: _Fold, kind: str, strength: float, rows: Sequence[int], start: Linear | None = None) -> Linear:
    """A classifier trained on some rows of the fold's training pictures."""
    labels = torch.tensor(fold.labels)[list(rows)]
    targets = torch.nn.functional.one_hot(labels, len(fold.task.classes))
    train, spread = fold.basis.train[list(rows)], fold.basis.spread * (len(rows) / len(fold.split.train))
    return fit(train, spread, targets, kind, penalty(strength, kind, len(rows)), start)
