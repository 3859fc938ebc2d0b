"""Which picture would excite this unit, channel or class most? Gradient ascent on pictures (METHODS A1-A4, P2-P5).

    found = maximize(network, ["relu5:42", "relu3:7@2,2", "stop_sign"], steps=5)
    found.pictures, found.history["score"], found.status

Many targets are made in one batch: those of a layer share their passes.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Annotated, Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.data.class_means import class_first, class_mean
from convscope.data.picture_set import Pictures
from convscope.data.sources import images as opened
from convscope.device import resolve, seeded
from convscope.errors import ArgumentError, ConvscopeError
from convscope.models.network import Network
from convscope.models.targets import Target, measured
from convscope.models.targets import targets as read
from convscope.models.zfnet import EightLayers
from convscope.parameters import Images, Picture
from convscope.pictures import levels_of, standardised
from convscope.probe.filters.spectrum import bands, centroid, power
from convscope.probe.optimize.ascent import PAINTS, PRESETS, Advance, Ascent, Climb, ascend
from convscope.probe.optimize.parameterizations import Paint
from convscope.probe.optimize.picture_stats import colourfulness, resemblance
from convscope.probe.trace.address import Unit
from convscope.probe.trace.record import run
from convscope.progress import progress

Start = Literal["noise", "uniform", "zero", "class-mean", "class-colour", "picture"]
Preset = Literal[
    "fourier",
    "sphere",
    "class-image",
    "yosinski-1",
    "yosinski-2",
    "yosinski-3",
    "yosinski-4",
    "deepdream",
    "channel",
    "literal",
    "normalised",
]
OCTAVE = 1.4  # METHODS A4
TOGETHER = 64  # most pictures that climb in one batch
MAPS = 16 * 2**20  # bytes of its largest map, on a CPU: a third slower with 16 times as many (benchmarks/maximize.py)
UNIFORM = 10.0  # levels: how far uniform noise goes (METHODS P2)
SMOOTH = 2.0  # deviation of the blur, in pixels, under which pictures from several seeds are compared (METHODS P3)


@dataclass(frozen=True)
class Optima:
    """A row for every target, start and seed, in this order. All tensors on the CPU.

    targets, starts, seeds: of each of R rows. how: the settings of all. pictures (R, C, H, W): the optima in network
    space, and `shown` (R, H, W, 3) uint8, in colours. history: name -> (R, steps + 1), NaN where a row has no such
    number: "score", what was maximised, at every step as the ascent saw it and last for the finished picture;
    "probability" of a class; "activity"; penalties as they were subtracted; "total". status: R of "done", "stuck" (no
    gradient to begin with), "skipped" (the score was not positive), "settled" (it no longer moved). ended (R,): steps
    taken. originals (R, C, H, W) or None: the picture, or the first of the class, to compare with. notes: what a reader
    should know.
    """

    targets: tuple[Target, ...]
    starts: tuple[str, ...]
    seeds: tuple[int, ...]
    how: Ascent
    pictures: Tensor
    levels: Tensor
    shown: Tensor
    history: dict[str, Tensor]
    status: tuple[str, ...]
    ended: Tensor
    originals: Tensor | None = None
    notes: tuple[str, ...] = ()

    @property
    def agreement(self) -> list[float | None]:
        """How alike a row's picture is to those of its other seeds: mean correlation of the blurred pictures (P3)."""
        found: list[float | None] = []
        for row, key in enumerate(zip(self.targets, self.starts, strict=True)):
            same = [i for i, other in enumerate(zip(self.targets, self.starts, strict=True)) if other == key]
            others = [i for i in same if i != row]
            found.append(float(resemblance(self.pictures[row], self.pictures[others], SMOOTH)) if others else None)
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record a picture: how it ended, its first and last score, what else was measured, proxies of its looks.

        `colourfulness` (Hasler and Süsstrunk), `frequency`: mean in cycles per pixel, `fine`: share of the power
        above 0.25 (METHODS P2, P3), `agreement` with the pictures from other seeds.
        """
        spectrum = power(self.levels - self.levels.mean((2, 3), keepdim=True))
        looks = {"frequency": centroid(spectrum), "fine": bands(spectrum)[:, 2]}
        looks["colourfulness"] = colourfulness(self.levels)
        last = {name: values[:, -1] for name, values in self.history.items() if name != "score"}
        return [
            {"target": target.name, "layer": target.layer, "start": start, "seed": seed}
            | {"status": status, "steps": int(self.ended[row])}
            | {"first_score": float(self.history["score"][row, 0]), "score": float(self.history["score"][row, -1])}
            | {name: float(values[row]) for name, values in (last | looks).items()}
            | {"agreement": agreement}
            for row, (target, start, seed, status, agreement) in enumerate(
                zip(self.targets, self.starts, self.seeds, self.status, self.agreement, strict=True)
            )
        ]

    @property
    def arrays(self) -> dict[str, Tensor]:
        """The pictures in network space and in colours, and the histories."""
        return {
            "pictures": self.pictures,
            "shown": self.shown,
            **{f"history_{name}": values for name, values in self.history.items()},
        }


def maximize(
    network: Network,
    targets: Annotated[
        Sequence[str | Unit] | str | Unit,
        "layer:channel[@row,column] (layer:*: each channel), a class, or a layer",
    ],
    *,
    preset: Annotated[Preset | Ascent, "how to climb"] = "fourier",
    start: Annotated[Sequence[Start] | Start | None, "where to begin [default: the preset's, or what is given]"] = None,
    picture: Annotated[Picture | None, "a picture to start from, or to compare with"] = None,
    images: Annotated[Images | None, "pictures in classes, for class means"] = None,
    steps: Annotated[int | None, "steps of the ascent [default: the preset's, as all below]"] = None,
    step: Annotated[float | None, "length of a step"] = None,
    l1: Annotated[float | None, "weight of the sum of |levels|"] = None,
    l2: Annotated[float | None, "weight of the sum of levels squared"] = None,
    tv: Annotated[float | None, "weight of the total variation"] = None,
    norm: Annotated[float | None, "keep the picture's norm, in levels, at this"] = None,
    jitter: Annotated[int | None, "shift the picture by up to so many pixels at each step"] = None,
    activity: Annotated[float | None, "weight of the mean output of every convolution"] = None,
    seeds: Annotated[int, "how many seeds to start from, to see the spread"] = 1,
    seed: int = 0,
    batch_size: Annotated[int | None, "pictures at a time [default: what the memory is fast with]"] = None,
    device: str | None = None,
) -> Optima:
    """Make the picture that excites each target most (METHODS A1-A4, P2-P5, P7).

    A target is a unit `layer:channel@row,column`, a channel `layer:channel` (the mean of its map; `layer:*` stands for
    all of them), a class by its name (its logit), or a layer (half the squared norm of its output). `preset`: "fourier"
    (frequencies and decorrelated colours, shaken), "sphere" (A1), "class-image" (A2), "yosinski-1" to "-4" (A3),
    "deepdream" (A4), "channel" (P2), "literal" and "normalised" (P3); or an `Ascent`. Lengths are in levels of 0 to
    255, the mean subtracted. `start`: "noise", "uniform" (within 10 levels of the mean picture), "zero" (that),
    "class-mean", "class-colour" (P4), "picture", or several to compare.

    Raises ArgumentError, LayerError, UnitError for what the network does not have or a range does not allow, and when
    every target is skipped; DataError for a class without pictures, PictureError for what is no picture.
    """
    how = _settings(preset, steps=steps, step=step, l1=l1, l2=l2, tv=tv, norm=norm, jitter=jitter, activity=activity)
    for name, value in (("seeds", seeds), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ArgumentError(name, value, "expected at least 1")
    wanted = read(network, targets)
    given = None if picture is None else network.inputs(picture)
    if given is not None and len(given) != 1:
        raise ArgumentError("picture", f"{len(given)} pictures", "expected one")
    size = (given.shape[2], given.shape[3]) if given is not None else network.input_size[1:]
    data = None if images is None else opened(images)
    begin = _Beginnings(network, given, data)
    starts = _starts(start, how, given, data)
    climber = _Climber(network, how, size, resolve(device))
    batches = _batches(wanted, lambda layer: batch_size or climber.batch_size(layer))
    made: dict[tuple[int, str, int], tuple[Climb, int]] = {}
    with progress(len(starts) * seeds * len(batches) * how.steps * how.octaves, "maximizing") as advance:
        for way in starts:
            base = torch.cat([begin(target, way) for target in wanted])
            for number in range(seed, seed + seeds):
                for rows in batches:
                    climb = climber([wanted[i] for i in rows], base[rows], way, number, advance)
                    made |= {(i, way, number): (climb, k) for k, i in enumerate(rows)}
    order = [(i, way, number) for i in range(len(wanted)) for way in starts for number in range(seed, seed + seeds)]
    originals = begin.originals([wanted[i] for i, _, _ in order])
    return _assembled(wanted, order, [made[key] for key in order], climber, originals)


def _settings(preset: str | Ascent, **changes: Any) -> Ascent:
    if isinstance(preset, str) and preset not in PRESETS:
        raise ArgumentError("preset", preset, f"expected one of {', '.join(PRESETS)}")
    how = PRESETS[preset] if isinstance(preset, str) else preset
    return replace(how, **{name: value for name, value in changes.items() if value is not None})


def _starts(start: Sequence[Start] | Start | None, how: Ascent, picture: Tensor | None, data: Any) -> list[Start]:
    given: Start = "picture" if picture is not None else "class-mean" if data is not None else how.start
    starts = [start] if isinstance(start, str) else list(start or [given])
    for way in starts:
        if way not in get_args(Start):
            raise ArgumentError("start", way, f"expected one of {', '.join(get_args(Start))}")
        if way == "picture" and picture is None:
            raise ArgumentError("start", way, "needs a picture")
        if way.startswith("class") and data is None:
            raise ArgumentError("start", way, "needs images, in classes")
    return list(dict.fromkeys(starts))


def _batches(targets: Sequence[Target], most: Callable[[str], int]) -> list[list[int]]:
    """The places of targets that climb together: of one layer, at most so many."""
    layers: dict[str, list[int]] = {}
    for place, target in enumerate(targets):
        layers.setdefault(target.layer, []).append(place)
    return [rows[k : k + n] for layer, rows in layers.items() for n in [most(layer)] for k in range(0, len(rows), n)]


class _Beginnings:
    """What each target's ascent begins with, in network space (1, C, H, W), before noise."""

    def __init__(self, network: Network, picture: Tensor | None, data: Pictures | None) -> None:
        self.network, self.picture, self.data = network, picture, data
        self.means: dict[str, Tensor] = {}

    def __call__(self, target: Target, start: Start) -> Tensor:
        blank = torch.zeros(1, *self.network.input_size, dtype=self.network.dtype)
        match start:
            case "picture":
                return blank if self.picture is None else self.picture
            case "class-mean":
                return self._mean(target)
            case "class-colour":
                return self._mean(target).mean((2, 3), keepdim=True).expand_as(blank)
            case _:
                return blank if self.picture is None else torch.zeros_like(self.picture)

    def originals(self, targets: Sequence[Target]) -> Tensor | None:
        """The picture, or the first of each target's class; None where there is neither."""
        if self.picture is not None:
            return self.picture.expand(len(targets), -1, -1, -1)
        if self.data is None:
            return None
        firsts = {t.name: class_first(self.data, t.name, self.network.transform) for t in dict.fromkeys(targets)}
        return torch.cat([firsts[target.name] for target in targets]).to(self.network.dtype)

    def _mean(self, target: Target) -> Tensor:
        """The mean of all pictures of the target's class (METHODS P4)."""
        assert self.data is not None
        if target.name not in self.means:
            mean = class_mean(self.data, target.name, self.network.transform)
            self.means[target.name] = mean.to(self.network.dtype)
        return self.means[target.name]


