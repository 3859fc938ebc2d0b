"""A network and one picture, with any boxes of the picture covered (METHODS F7, F7b).

occluder = Occluder(network, "dog.jpg")
places = grid(occluder.side, (32, 32), (8, 8))
occluder.sweep(places, [int(occluder.probabilities.argmax())])     # probability, label, activity: (3, R, C)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.device import resolve, seeded
from convscope.errors import ArgumentError
from convscope.models.network import Network
from convscope.pictures import GREY, bundled
from convscope.probe.rectify import check
from convscope.probe.trace.address import Unit
from convscope.probe.windows.changed_boxes import Boxes
from convscope.probe.windows.incremental import Incremental
from convscope.probe.windows.occluder_grid import Grid, coarse, spread, weights
from convscope.progress import Advance

Fill = str | float | Path | Image.Image | NDArray[Any] | Tensor
Strongest = Literal["max", "sum"]
Mode = Literal["exact", "capped", "drill", "whole"]
FILLS = ("grey", "mean", "noise", "blur")
BLUR = 1 / 10  # the standard deviation of the Gaussian, of the picture's side: nothing can be told apart any more


@dataclass(frozen=True)
class Approach:
    """How much of the network runs for each position: see `occlude` for the modes and their settings (F7b).

    Raises ArgumentError for another mode, a `cap` or `share` outside (0, 1], and `coarser` below 1.
    """

    mode: Mode = "exact"
    cap: float = 0.8
    coarser: int = 3
    share: float = 0.2

    def __post_init__(self) -> None:
        check("mode", self.mode, Mode)
        for name, value in (("cap", self.cap), ("share", self.share)):
            if not 0 < value <= 1:
                raise ArgumentError(name, value, "expected above 0, at most 1")
        if self.coarser < 1:
            raise ArgumentError("coarser", self.coarser, "expected at least 1")


class Occluder:
    """What covering parts of one picture does to a network's view of it.

    `picture` as `Network.inputs` takes it. `layer`: whose strongest map is followed, by default the last rectified
    maps; the `strongest` has the largest value ("max") or sum. `fill`: what covers the picture: "grey" (128 of 255),
    "mean" (the training mean), "noise" (of the picture's own mean and deviation), "blur", a float in network space, or
    another picture. `inputs` (1, C, H, W): the picture in network space; `cover` (C, H, W): what occluders show;
    `unit`: the strongest map, and where it is largest. Without an occluder: `probabilities` (K,), K = 0 for a network
    whose output is no vector of scores, and `activity`, the map's sum.

    Raises ArgumentError for several pictures, a layer without maps, and a fill that does not fit; LayerError,
    PictureError, NetworkError as loading and running do.
    """

    def __init__(
        self,
        network: Network,
        picture: Any,
        layer: str | None = None,
        *,
        fill: Fill = "grey",
        strongest: Strongest = "max",
        approach: Approach | None = None,
        seed: int = 0,
        device: str | torch.device | None = None,
    ) -> None:
        check("strongest", strongest, Strongest)
        self.inputs, self.approach, place = network.inputs(picture), approach or Approach(), resolve(device)
        if len(self.inputs) != 1:
            raise ArgumentError("picture", f"{len(self.inputs)} pictures", "expected one")
        self.side = (int(self.inputs.shape[2]), int(self.inputs.shape[3]))
        graph, module, inputs = network.graph(self.side), network.working(place), self.inputs.to(place)
        layer = layer or _last_maps(network)
        if len(shape := graph.node(layer).shape) != 4:
            raise ArgumentError("layer", layer, f"its output is of shape {shape}: expected maps")
        self.cover = covering(network, self.inputs[0], fill, seed)
        last = None if graph.output is None else graph.nodes[graph.output]
        scores = last is not None and len(last.shape) == 2
        self._softmax = last is not None and last.op != "softmax"
        axes, whole = network.geometry(self.side), self.approach.mode == "whole"
        self._incremental = Incremental(module, graph, axes, inputs, {layer: 0}, scores, whole)
        self.unit, self.activity = _strongest(layer, self._incremental.cached[graph.node(layer).index][0], strongest)
        self._incremental.channels[layer] = self.unit.channel
        self.probabilities = self._probabilities(self._incremental.outputs)[0]

    def plan(self, places: Grid) -> Boxes | None:
        """What is to be computed for an occluder at all `places`; serves other pictures of this size."""
        if self.approach.mode not in ("exact", "capped"):
            return None
        return self._incremental.boxes(places.boxes, self.approach.cap if self.approach.mode == "capped" else 1.0)

    def sweep(
        self, places: Grid, targets: Sequence[int], plan: Boxes | None = None, advance: Advance = lambda n: None
    ) -> Tensor:
        """For T `targets` and R x C `places`, (T + 2, R, C) float64: the probability of each target, the most probable
        class (-1 without scores), the activity of the strongest map. `plan`: of these places, where it is known.
        """
        if self.approach.mode == "drill":
            return self._drilled(places, targets, advance)
        values = self.watch(places.boxes, targets, plan or self.plan(places), advance)
        return values.reshape(-1, *places.shape)

    def watch(
        self, boxes: Tensor, targets: Sequence[int], plan: Boxes | None = None, advance: Advance = lambda n: None
    ) -> Tensor:
        """The same for any boxes (B, 4), top, left, bottom, right (exclusive) inside the picture: (T + 2, B)."""
        if not len(boxes):
            return torch.zeros(len(targets) + 2, 0, dtype=torch.float64)
        found = self._incremental(self.cover, boxes, plan, advance)
        shares = self._probabilities(found.outputs, len(boxes))
        labels = shares.argmax(1) if shares.shape[1] else torch.full((len(boxes),), -1)
        activity = found.maps[self.unit.layer].double().sum((1, 2)).cpu()
        return torch.cat([shares[:, list(targets)].T.double(), labels[None].double(), activity[None]])

    def _drilled(self, places: Grid, targets: Sequence[int], advance: Advance) -> Tensor:
        """Coarse everywhere, then fine where the largest drops are to be expected (F7b ii)."""
        kept, every = coarse(places.shape, self.approach.coarser), len(places.boxes)
        down, across = (weights(some, range(count)) for some, count in zip(kept, places.shape, strict=True))
        first = torch.tensor([row * places.shape[1] + column for row in kept[0] for column in kept[1]])
        known = self.watch(places.boxes[first], targets, advance=advance)
        grid = known.reshape(-1, len(kept[0]), len(kept[1]))
        values = spread(grid, down, across).flatten(1)
        values[-2] = spread(grid[-2], down, across, nearest=True).flatten()
        uncovered = torch.tensor([*self.probabilities[list(targets)].tolist(), 0, self.activity], dtype=torch.float64)
        watched = range(len(targets)) if targets else [-1]
        drop = torch.stack([uncovered[row] - values[row] for row in watched]).amax(0)
        drop[first] = -torch.inf
        fine = drop.topk(min(round(self.approach.share * every), every - len(first))).indices
        values[:, first], values[:, fine] = known, self.watch(places.boxes[fine], targets, advance=advance)
        advance(every - len(first) - len(fine))
        return values.reshape(-1, *places.shape)

    def _probabilities(self, outputs: Tensor | None, count: int = 1) -> Tensor:
        """(B, K), in float32 on the CPU; K is 0 where the network gives no scores."""
        if outputs is None:
            return torch.zeros(count, 0)
        return (outputs.float().softmax(1) if self._softmax else outputs.float()).cpu()


def _last_maps(network: Network) -> str:
    names = network.rectified()
    if not names:
        raise ArgumentError("layer", None, f"{network.name} has no rectified maps, so name the layer to follow")
    return names[-1]


def _strongest(layer: str, maps: Tensor, how: Strongest) -> tuple[Unit, float]:
    """The strongest of maps (C, h, w), the first of equals, where it is largest; and its sum."""
    maps = maps.float().cpu()
    channel = int((maps.amax((1, 2)) if how == "max" else maps.sum((1, 2))).argmax())
    place = int(maps[channel].argmax())
    return Unit(layer, channel, divmod(place, maps.shape[2])), float(maps[channel].double().sum())


def covering(network: Network, picture: Tensor, fill: Fill, seed: int = 0) -> Tensor:
    """What occluders show, over all of a picture (C, H, W), in network space."""
    if isinstance(fill, str) and fill in FILLS:
        return _named(network, picture, fill, seed)
    number = _number(fill)
    if number is not None:
        if not isfinite(number):
            raise ArgumentError("fill", fill, "expected a finite number")
        return torch.full_like(picture, number)
    if isinstance(fill, str) and not bundled(fill).exists():
        raise ArgumentError("fill", fill, f"expected {', '.join(FILLS)}, a number in network space, or a picture file")
    cover = network.inputs(fill)
    if cover.shape != (1, *picture.shape):
        raise ArgumentError("fill", tuple(cover.shape), f"expected one picture of {tuple(picture.shape)}")
    return cover[0]


def _number(fill: Fill) -> float | None:
    try:
        return float(fill) if isinstance(fill, str | int | float) else None
    except ValueError:
        return None


def _named(network: Network, picture: Tensor, fill: str, seed: int) -> Tensor:
    channels, height, width = picture.shape
    if fill == "mean":
        return torch.zeros_like(picture)
    if fill == "blur":
        from torchvision.transforms.v2.functional import gaussian_blur

        sigma = BLUR * min(height, width)
        reach = min(int(2 * sigma), (min(height, width) - 1) // 2)
        return picture if reach < 1 else gaussian_blur(picture, [2 * reach + 1] * 2, [sigma] * 2)
    if fill == "noise":
        with seeded(seed) as generator:
            noise = torch.randn(picture.shape, generator=generator).to(picture.dtype)
        return picture.mean((1, 2), keepdim=True) + noise * picture.std((1, 2), keepdim=True, correction=0)
    grey = torch.full((1, height, width, channels), GREY, dtype=torch.uint8)
    return network.transform.normalise(grey)[0].to(picture.dtype)
