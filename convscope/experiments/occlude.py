"""Which part of the picture does the class, and a feature map, depend on? Cover it, place by place (METHODS F7, F7b).

    o = occlude(network, "dog.jpg", size=32, stride=8)
    o.probability, o.label, o.activity        # maps over the positions of the occluder
    o.baseline, o.target                      # without it, and which class

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013), section 4.2 and figure 7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from convscope.atlases.scan import scan
from convscope.data.sources import images
from convscope.errors import ArgumentError
from convscope.models.network import Network
from convscope.models.occluder import Approach, Fill, Mode, Occluder, Strongest
from convscope.models.targets import class_number, folder_class
from convscope.parameters import Images, Pictures
from convscope.pictures import called, cut, separate
from convscope.probe.projection import Reverse, Units
from convscope.probe.trace.address import Unit
from convscope.probe.windows.occluder_grid import Anchor, Grid, Pair, box_means, grid, rank_correlation
from convscope.progress import progress

SIZE, STRIDE, SIDE = 50, 5, 224  # the paper's occluder and steps, in pixels of its pictures' side
OTHERS = 3  # projections of the same map from other pictures


@dataclass(frozen=True)
class Seen:
    """What excited a map most in one picture: `value`, and the signed `projection` (C, h, w) in `box`.

    picture: its name; inputs (C, H, W): in network space. box: top, left, bottom, right of the receptive field in the
    input, exclusive, before clipping.
    """

    picture: str
    inputs: Tensor
    value: float
    box: tuple[int, int, int, int]
    projection: Tensor


@dataclass(frozen=True)
class Occlusion:
    """P pictures, T classes watched, an occluder at R x C positions. All tensors on the CPU.

    names: of the pictures. inputs (P, C, H, W): the pictures in network space; cover (P, C, H, W): what the occluder
    shows of itself. places: the positions. targets (P, T): the classes watched. probabilities (P, T, R, C): theirs;
    labels (P, R, C): the most probable class; activities (P, R, C): the sum of the strongest map. baselines (P, T):
    the targets' probabilities without an occluder; firsts (P,): the most probable class then; unoccluded (P,): the
    activity then. For a network whose output is no vector of scores T is 0 and labels are -1. units: the strongest
    map of each picture and where it is largest. agreement: P rank correlations (Spearman) of the activity's drop with
    the mean size of the projection inside the occluder, NaN where one is constant. seen: for each picture the map's
    projection, then those from its strongest other pictures. classes: the network's. notes: what a reader should know.

    `probability`, `label`, `activity`, `baseline` and `target` are the same without the axes of pictures and targets
    where these have length one.
    """

    names: tuple[str, ...]
    inputs: Tensor
    cover: Tensor
    places: Grid
    targets: Tensor
    probabilities: Tensor
    labels: Tensor
    activities: Tensor
    baselines: Tensor
    firsts: Tensor
    unoccluded: Tensor
    units: tuple[Unit, ...]
    agreement: tuple[float, ...]
    seen: tuple[tuple[Seen, ...], ...]
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def probability(self) -> Tensor:
        """Of the watched classes, (P, T, R, C) or fewer axes."""
        return _fewer(self.probabilities, 2)

    @property
    def label(self) -> Tensor:
        """The most probable class, (P, R, C) or (R, C)."""
        return _fewer(self.labels, 1)

    @property
    def activity(self) -> Tensor:
        """The sum of the strongest map, (P, R, C) or (R, C)."""
        return _fewer(self.activities, 1)

    @property
    def baseline(self) -> Tensor:
        """The probability of the watched classes without an occluder, (P, T) or fewer axes."""
        return _fewer(self.baselines, 2)

    @property
    def target(self) -> Tensor:
        """The watched classes as numbers, (P, T) or fewer axes."""
        return _fewer(self.targets, 2)

    @property
    def drop(self) -> Tensor:
        """How far the probability falls: unoccluded minus occluded, as `probability`."""
        return _fewer(self.baselines[..., None, None] - self.probabilities, 2)

    @property
    def activity_drop(self) -> Tensor:
        """How far the map's activity falls, as `activity`."""
        return _fewer(self.unoccluded[:, None, None] - self.activities, 1)

    def name(self, label: int) -> str:
        """A class by name, or by number where the network names none."""
        return self.classes[label] if self.classes and label < len(self.classes) else f"class {label}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record for every picture and watched class, and one for its map: without an occluder, and where it is
        least (the first such box).
        """
        found = []
        for i, picture in enumerate(self.names):
            watched = [
                (self.name(int(t)), float(b), p)
                for t, b, p in zip(self.targets[i], self.baselines[i], self.probabilities[i], strict=True)
            ]
            watched.append((f"activity of {self.units[i]}", float(self.unoccluded[i]), self.activities[i]))
            for name, unoccluded, values in watched:
                place = int(values.argmin())
                row = {"picture": picture, "of": name, "unoccluded": unoccluded, "least": float(values.min())}
                box = self.places.boxes[place].tolist()
                row |= dict(zip(("top", "left", "bottom", "right"), box, strict=True))
                if len(self.targets[i]):
                    row |= {"label there": self.name(int(self.labels[i].flatten()[place]))}
                found.append(row)
            found[-1]["agreement"] = self.agreement[i]
        return found

    @property
    def arrays(self) -> dict[str, Tensor]:
        """All maps and their drops, the unoccluded values, the positions' boxes and centres."""
        names = ("probability", "label", "activity", "baseline", "target", "unoccluded", "drop", "activity_drop")
        found: dict[str, Tensor] = {name: getattr(self, name) for name in names}
        return found | {"boxes": self.places.boxes, "rows": self.places.rows, "columns": self.places.columns}

    @property
    def text(self) -> str:
        """The rows as lines."""
        lines = []
        for row in self.rows:
            line = f"{row['picture']}: {row['of']} {row['unoccluded']:.4g}, at least {row['least']:.4g} with "
            lines.append(line + "rows {top} to {bottom}, columns {left} to {right} covered".format(**row))
        return "\n".join(lines)