class _Climber:
    """Climbs with a batch of targets of one layer, through the octaves of the settings."""

    def __init__(self, network: Network, how: Ascent, size: tuple[int, ...], place: torch.device) -> None:
        self.network, self.how, self.place = network, how, place
        self.graph, self.module = network.graph(), _of_any_size(network.working(place))
        full = (size[0], size[1])
        sides = [[round(side / OCTAVE**k) for side in full] for k in reversed(range(how.octaves))]
        self.sizes = [(height, width) for height, width in sides]
        self.paints = [self.paint(each) for each in self.sizes]
        self.convolutions = [name for name, kind in self.graph.kinds.items() if kind.startswith("Conv")]

    def paint(self, size: tuple[int, int]) -> Any:
        """The variables of pictures of a size."""
        network = self.network
        mean, std = (network.transform.cropped(t).to(self.place, network.dtype) for t in (network.mean, network.std))
        return PAINTS[self.how.paint](size, mean, std)

    def batch_size(self, layer: str) -> int:
        """How many pictures climb at a time: on a CPU few enough for maps that are not allocated anew at each step."""
        if self.place.type != "cpu":
            return TOGETHER
        scale = prod(self.sizes[-1]) / prod(self.network.input_size[1:])
        largest = max(prod(self.graph.nodes[n].shape[1:]) for n in self.graph.ancestors(self.graph.node(layer).index))
        return max(1, min(TOGETHER, int(MAPS / (scale * largest * self.network.dtype.itemsize))))

    def __call__(self, targets: Sequence[Target], base: Tensor, start: Start, seed: int, advance: Advance) -> Climb:
        self._check(targets)
        base, detail, climbs = base.to(self.place), None, list[Climb]()
        weighed = self.convolutions if self.how.activity else ()
        measure = measured(self.module, self.graph, targets, weighed)
        for size, paint in zip(self.sizes, self.paints, strict=True):
            ground = _resized(base, size)
            if start == "uniform" and detail is None:
                detail = _uniform(paint, seed).to(ground)
            z = paint.variables(ground if detail is None else ground + _resized(detail, size))
            if start == "noise" and not climbs:
                with seeded(seed) as generator:
                    noise = torch.randn(1, *z.shape[1:], generator=generator, dtype=torch.float32)
                grey = self.how.paint == "fourier"  # black, where a network's mean is 0, would hold a logistic fast
                z = (torch.zeros_like(z) if grey else z) + self.how.noise * noise.to(z)
            climbs.append(ascend(measure, paint, z, self.how, seed, advance))
            detail = climbs[-1].pictures - ground
        history = {name: torch.cat([each.history[name] for each in climbs], 1) for name in climbs[0].history}
        return replace(climbs[-1], pictures=climbs[-1].pictures.cpu(), history=history)

    def _check(self, targets: Sequence[Target]) -> None:
        """Raise ArgumentError unless the layer can be had from pictures of every size to go through."""
        layer, full = targets[0].layer, self.sizes[-1]
        if len(self.sizes) > 1 and any(t.unit and isinstance(t.unit.position, tuple) for t in targets):
            raise ArgumentError("targets", targets[0].name, "octaves change the map: expected a channel or a layer")
        bad = next((size for size in self.sizes if not self._reaches(layer, size)), None)
        if bad is None:
            return
        if len(self.graph.node(layer).shape) == 2:
            takes = "x".join(map(str, self.network.input_size[1:]))
            raise ArgumentError("targets", targets[0].name, f"{layer} takes pictures of {takes} only: expected maps")
        low, high = bad[0], full[0]
        while high - low > 1:
            middle = (low + high) // 2
            fits = self._reaches(layer, (middle, max(1, round(middle * full[1] / full[0]))))
            low, high = (low, middle) if fits else (middle, high)
        least = round(high * OCTAVE ** (len(self.sizes) - 1) + 0.5)
        size = f"{full[0]} x {full[1]}"
        raise ArgumentError("picture", size, f"{self.how.octaves} octaves of {layer} need a height of {least}")

    def _reaches(self, layer: str, size: tuple[int, int]) -> bool:
        if size == self.network.input_size[1:]:
            return True
        blank = torch.zeros(1, self.network.input_size[0], *size, dtype=self.network.dtype, device=self.place)
        try:
            with torch.no_grad():
                run(self.module, blank, [layer], times=self.graph.times)
        except (RuntimeError, ConvscopeError):
            return False
        return True


