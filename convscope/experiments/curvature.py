"""Along which directions is a unit invariant around its optimum? Second derivatives on a sphere (METHODS A5).

    found = curvature(network, "relu2:23", count=1, steps=20, krylov=12)
    found.peaks[0].curvatures, found.peaks[0].errors, found.text

And how far does a quadratic form describe the unit: what it predicts along each direction, against what comes.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from convscope.device import resolve, seeded
from convscope.errors import ArgumentError
from convscope.models.network import Network
from convscope.models.targets import Target, measured
from convscope.models.targets import targets as read
from convscope.parameters import Picture
from convscope.probe.optimize.ascent import PRESETS, Measure, ascend
from convscope.probe.optimize.parameterizations import Boxed
from convscope.probe.optimize.smooth_rectifiers import Smoothed
from convscope.probe.optimize.sphere_curvature import Bend, Ends, Function, lanczos, path, summit
from convscope.probe.trace.address import Unit
from convscope.probe.trace.geometry import receptive_field
from convscope.progress import Advance, progress

Way = Literal["softplus", "differences"]
Kind = Literal["sensitive", "invariant", "random"]
Box = tuple[int, int, int, int]

CONTRAST = 45.0  # levels: the root mean square of an optimum, unless a norm is given
ANGLES = torch.arange(-45.0, 46.0, 3.75, dtype=torch.float64)  # degrees along a great circle (METHODS A5: ± π/4)
REPORTED = (15.0, 30.0, 45.0)  # degrees: where rows say how far off the prediction is
STEP = 1e-3  # of the norm: how far apart gradients are compared (METHODS A5)
STEEP = 0.1  # a point is no optimum where more of its gradient than this lies along the sphere


@dataclass(frozen=True)
class Peak:
    """A target around a point x* of the sphere of `norm`, in levels of 0 to 255 with the mean subtracted.

    box: top, left, bottom, right of what it sees (exclusive). picture (C, h, w): x* in the box, zero outside it. value,
    own: what is differentiated, and the network itself, at x*. tilt: the share of the gradient's length that lies along
    the sphere, 0 at an optimum. slope: ∇f·x* / norm². spectrum (K,): curvatures found, ascending, and residuals (K,),
    how far each is from an eigenvalue. kinds, curvatures (D,), directions (D, C, h, w) of length 1: those looked at.
    responses, smoothed, predicted (D, A) at `ANGLES`: the network, what is differentiated, the quadratic prediction.

    A curvature is the second derivative by the angle, in units of |value|: -1 in all directions for a linear unit, less
    where the unit is sensitive, 0 where it is invariant.
    """

    target: Target
    box: Box
    norm: float
    picture: Tensor
    value: float
    own: float
    tilt: float
    slope: float
    spectrum: Tensor
    residuals: Tensor
    kinds: tuple[Kind, ...]
    curvatures: Tensor
    directions: Tensor
    responses: Tensor
    smoothed: Tensor
    predicted: Tensor

    @property
    def errors(self) -> Tensor:
        """|predicted − what is differentiated| in units of |value|: (D, A)."""
        return (self.predicted - self.smoothed).abs() / abs(self.value)

    @property
    def eigenvalues(self) -> Tensor:
        """Of the second derivatives by levels in the tangent space, without the sphere's own bend: (K,), ascending."""
        return self.spectrum * abs(self.value) / self.norm**2 + self.slope

    def error(self, angle: float) -> Tensor:
        """The larger of the errors at ± an angle: (D,)."""
        return self.errors[:, (ANGLES.abs() - angle).abs() < 1e-6].amax(1)