def _fewer(values: Tensor, axes: int) -> Tensor:
    """Without those of the first `axes` that have length one."""
    return values.squeeze([axis for axis in range(axes) if values.shape[axis] == 1])


def occlude(
    network: Network,
    pictures: Pictures,
    *,
    target: Annotated[
        Sequence[str | int] | str | int | None,
        "class to watch, by name or number [default: the picture's folder's name, else the most probable]",
    ] = None,
    size: Annotated[
        Sequence[int] | int | None,
        "side of the occluder in pixels, or its height and width [default: 50/224 of the side]",
    ] = None,
    stride: Annotated[
        Sequence[int] | int | None, "pixels between positions, or down and across [default: 5/224 of the side]"
    ] = None,
    fill: Annotated[
        Fill, "what covers the picture: grey, mean, noise, blur, a number in network space, or a picture file"
    ] = "grey",
    layer: Annotated[str | None, "layer whose strongest map is followed [default: the last rectified maps]"] = None,
    strongest: Annotated[Strongest, "the map with the largest value, or the largest sum"] = "max",
    gallery: Annotated[Images | None, "other pictures, to project the same map from where it is strongest"] = None,
    anchor: Annotated[Anchor, "occluders that fit inside the picture, or centred on every stride-th pixel"] = "inside",
    allow_full: Annotated[bool, "let the occluder be larger than the picture"] = False,
    allow_empty: Annotated[bool, "let the occluder be of size 0"] = False,
    mode: Annotated[
        Mode, "exact; capped (boxes of limited size) or drill (coarse, then fine), both approximate; whole (slow)"
    ] = "exact",
    cap: Annotated[float, "the share of a map's side that a box may cover, in mode capped"] = 0.8,
    coarser: Annotated[int, "how many strides apart the coarse positions are, in mode drill"] = 3,
    share: Annotated[float, "the share of positions looked at finely, in mode drill"] = 0.2,
    seed: int = 0,
    device: str | None = None,
) -> Occlusion:
    """Cover a part of pictures, place by place, and run the network each time (METHODS F7).

    Watched at each position: the probability of `target`, the most probable class, and the total activity of the
    strongest map of `layer`. Only what the occluder changes is computed again, which is exact (F7b, mode "exact");
    "whole" runs everything and agrees. "capped" keeps the changed boxes small, "drill" looks at every `coarser`-th
    position, and then at those where interpolation promises the largest drops. With a `gallery` the same map is
    projected from the three pictures there that excite it most, this one apart.

    Raises ArgumentError for a size below 1 (0 is allowed with `allow_empty`) or above the picture's side (allowed with
    `allow_full`), a stride below 1, a class that is not there, a fill that does not fit, a cap or share outside (0, 1];
    LayerError for a layer that is not there; PictureError for what is no picture.
    """
    approach = Approach(mode, cap, coarser, share)
    inputs, given = network.inputs(pictures), separate(pictures)
    side = (inputs.shape[2], inputs.shape[3])
    extent, steps = _pair("size", size, SIZE, min(side)), _pair("stride", stride, STRIDE, min(side))
    places = grid(side, extent, steps, anchor, allow_full=allow_full, allow_empty=allow_empty)
    options: dict[str, Any] = {"fill": fill, "strongest": strongest, "approach": approach, "device": device}
    found, plan = [], None
    with progress(len(inputs) * len(places.boxes), "occluding") as advance:
        for one, picture in zip(inputs, given, strict=True):
            occluder = Occluder(network, one, layer, seed=seed, **options)
            plan = plan or occluder.plan(places)
            watched = _targets(network, target, picture, occluder.probabilities)
            found.append(_Found.of(occluder, watched, occluder.sweep(places, watched, plan, advance)))
    names = tuple(called(picture, i) for i, picture in enumerate(given))
    others = _others(network, found, gallery, device)
    return _gathered(network, names, places, found, others, mode)


def _pair(name: str, value: Sequence[int] | int | None, paper: int, shortest: int) -> Pair:
    """Pixels down and across; where none are given, the paper's in proportion."""
    if value is None:
        value = max(1, round(shortest * paper / SIDE))
    several = list(value) if isinstance(value, Sequence) else [value]
    if len(several) not in (1, 2) or not all(isinstance(each, int) for each in several):
        raise ArgumentError(name, value, "expected a whole number of pixels, or two, down and across")
    return several[0], several[-1]


