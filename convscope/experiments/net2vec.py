"""Which combination of filters encodes a concept? Weights that segment it or tell its pictures, and what they share.

    found = net2vec(network, "drawn:48", layer="relu5", names=["sky"], epochs=2)   # or "broden1_224/"
    found.rows, found.weights, found.cosine, found.curve

One filter often says part of a concept; how many it takes, and which concepts are built alike, is read off the weights.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convscope.atlases.activation_masks import Imprints
from convscope.atlases.concept_batches import Slides
from convscope.data.batches import batches
from convscope.data.concepts import Concept, Concepts
from convscope.data.concepts import concepts as opened
from convscope.data.picture_set import Pictures
from convscope.errors import ArgumentError, DataError
from convscope.models.network import Network
from convscope.parameters import Kind
from convscope.probe.concepts.concept_weights import Descent, classify, combined, segment
from convscope.probe.concepts.upsample import spread
from convscope.progress import progress

Source = Annotated[
    Any,
    Kind("folder"),
    "a folder: Broden's, with a table concepts.csv, or of classes; gallery (bundled), drawn or drawn:N (made here)",
]

FEWEST = 10  # pictures to learn a concept from
SHARES = (0.8, 0.95)  # of the full score, for which the smallest number of filters is reported
STRONG = 10  # filters of the largest weights, by which concepts share filters
BATCH = 16  # pictures of a step
SHOWN = 6  # concepts with an example
NAMED = 12  # skipped concepts that a note names


@dataclass(frozen=True)
class Example:
    """A concept in a held-out picture: `picture` (H, W, 3) uint8; where it is marked, where the combination sees it and
    where the best single filter does, (P, Q) bool.
    """

    concept: Concept
    picture: Tensor
    marked: Tensor
    combination: Tensor
    single: Tensor


@dataclass(frozen=True)
class Net2Vec:
    """L concepts as weights of one layer's K filters, all on held-out pictures. All tensors on the CPU.

    pictures (L, 2): how many with the concept were learned from and held out. weights (L, K): the segmentation's, the
    concept's embedding. iou (L,). single (L,): the filter that alone is best on the pictures learned from; iou_single
    (L,) its IoU. counts (F,): numbers of filters tried, the last is K. curve (L, F): IoU with only that many.
    telling (L, K), accuracy (L,), accuracy_curve (L, F): of the classification, the mean of the shares of pictures with
    and without the concept that are told right; NaN where every picture has it. cosine (L, L): of the weights. skipped:
    concepts with too few pictures. source: the pictures.
    """

    name: str
    layer: str
    concepts: tuple[Concept, ...]
    pictures: Tensor
    weights: Tensor
    iou: Tensor
    single: Tensor
    iou_single: Tensor
    counts: tuple[int, ...]
    curve: Tensor
    telling: Tensor
    accuracy: Tensor
    accuracy_curve: Tensor
    examples: tuple[Example, ...]
    skipped: tuple[Concept, ...]
    source: Pictures
    synthetic: bool
    notes: tuple[str, ...] = ()

    @property
    def cosine(self) -> Tensor:
        """How alike the weights of two concepts are, (L, L) in [-1, 1]."""
        unit = F.normalize(self.weights, dim=1)
        return unit @ unit.T

    def neighbours(self, place: int, count: int = 3) -> list[tuple[Concept, float]]:
        """The concepts whose weights are most like those of concept `place`, with the cosines."""
        like = self.cosine[place].clone()
        like[place] = -math.inf
        order = like.argsort(descending=True, stable=True)[: min(count, len(like) - 1)].tolist()
        return [(self.concepts[k], float(like[k])) for k in order]

    def needed(self, curve: Tensor, share: float, chance: float = 0.0) -> list[int | None]:
        """The smallest number of filters of `counts` that reaches `share` of the full score, above `chance`."""
        gain = curve - chance
        found: list[int | None] = []
        for row in gain:
            good = [count for count, value in zip(self.counts, row.tolist(), strict=True) if value >= share * row[-1]]
            found.append(good[0] if good and row[-1] > 0 else None)
        return found

    def shared(self) -> dict[int, list[Concept]]:
        """The filters that are among the ten of largest weight for several concepts."""
        found: dict[int, list[Concept]] = {}
        for concept, row in zip(self.concepts, self.weights.abs(), strict=True):
            for filter_ in row.topk(min(STRONG, len(row))).indices.tolist():
                found.setdefault(filter_, []).append(concept)
        return {k: own for k, own in sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])) if len(own) > 1}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record a concept, then one for each filter that several share."""
        fewest = [self.needed(self.curve, share) for share in SHARES]
        telling = [self.needed(self.accuracy_curve, share, 0.5) for share in SHARES]
        rows: list[dict[str, Any]] = []
        for k, concept in enumerate(self.concepts):
            near = self.neighbours(k, 1)
            rows.append(
                {
                    "concept": concept.name,
                    "category": concept.category,
                    "pictures": int(self.pictures[k, 0]),
                    "iou": float(self.iou[k]),
                    "iou one filter": float(self.iou_single[k]),
                    "filter": f"{self.layer}:{int(self.single[k])}",
                    **{f"filters for {share:.0%}": own[k] for share, own in zip(SHARES, fewest, strict=True)},
                    "accuracy": float(self.accuracy[k]),
                    **{f"to tell {share:.0%}": own[k] for share, own in zip(SHARES, telling, strict=True)},
                    "nearest": str(near[0][0]) if near else None,
                    "cosine": near[0][1] if near else None,
                }
            )
        for filter_, own in self.shared().items():
            names = ", ".join(map(str, own))
            rows.append({"layer": self.layer, "channel": filter_, "shared by": len(own), "concepts": names})
        return rows

    @property
    def arrays(self) -> dict[str, Any]:
        """Weights, their cosines, the curves and what their rows and columns are."""
        return {
            "concepts": [str(concept) for concept in self.concepts],
            "weights": self.weights,
            "telling": self.telling,
            "cosine": self.cosine,
            "counts": list(self.counts),
            "curve": self.curve,
            "accuracy curve": self.accuracy_curve,
        }

    @property
    def text(self) -> str:
        """The result in a few lines."""
        better = int((self.iou > self.iou_single).sum())
        enough = sum(count == 1 for count in self.needed(self.curve, SHARES[1]))
        lines = [f"{self.layer}: {len(self.concepts)} concepts, {len(self.skipped)} with too few pictures"]
        means = f"mean IoU {float(self.iou.mean()):.3f}, of the best single filter {float(self.iou_single.mean()):.3f}"
        lines.append(f"  {means}; the combination is better for {better}")
        lines.append(f"  one filter reaches {SHARES[1]:.0%} of the full IoU for {enough}")
        known = self.accuracy[self.accuracy.isfinite()]
        if len(known):
            lines.append(f"  mean accuracy of telling the pictures {float(known.mean()):.1%}")
        return "\n".join(lines)


