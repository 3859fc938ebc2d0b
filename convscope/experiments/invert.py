"""What of the picture does this layer still hold? Pictures made from what layers say of them (METHODS I1, I2, I4, I5).

    found = invert(network, ["cup.jpg", "dog.jpg"], layers=["relu5"], descriptors=["uoctti"], steps=5)
    found.made[0].pictures, found.made[0].error, found.means

By gradient descent, the ascent of `maximize` on what still differs, for any layer or descriptor; and by decoders where
there are any for the network.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.device import resolve, seeded
from convscope.errors import ArgumentError, WeightsError
from convscope.models.catalog import ASSETS
from convscope.models.network import Network
from convscope.models.upconvnet import UNIT, Decoders
from convscope.models.upconvnet import read as read_decoders
from convscope.parameters import File, Pictures
from convscope.probe.descriptors.descriptors import Describe, Descriptor, differentiable_descriptor
from convscope.probe.descriptors.hog import gradients
from convscope.probe.optimize.ascent import PAINTS, Advance, Ascent, ascend
from convscope.probe.optimize.inversion import PRESETS, Discrepancy, plan
from convscope.probe.optimize.parameterizations import Paint, Pixels
from convscope.probe.trace.record import run
from convscope.progress import progress

Preset = Literal["adam", "mahendran"]

OPERATIONS = ("Conv", "Linear", "ReLU", "Pool", "Norm", "GELU", "SiLU", "Hardswish")  # what counts as depth
MIDDLE = 128  # the level that descriptors' pictures begin with (METHODS I4)
STUCK = "{} has no gradient at the start, so nothing could be changed: try another seed"


@dataclass(frozen=True)
class Inverse:
    """What was made of one layer or descriptor, from S seeds and N pictures.

    source: its name. pictures (S, N, C, H, W) in network space. error (S, N): ‖φ(x) − φ₀‖² / ‖φ₀‖². history: name ->
    (S, N, steps + 1): "error", "tv" and "alpha" as they are weighed, and "energy", their sum. distance (S, N): to the
    picture, over the mean distance between two of the pictures (METHODS I2), NaN of one picture; at `side` pixels, the
    decoder's where there is one, and in grey where the descriptor sees no colours. decoded (N, C, side, side) or None:
    the decoder's pictures, decoded_error and decoded_distance (N,) of the same meaning. Of descriptors: edges (S, N),
    how the sizes of the gradients correlate with the picture's, as it may not know which side is dark; drawn (N, h, w)
    or None, what it says.
    """

    source: str
    kind: Literal["layer", "descriptor"]
    how: Ascent
    pictures: Tensor
    error: Tensor
    history: dict[str, Tensor]
    status: tuple[str, ...]
    side: int
    distance: Tensor
    decoded: Tensor | None = None
    decoded_error: Tensor | None = None
    decoded_distance: Tensor | None = None
    edges: Tensor | None = None
    drawn: Tensor | None = None


@dataclass(frozen=True)
class Inversion:
    """originals (N, C, H, W) in network space; made: an `Inverse` of each layer and descriptor; notes: what a reader
    should know. All tensors on the CPU.
    """

    originals: Tensor
    made: tuple[Inverse, ...]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record for every source, seed and picture, and for every decoded picture; `root` is that of the error."""
        found = []
        for each in self.made:
            for seed, errors in enumerate(each.error):
                for n, error in enumerate(errors.tolist()):
                    status = each.status[seed * len(errors) + n]
                    edges = None if each.edges is None else float(each.edges[seed, n])
                    found.append(_row(each, "gradient", n, seed, error, float(each.distance[seed, n]), status, edges))
            if each.decoded_error is not None and each.decoded_distance is not None:
                for n, error in enumerate(each.decoded_error.tolist()):
                    found.append(_row(each, "upconvnet", n, None, error, float(each.decoded_distance[n]), "done", None))
        return found

    @property
    def means(self) -> list[dict[str, Any]]:
        """A record for every source and method: mean error, its mean root, and mean distance (METHODS I1, I2)."""
        keys = dict.fromkeys((row["source"], row["method"]) for row in self.rows)
        found = []
        for source, method in keys:
            rows = [row for row in self.rows if (row["source"], row["method"]) == (source, method)]
            names = [name for name in ("error", "root", "distance") if rows[0][name] is not None]
            found.append(
                {"source": source, "method": method, "side": rows[0]["side"], "pictures": len(rows)}
                | {name: sum(row[name] for row in rows) / len(rows) for name in names}
            )
        return found

    @property
    def arrays(self) -> dict[str, Tensor]:
        """The pictures in network space, and the histories of the errors."""
        found = {"originals": self.originals}
        for each in self.made:
            found |= {f"{each.source}_pictures": each.pictures, f"{each.source}_errors": each.history["error"]}
            found |= {} if each.decoded is None else {f"{each.source}_decoded": each.decoded}
        return found

    @property
    def text(self) -> str:
        """The means as a table."""
        lines = [f"{'':<12}{'method':<11}{'error':>9}{'root':>8}{'distance':>10}"]
        for row in self.means:
            distance = f"{row['distance']:10.3f}" if "distance" in row else ""
            lines.append(f"{row['source']:<12}{row['method']:<11}{row['error']:9.4f}{row['root']:8.3f}{distance}")
        return "\n".join(lines)


