"""Where pictures show several classes: average precision, and classifiers measured by it (METHODS D4, TB6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor

from convscope.data.splits import parts
from convscope.data.standard_datasets import PRESENT
from convscope.disk.cache import Cache
from convscope.errors import DataError
from convscope.training.cross_validation import HELD_OUT, basis
from convscope.training.feature_store import Features
from convscope.training.linear import STRENGTHS, Basis, Linear, fit, penalty


def average_precision(scores: Tensor, truth: Tensor, interpolated: bool = True) -> float | None:
    """The area under precision over recall, 0 to 1: scores (N,), truth (N,) 1 present, 0 absent, others not counted.

    `interpolated`, as VOC has it from 2010 on: precision is the highest at this or a larger recall; otherwise that of
    each threshold, as scikit-learn's. Equal scores have one threshold. None where nothing is present.
    """
    counted = (truth == 0) | (truth == 1)
    scores, here = scores[counted].double(), truth[counted].double()
    if not bool(here.any()):
        return None
    order = scores.argsort(descending=True, stable=True)
    scores, found = scores[order], here[order].cumsum(0)
    last = torch.cat([scores[1:] != scores[:-1], torch.tensor([True])])  # of equal scores
    hits, shown = found[last], (torch.arange(len(scores)) + 1.0).double()[last]
    precision, recall = hits / shown, hits / found[-1]
    if interpolated:
        precision = precision.flip(0).cummax(0).values.flip(0)
    return float((precision * recall.diff(prepend=torch.zeros(1).double())).sum())


@dataclass(frozen=True)
class Precision:
    """What a classifier makes of pictures that show several classes, in per cent. per_class: average precision, None of
    a class that no test picture shows; accuracy: test pictures whose likeliest class is present; strength: λ or C.
    """

    per_class: tuple[float | None, ...]
    accuracy: float
    strength: float

    @property
    def mean(self) -> float:
        """Over the classes that have one."""
        known = [value for value in self.per_class if value is not None]
        return sum(known) / len(known)


def precision(
    features: Features, truth: Tensor, train: Sequence[int], test: Sequence[int], kind: str, store: Cache
) -> Precision:
    """A classifier trained on the places `train` and measured on `test`: a softmax on standardised features, whose
    target is shared by the classes present, or support vector machines on features of length one.

    truth (N, classes). A picture that shows none, or only difficult ones, is not trained on; tested, it counts against
    the average precision of the others. The strength is chosen by cross-validation, by the mean average precision.
    Raises DataError where no picture to train on or to test with shows a class.
    """
    shown = (truth == PRESENT).any(1)
    train, test = [place for place in train if bool(shown[place])], list(test)
    if not train or not bool(shown[test].any()):
        raise DataError(f"{'no test' if train else 'no training'} picture shows any of the classes")

    def make() -> Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
        known = basis(features, train, test, standardise=kind == "softmax")
        targets = (truth[train] == PRESENT).double()
        targets = targets / targets.sum(1, keepdim=True)
        tried = [_held_out(known, targets, truth[train], kind, strength) for strength in STRENGTHS[kind]]
        best = STRENGTHS[kind][int(np.argmax(tried))]
        made = fit(known.train, known.spread, targets, kind, penalty(best, kind, len(train)))
        scores = _scores(made, known.test, kind)
        return {"scores": scores.double().numpy(), "strength": np.array([best])}

    key = {"features": features.key, "train": train, "test": test, "truth": truth[[*train, *test]].tolist()}
    found = store.arrays("precision", {**key, "classifier": kind, "convscope": version("convscope")}, make)
    scores, here = torch.from_numpy(found["scores"].copy()), truth[test]
    right = (here.gather(1, scores.argmax(1, keepdim=True)) == PRESENT)[shown[test]]
    return Precision(_per_class(scores, here), 100 * float(right.double().mean()), float(found["strength"][0]))


def _scores(made: Linear, features: Tensor, kind: str) -> Tensor:
    """Probabilities, which order pictures otherwise than logits do, or distances to the margins."""
    scores = made.scores(features)
    return scores.softmax(1) if kind == "softmax" else scores


def _per_class(scores: Tensor, truth: Tensor) -> tuple[float | None, ...]:
    found = [average_precision(scores[:, k], truth[:, k]) for k in range(truth.shape[1])]
    return tuple(None if value is None else 100 * value for value in found)


def _held_out(known: Basis, targets: Tensor, truth: Tensor, kind: str, strength: float) -> float:
    """Mean average precision on parts that were left out."""
    means = []
    for part in parts([0] * len(targets), HELD_OUT):
        spread = known.spread * (len(part.train) / len(targets))
        made = fit(known.train[part.train], spread, targets[part.train], kind, penalty(strength, kind, len(part.train)))
        found = _per_class(_scores(made, known.train[part.test], kind), truth[part.test])
        present = [value for value in found if value is not None]
        means.append(sum(present) / max(len(present), 1))
    return float(np.mean(means))
