"""A row of the results page: what was published, what was found here, and by which rule the finding holds.

A verdict is never written down: `read` computes it from the numbers of a run, by the rule that the row states.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from register.runs import Found

HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "undecided", "not run"
MEANING = {
    HOLDS: "our numbers satisfy the rule",
    FAILS: "they contradict it",
    OPEN: "the difference may be chance, a part has not been run, or numbers cannot tell",
    NOT_RUN: "there are no numbers yet",
}


@dataclass(frozen=True)
class Answer:
    """What was found, as text; whether the rule is satisfied, None where the numbers cannot tell."""

    text: str
    holds: bool | None = None


Read = Callable[[Found], Answer]


def quoted(found: Found) -> Answer:
    """Of a number of somebody else's."""
    return Answer("quoted")


@dataclass(frozen=True)
class Row:
    """A published number, or with a `rule` a finding.

    id: of METHODS; what: the quantity, or the finding; published: as printed; run: of `RUNS`, or none: what is quoted,
    or follows from printed numbers alone; rule: when the finding holds; claim: its number in the claims register.
    """

    id: str
    what: str
    published: str
    run: str | None
    read: Read
    rule: str = ""
    claim: str = ""

    def answer(self, found: Found | None) -> Answer:
        """What the run says, None where it has not been made."""
        return self.read(found) if found else Answer(NOT_RUN)

    def verdict(self, found: Found | None) -> str:
        """One of the four words; none of a number."""
        if not self.rule:
            return ""
        if found is None:
            return NOT_RUN
        holds = self.read(found).holds
        return OPEN if holds is None else HOLDS if holds else FAILS


def together(verdicts: Sequence[str]) -> str:
    """A claim of several findings holds when all do; one that does not is enough against it."""
    if FAILS in verdicts:
        return FAILS
    if set(verdicts) == {HOLDS}:
        return HOLDS
    return NOT_RUN if set(verdicts) == {NOT_RUN} else OPEN


def slashed(*values: float | None, digits: int = 1) -> str:
    """Numbers of one line, a dash for what there is none of."""
    return " / ".join("–" if value is None else f"{value:.{digits}f}" for value in values)


def spread(value: float, std: float | None, digits: int = 1) -> str:
    """A mean with its deviation, where there is one."""
    return f"{value:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}")


def mean(found: Found, key: str = "value", **which: Any) -> float:
    """The mean of a key over the records that have these values."""
    return fmean(found.numbers(key, **which))


def rising(values: Sequence[float]) -> bool:
    """Whether no value is below the one before it, and the last is above the first."""
    return all(a <= b for a, b in pairwise(values)) and values[-1] > values[0]
