"""Whether one network's errors are really fewer than another's: on the same pictures, and over seeds.

Two doubts, two tests. Other pictures of the same kind might have turned out otherwise: McNemar's exact test on the
pictures that just one of the two networks gets right. Another seed might have: a t-test with one variance for all
variants, pooled from those that were trained more than once. Knows nothing of trainings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, variance

from torch import Tensor

LEVEL = 0.05  # the share of false alarms that is put up with, over all the pairs together


@dataclass(frozen=True)
class Pair:
    """Variants `a` and `b`. difference: b's errors less a's, points of per cent, the mean over seeds.

    p_pictures: McNemar's, on the first seed; p_seeds: of the seeds, None where none was trained twice; both by Holm's
    correction over all the pairs. separated: every p there is lies below `LEVEL`.
    """

    a: str
    b: str
    difference: float
    p_pictures: float
    p_seeds: float | None

    @property
    def separated(self) -> bool:
        """Whether the order of the two is more than chance."""
        return all(p < LEVEL for p in (self.p_pictures, self.p_seeds) if p is not None)


def mcnemar(right: Tensor, other: Tensor) -> float:
    """Exact two-sided p of McNemar's test for (N,) bools on the same pictures; 1 where they never differ."""
    from scipy.stats import binomtest  # a second that nobody else need wait for

    only, only_other = int((right & ~other).sum()), int((other & ~right).sum())
    return float(binomtest(only, only + only_other).pvalue) if only + only_other else 1.0


def holm(ps: Sequence[float]) -> list[float]:
    """The p values by Holm's step-down correction, in their order: each at most 1, and never below its own."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = largest
    return adjusted


def spread(errors: Mapping[str, Sequence[float]]) -> tuple[float, int]:
    """Standard deviation of errors over seeds, pooled over the variants, and its degrees of freedom (0: unknown)."""
    several = [values for values in errors.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    squares = sum((len(values) - 1) * variance(values) for values in several)
    return ((squares / freedom) ** 0.5 if freedom else 0.0), freedom


def compared(right: Mapping[str, Sequence[Tensor]]) -> list[Pair]:
    """Every pair of variants, from name -> for each seed whether it is right, (N,) bools on the same pictures."""
    errors = {name: [100 * float((~each).double().mean()) for each in seeds] for name, seeds in right.items()}
    pairs = list(combinations(right, 2))
    pictures = holm([mcnemar(right[a][0], right[b][0]) for a, b in pairs])
    deviation, freedom = spread(errors)
    seeds: list[float | None] = [None] * len(pairs)
    if freedom:
        seeds[:] = holm([_of_seeds(errors[a], errors[b], deviation, freedom) for a, b in pairs])
    return [
        Pair(a, b, fmean(errors[b]) - fmean(errors[a]), p, q)
        for (a, b), p, q in zip(pairs, pictures, seeds, strict=True)
    ]


def _of_seeds(a: Sequence[float], b: Sequence[float], deviation: float, freedom: int) -> float:
    """Two-sided p of a difference of means, with a known number of degrees of freedom in the deviation."""
    from scipy.stats import t

    apart = abs(fmean(a) - fmean(b))
    if not deviation:
        return float(apart == 0)
    return float(2 * t.sf(apart / (deviation * (1 / len(a) + 1 / len(b)) ** 0.5), freedom))