def net2vec(
    network: Network,
    concepts: Source = "drawn",
    *,
    layer: Annotated[str | None, "the layer whose filters to combine [default: the last rectified maps]"] = None,
    names: Annotated[Sequence[str] | None, "concepts to look into [default: all with enough pictures]"] = None,
    quantile: Annotated[float, "share of its activations for which a filter counts as on"] = 0.005,
    counts: Annotated[Sequence[int] | None, "numbers of filters to try [default: 1, 2, 4 and so on]"] = None,
    epochs: Annotated[int, "passes over a concept's pictures"] = 30,
    rate: Annotated[float, "learning rate of the segmentation"] = 1e-4,
    telling_rate: Annotated[float, "learning rate of the classification at first"] = 0.01,
    binary: Annotated[bool, "classify by how much of its map a filter is on, not by its mean activation"] = False,
    held_out: Annotated[float, "share of the pictures to measure on; Broden names its own"] = 0.3,
    grid: Annotated[int, "pixels of the input from one that is compared to the next"] = 4,
    batch_size: int = 32,
    seed: int = 0,
    device: str | None = None,
) -> Net2Vec:
    """Learn, for each concept, how a layer's filters together segment it and tell its pictures (METHODS N2, N3, N4).

    Filters are on above the threshold that `quantile` of their activations exceed (N1). The segmentation is the
    logistic function of their weighted sum, without a bias, learned on the pictures that have the concept and measured
    on those held out; beside it stands the one filter that is best on the pictures learned from. Classification is a
    logistic regression of the filters' means. Both are learned again with only the filters of largest weight, as many
    as `counts` says. Kept are, for each picture, a bit for every filter and place and for every concept and pixel
    compared.

    Concepts with fewer than 10 pictures to learn from are skipped and listed; where every picture has a concept, there
    is nothing to tell. Raises DataError for pictures that cannot serve, ArgumentError for numbers out of range and for
    unknown names, LayerError, NetworkError for activations that are not finite.
    """
    for name, value in (("epochs", epochs), ("rate", rate), ("telling_rate", telling_rate)):
        if value <= 0:
            raise ArgumentError(name, value, "expected a number above 0")
    if not 0 < held_out < 1:
        raise ArgumentError("held_out", held_out, "expected a share above 0, below 1")
    marked = opened(concepts)
    layers = [layer] if layer else network.rectified()[-1:]
    slides = Slides(network, marked, layers, grid, batch_size, device)
    ((_, shape),) = slides.layers.items()
    numbers, known = _counts(counts, shape.channels), Imprints(slides, quantile)
    learner = _Learner(known, _split(marked, held_out, seed), numbers, binary)
    chosen, skipped = _chosen(marked, learner, names)
    if not chosen:
        raise DataError(f"{marked.name}: no concept has {FEWEST} pictures to learn from and one held out")
    seen, told = [], []
    with progress(len(chosen), "combining") as advance:
        for k in chosen:
            own = seed + 1 + k  # a common start would make all concepts a little alike
            seen.append(learner.segmented(k, Descent(epochs, rate, BATCH, own)))
            told.append(learner.told(k, Descent(epochs, telling_rate, BATCH, own)))
            advance(1)
    return Net2Vec(
        name=marked.name,
        layer=known.layer,
        concepts=tuple(marked.concepts[k] for k in chosen),
        pictures=torch.tensor([[len(learner.having(k, held)) for held in (False, True)] for k in chosen]),
        weights=torch.stack([each.weights for each in seen]),
        iou=torch.stack([each.curve[-1] for each in seen]),
        single=torch.tensor([each.single for each in seen]),
        iou_single=torch.tensor([each.iou_single for each in seen]),
        counts=numbers,
        curve=torch.stack([each.curve for each in seen]),
        telling=torch.stack([each.weights for each in told]),
        accuracy=torch.stack([each.curve[-1] for each in told]),
        accuracy_curve=torch.stack([each.curve for each in told]),
        examples=tuple(learner.example(chosen[k], seen[k]) for k in _shown(marked, chosen, seen)),
        skipped=tuple(marked.concepts[k] for k in skipped),
        source=marked.pictures,
        synthetic=marked.synthetic,
        notes=_notes(marked, skipped, known),
    )