@dataclass(frozen=True)
class Curvature:
    """A `Peak` for every target, and what a reader should know. All tensors on the CPU."""

    peaks: tuple[Peak, ...]
    notes: tuple[str, ...] = ()

    @property
    def by_layer(self) -> dict[str, dict[Kind, Tensor]]:
        """Mean errors of the layers' targets: layer -> kind of direction -> (A,)."""
        found: dict[str, dict[Kind, Tensor]] = {}
        for layer in dict.fromkeys(peak.target.layer for peak in self.peaks):
            own = [peak for peak in self.peaks if peak.target.layer == layer]
            found[layer] = {kind: torch.cat([_of(p, kind) for p in own]).mean(0) for kind in KINDS}
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record for every target and direction: its curvature, the errors of the prediction, the optimum's facts."""
        return [
            {"target": peak.target.name, "layer": peak.target.layer, "direction": kind, "rank": rank}
            | {"curvature": float(peak.curvatures[k])}
            | {f"error {angle:g}°": float(peak.error(angle)[k]) for angle in REPORTED}
            | {"value": peak.value, "own_value": peak.own, "tilt": peak.tilt, "norm": peak.norm}
            | {"dimensions": peak.picture.numel()}
            for peak in self.peaks
            for k, (kind, rank) in enumerate(_ranked(peak.kinds))
        ]

    @property
    def text(self) -> str:
        """The mean errors, a line a layer."""
        angles = [int((ANGLES - angle).abs().argmin()) for angle in REPORTED]
        head = "error of the quadratic prediction, in units of the optimum's value, at "
        lines = [head + ", ".join(f"{angle:g}°" for angle in REPORTED)]
        for layer, errors in self.by_layer.items():
            told = [f"{kind} " + " ".join(f"{float(each[a]):.2g}" for a in angles) for kind, each in errors.items()]
            lines.append(f"{layer}: {'; '.join(told)}")
        return "\n".join(lines)

    @property
    def arrays(self) -> dict[str, Tensor]:
        """The angles; of every target, by its place: picture, directions, spectrum, curves."""
        found = {"angles": ANGLES}
        for k, peak in enumerate(self.peaks):
            for name in ("picture", "directions", "spectrum", "residuals", "responses", "smoothed", "predicted"):
                found[f"{k}.{name}"] = getattr(peak, name)
        return found


KINDS: tuple[Kind, ...] = ("sensitive", "invariant", "random")


def _of(peak: Peak, kind: Kind) -> Tensor:
    """The errors of its directions of one kind: (n, A)."""
    return peak.errors[[k for k, own in enumerate(peak.kinds) if own == kind]]


def _ranked(kinds: Sequence[Kind]) -> list[tuple[Kind, int]]:
    """Every kind with its number among those alike, from 1."""
    return [(kind, 1 + kinds[:k].count(kind)) for k, kind in enumerate(kinds)]


