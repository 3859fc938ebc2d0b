"""Which human concept does each unit match? Every feature map against every concept that is marked in some pictures.

    found = dissect(network, "drawn:24", layers=["relu5"])      # or "broden1_224/", the folder of Broden
    found.rows, found.iou["relu5"], found.detectors("relu5")

Two passes over the pictures: the first finds each unit's threshold, the second compares what exceeds it with the
concepts. Nothing that grows with the number of pictures is kept.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor

from convscope.atlases.channel_statistics import Leaders, unkey
from convscope.atlases.concept_batches import Slide, Slides
from convscope.atlases.scan import peaks
from convscope.data.batches import batches
from convscope.data.concepts import Concept, Concepts, Seen
from convscope.data.concepts import concepts as opened
from convscope.data.picture_set import Pictures
from convscope.device import seeded
from convscope.errors import ArgumentError, DataError
from convscope.models.network import Network
from convscope.parameters import Kind
from convscope.probe.concepts.streaming_quantile import Tail
from convscope.probe.concepts.upsample import spread

Source = Annotated[
    Any,
    Kind("folder"),
    "a folder: Broden's, with a table concepts.csv, or of classes; gallery (bundled), drawn or drawn:N (made here)",
]

TOP = 3  # strongest pictures of a unit that are shown
SHOWN = 3  # units of a layer that are shown
NAMED = 12  # absent concepts that a note names


@dataclass(frozen=True)
class Example:
    """A unit with its strongest pictures: `pictures` (n, H, W, 3) uint8 and where the unit exceeds its threshold,
    `masks` (n, H, W) bool.
    """

    layer: str
    channel: int
    pictures: Tensor
    masks: Tensor


@dataclass(frozen=True)
class Dissection:
    """Units of some layers and the L concepts that are in the pictures. All tensors on the CPU.

    iou: layer -> (channels, L) in [0, 1], intersection over union of unit and concept over all pictures in which
    somebody looked for concepts of its category. thresholds: layer -> (channels,). above: layer -> (channels,), the
    share of activations beyond the threshold. errors: layer -> how far `quantile` and the share may be apart, ties
    aside. rotated: layer -> (rotations, channels, L), IoU in random bases. coverage (L,): the share of the pixels
    looked at that a concept takes. examples: the units that match best. source: the pictures. notes: what a reader
    should know.
    """

    name: str
    concepts: tuple[Concept, ...]
    categories: tuple[str, ...]
    quantile: float
    minimum: float
    iou: Mapping[str, Tensor]
    thresholds: Mapping[str, Tensor]
    above: Mapping[str, Tensor]
    errors: Mapping[str, float]
    rotated: Mapping[str, Tensor]
    coverage: Tensor
    examples: tuple[Example, ...]
    source: Pictures
    synthetic: bool
    notes: tuple[str, ...] = ()

    def best(self, layer: str) -> tuple[Tensor, Tensor]:
        """Of every unit the best IoU, (channels,), and which concept has it."""
        found = self.iou[layer].max(1)
        return found.values, found.indices

    def detectors(self, layer: str) -> dict[int, Concept]:
        """The units whose best IoU is above the minimum, and what they detect."""
        return _detectors(self.iou[layer], self.concepts, self.minimum)

    @property
    def summary(self) -> list[dict[str, Any]]:
        """A record a layer: units, detectors, unique concepts, in all and by category; the means over rotations."""
        rows = []
        for layer, iou in self.iou.items():
            found = self.detectors(layer)
            row = {"layer": layer, "units": len(iou), "detectors": len(found), "unique": len(set(found.values()))}
            turned = [_detectors(each, self.concepts, self.minimum) for each in self.rotated.get(layer, ())]
            if turned:
                row["detectors rotated"] = sum(map(len, turned)) / len(turned)
                row["unique rotated"] = sum(len(set(each.values())) for each in turned) / len(turned)
            for category in self.categories:
                row[f"unique {category}"] = len({c for c in found.values() if c.category == category})
            rows.append(row)
        return rows

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The summary, then a record a unit; `concept` only where it is a detector, `label` its best match anyway."""
        rows = self.summary
        for layer in self.iou:
            values, places = self.best(layer)
            for channel, (value, place) in enumerate(zip(values.tolist(), places.tolist(), strict=True)):
                best = self.concepts[place]
                rows.append(
                    {
                        "layer": layer,
                        "channel": channel,
                        "concept": best.name if value > self.minimum else None,
                        "iou": value,
                        "label": best.name if value > 0 else None,
                        "category": best.category if value > 0 else None,
                        "threshold": float(self.thresholds[layer][channel]),
                        "above": float(self.above[layer][channel]),
                    }
                )
        return rows

    @property
    def arrays(self) -> dict[str, Tensor]:
        """The IoU of every unit with every concept, by layer; the concepts' names with their categories."""
        names: Any = [str(concept) for concept in self.concepts]
        return {**{f"iou {layer}": iou for layer, iou in self.iou.items()}, "concepts": names}

    @property
    def text(self) -> str:
        """A line a layer."""
        return "\n".join(_line(row) for row in self.summary)