def _split(marked: Concepts, share: float, seed: int) -> Tensor:
    """Which pictures are held out, (N,) bool: those that the source names, or as many as `share` says."""
    count = len(marked.pictures)
    if marked.held_out is not None and 0 < sum(marked.held_out) < count:
        return torch.tensor(marked.held_out)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order < round(share * count)


def _counts(counts: Sequence[int] | None, filters: int) -> tuple[int, ...]:
    if counts is None:
        return (*(2**k for k in range((filters - 1).bit_length())), filters)
    for count in counts:
        if not 1 <= count <= filters:
            raise ArgumentError("counts", count, f"expected 1 to {filters}, the filters of the layer")
    return tuple(sorted({*counts, filters}))


def _chosen(marked: Concepts, learner: "_Learner", names: Sequence[str] | None) -> tuple[list[int], list[int]]:
    """The concepts to learn, and those asked for that have too few pictures."""
    everything = {concept.name for concept in marked.concepts}
    for name in names or ():
        if name not in everything:
            raise ArgumentError(
                "names", name, f"expected a concept of {marked.name}, such as {marked.concepts[0].name}"
            )
    wanted = [k for k, concept in enumerate(marked.concepts) if not names or concept.name in names]
    enough = [k for k in wanted if len(learner.having(k, False)) >= FEWEST and len(learner.having(k, True))]
    return enough, [k for k in wanted if k not in enough]


def _shown(marked: Concepts, chosen: Sequence[int], seen: Sequence["_Segmented"]) -> list[int]:
    """Which of the concepts have an example: of each category the best, then the best of the others."""
    best = sorted(range(len(chosen)), key=lambda k: -float(seen[k].curve[-1]))
    first = {marked.concepts[chosen[k]].category: k for k in reversed(best)}
    leaders = [k for k in best if k in first.values()]
    return (leaders + [k for k in best if k not in leaders])[:SHOWN]


@dataclass(frozen=True)
class _Segmented:
    """weights (K,); curve (F,) IoU by number of filters; the best single filter and its IoU."""

    weights: Tensor
    curve: Tensor
    single: int
    iou_single: float


@dataclass(frozen=True)
class _Told:
    """weights (K,); curve (F,) accuracy by number of filters."""

    weights: Tensor
    curve: Tensor