def curvature(
    network: Network,
    targets: Annotated[Sequence[str | Unit] | str | Unit, "layer:channel[@row,column], a class name, or a layer"],
    *,
    count: Annotated[int, "how many directions at each end of the spectrum, and at random"] = 3,
    picture: Annotated[Picture | None, "look around this picture [default: around the target's optimum]"] = None,
    norm: Annotated[float | None, "length of the optimum, in levels [default: 45 root mean square]"] = None,
    way: Annotated[Way, "second derivatives of a smoothed copy, or differences of gradients as they are"] = "softplus",
    beta: Annotated[float, "sharpness of the smoothed rectifiers, over the size of their inputs"] = 5.0,
    steps: Annotated[int, "steps of the ascent to the optimum, and of the search that ends it"] = 100,
    krylov: Annotated[int, "Hessian-vector products that the spectrum is made of"] = 64,
    seed: int = 0,
    device: str | None = None,
) -> Curvature:
    """How each target curves around its optimum on the sphere, and what a quadratic form predicts of it (METHODS A5).

    The optimum is made in the part of the picture that the target sees, by ascent on a sphere; a channel means its unit
    in the middle of the map. Hessian-vector products of a copy whose rectifiers and max-pooling have no corners give,
    by Lanczos, both ends of the spectrum along the sphere: the most negative, to which the target is most sensitive,
    and the highest, along which it is most invariant. Under "differences" nothing is smoothed and gradients 1e-3 of the
    norm to both sides are compared.

    Raises ArgumentError, LayerError, UnitError for what the network does not have, a range does not allow, or when no
    target responds at its optimum; PictureError for what is no picture.
    """
    for name, value, low in (("count", count, 1), ("steps", steps, 1), ("krylov", krylov, 2 * count)):
        if value < low:
            raise ArgumentError(name, value, f"expected at least {low}")
    if norm is not None and not 0 < norm < math.inf:
        raise ArgumentError("norm", norm, "expected above 0")
    if way not in ("softplus", "differences"):
        raise ArgumentError("way", way, "expected softplus, differences")
    wanted = [_placed(network, target) for target in read(network, targets)]
    given = None if picture is None else _given(network, picture)
    surveyor = _Surveyor(network, resolve(device), Smoothed(beta) if way == "softplus" else None)
    peaks, notes = list[Peak](), list[str]()
    with progress(len(wanted) * ((steps if given is None else 0) + krylov), "bending") as advance:
        for target in wanted:
            peak = surveyor(target, given, norm, (steps, krylov, count), seed, advance)
            notes += _doubts(peak) if peak else [f"{target.name} is left out: it is silent at its optimum"]
            peaks += [peak] if peak else []
    if not peaks:
        raise ArgumentError("targets", [t.name for t in wanted], "all silent at their optima: expected others")
    if surveyor.left:
        notes.append(f"not smoothed, corners stay: {', '.join(sorted(surveyor.left))}")
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return Curvature(tuple(peaks), tuple(notes))