def _targets(
    network: Network, target: Sequence[str | int] | str | int | None, picture: Any, probabilities: Tensor
) -> list[int]:
    """The classes to watch in a picture, as numbers."""
    if not len(probabilities):
        if target is not None:
            raise ArgumentError("target", target, f"{network.name} gives no vector of scores, so there is no class")
        return []
    classes = network.classes or ()
    if target is None:
        known = folder_class(picture, classes)
        return [int(probabilities.argmax()) if known is None else known]
    several = [target] if isinstance(target, str | int) else list(target)
    return [class_number(each, classes, len(probabilities), "target") for each in several]


@dataclass(frozen=True)
class _Found:
    """What of one occluder is kept: its network's maps take much more memory."""

    inputs: Tensor
    cover: Tensor
    unit: Unit
    activity: float
    targets: list[int]
    baselines: Tensor
    first: int
    swept: Tensor

    @classmethod
    def of(cls, o: Occluder, targets: list[int], swept: Tensor) -> "_Found":
        first = int(o.probabilities.argmax()) if len(o.probabilities) else -1
        return cls(o.inputs, o.cover, o.unit, o.activity, targets, o.probabilities[targets], first, swept)


def _gathered(
    network: Network,
    names: tuple[str, ...],
    places: Grid,
    found: Sequence[_Found],
    others: Sequence[Sequence[Seen]],
    mode: Mode,
) -> Occlusion:
    own = [_projected(network, one.unit, one.inputs, name) for one, name in zip(found, names, strict=True)]
    swept = torch.stack([one.swept for one in found])  # (P, T + 2, R, C)
    notes = [f"mode {mode}: the maps are approximate"] if mode in ("capped", "drill") else []
    for one, name in zip(found, names, strict=True):
        if one.activity == 0:
            notes.append(f"{name}: {one.unit.layer} is zero everywhere")
        if torch.equal(one.cover, one.inputs[0]):
            notes.append(f"{name}: looks like the occluder, which changes nothing")
    return Occlusion(
        names=names,
        inputs=torch.cat([one.inputs for one in found]),
        cover=torch.stack([one.cover for one in found]),
        places=places,
        targets=torch.tensor([one.targets for one in found], dtype=torch.long),
        probabilities=swept[:, :-2].float(),
        labels=swept[:, -2].long(),
        activities=swept[:, -1].float(),
        baselines=torch.stack([one.baselines for one in found]),
        firsts=torch.tensor([one.first for one in found]),
        unoccluded=torch.tensor([one.activity for one in found]),
        units=tuple(one.unit for one in found),
        agreement=tuple(_agreement(places, one, seen) for one, seen in zip(found, own, strict=True)),
        seen=tuple((mine, *rest) for mine, rest in zip(own, others, strict=True)),
        classes=network.classes,
        notes=tuple(notes),
    )


def _others(network: Network, found: Sequence[_Found], gallery: Any, device: str | None) -> list[list[Seen]]:
    """For each picture, its strongest map's projections from the pictures of a gallery that excite it most."""
    if gallery is None:
        return [[] for _ in found]
    source, layer = images(gallery), found[0].unit.layer
    top = scan(network, source, [layer], top=min(OTHERS + 1, len(source)), device=device)[layer]
    chosen = []
    for one in found:
        seen: list[Seen] = []
        channel = one.unit.channel
        for index, place in zip(top.images[channel].tolist(), top.positions[channel].tolist(), strict=True):
            if index < 0 or len(seen) == OTHERS:
                continue
            other = network.inputs(source.item(index))
            if not torch.equal(other, one.inputs):
                seen.append(_projected(network, one.unit.at((place[0], place[1])), other, source.paths[index]))
        chosen.append(seen)
    return chosen


def _projected(network: Network, unit: Unit, inputs: Tensor, name: str) -> Seen:
    """What excited a unit of a picture (1, C, H, W), by the deconvnet (METHODS V1)."""
    size = (int(inputs.shape[2]), int(inputs.shape[3]))
    reverse = Reverse(network.working("cpu"), network.graph(size), network.geometry(size), [unit.layer])
    row = Units(torch.tensor([0]), torch.tensor([unit.channel]), torch.tensor([unit.position]))
    found = reverse(inputs, {unit.layer: row})[unit.layer]
    (top, left), crop = found.top_left[0].tolist(), found.crops[0].detach().float()
    box = (top, left, top + crop.shape[1], left + crop.shape[2])
    return Seen(name, inputs[0], float(found.values[0]), box, crop)


def _agreement(places: Grid, found: _Found, seen: Seen) -> float:
    """Rank correlation of the activity's drop with the mean size of the projection inside the occluder (F7)."""
    height, width = found.inputs.shape[2:]
    strength = cut(seen.projection.abs(), seen.box[:2], (0, 0, height, width), 0).sum(0)
    return rank_correlation(-found.swept[-1], box_means(strength, places.boxes))