class _Learner:
    """Learns concepts from what is known of the pictures: those held out (N,) bool are for measuring.

    features (N, K): what pictures are told by, the filters' means (or how much of the map they are on), over their root
    mean square.
    """

    def __init__(self, known: Imprints, held_out: Tensor, counts: Sequence[int], binary: bool) -> None:
        self.known, self.held_out, self.counts = known, held_out[known.indices], counts
        places = range(len(known.indices))
        means = torch.cat([known.on([k]).float().mean((2, 3)) for k in places]) if binary else known.means
        self.features = means / means.square().mean().sqrt().clamp_min(1e-12)

    def having(self, concept: int, held: bool) -> list[int]:
        """The pictures with a concept, learned from or held out."""
        return [place for place in self.known.having(concept) if bool(self.held_out[place]) is held]

    def segmented(self, concept: int, how: Descent) -> _Segmented:
        """N2, then N4: with all filters, then with the strongest of them only."""
        own, held = self.having(concept, False), self.having(concept, True)
        on, masks = self.known.on(own), self.known.marked(concept, own)

        def learn(keep: Tensor) -> Tensor:
            return segment(on, masks, self.known.rows, self.known.columns, keep, how)

        full, each = _narrowed(learn, self.known.filters, self.counts)
        tried, marked = self.known.on(held), self.known.marked(concept, held)
        curve = torch.stack([self._iou(tried, marked, row[None])[0] for row in each])
        single = int(self._singles(on, masks).argmax())
        return _Segmented(full, curve, single, float(self._singles(tried[:, single : single + 1], marked)[0]))

    def _iou(self, on: Tensor, masks: Tensor, weights: Tensor) -> Tensor:
        """(F,) of combinations, where their sum is above 0."""
        found = combined(on, weights, self.known.rows, self.known.columns) > 0
        return _overlap(found.transpose(0, 1), masks)

    def _singles(self, on: Tensor, masks: Tensor) -> Tensor:
        """(K,) of single filters, seen as a combination of one would be."""
        parts = (spread(some.float(), self.known.rows, self.known.columns) > 0 for some in on)  # a picture at a time
        return _overlap(parts, masks)

    def told(self, concept: int, how: Descent) -> _Told:
        """N3, then N4: whether a picture has the concept."""
        looked = self.known.looked[self.known.slides.concepts.concepts[concept].category]
        places = {held: [p for p in looked if bool(self.held_out[p]) is held] for held in (False, True)}
        labels = {held: torch.tensor([p in self.known.masks[concept] for p in own]) for held, own in places.items()}
        if any(bool(each.all()) for each in labels.values()):
            return _Told(torch.full((self.known.filters,), torch.nan), torch.full((len(self.counts),), torch.nan))
        biases: list[Tensor] = []

        def learn(keep: Tensor) -> Tensor:
            weights, bias = classify(self.features[places[False]], labels[False], keep, how)
            biases.append(bias)
            return weights

        full, each = _narrowed(learn, self.known.filters, self.counts)
        says = self.features[places[True]] @ each.T + torch.cat(biases[1:]) > 0  # (n, F)
        right = says == labels[True][:, None]
        return _Told(full, (right[labels[True]].float().mean(0) + right[~labels[True]].float().mean(0)) / 2)

    def example(self, concept: int, learned: _Segmented) -> Example:
        """The held-out picture of which the combination finds most."""
        held = self.having(concept, True)
        on, masks = self.known.on(held), self.known.marked(concept, held)
        found = combined(on, learned.weights[None], self.known.rows, self.known.columns)[0] > 0
        each = torch.stack([_overlap([one[None]], mask[None])[0] for one, mask in zip(found, masks, strict=True)])
        best = int(each.argmax())
        single = spread(on[best, learned.single].float(), self.known.rows, self.known.columns) > 0
        network, pictures = self.known.slides.network, self.known.slides.concepts.pictures
        (batch,) = batches(pictures, network.transform, 1, [self.known.indices[held[best]]])
        pixels = torch.from_numpy(network.transform.picture(batch.inputs[0].float()))
        return Example(self.known.slides.concepts.concepts[concept], pixels, masks[best], found[best], single)


def _narrowed(learn: Callable[[Tensor], Tensor], filters: int, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Weights (K,) of all filters and, learned anew with as many of the strongest as `counts` says, (F, K)."""
    full = learn(torch.ones(1, filters))[0]
    rank = full.abs().argsort(descending=True, stable=True).argsort()
    return full, learn(rank < torch.tensor(counts)[:, None])


def _overlap(found: Iterable[Tensor], masks: Tensor) -> Tensor:
    """IoU (F,) over all pictures of what is found, n times (F, P, Q), with masks (n, P, Q)."""
    both, either = torch.zeros(()), torch.zeros(())
    for one, mask in zip(found, masks, strict=True):
        both = both + (one & mask).sum((1, 2))
        either = either + (one | mask).sum((1, 2))
    return torch.where(either > 0, both / either, 0)


def _notes(marked: Concepts, skipped: Sequence[int], known: Imprints) -> tuple[str, ...]:
    notes = []
    if marked.synthetic:
        notes.append("the pictures and their concepts are drawn by the package: they say nothing of photographs")
    if skipped:
        names = ", ".join(str(marked.concepts[k]) for k in skipped[:NAMED])
        more = f" and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
        notes.append(f"fewer than {FEWEST} pictures to learn from, or none held out: {names}{more}")
    if dead := int((~known.on(range(len(known.indices))).any(0).flatten(1).any(1)).sum()):
        notes.append(f"{known.layer}: {dead} of {known.filters} filters are on nowhere (dead, constant, or tied)")
    return tuple(notes)