def _detectors(iou: Tensor, concepts: Sequence[Concept], minimum: float) -> dict[int, Concept]:
    best = iou.max(1)
    pairs = zip(best.values.tolist(), best.indices.tolist(), strict=True)
    return {channel: concepts[place] for channel, (value, place) in enumerate(pairs) if value > minimum}


def _line(row: dict[str, Any]) -> str:
    line = f"{row['layer']:<10} {row['detectors']:>4} of {row['units']} units detect {row['unique']} concepts"
    if "detectors rotated" in row:
        line += f"; in a random basis {row['detectors rotated']:.1f} detect {row['unique rotated']:.1f}"
    return line


def dissect(
    network: Network,
    concepts: Source = "drawn",
    *,
    layers: Annotated[Sequence[str] | None, "layers to dissect [default: all rectified maps]"] = None,
    quantile: Annotated[float, "share of its activations for which a unit counts as on"] = 0.005,
    minimum: Annotated[float, "intersection over union above which a unit is a detector"] = 0.04,
    inclusive: Annotated[bool, "a unit is on at its threshold too, not only above: for ties"] = False,
    rotations: Annotated[int, "random rotations of each layer's basis to compare with"] = 0,
    grid: Annotated[int, "pixels of the input from one that is compared to the next"] = 2,
    batch_size: int = 32,
    seed: int = 0,
    device: str | None = None,
) -> Dissection:
    """Label each unit with the concept whose places it is on at (METHODS N1, Network Dissection).

    The unit's threshold is the value that `quantile` of its activations over all pictures exceed: exact as long as
    these are no more than 8,192, beyond that with an error that the result states. Its map, brought to the pixels of
    the input about the centres of the receptive fields, is on where it exceeds the threshold; the label is the concept
    of the largest IoU, sums over all pictures in which concepts of that category were looked for. `rotations` repeats
    all of it, in the same two passes, for random orthogonal mixtures of the layer's units.

    Concepts in no picture are left out, units that are on nowhere (dead, constant, tied at their maximum) match
    nothing: both noted. Raises DataError where there are no pictures, none can be read or no concept is in them,
    LayerError, ArgumentError for numbers out of range and for a quantile of less than one activation, NetworkError for
    activations that are not finite.
    """
    if not 0 <= minimum < 1:
        raise ArgumentError("minimum", minimum, "expected an intersection over union from 0, below 1")
    if rotations < 0:
        raise ArgumentError("rotations", rotations, "expected 0 or more")
    marked = opened(concepts)
    slides = Slides(network, marked, layers, grid, batch_size, device)
    with seeded(seed) as generator:
        bases = {name: _bases(layer.channels, rotations, generator) for name, layer in slides.layers.items()}
    views = {name: _View(slides, name, bases[name], quantile, inclusive, seed) for name in slides.layers}
    for slide in slides.each("thresholds"):
        slides.look(slide, {name: partial(view.measure, slide) for name, view in views.items()})
    for view in views.values():
        view.settle()
    areas = _Areas(marked)
    for slide in slides.each("concepts", marks=True):
        areas.add(slide.seen)
        slides.look(slide, {name: partial(view.compare, slide, areas) for name, view in views.items()})
    present = areas.concept.nonzero().flatten()
    if not len(present):
        raise DataError(f"{marked.name}: the network sees no concept in any of the {len(marked.pictures)} pictures")
    iou = {name: view.iou(areas)[:, :, present].float() for name, view in views.items()}
    return Dissection(
        name=marked.name,
        concepts=tuple(marked.concepts[k] for k in present.tolist()),
        categories=tuple(c for c in marked.categories if areas.looked[areas.order.index(c)] > 0),
        quantile=quantile,
        minimum=minimum,
        iou={name: each[0] for name, each in iou.items()},
        thresholds={name: view.thresholds[0] for name, view in views.items()},
        above={name: view.above for name, view in views.items()},
        errors={name: view.tails[0].error() for name, view in views.items()},
        rotated={name: each[1:] for name, each in iou.items()} if rotations else {},
        coverage=areas.coverage()[present].float(),
        examples=tuple(_examples(slides, views, {name: each[0] for name, each in iou.items()})),
        source=marked.pictures,
        synthetic=marked.synthetic,
        notes=_notes(marked, areas, views),
    )


