"""Gradient ascent on pictures: one loop, and what the literature makes of it (METHODS A1-A4, P2, P3).

    how = PRESETS["fourier"]
    climb = ascend(measure, paint, start, how)         # measure(x)["score"]: (N,), to be raised, row by row

Every row of a batch climbs by itself: one alone climbs the same way. Knows no units and no classes.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor

from convscope.device import seeded
from convscope.errors import ArgumentError
from convscope.probe.optimize.parameterizations import Fourier, Paint, Pixels, shaken
from convscope.probe.optimize.priors import alpha_norm, blurred, l1, l2, on_sphere, total_variation, without_small
from convscope.probe.rectify import Rectified

Measure = Callable[[Tensor], Mapping[str, Tensor]]
Advance = Callable[[int], None]
Step = Literal["adam", "plain", "rms", "mean", "momentum"]
Status = Literal["done", "stuck", "skipped", "settled"]

PAINTS: dict[str, Callable[[tuple[int, int], Tensor, Tensor], Paint]] = {"pixels": Pixels, "fourier": Fourier}
RMS_FLOOR = 1e-5  # added to the gradient's root mean square (METHODS P2, P3)
BETAS, EPSILON = (0.9, 0.999), 1e-8  # Adam's
MOMENTUM = 0.9  # METHODS I1
SETTLED, PATIENCE = 1e-4, 20  # a score that moves less than this for so many steps has settled (METHODS P3)


@dataclass(frozen=True)
class Ascent:
    """How to climb. Lengths of steps, penalties and norms are in pixel levels of 0 to 255 where `paint` is "pixels".

    rule: a step goes along the gradient as it is ("plain"), divided by its root mean square + 1e-5 ("rms"), by its mean
    size ("mean"), as Adam would, or with a momentum of 0.9 (I1). rates: (step, factor) pairs: from which step on
    steps are how many times as long; momentum starts anew there. start, noise: which start, and the deviation of its
    noise. l1, l2, alpha (Σ|x|⁶), tv (with beta): weights of the penalties; under "rms" and "mean" their gradient is
    subtracted after the division. activity: γ of
    P7(i), the weight of the mean |output| of every convolution. decay, blur (every so many steps), small_norm,
    small_contribution: Yosinski's (A3). jitter, scale, rotate: of `shaken`. norm: pictures stay on that sphere (A1).
    clip: stay within what a picture can hold. octaves: sizes to go through, each 1.4 times the last (A4). skip: give
    up where the score is not positive (P2). settle: end where it no longer moves (P3). rescue: where the gradient is
    zero, go by the one that rectifiers do not stop.
    """

    steps: int
    step: float
    rule: Step = "rms"
    paint: Literal["pixels", "fourier"] = "pixels"
    start: Literal["noise", "zero"] = "noise"
    noise: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    alpha: float = 0.0
    tv: float = 0.0
    beta: float = 2.0
    activity: float = 0.0
    decay: float = 0.0
    blur: float = 0.0
    every: int = 1
    small_norm: float = 0.0
    small_contribution: float = 0.0
    jitter: int = 0
    scale: float = 0.0
    rotate: float = 0.0
    norm: float | None = None
    clip: bool = False
    octaves: int = 1
    skip: bool = False
    settle: bool = False
    rescue: bool = False
    rates: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        for name, low in (("steps", 1), ("every", 1), ("octaves", 1)):
            if getattr(self, name) < low:
                raise ArgumentError(name, getattr(self, name), f"expected a whole number, at least {low}")
        for name in ("step", "beta", "norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ArgumentError(name, value, "expected above 0")
        for name in ("l1", "l2", "alpha", "tv", "activity", "noise", "blur", "jitter", "rotate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ArgumentError(name, getattr(self, name), "expected 0 or more")
        for name, high in (("decay", 1), ("scale", 1), ("small_norm", 100), ("small_contribution", 100)):
            if not 0 <= getattr(self, name) < high:
                raise ArgumentError(name, getattr(self, name), f"expected from 0 to below {high}")
        own = [name for name in PIXELS_ONLY if getattr(self, name) != DEFAULTS[name]]
        if self.paint == "fourier" and own:
            raise ArgumentError(own[0], getattr(self, own[0]), "not for the preset fourier: expected one of pixels")


PIXELS_ONLY = ("decay", "blur", "small_norm", "small_contribution", "norm", "clip")
DEFAULTS = {field.name: field.default for field in fields(Ascent)}

PRESETS: dict[str, Ascent] = {
    "fourier": Ascent(
        96, 0.05, "adam", "fourier", noise=0.3, jitter=6, scale=0.1, rotate=8.0, rescue=True
    ),  # A1 as Olah, Mordvintsev & Schubert (2017) do it
    "sphere": Ascent(100, 4.0, norm=1e4),  # A1; norm and step are ours: levels of about 45 at 128 pixels
    "class-image": Ascent(200, 1.0, start="zero", l2=0.005),  # A2; λ and step are ours
    # A3; the length of a step is ours
    "yosinski-1": Ascent(500, 2.0, blur=0.5, every=4, small_norm=50),
    "yosinski-2": Ascent(750, 20.0, decay=0.3, small_norm=20),
    "yosinski-3": Ascent(1000, 2.0, decay=1e-4, blur=1.0, every=4),
    "yosinski-4": Ascent(1000, 2.0, blur=0.5, every=4, small_contribution=90),
    "deepdream": Ascent(10, 1.5, "mean", jitter=32, clip=True, octaves=4),  # A4
    "channel": Ascent(20, 1.0, skip=True),  # P2
    "literal": Ascent(200, 0.5, "plain", l1=0.1, settle=True),  # P3
    "normalised": Ascent(200, 0.5, l1=0.1, settle=True),  # P3
}


@dataclass(frozen=True)
class Climb:
    """What came of N rows. pictures (N, C, H, W) in network space. history: name -> (N, steps + 1), what `measure` gave
    at each step, the penalties that are weighed (as subtracted) and "total"; the last entry is that of the finished
    pictures, not shaken. A row that ended before the others stays where it was. status: N of "done", "stuck"
    (no gradient to begin with), "skipped", "settled". ended (N,): steps taken.
    """

    pictures: Tensor
    history: dict[str, Tensor]
    status: tuple[Status, ...]
    ended: Tensor


def ascend(
    measure: Measure, paint: Paint, start: Tensor, how: Ascent, seed: int = 0, advance: Advance = lambda n: None
) -> Climb:
    """Climb from `start`, variables of `paint` (N, ...), by `how`, but for its `octaves` and `start`.

    `measure` says of pictures (N, C, H, W) what their "score" is, (N,), row by row; "activity" is what γ weighs; what
    else it says is kept. `seed`: of the shaking. Raises ArgumentError when score or gradient are not finite any more.
    """
    z, one = start.detach().clone(), (slice(None), *(None,) * (start.dim() - 1))
    if how.norm:
        z = on_sphere(z, how.norm)
    mover, kept = _Mover(how, z), _History(len(z))
    status: list[Status] = ["done"] * len(z)
    with seeded(seed) as generator:
        for number in range(how.steps):
            found, gradient, penalty = _uphill(measure, paint, z, how, generator)
            _finite(number, gradient, found["score"])
            kept.add(found)
            for row, ending in kept.endings(how, gradient):
                status[row] = ending
            if not kept.alive.any():
                break
            moved = _tidied(z + mover(gradient, penalty), gradient, number, paint, how)
            z = torch.where(kept.alive.to(z.device)[one], moved, z)
            advance(1)
    with torch.no_grad():
        x = paint.picture(z)
        kept.add(_weighed(measure(x), paint, x, how)[0])
    return Climb(x.detach(), kept.table(how.steps + 1), tuple(status), kept.ended)


def _uphill(
    measure: Measure, paint: Paint, z: Tensor, how: Ascent, generator: torch.Generator
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """What is measured at z, the gradient of the score less γ times the activity, and that of the penalties."""
    leaf = z.detach().requires_grad_()
    before = generator.get_state()

    def look(rule: Literal["gradient", "none"]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        generator.set_state(before)
        with torch.enable_grad():
            x = paint.picture(leaf)
            seen = shaken(x, generator, jitter=how.jitter, scale=how.scale, rotate=how.rotate)
            with Rectified(rule, lrn="gradient") if rule == "none" else nullcontext():
                measured = measure(seen)
            found, penalty = _weighed(measured, paint, x, how)
            worth = found["score"] - how.activity * found.get("activity", 0.0)
            weighed = penalty.requires_grad
            (gradient,) = torch.autograd.grad(worth.sum(), leaf, retain_graph=weighed, allow_unused=True)
            (against,) = torch.autograd.grad(penalty.sum(), leaf) if weighed else (None,)
        zero = torch.zeros_like(z)
        return found, zero if gradient is None else gradient, zero if against is None else against

    found, gradient, penalty = look("gradient")
    still = ~gradient.flatten(1).any(1)
    if how.rescue and bool(still.any()):
        gradient = torch.where(still[(slice(None), *(None,) * (z.dim() - 1))], look("none")[1], gradient)
    return {key: value.detach().cpu() for key, value in found.items()}, gradient, penalty


def _weighed(measured: Mapping[str, Tensor], paint: Paint, x: Tensor, how: Ascent) -> tuple[dict[str, Tensor], Tensor]:
    """What was measured with the penalties of the pictures x and the "total", and the sum of the penalties."""
    found, levels, penalty = dict(measured), paint.levels(x), x.new_zeros(len(x))
    priors = {
        "l1": (how.l1, l1),
        "l2": (how.l2, l2),
        "alpha": (how.alpha, alpha_norm),
        "tv": (how.tv, lambda v: total_variation(v, how.beta)),
    }
    for name, (weight, prior) in priors.items():
        if weight:
            found[name] = weight * prior(levels)
            penalty = penalty + found[name]
    found["total"] = found["score"] - how.activity * found.get("activity", 0.0) - penalty
    return found, penalty


class _Mover:
    """The step that a rule makes of gradients; Adam's keeps their moments."""

    def __init__(self, how: Ascent, like: Tensor) -> None:
        self.how, self.count, self.rate, self.rates = how, 0, 1.0, dict(how.rates)
        self.first, self.second = torch.zeros_like(like), torch.zeros_like(like)

    def __call__(self, gradient: Tensor, penalty: Tensor) -> Tensor:
        axes = tuple(range(1, gradient.dim()))
        self.count += 1
        if self.count - 1 in self.rates:
            self.rate = self.rates[self.count - 1]
            self.first = self.first if self.how.rule == "adam" else torch.zeros_like(self.first)
        match self.how.rule:
            case "rms":
                way = gradient / (gradient.square().mean(axes, keepdim=True).sqrt() + RMS_FLOOR) - penalty
            case "mean":
                mean = gradient.abs().mean(axes, keepdim=True)
                way = gradient / torch.where(mean > 0, mean, torch.ones_like(mean)) - penalty
            case "adam":
                way = self._adam(gradient - penalty)
            case "momentum":
                way = self.first = MOMENTUM * self.first + gradient - penalty
            case _:
                way = gradient - penalty
        return self.how.step * self.rate * way

    def _adam(self, gradient: Tensor) -> Tensor:
        self.first = torch.lerp(gradient, self.first, BETAS[0])
        self.second = torch.lerp(gradient.square(), self.second, BETAS[1])
        first, second = (m / (1 - b**self.count) for m, b in zip((self.first, self.second), BETAS, strict=True))
        return first / (second.sqrt() + EPSILON)