def _of_any_size(module: nn.Module) -> nn.Module:
    """Our networks take one size of pictures, for the sake of their classifier: their maps need not."""
    if isinstance(module, EightLayers):
        module = copy.copy(module)
        module.architecture = {**module.architecture, "features_only": True}
    return module


def _uniform(paint: Paint, seed: int) -> Tensor:
    """Noise (1, C, H, W) in network space, each value within 10 levels (METHODS A1, P2)."""
    with seeded(seed) as generator:
        noise = torch.rand(1, len(paint.mean), *paint.size, generator=generator, dtype=torch.float32)
    return UNIFORM * (2 * noise - 1) / (255 * paint.std.float().cpu())


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if tuple(x.shape[2:]) == size else F.interpolate(x, size, mode="bilinear", antialias=True)


def _assembled(
    targets: Sequence[Target],
    order: Sequence[tuple[int, str, int]],
    made: Sequence[tuple[Climb, int]],
    climber: _Climber,
    originals: Tensor | None,
) -> Optima:
    names = dict.fromkeys(name for climb, _ in made for name in climb.history)
    length = made[0][0].history["score"].shape[1]
    absent = torch.full((length,), torch.nan)
    history = {
        name: torch.stack([c.history[name][k].float() if name in c.history else absent for c, k in made])
        for name in names
    }
    pictures = torch.stack([climb.pictures[k] for climb, k in made])
    status = tuple(climb.status[k] for climb, k in made)
    rows = tuple(targets[i] for i, _, _ in order)
    if all(each == "skipped" for each in status):
        raise ArgumentError(
            "targets",
            [t.name for t in rows],
            "all skipped, no score is positive: expected others, or another start",
        )
    ended = zip(rows, status, strict=True)
    notes = [f"{target.name} is {state}: {MEANING[state]}" for target, state in ended if state in MEANING]
    notes = list(dict.fromkeys(notes))
    for note in notes:
        warnings.warn(note, stacklevel=3)
    paint = climber.paint(climber.sizes[-1])
    paint.mean, paint.std = paint.mean.cpu(), paint.std.cpu()
    return Optima(
        rows,
        tuple(way for _, way, _ in order),
        tuple(number for _, _, number in order),
        climber.how,
        pictures,
        paint.levels(pictures),
        _shown(climber.how, [way for _, way, _ in order], pictures, pictures.cpu() * paint.std + paint.mean),
        history,
        status,
        torch.stack([climb.ended[k] for climb, k in made]),
        originals,
        tuple(notes),
    )


def _shown(how: Ascent, starts: Sequence[str], pictures: Tensor, coloured: Tensor) -> Tensor:
    """The pictures in colours (R, H, W, 3): as they are, or, where nothing bounds what noise became, standardised."""
    tame = how.paint == "fourier" or how.clip or how.norm or how.l2
    rows = zip(starts, pictures, coloured, strict=True)
    shown = [
        standardised(picture) if way in ("noise", "uniform") and not tame else levels_of(values)
        for way, picture, values in rows
    ]
    return torch.stack([torch.from_numpy(each) for each in shown])


MEANING = {
    "stuck": "its gradient is zero at the start, so nothing could be changed",
    "skipped": "its score is not positive",
}