def _row(
    made: Inverse, method: str, n: int, seed: int | None, error: float, distance: float, status: str, edges: Any
) -> dict[str, Any]:
    return {
        "source": made.source,
        "kind": made.kind,
        "method": method,
        "picture": n,
        "seed": seed,
        "status": status,
        "error": error,
        "root": math.sqrt(error),
        "side": made.side,
        "distance": None if math.isnan(distance) else distance,
        "edges": edges,
    }


def invert(
    network: Network,
    pictures: Pictures,
    *,
    layers: Annotated[Sequence[str] | None, "layers to invert [default: all rectified ones; none: no layer]"] = None,
    descriptors: Annotated[
        Sequence[str | Descriptor | Describe] | None, "hog, uoctti, or py:MODULE:FUNCTION of (N, C, H, W)"
    ] = None,
    decoders: Annotated[
        File | None, "decoders that train --decode wrote [default: the bundled ones, where they fit; none]"
    ] = None,
    preset: Annotated[Preset, "how to descend: ours, or Mahendran and Vedaldi's"] = "adam",
    steps: Annotated[int | None, "steps of the descent [default: the preset's]"] = None,
    step: Annotated[float | None, "length of a step: in levels, or the rate of mahendran"] = None,
    tv: Annotated[float | None, "λ of the total variation [default: 1, 10 or 100 by depth, times the preset's]"] = None,
    beta: Annotated[float, "exponent of the total variation"] = 2.0,
    alpha: Annotated[float | None, "λ of the sum of |levels|⁶"] = None,
    jitter: Annotated[int, "shift the picture by up to so many pixels at each step"] = 0,
    seeds: Annotated[int, "how many seeds to start from"] = 1,
    seed: int = 0,
    device: str | None = None,
) -> Inversion:
    """Make pictures from what layers say of the given ones, and see what is left of them (METHODS I1, I2, I4, I5).

    Each minimises ‖φ(x) − φ₀‖² / ‖φ₀‖² + (½ λ_V R_V + ½ λ_α R_α) / x₀σ² from noise. Layers for which `decoders` has one
    are also decoded, and their pictures compared at its size. A descriptor is any differentiable function of pictures.

    Raises ArgumentError and LayerError for what the network does not have, a range does not allow, a layer that says
    nothing of a picture (all 0), and a descent that diverges; WeightsError for decoders of another network;
    PictureError for what is no picture.
    """
    if seeds < 1:
        raise ArgumentError("seeds", seeds, "expected at least 1")
    x = network.inputs(pictures)
    wanted = network.rectified(maps=False) if layers is None else [each for each in layers if each != "none"]
    others = [differentiable_descriptor(each) for each in descriptors or ()]
    if not wanted and not others:
        raise ArgumentError("layers", layers, "expected a layer or a descriptor")
    own = {"preset": preset, "steps": steps, "step": step, "tv": tv, "beta": beta, "alpha": alpha, "jitter": jitter}
    inverter = _Inverter(network, x.to(resolve(device)), _decoders(network, decoders), own)
    sources = [inverter.layer(name) for name in wanted] + [inverter.descriptor(each) for each in others]
    with progress(seeds * sum(source.how.steps for source in sources), "inverting") as advance:
        made = [inverter(source, range(seed, seed + seeds), advance) for source in sources]
    notes = [STUCK.format(each.source) for each in made if "stuck" in each.status]
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return Inversion(x.cpu().float(), tuple(made), tuple(notes))


def _decoders(network: Network, given: Any) -> Decoders | None:
    """Those of a file; by default the bundled ones, where they were trained on this network."""
    if given is not None:
        return None if str(given) == "none" else read_decoders(given, network)
    for path in sorted((ASSETS / "decoders").glob("*.safetensors")):
        try:
            return read_decoders(path, network)
        except WeightsError:
            continue
    return None


@dataclass(frozen=True)
class _Source:
    """A layer or a descriptor: φ, the originals x and the variables of the pictures in the space that φ takes, and how
    to descend. That space is the network's, or levels less 128.
    """

    name: str
    kind: Literal["layer", "descriptor"]
    describe: Describe
    x: Tensor
    paint: Paint
    how: Ascent
    step: float
    drawn: Describe | None = None


