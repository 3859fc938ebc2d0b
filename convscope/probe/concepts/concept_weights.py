"""Weights with which filters together say what one alone cannot: where a concept is, or whether (METHODS N2, N3).

    weights = segment(on, masks, rows, columns, keep, descent)      # (F, K)
    weights, biases = classify(features, labels, keep, descent)

Both fit F models at once, each on the filters that its row of `keep` (F, K) leaves it. Knows nothing of networks.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.probe.concepts.upsample import spread

MOMENTUM = 0.9
PIXELS = 112 * 112  # that a picture's loss sums over, however many are compared: the rate is for that many
FALLS, FALL = 10, 0.1  # every so many epochs the rate of a classifier falls to this share


@dataclass(frozen=True)
class Descent:
    """Stochastic gradient descent with momentum 0.9: `epochs` over the pictures in batches, at `rate`; seeded."""

    epochs: int
    rate: float
    batch: int
    seed: int

    def batches(self, count: int) -> Iterator[tuple[int, Tensor]]:
        """(epoch, places of a batch)."""
        random = torch.Generator().manual_seed(self.seed)
        for epoch in range(self.epochs):
            order = torch.randperm(count, generator=random)
            for first in range(0, count, self.batch):
                yield epoch, order[first : first + self.batch]


def start(filters: int, seed: int) -> Tensor:
    """Weights (K,) uniform in ±1/√K."""
    uniform = torch.rand(filters, generator=torch.Generator().manual_seed(seed))
    return (2 * uniform - 1) / math.sqrt(filters)


def foreground(masks: Tensor) -> float:
    """α of N2: 1 - the mean share of the pixels (n, P, Q) that are marked; 0.5 (unweighted) where all of them are."""
    alpha = 1 - float(masks.float().mean())
    return alpha if alpha > 0 else 0.5


def segment(on: Tensor, masks: Tensor, rows: Tensor, columns: Tensor, keep: Tensor, how: Descent) -> Tensor:
    """Weights (F, K) such that σ(Σ w_k B_k), brought to the pixels, is 1 in the masks and 0 elsewhere (METHODS N2).

    on (n, K, h, w): where filters are on, B. masks (n, P, Q). rows (P, h) and columns (Q, w): `anchored`. The loss is
    -Σ α L M + (1 - α)(1 - L)(1 - M) over the pixels, the mean over pictures, without logarithm and without bias.
    """
    alpha, scale = foreground(masks), PIXELS / masks[0].numel()
    keep = keep.float()
    weights = start(keep.shape[1], how.seed) * keep
    speed = torch.zeros_like(weights)
    for _, chosen in how.batches(len(on)):
        some, marked = on[chosen].float(), masks[chosen].float()
        found = torch.sigmoid(combined(some, weights, rows, columns))
        pull = (alpha * marked - (1 - alpha) * (1 - marked)) * found * (1 - found)  # (F, b, P, Q)
        towards = torch.einsum("fbhw,bkhw->fk", rows.T @ pull @ columns, some) * (scale / len(chosen))
        speed = MOMENTUM * speed + towards * keep
        weights = weights + how.rate * speed
    return weights


def combined(on: Tensor, weights: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Σ w_k B_k at the pixels: (F, n, P, Q) of on (n, K, h, w) and weights (F, K)."""
    return spread(torch.einsum("fk,nkhw->fnhw", weights, on.float()), rows, columns)


def classify(features: Tensor, labels: Tensor, keep: Tensor, how: Descent) -> tuple[Tensor, Tensor]:
    """Weights (F, K) and biases (F,) of logistic regressions on features (n, K) (METHODS N3).

    labels (n,) bool with both values; each epoch has as many positives as negatives. The rate falls to a tenth every 10
    epochs.
    """
    random = torch.Generator().manual_seed(how.seed)
    positive, negative = labels.nonzero().flatten(), (~labels).nonzero().flatten()
    each = max(len(positive), len(negative))
    keep = keep.float()
    weights, biases = start(keep.shape[1], how.seed) * keep, torch.zeros(len(keep))
    speed, drift = torch.zeros_like(weights), torch.zeros_like(biases)
    now, drawn = -1, torch.empty(0, dtype=torch.int64)
    for epoch, chosen in how.batches(2 * each):
        if epoch != now:  # the fewer of them several times
            now = epoch
            drawn = torch.cat([_several(group, each, random) for group in (positive, negative)])
        some, wanted = features[drawn[chosen]], labels[drawn[chosen]].float()
        wrong = wanted - torch.sigmoid(some @ weights.T + biases).T  # (F, b)
        speed = MOMENTUM * speed + wrong @ some / len(chosen) * keep
        drift = MOMENTUM * drift + wrong.mean(1)
        rate = how.rate * FALL ** (epoch // FALLS)
        weights, biases = weights + rate * speed, biases + rate * drift
    return weights, biases


def _several(group: Tensor, count: int, random: torch.Generator) -> Tensor:
    """`count` members of a group, none twice before all came once."""
    rounds = [group[torch.randperm(len(group), generator=random)] for _ in range(-(-count // len(group)))]
    return torch.cat(rounds)[:count]