def _placed(network: Network, target: Target) -> Target:
    """A channel as its unit in the middle of the map; others as they are."""
    unit, shape = target.unit, network.graph().node(target.layer).shape
    if unit is None or unit.position is not None or len(shape) == 2:
        return target
    unit = unit.at((shape[2] // 2, shape[3] // 2))
    return Target(str(unit), target.layer, unit)


def _given(network: Network, picture: Any) -> Tensor:
    found = network.inputs(picture)
    if found.shape != (1, *network.input_size):
        raise ArgumentError("picture", tuple(found.shape), f"expected one of {network.input_size}")
    return found


class _Surveyor:
    """Finds a target's optimum, and its surroundings."""

    def __init__(self, network: Network, place: torch.device, smooth: Smoothed | None) -> None:
        self.network, self.place, self.smooth = network, place, smooth
        self.module: nn.Module = network.working(place)
        self.left: set[str] = set()

    def __call__(
        self,
        target: Target,
        given: Tensor | None,
        norm: float | None,
        numbers: tuple[int, int, int],
        seed: int,
        advance: Advance,
    ) -> Peak | None:
        steps, krylov, count = numbers
        box = self._box(target)
        paint = self._paint(box)
        measure = measured(self.module, self.network.graph(), [target])
        size = (self.network.input_size[0], box[2] - box[0], box[3] - box[1])
        own = self._function(measure, paint, size)
        if given is None:
            x = self._ascended(measure, paint, size, norm or CONTRAST * math.prod(size) ** 0.5, steps, seed, advance)
        else:
            x = paint.variables(given.to(self.place)).flatten()
            if not bool(x.any()):
                raise ArgumentError(
                    "picture", "zero", f"expected other than the mean picture where {target.name} looks"
                )
        f = self._differentiated(own, x)
        if given is None:
            x = summit(f, x, steps)
        bend = Bend(f, x, 0.0 if self.smooth else STEP)
        if not bend.value:
            return None
        with seeded(seed) as generator:
            ends = lanczos(bend, krylov, generator, advance)
            chance = torch.randn(count, len(x), generator=generator, dtype=torch.float64).to(x)
        return _surveyed(target, box, size, own, f, bend, ends, count, chance)

    def _box(self, target: Target) -> Box:
        """What the target sees of the picture."""
        graph, (_, height, width) = self.network.graph(), self.network.input_size
        spatial = self.network.geometry()[graph.node(target.layer).index]
        field = receptive_field(spatial) if spatial else None
        unit = target.unit
        if field is None or unit is None or not isinstance(unit.position, tuple):
            return 0, 0, height, width
        top, left, bottom, right = field.box(*unit.position)
        return max(top, 0), max(left, 0), min(bottom, height), min(right, width)

    def _paint(self, box: Box) -> Boxed:
        network = self.network
        mean, std = (network.transform.cropped(t).to(self.place, network.dtype) for t in (network.mean, network.std))
        return Boxed((network.input_size[1], network.input_size[2]), mean, std, box)

    def _function(self, measure: Measure, paint: Boxed, size: tuple[int, ...]) -> Function:
        return lambda z: measure(paint.picture(z.view(len(z), *size)))["score"]

    def _differentiated(self, own: Function, x: Tensor) -> Function:
        """The network's function without its corners, fitted to what it meets at x."""
        smooth = self.smooth
        if smooth is None:
            return own
        with torch.no_grad(), smooth.learning():
            own(x[None])
        self.left |= set(smooth.left)

        def f(z: Tensor) -> Tensor:
            with smooth:
                return own(z)

        return f

    def _ascended(
        self,
        measure: Measure,
        paint: Boxed,
        size: tuple[int, ...],
        norm: float,
        steps: int,
        seed: int,
        advance: Advance,
    ) -> Tensor:
        sphere = PRESETS["sphere"]
        stride = sphere.step * norm / (CONTRAST * math.prod(size) ** 0.5)
        how = replace(sphere, norm=norm, steps=steps, step=stride, rescue=True)
        with seeded(seed) as generator:
            start = torch.randn(1, *size, generator=generator, dtype=torch.float32).to(paint.mean)
        return paint.variables(ascend(measure, paint, start, how, seed, advance).pictures).flatten()


def _surveyed(
    target: Target,
    box: Box,
    size: tuple[int, ...],
    own: Function,
    f: Function,
    bend: Bend,
    ends: Ends,
    count: int,
    chance: Tensor,
) -> Peak:
    chance = torch.stack([bend.tangent(v) for v in chance])
    chance = chance / chance.norm(dim=1, keepdim=True)
    several = min(count, len(ends.values) // 2)
    kinds: list[Kind] = [*["sensitive"] * several, *["invariant"] * several, *["random"] * count]  # type: ignore[list-item]
    directions = torch.cat([ends.directions[:several], ends.directions.flip(0)[:several], chance])
    unit = float(bend.radius.square()) / abs(bend.value)  # curvatures by angle, over the value
    curved = torch.stack([w @ bend(w) for w in directions]) * unit
    angles = ANGLES.deg2rad().to(bend.x)
    points = path(bend.x, directions, angles)
    with torch.no_grad():
        responses, smoothed = (torch.stack([g(row) for row in points]).double().cpu() for g in (own, f))
        there = float(own(bend.x[None]))
    return Peak(
        target,
        box,
        float(bend.radius),
        bend.x.view(size).cpu(),
        bend.value,
        there,
        bend.tilt,
        bend.slope,
        ends.values * unit,
        ends.residuals * unit,
        tuple(kinds),
        curved.double().cpu(),
        directions.view(-1, *size).cpu(),
        responses,
        smoothed,
        bend.predicted(directions, angles).double().cpu(),
    )


def _doubts(peak: Peak) -> list[str]:
    """What is not as it should be at a peak."""
    found, name = [], peak.target.name
    if peak.tilt > STEEP:
        found.append(f"{name}: no optimum, {peak.tilt:.2g} of its gradient's length lies along the sphere")
    if (reach := float(peak.spectrum.abs().max())) and float(peak.spectrum[-1]) > 0.05 * reach:
        found.append(f"{name}: no maximum, it rises along its highest direction")
    return found
