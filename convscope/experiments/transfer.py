"""How good are these features on another data set, with how few pictures? Beside HOG, training from scratch and what
was published.

    found = transfer(network, "pictures/", train=[1, 2], folds=2, cache="cache")
    found.curves["relu7 + softmax"][2].mean

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013), tables 4 to 6 and figure 9.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any

import torch
from torch import Tensor

from convscope.data.content_hashes import digests, together
from convscope.data.picture_set import Pictures
from convscope.data.sources import images as open_images
from convscope.data.sources import with_classes
from convscope.data.splits import Split, table
from convscope.data.standard_datasets import recognised
from convscope.disk.results import against, shown
from convscope.errors import ArgumentError, NetworkError
from convscope.models.network import Network
from convscope.parameters import Exclude, Folder, Images, Labels
from convscope.training.average_precision import Precision, precision
from convscope.training.cross_validation import Measured, explained, labelled_task, measured
from convscope.training.feature_store import HOG, features, kept
from convscope.training.from_scratch import Scratch, architecture_of
from convscope.training.published import OURS, SCRATCH, TABLES, VOC2012, VOC2012_MEAN
from convscope.training.selection import included

VOC = "PASCAL VOC 2012"
BASELINE, ALONE = f"{HOG} + SVM", "from scratch"
Curve = Mapping[int, Measured]  # pictures of a class to train on -> folds


@dataclass(frozen=True)
class Crossing:
    """With how many pictures of a class `who` reaches `level`, the best of `other`, which that reaches with `at`.

    `train` is interpolated; None where it never does. `already`: with the fewest that were tried.
    """

    who: str
    other: str
    level: float
    at: int
    train: float | None
    already: bool

    def __str__(self) -> str:
        best = f"the best of {self.other} ({self.level:.1f} % with {self.at} pictures of a class)"
        if self.train is None:
            return f"{self.who} never reaches {best}"
        return f"{self.who} reaches {best} with {self.train:.3g}{' or fewer' if self.already else ''}"


@dataclass(frozen=True)
class Transfer:
    """What classifiers on features, and networks trained from scratch, make of pictures of other classes.

    curves: who -> pictures of a class to train on -> folds. features: who learns from the network's own; classes: the
    names; data: which well-known data set it is, or None; published: others' accuracies on it, who -> pictures of a
    class -> (per cent, deviation or None). precision: who -> average precisions, instead of curves, where pictures show
    several classes. splits: pictures of a class -> the folds, as places in the source in the order of paths.
    """

    curves: Mapping[str, Curve]
    features: str
    classes: tuple[str, ...]
    data: str | None
    notes: tuple[str, ...]
    precision: Mapping[str, Precision] = field(default_factory=dict)
    splits: Mapping[int, Sequence[Split]] = field(default_factory=dict)

    @property
    def published(self) -> Mapping[str, Mapping[int, tuple[float, float | None]]]:
        """What others reported on the same data set."""
        return TABLES.get(self.data or "", {})

    @property
    def crossings(self) -> list[Crossing]:
        """How few pictures of a class the network's features need to do as well as each of the others at its best."""
        if self.features not in self.curves:
            return []
        here = {who: {n: found.mean for n, found in curve.items()} for who, curve in self.curves.items()}
        others = {who: means for who, means in here.items() if who != self.features}
        others |= {
            f"{who} (published)": {n: value for n, (value, _) in known.items()} for who, known in self.published.items()
        }
        return [crossing(self.features, here[self.features], other, means) for other, means in others.items()]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record for every classifier and number of pictures, accuracy in per cent; one for every published number;
        one for every crossing.
        """
        own = {self.features: OURS, ALONE: SCRATCH}
        here = [
            {"kind": "here", "who": who, "train": n, "folds": len(found.confusion)}
            | against(found.mean, self.published.get(own.get(who, ""), {}).get(n, (None,))[0])
            | {"std": found.std, "overall": found.overall, "strength": found.strength}
            for who, curve in self.curves.items()
            for n, found in curve.items()
        ]
        there = [
            {"kind": "published", "who": who, "train": n, "value": value, "std": std}
            for who, known in self.published.items()
            for n, (value, std) in known.items()
        ]
        reached = [
            {
                "kind": "crossing",
                "who": one.who,
                "other": one.other,
                "level": one.level,
                "at": one.at,
                "train": one.train,
            }
            for one in self.crossings
        ]
        return [*here, *there, *reached, *self._precisions()]

    def _precisions(self) -> Iterator[dict[str, Any]]:
        """Average precision of every class, their mean, and accuracy, in per cent."""
        for who, found in self.precision.items():
            own = who == self.features and self.data == VOC
            for name, value in zip(self.classes, found.per_class, strict=True):
                published = VOC2012[name][-1] if own and name in VOC2012 else None
                numbers = {"value": None} if value is None else against(value, published)
                yield {"kind": "precision", "who": who, "class": name, **numbers}
            numbers = against(found.mean, VOC2012_MEAN[-1] if own else None)
            yield {"kind": "mean precision", "who": who, **numbers, "strength": found.strength}
            yield {"kind": "accuracy", "who": who, "value": found.accuracy}

    @property
    def arrays(self) -> dict[str, Tensor]:
        """Confusion matrices (folds, classes, classes), rows the classes that pictures are of; (folds, pictures) which
        trained, and which were tested.
        """
        found = {
            f"{who}.{n}.confusion": each.confusion for who, curve in self.curves.items() for n, each in curve.items()
        }
        return found | {f"{n}.{part}": each for n, folds in self.splits.items() for part, each in table(folds).items()}

    @property
    def text(self) -> str:
        """The table, what was published below; with how few pictures the features do as well as others."""
        if self.precision:
            return "\n".join([*self._precision_table(), *self.notes])
        lines = {
            who: {n: shown(found.mean, found.std) for n, found in curve.items()} for who, curve in self.curves.items()
        }
        for who, known in self.published.items():
            lines[f"{who} (published)"] = {n: shown(*numbers) for n, numbers in known.items()}
        counts = sorted({n for line in lines.values() for n in line})
        wide = max(24, *(len(who) + 2 for who in lines))
        table = [f"{'pictures of a class':<{wide}}" + "".join(f"{n:>13}" for n in counts)]
        table += [f"{who:<{wide}}" + "".join(f"{line.get(n, ''):>13}" for n in counts) for who, line in lines.items()]
        told = explained(len(self.classes), next(iter(self.curves[self.features].values())))
        return "\n".join([*table, told, *map(str, self.crossings), *self.notes])

    def _precision_table(self) -> Iterator[str]:
        """Average precisions, a line a class, then their mean and the accuracy; the published ones last."""
        known = self.data == VOC
        columns = [*self.precision, *(["published"] if known else [])]
        wide = max(20, *(len(who) + 2 for who in columns))

        def line(name: str, values: Sequence[float | None], reference: float | None = None) -> str:
            cells = ["n/a" if value is None else f"{value:.1f}" for value in values]
            cells += [] if reference is None else [f"{reference:.1f}"]
            return f"{name:<24}" + "".join(f"{cell:>{wide}}" for cell in cells)

        found = self.precision.values()
        yield f"{'average precision, %':<24}" + "".join(f"{who:>{wide}}" for who in columns)
        for number, name in enumerate(self.classes):
            yield line(name, [each.per_class[number] for each in found], VOC2012[name][-1] if known else None)
        yield line("mean", [each.mean for each in found], VOC2012_MEAN[-1] if known else None)
        yield line("likeliest is present, %", [each.accuracy for each in found])
        if known:
            yield "published: another network, trained on train and val, measured on test"


def crossing(who: str, curve: Mapping[int, float], other: str, others: Mapping[int, float]) -> Crossing:
    """Where `curve`, straight between its points, first reaches the best of `others` (METHODS F9)."""
    at = max(others, key=lambda n: (others[n], -n))
    level, counts = others[at], sorted(curve)
    if curve[counts[0]] >= level:
        return Crossing(who, other, level, at, float(counts[0]), True)
    for low, high in pairwise(counts):
        if curve[high] >= level:
            share = (level - curve[low]) / (curve[high] - curve[low])
            return Crossing(who, other, level, at, low + share * (high - low), False)
    return Crossing(who, other, level, at, None, False)


def transfer(
    network: Network,
    images: Images,
    *,
    test: Annotated[Images | None, "pictures to test on [default: others of the same source]"] = None,
    train: Annotated[Sequence[int], "pictures of a class to train on"] = (15, 30),
    layer: Annotated[str | None, "whose features to learn from [default: the last rectified one]"] = None,
    folds: Annotated[int, "draws of these, each tested on others"] = 5,
    test_cap: Annotated[int, "most pictures of a class to test on"] = 50,
    exclude: Exclude = (),
    labels: Labels = None,
    hog: Annotated[bool, "beside them support vector machines on HOG"] = True,
    scratch: Annotated[Sequence[int], "pictures of a class to train the architecture on from scratch as well"] = (),
    scratch_folds: Annotated[int, "folds of these"] = 1,
    scratch_epochs: Annotated[int, "passes over their pictures"] = 40,
    scratch_side: Annotated[int, "pixels of their input"] = 64,
    cache: Annotated[Folder | None, "where features and finished folds are kept for the next run"] = None,
    batch_size: int = 64,
    seed: int = 0,
    device: str | None = None,
) -> Transfer:
    """A softmax on features of a network that stays as it is, for other classes (METHODS E0, TB4, TB5, F9).

    Per fold and class some pictures are drawn to train on, and up to `test_cap` of the others tested; accuracy is the
    mean over the classes. A smaller draw is part of a larger one, tested on the same pictures. Features of the centre
    crop are standardised over the training pictures; λ is chosen on the first fold by five-fold cross-validation.
    Beside it stand a linear support vector machine on HOG (I3), the same architecture trained from scratch on the
    fold's pictures alone (T10), and published numbers where the data set is known by its counts.

    With `test` those pictures are tested in every fold. Where pictures may show several classes, as those of PASCAL
    VOC, all of `images` are trained on, once, a picture's target shared by the classes it shows, and the measure is the
    average precision of every class on `test` (METHODS TB6).

    Raises LayerError, ArgumentError for numbers below 1, DataError for pictures without classes and for a class that is
    too small, NetworkError where an architecture not of ours is to be trained from scratch.
    """
    counts, alone = sorted(set(train)), sorted(set(scratch))
    if not counts:
        raise ArgumentError("train", train, "expected at least one number of pictures")
    if scratch_folds < 1:
        raise ArgumentError("scratch_folds", scratch_folds, "expected at least 1")
    chosen = layer or _last(network)
    who = f"{chosen} + softmax"
    plan = Scratch(architecture_of(network), "scaled", scratch_epochs, scratch_side) if alone else None
    first = open_images(images, labels=labels)
    pictures = first if test is None else first.joined(with_classes(test, labels))
    tested = None if test is None else len(first)
    if pictures.truth is not None:
        if alone:
            raise ArgumentError("scratch", alone, "expected none for pictures that show several classes")
        wanted = {who: (chosen, "softmax")} | ({BASELINE: (HOG, "svm")} if hog else {})
        return _several(network, pictures, tested, wanted, exclude, cache, batch_size, device)
    task = labelled_task(pictures, exclude, tested)
    for count in sorted({*counts, *alone}):
        task.folds(count, folds, test_cap, seed)  # before anything long: a class may be too small
    curves: dict[str, dict[int, Measured]] = {who: {}}
    drawn = {}
    with kept(cache) as store:
        known = features(
            network, task.pictures, [chosen, HOG] if hog else [chosen], store,
            content=task.content, narrow=False, batch_size=batch_size, device=device,
        )  # fmt: skip
        for count in counts:
            drawn[count] = task.folds(count, folds, test_cap, seed)
            found = measured(task, known[chosen], drawn[count], ["softmax"], store, standardise=True)
            curves[who][count] = found["softmax"]
            if hog:
                found = measured(task, known[HOG], drawn[count], ["svm"], store)
                curves.setdefault(BASELINE, {})[count] = found["svm"]
        for count in alone:
            assert plan is not None
            drawn[count] = task.folds(count, folds, test_cap, seed)
            splits = drawn[count][:scratch_folds]
            curves.setdefault(ALONE, {})[count] = plan.measured(task, splits, store, seed=seed * folds, device=device)
    known_as = recognised(len(first), len(first.classes or ()))
    return Transfer(curves, who, task.classes, known_as, task.remarks(drawn[counts[-1]]), splits=drawn)


def _several(
    network: Network,
    pictures: Pictures,
    tested: int | None,
    wanted: Mapping[str, tuple[str, str]],
    exclude: Sequence[str],
    cache: Any,
    batch_size: int,
    device: str | None,
) -> Transfer:
    """Pictures that may show several classes; `wanted`: who -> layer, classifier."""
    if tested is None:
        raise ArgumentError("test", None, "pictures that show several classes need others to test on")
    assert pictures.truth is not None
    truth, chosen = torch.from_numpy(pictures.truth), included(pictures, exclude)
    content, layers = together(digests(pictures)), [layer for layer, _ in wanted.values()]
    options: dict[str, Any] = {"content": content, "narrow": False, "batch_size": batch_size, "device": device}
    with kept(cache) as store:
        known = features(network, pictures, layers, store, **options)
        read = [place for place in chosen if place not in pictures.skipped]
        train, test = ([k for k in read if k < tested], [k for k in read if k >= tested])
        found = {who: precision(known[layer], truth, train, test, kind, store) for who, (layer, kind) in wanted.items()}
    classes, who = pictures.classes or (), next(iter(wanted))
    absent = [name for name, value in zip(classes, found[who].per_class, strict=True) if value is None]
    notes = (f"no test picture shows {', '.join(absent)}: no average precision",) if absent else ()
    return Transfer({}, who, classes, recognised(tested, len(classes)), notes, found)


def _last(network: Network) -> str:
    layers = network.rectified(maps=False)
    if not layers:
        raise NetworkError(f"{network.name} has no rectifier: name a layer")
    return layers[-1]