def _tidied(z: Tensor, gradient: Tensor, number: int, paint: Paint, how: Ascent) -> Tensor:
    """What is done to the variables after step `number`: Yosinski's operations (A3), clipping (A4), the sphere (A1)."""
    if how.decay:
        z = z * (1 - how.decay)
    if how.blur and (number + 1) % how.every == 0:
        z = blurred(z, how.blur)
    if how.small_norm:
        z = without_small(z, z.norm(dim=1), how.small_norm)
    if how.small_contribution:
        z = without_small(z, (z * gradient).sum(1).abs(), how.small_contribution)
    if how.clip:
        z = paint.variables(paint.clipped(paint.picture(z)))
    return on_sphere(z, how.norm) if how.norm else z


def _finite(number: int, gradient: Tensor, score: Tensor) -> None:
    for name, values in (("score", score), ("gradient", gradient.flatten(1))):
        bad = ~values.reshape(len(values), -1).isfinite().all(1)
        if bool(bad.any()):
            row = int(bad.nonzero()[0])
            raise ArgumentError("step", number, f"the {name} of picture {row} is not finite: expected a shorter step")


class _History:
    """The numbers of every step, and which rows still climb."""

    def __init__(self, count: int) -> None:
        self.steps: dict[str, list[Tensor]] = {}
        self.alive, self.ended = torch.ones(count, dtype=torch.bool), torch.zeros(count, dtype=torch.long)
        self.calm = torch.zeros(count, dtype=torch.long)  # steps for which the score has hardly moved

    def add(self, found: Mapping[str, Tensor]) -> None:
        """Keep what a step found."""
        for name, values in found.items():
            self.steps.setdefault(name, []).append(values.detach().cpu())

    def endings(self, how: Ascent, gradient: Tensor) -> list[tuple[int, Status]]:
        """The rows that end at this step, and why; they no longer climb."""
        scores = self.steps["score"]
        ends: dict[Status, Tensor] = {"skipped": scores[-1] <= 0} if how.skip else {}
        if len(scores) == 1:
            ends["stuck"] = ~gradient.flatten(1).any(1).cpu()
        else:
            still = (scores[-1] - scores[-2]).abs() < SETTLED
            self.calm = torch.where(still, self.calm + 1, torch.zeros_like(self.calm))
        if how.settle:
            ends["settled"] = self.calm >= PATIENCE
        found = []
        for status, rows in ends.items():
            found += [(row, status) for row in (rows & self.alive).nonzero().flatten().tolist()]
            self.alive &= ~rows
        self.ended += self.alive
        return found

    def table(self, length: int) -> dict[str, Tensor]:
        """Every series as (N, length); the last entry is repeated where all rows ended early."""
        full = {name: torch.stack(values, 1) for name, values in self.steps.items()}
        return {
            name: torch.cat([values, values[:, -1:].expand(-1, length - values.shape[1])], 1)
            for name, values in full.items()
        }
