"""Linear classifiers on features that do not change: a softmax, and linear support vector machines (METHODS E0, TB7).

    basis = of_gram(gram, cross)                       # or of_features(train, test): features along their main axes
    found = fit(basis.train, basis.spread, targets, "svm", penalty(1.0, "svm", len(targets)))
    found.scores(basis.test)                           # (m, classes)

Only inner products of features matter to a linear classifier, so n pictures never need more than n numbers each: their
coordinates along the main axes of the training pictures, which follow from the n x n Gram matrix alone. There all
classes are solved for at once by L-BFGS, each axis scaled by what the loss and the penalty together curve it by.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import ArgumentError

STEPS, MEMORY = 100, 12  # of L-BFGS
FLAT = 3e-4  # largest slope left, of the loss of a mean picture along scaled axes

STRENGTHS: Mapping[str, tuple[float, ...]] = {  # from the strongest penalty to the weakest
    "svm": (1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2),  # C (TB7)
    "softmax": (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6),  # λ (E0)
}


@dataclass(frozen=True)
class Basis:
    """Pictures by their coordinates along the main axes of those to train on, about the mean of those.

    `train` (n, r) and `test` (m, r); `spread` (r,): the sum of squares of each column of `train`.
    """

    train: Tensor
    test: Tensor
    spread: Tensor


def of_features(train: Tensor, test: Tensor) -> Basis:
    """The basis of features (n, D) and (m, D). Where D is the larger, `of_gram` costs less."""
    mean = train.mean(0)
    train, test = train - mean, test - mean
    spread, axes = _main_axes(train.T @ train, float(train.square().sum(1).max()))
    axes = axes.to(train.dtype)
    return Basis(train @ axes, test @ axes, spread.to(train.dtype))


def of_gram(gram: Tensor, cross: Tensor) -> Basis:
    """The basis of inner products: (n, n) of pictures to train on, (m, n) of those to test with them."""
    columns = gram.mean(0)
    centred = gram - columns - columns[:, None] + columns.mean()
    spread, axes = _main_axes(centred, float(gram.diagonal().max()))
    lengths = spread.sqrt()
    rest = cross - columns - cross.mean(1, keepdim=True) + columns.mean()
    dtype = gram.dtype
    return Basis((axes * lengths).to(dtype), rest @ (axes / lengths).to(dtype), spread.to(dtype))


def _main_axes(matrix: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors in double precision, without those that the rounding of inner products up to
    `largest` may have made.
    """
    spread, axes = torch.linalg.eigh(matrix.double())
    noise = 4 * torch.finfo(matrix.dtype).eps * len(matrix) ** 0.5 * largest
    return spread[spread > noise], axes[:, spread > noise]


@dataclass(frozen=True)
class Linear:
    """`weights` (r, classes) and `bias` (classes,)."""

    weights: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """(m, r) to (m, classes): logits, or distances to the margins."""
        return features @ self.weights + self.bias


def _softmax(scores: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(scores, targets)


def _squared_hinge(scores: Tensor, targets: Tensor) -> Tensor:
    """One class against the rest, added up over the classes."""
    sign = torch.where(targets > 0, 1.0, -1.0).to(scores.dtype)
    return (1 - sign * scores).clamp_min(0).square().sum() / len(scores)


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"softmax": _softmax, "svm": _squared_hinge}


def penalty(strength: float, kind: str, pictures: int) -> float:
    """The factor of half the squared weights beside the mean loss: λ itself, or of a C, 1 / (C pictures)."""
    return strength if kind == "softmax" else 1 / (strength * pictures)


def fit(
    train: Tensor,
    spread: Tensor,
    targets: Tensor,
    kind: str,
    factor: float,
    start: Linear | None = None,
    flat: float = FLAT,
) -> Linear:
    """The weights with the least mean loss + factor/2 · their squares; the bias is free.

    train (n, r), along main axes or nearly; `spread` (r,) as `Basis` has it; targets (n, classes) rows that sum to 1
    (where several classes are present they share it; for "svm" each is positive). `start`: where to begin;
    `flat`: largest slope to stop at, in the scaled coordinates.
    Raises ArgumentError for another kind or a penalty that is not positive.
    """
    if kind not in LOSSES:
        raise ArgumentError("classifier", kind, f"expected one of {', '.join(LOSSES)}")
    if not factor > 0:
        raise ArgumentError("penalty", factor, "expected a positive number")
    targets = targets.to(train.dtype)
    share = 0.25 if kind == "svm" else 1 / targets.shape[1]  # of pictures that a class's loss bends at
    scale = (factor + share * spread / len(train)).rsqrt()[:, None]
    scaled = train * scale.T
    if start is None:
        start = Linear(train.new_zeros(train.shape[1], targets.shape[1]), train.new_zeros(targets.shape[1]))
    along, bias = (start.weights / scale).requires_grad_(), start.bias.clone().requires_grad_()
    shrink = factor * scale.square() / 2
    solver = torch.optim.LBFGS(
        [along, bias], max_iter=STEPS, history_size=MEMORY, tolerance_grad=flat,
        tolerance_change=4 * torch.finfo(train.dtype).eps, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def objective() -> Tensor:
        solver.zero_grad()
        loss = LOSSES[kind](scaled @ along + bias, targets) + (shrink * along.square()).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(objective)  # type: ignore[no-untyped-call]
    return Linear((along * scale).detach(), bias.detach())