def _bases(channels: int, rotations: int, generator: torch.Generator) -> Tensor:
    """The layer's own basis and random orthogonal ones, uniform among all: (1 + rotations, channels, channels)."""
    bases = [torch.eye(channels)]
    for _ in range(rotations):
        q, r = torch.linalg.qr(torch.randn(channels, channels, generator=generator, dtype=torch.float64))
        bases.append((q * r.diagonal().sign()).float())
    return torch.stack(bases)


class _Areas:
    """How many of the pixels compared each concept takes, and how many there are for each category.

    concept (L,); looked (G,), pixels of the pictures in which a category was looked for; category (L,) its place.
    """

    def __init__(self, marked: Concepts) -> None:
        self.order = marked.categories
        self.concept = torch.zeros(len(marked.concepts), dtype=torch.float64)
        self.looked = torch.zeros(len(self.order), dtype=torch.float64)
        self.category = torch.tensor([self.order.index(concept.category) for concept in marked.concepts])

    def add(self, seen: Sequence[Seen]) -> None:
        """Some pictures more."""
        for each in seen:
            self.concept.index_add_(0, each.concepts, each.masks.flatten(1).sum(1, dtype=torch.float64))
            self.looked += self.places(each) * math.prod(each.masks.shape[1:])

    def places(self, seen: Seen) -> Tensor:
        """(G,): 1 for the categories that were looked for in a picture, else 0."""
        return torch.tensor([float(name in seen.categories) for name in self.order], dtype=torch.float64)

    def coverage(self) -> Tensor:
        """(L,): the share of the pixels looked at that each concept takes."""
        return self.concept / self.looked[self.category].clamp_min(1)