class _Inverter:
    """Makes pictures from sources: what the pictures, the network and its decoders have to do with it."""

    def __init__(self, network: Network, x: Tensor, decoders: Decoders | None, settings: dict[str, Any]) -> None:
        self.network, self.x, self.decoders, self.settings = network, x, decoders, settings
        self.module, self.times = network.working(x.device), network.graph().times
        self.size = (x.shape[2], x.shape[3])
        self.mean, self.std = (network.transform.cropped(t).to(x) for t in (network.mean, network.std))

    def layer(self, name: str) -> _Source:
        """A layer's outputs; its depth among the network's operations says how much smoothness they need."""
        graph = self.network.graph()
        here, kinds = graph.node(name).index, graph.kinds.items()
        ends = [graph.taps[tap] for tap, kind in kinds if any(each in kind for each in OPERATIONS)]
        depth = sum(end <= here for end in ends) / max(len(ends), 1)

        def describe(x: Tensor) -> Tensor:
            found: Tensor = run(self.module, x, [name], times=self.times)[name]
            return found

        how = plan(kind="layer", size=tuple(self.x.shape[1:]), depth=depth, **self.settings)
        return _Source(
            name, "layer", describe, self.x, PAINTS[how.paint](self.size, self.mean, self.std), how, self._step("layer")
        )

    def descriptor(self, given: Descriptor) -> _Source:
        """A descriptor; pictures of one that sees no colours are made in grey (METHODS I4)."""
        values = self.x * self.std + self.mean
        values = values.mean(1, keepdim=True) if given.grey else values
        how = plan(kind="descriptor", size=tuple(values.shape[1:]), **self.settings)
        mean, std = (values.new_full((values.shape[1], 1, 1), level / 255) for level in (MIDDLE, 1))
        paint = PAINTS[how.paint](self.size, mean, std)
        x = (values - mean) / std
        return _Source(
            given.name,
            "descriptor",
            lambda x: given(x * std + mean),
            x,
            paint,
            how,
            self._step("descriptor"),
            given.drawn,
        )

    def _step(self, kind: str) -> float:
        """As the reader would spell it."""
        given: float | None = self.settings["step"]
        return PRESETS[self.settings["preset"], kind].ascent.step if given is None else given

    def __call__(self, source: _Source, seeds: range, advance: Advance) -> Inverse:
        climbs, how = [], source.how
        error = Discrepancy(source.name, source.describe, source.x, source.step)
        for seed in seeds:
            start = source.paint.variables(torch.zeros_like(source.x))
            with seeded(seed) as generator:
                noise = torch.randn(1, *start.shape[1:], generator=generator, dtype=torch.float32)
            error.begin()
            climbs.append(ascend(error, source.paint, start + how.noise * noise.to(start), how, seed, advance))
        history = {name: torch.stack([climb.history[name] for climb in climbs]) for name in climbs[0].history}
        history |= {"error": -history.pop("score"), "energy": -history.pop("total")}
        found = Inverse(
            source.name,
            source.kind,
            how,
            torch.stack([self._in_network_space(source, climb.pictures) for climb in climbs]).cpu(),
            history["error"][:, :, -1],
            history,
            tuple(state for climb in climbs for state in climb.status),
            self.size[0],
            torch.stack([_distance(source.paint, source.x, climb.pictures) for climb in climbs]),
        )
        if source.kind == "descriptor":
            drawn = None if source.drawn is None else source.drawn(error.wanted).cpu()
            return replace(found, edges=torch.stack([_edges(source.x, c.pictures) for c in climbs]), drawn=drawn)
        decoders = self.decoders
        if decoders is None or source.name not in decoders.layers:
            return found
        levels = UNIT * decoders[source.name].to(self.x.device)(error.wanted.float()).to(self.x)
        return self._with_decoded(found, source, error, levels)

    def _in_network_space(self, source: _Source, pictures: Tensor) -> Tensor:
        if source.kind == "layer":
            return pictures
        return ((pictures + MIDDLE) / 255 - self.mean) / self.std

    @torch.no_grad()
    def _with_decoded(self, found: Inverse, source: _Source, error: Discrepancy, levels: Tensor) -> Inverse:
        """With the decoder's pictures, given in levels, and all distances at their size (METHODS I2)."""
        size = (levels.shape[2], levels.shape[3])
        paint = Pixels(size, self.mean, self.std)
        pictures, original = paint.picture(levels), _resized(self.x, size)
        made = [_distance(paint, original, _resized(each.to(self.x), size)) for each in found.pictures]
        return replace(
            found,
            side=size[0],
            distance=torch.stack(made),
            decoded=pictures.cpu(),
            decoded_error=error.error(_resized(pictures, self.size)).cpu(),
            decoded_distance=_distance(paint, original, pictures),
        )


def _distance(paint: Paint, x: Tensor, pictures: Tensor) -> Tensor:
    """Of each picture to its original x, in levels, over the mean between two originals (METHODS I2); (N,)."""
    original, made = (paint.levels(each).flatten(1).cpu() for each in (x, pictures))
    found: Tensor = (made - original).norm(dim=1) / torch.pdist(original).mean()
    return found


def _edges(x: Tensor, pictures: Tensor) -> Tensor:
    """How the sizes of the gradients correlate with the original's, (N,)."""
    sizes = [torch.hypot(*gradients(each)).flatten(1) for each in (x, pictures)]
    away = [size - size.mean(1, keepdim=True) for size in sizes]
    return F.cosine_similarity(away[0], away[1]).cpu()


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", antialias=True)
