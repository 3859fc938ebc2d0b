"""What inversion by gradient descent minimises, in the terms of `ascent` (METHODS I1, I4).

    error = Discrepancy("relu5", describe, x, step=8.0)            # ‖φ(x) − φ₀‖² / ‖φ₀‖², a `Measure`
    how = plan("adam", "layer", size=(3, 128, 128), depth=0.7)     # an `Ascent`: its steps, the weights of its priors

Knows no networks: φ is a function of pictures.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from convscope.errors import ArgumentError
from convscope.probe.optimize.ascent import Ascent

TYPICAL = 78.0  # root mean square, in levels, of the bundled gallery's pictures: x₀σ / √(C·H·W) of METHODS I1
DEPTHS = ((0.3, 1.0), (0.6, 10.0), (1.0, 100.0))  # λ_V up to which share of a network's depth (METHODS I1)
ALPHA = 8e-10  # λ_α (METHODS I1)
TENFOLD = 10  # an error that has grown so much diverges (METHODS I1)


@dataclass(frozen=True)
class How:
    """An ascent, with what METHODS I1 gives in units of the pictures: λ_V over what the depth asks for; with `scaled`,
    steps are those of the energy times x₀σ².
    """

    ascent: Ascent
    tv: float = 1.0
    scaled: bool = False


PRESETS: dict[tuple[str, str], How] = {
    # Ours: fewer steps, from faint noise, and less of the prior.
    ("adam", "layer"): How(Ascent(150, 8.0, "adam", noise=2.0, rates=((75, 0.3), (112, 0.1))), tv=0.3),
    # Descriptors see edges only; in Fourier space the descent does not fill the rest with the finest ones.
    ("adam", "descriptor"): How(Ascent(120, 0.05, "adam", "fourier", noise=0.1, rates=((60, 0.3), (90, 0.1))), tv=3.0),
    # Mahendran and Vedaldi's (METHODS I1, I4)
    ("mahendran", "layer"): How(
        Ascent(400, 4e-3, "momentum", noise=TYPICAL, rates=((0, 1.0), (100, 0.1), (300, 0.01))), scaled=True
    ),
    ("mahendran", "descriptor"): How(
        Ascent(800, 4e-3, "momentum", noise=TYPICAL, rates=((0, 1.0), (200, 0.1), (400, 0.01), (600, 0.001))),
        scaled=True,
    ),
}


def plan(
    preset: str,
    kind: str,
    *,
    size: tuple[int, ...],
    depth: float = 0.0,
    tv: float | None = None,
    alpha: float | None = None,
    **settings: Any,
) -> Ascent:
    """The ascent for pictures of `size` (C, H, W): λ over 2·x₀σ² as weights, changes of rate moved along with `steps`.

    `depth`: share of the network's operations up to the layer; `tv`, `alpha`: λ in place of the preset's; `settings`:
    values of `Ascent`, None changes nothing. Raises ArgumentError for values out of range.
    """
    if (preset, kind) not in PRESETS:
        raise ArgumentError(
            "preset", preset, f"expected one of {', '.join(dict.fromkeys(name for name, _ in PRESETS))}"
        )
    for name, value in (("tv", tv), ("alpha", alpha)):
        if value is not None and not 0 <= value < math.inf:
            raise ArgumentError(name, value, "expected 0 or more")
    how, norm = PRESETS[preset, kind], TYPICAL**2 * math.prod(size)  # x₀σ²
    chosen = replace(how.ascent, **{name: value for name, value in settings.items() if value is not None})
    strength = next(weight for bound, weight in DEPTHS if depth <= bound or bound == 1)
    return replace(
        chosen,
        step=chosen.step * (norm if how.scaled else 1),
        tv=(how.tv * strength if tv is None else tv) / (2 * norm),
        alpha=(ALPHA if alpha is None else alpha) / (2 * norm),
        rates=tuple((at * chosen.steps // how.ascent.steps, factor) for at, factor in chosen.rates),
    )


class Discrepancy:
    """How far what φ says of pictures is from what it says of the originals x, ‖φ(·) − φ₀‖² / ‖φ₀‖² row by row; as a
    measure of `ascend`, its negative.

    Raises ArgumentError for a picture of which φ says nothing (all 0); when measured, for an error that has grown
    tenfold since `begin`.
    """

    def __init__(self, name: str, describe: Callable[[Tensor], Tensor], x: Tensor, step: float) -> None:
        self.name, self.describe, self.step = name, describe, step
        self.first: Tensor | None = None
        with torch.no_grad():
            self.wanted = describe(x)
        self.norm = self.wanted.flatten(1).square().sum(1)
        if not bool((self.norm > 0).all()):
            row = int((self.norm == 0).nonzero()[0])
            raise ArgumentError("picture", row, f"{name} says nothing of it, all is 0: expected another layer")

    def begin(self) -> None:
        """Take the next error for that of a start."""
        self.first = None

    def error(self, x: Tensor) -> Tensor:
        """(N,) of pictures (N, C, H, W)."""
        found: Tensor = (self.describe(x) - self.wanted).flatten(1).square().sum(1) / self.norm
        return found

    def __call__(self, x: Tensor) -> Mapping[str, Tensor]:
        """{"score": (N,)}."""
        found = self.error(x)
        now = found.detach()
        first = self.first = now if self.first is None else self.first
        grown = now > TENFOLD * first
        if bool(grown.any()):
            row = int(grown.nonzero()[0])
            words = f"{self.name}'s error of picture {row} grew from {float(first[row]):.3g} to {float(now[row]):.3g}"
            raise ArgumentError("step", self.step, f"{words}: expected a shorter one")
        return {"score": -found}