class _View:
    """One layer through both passes, in its own basis and in B - 1 random ones.

    thresholds (B, K); inter (B, K, L) pixels in which unit and concept are on; area (B, K, G) pixels in which the unit
    is on, by category looked for; above (K,).
    """

    def __init__(self, slides: Slides, name: str, bases: Tensor, quantile: float, inclusive: bool, seed: int) -> None:
        layer, marked = slides.layers[name], slides.concepts
        self.slides, self.name, self.bases = slides, name, bases.to(slides.device)
        self.beyond = torch.ge if inclusive else torch.gt
        total = len(marked.pictures) * layer.height * layer.width
        self.tails = [Tail(layer.channels, total, quantile, seed=seed) for _ in bases]
        self.leaders: Leaders | None = None
        size = len(bases), layer.channels
        self.thresholds = torch.empty(*size)
        self.inter = torch.zeros(*size, len(marked.concepts), dtype=torch.float64)
        self.area = torch.zeros(*size, len(marked.categories), dtype=torch.float64)
        self.above = torch.zeros(layer.channels, dtype=torch.float64)

    def _turned(self, maps: Tensor) -> Iterator[Tensor]:
        """The maps (n, K, h, w) in every basis."""
        yield maps
        for basis in self.bases[1:]:
            yield torch.einsum("jk,nkhw->njhw", basis, maps)

    def measure(self, slide: Slide, maps: Tensor) -> None:
        """The first pass: thresholds, and each unit's strongest pictures."""
        for tail, turned in zip(self.tails, self._turned(maps), strict=True):
            tail.add(turned.transpose(0, 1).flatten(1))
        values, places = peaks(maps)
        leaders = Leaders.of(values.cpu(), places.cpu(), slide.indices, TOP)
        self.leaders = leaders if self.leaders is None else self.leaders.merge(leaders)

    def settle(self) -> None:
        """Between the passes."""
        self.thresholds = torch.stack([tail.threshold() for tail in self.tails])

    def compare(self, slide: Slide, areas: _Areas, maps: Tensor) -> None:
        """The second pass: where units and concepts are on."""
        limits = self.thresholds.to(maps.device)
        self.above += self.beyond(maps, limits[0, :, None, None]).sum((0, 2, 3)).cpu()
        for basis, turned in enumerate(self._turned(maps)):
            for one, seen in zip(turned, slide.seen, strict=True):
                on = self.beyond(self.slides.spread(self.name, one), limits[basis, :, None, None]).flatten(1).float()
                both = on @ seen.masks.flatten(1).float().T.to(on.device)  # (K, l)
                self.inter[basis].index_add_(1, seen.concepts, both.double().cpu())
                self.area[basis] += on.sum(1).double().cpu()[:, None] * areas.places(seen)

    def iou(self, areas: _Areas) -> Tensor:
        """(B, K, L); 0 where neither is anywhere. Ends the second pass: counts become shares."""
        union = self.area[..., areas.category] + areas.concept - self.inter
        self.above /= max(self.tails[0].seen, 1)
        return torch.where(union > 0, self.inter / union, 0.0)


def _examples(slides: Slides, views: Mapping[str, _View], iou: Mapping[str, Tensor]) -> Iterator[Example]:
    """Of every layer the units that match best, each another concept, with what they are on at in their pictures."""
    for name, view in views.items():
        best = iou[name].max(1)
        chosen: dict[int, int] = {}  # concept: unit
        for channel in best.values.argsort(descending=True, stable=True).tolist():
            if float(best.values[channel]) > 0 and len(chosen) < SHOWN:
                chosen.setdefault(int(best.indices[channel]), channel)
        for channel in chosen.values():
            yield _example(slides, view, channel)


def _example(slides: Slides, view: _View, channel: int) -> Example:
    assert view.leaders is not None
    _, images = unkey(view.leaders.keys[channel])
    indices = [index for index in images.tolist() if index >= 0]
    inputs = torch.cat(
        [batch.inputs for batch in batches(slides.concepts.pictures, slides.network.transform, TOP, indices)]
    )
    weights, limit = slides.anchors(view.name, 1), float(view.thresholds[0, channel])

    def on(maps: Tensor) -> Tensor:
        return view.beyond(spread(maps[:, channel], *weights), torch.tensor(limit)).cpu()

    masks = slides.look(Slide(torch.tensor(indices), inputs), {view.name: on})[view.name]
    pixels = [torch.from_numpy(slides.network.transform.picture(x.float())) for x in inputs]
    return Example(view.name, channel, torch.stack(pixels), masks)


def _notes(marked: Concepts, areas: _Areas, views: Mapping[str, _View]) -> tuple[str, ...]:
    """What to say of concepts that are nowhere and units that are on nowhere."""
    notes = []
    if marked.synthetic:
        notes.append(
            "the pictures and their concepts are drawn by the package: these labels say nothing of photographs"
        )
    absent = [str(marked.concepts[k]) for k in (areas.concept == 0).nonzero().flatten().tolist()]
    if absent:
        more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
        notes.append(f"in no picture, left out: {', '.join(absent[:NAMED])}{more}")
    for name, view in views.items():
        dead = int((view.above == 0).sum())
        if dead:
            notes.append(
                f"{name}: {dead} of {len(view.above)} units are on nowhere (dead, constant, or tied): no match"
            )
        if (error := view.tails[0].error()) > 0:
            notes.append(f"{name}: the quantile is met to within {error:.2g}, ties aside")
    return tuple(notes)
