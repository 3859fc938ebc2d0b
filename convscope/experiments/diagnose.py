"""Which filters of the first layer are dead, dominant or aliased, and what does the layer cover?

Findings in plain words, each with what to try, as a linter gives them.

    d = diagnose(network, "pictures/")
    print(d.text)
    d.layers[0].findings

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013), sections 3 and 4.1; METHODS F6.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.data.batches import batches
from convscope.data.picture_set import Pictures
from convscope.data.sources import images as open_images
from convscope.device import resolve, seeded
from convscope.errors import ArgumentError, WeightsError
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.parameters import Images
from convscope.probe.filters import spectrum
from convscope.probe.filters.filters import Bank, convolution, convolutions
from convscope.probe.filters.first_layer_checks import Finding, FirstLayer, measured
from convscope.probe.projection import Reverse, Units
from convscope.probe.trace.graph import Graph, trace
from convscope.probe.trace.record import run
from convscope.progress import progress

ENOUGH = 1000  # pictures that it takes to call a filter's silence death (METHODS F6)
LOOKED_AT = 32  # pictures that shift inconsistency and second-layer projections are measured on
PROJECTED = 64  # second-layer units that are projected


@dataclass(frozen=True)
class Diagnosis:
    """layers: the network asked about, then those it is compared with. notes: what a reader should know."""

    layers: tuple[FirstLayer, ...]
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of every network, in order."""
        return tuple(finding for layer in self.layers for finding in layer.findings)

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings that are not in order."""
        return tuple(finding for finding in self.findings if finding.severity != "ok")

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record a check: network, place, code, severity, value, threshold, words."""
        keys = ("network", "place", "code", "severity", "value", "threshold", "words")
        return [{key: getattr(finding, key) for key in keys} for finding in self.findings]

    @property
    def arrays(self) -> dict[str, Tensor]:
        """What was measured of every filter, of the k-th network under NAME_k (the first: NAME)."""
        names = ("filters", "rms", "frequency", "bands", "aliasing", "twin", "spectrum", "orientation", "selectivity",
                 "fires", "projections")  # fmt: skip
        return {
            f"{name}_{k}" if k else name: value
            for k, layer in enumerate(self.layers)
            for name in names
            if (value := getattr(layer, name)) is not None
        }

    @property
    def text(self) -> str:
        """The findings as a linter prints them."""
        return "\n".join(line for layer in self.layers for line in _lines(layer))


def _lines(layer: FirstLayer) -> Iterator[str]:
    yield layer.title
    passed = [finding.code for finding in layer.findings if finding.severity == "ok"]
    for finding in layer.findings:
        if finding.severity != "ok":
            yield f"  {finding.severity}: {finding.code}: {finding.what}"
            yield f"      why: {finding.why}"
            yield f"      try: {finding.remedy}"
    yield f"  ok: {', '.join(passed)}" if passed else "  nothing is in order"


def diagnose(
    network: Network,
    images: Images | None = None,
    *,
    layer: Annotated[str | None, "a convolution to examine [default: the first]"] = None,
    versus: Annotated[Sequence[str | Network], "another network to compare with, spelled as NETWORK"] = (),
    limit: Annotated[int, "pictures to look at, drawn by the seed"] = ENOUGH,
    batch_size: int = 64,
    seed: int = 0,
    device: str | None = None,
) -> Diagnosis:
    """Examine the filters of a network's first convolution (METHODS F6): strength, frequencies, aliasing, likeness.

    From the weights alone: dominance (largest over median RMS), dead filters, frequency coverage, selectivity for
    orientation and frequency beside that of noise, the aliasing index, distinctiveness. With `images` (what
    `convscope.images` takes) also filters that never respond, inconsistency under small shifts, and the grid artefact
    score of the second layer's projections. Every check has a documented limit; those beyond it come with what, where,
    why it matters and what to try. `versus` names networks to measure beside this one, on the same pictures.

    Raises WeightsError where every filter is zero, LayerError and ArgumentError for a layer that is no convolution,
    NetworkError where there is none, DataError where no picture can be read.
    """
    if limit < 1:
        raise ArgumentError("limit", limit, "expected at least 1")
    networks = [network, *(load(other) for other in versus)]
    chosen = None if images is None else _chosen(open_images(images), limit, seed)
    layers = tuple(_examined(net, layer, chosen, batch_size, device) for net in networks)
    return Diagnosis(layers, tuple(_notes(layers)))


def _chosen(pictures: Pictures, limit: int, seed: int) -> tuple[Pictures, list[int]]:
    """The pictures, and which of them to look at: all, or `limit` drawn at random, in order."""
    with seeded(seed) as generator:
        drawn = torch.randperm(len(pictures), generator=generator)[:limit]
    return pictures, sorted(drawn.tolist())


def _notes(layers: Sequence[FirstLayer]) -> Iterator[str]:
    pictures = min(layer.pictures for layer in layers)
    if not pictures:
        yield "without pictures there is no telling which filters never respond, nor shift inconsistency, nor grids"
    elif pictures < ENOUGH:
        yield f"{pictures} pictures: a filter silent on all of them may respond to others; {ENOUGH} call it dead"


def _examined(
    network: Network, layer: str | None, chosen: tuple[Pictures, list[int]] | None, batch_size: int, device: str | None
) -> FirstLayer:
    bank = convolution(network.graph(), layer)
    if not bool(bank.filters.any()):
        raise WeightsError(f"weights: every filter of {bank.layer} is zero; expected a network with weights")
    found = measured(network.name, bank)
    if chosen is None:
        return found
    return replace(found, **_seen(network, bank, *chosen, batch_size, device))


def _seen(
    network: Network, bank: Bank, pictures: Pictures, indices: list[int], batch_size: int, device: str | None
) -> dict[str, Any]:
    """What takes pictures: who responds, shift inconsistency, the second layer's projections and their grid."""
    place = resolve(device)
    module = network.working(place)
    fired = torch.zeros(len(bank.filters), dtype=torch.long)
    count, first = 0, None
    with torch.no_grad(), progress(len(indices), f"examining {network.name}") as advance:
        for batch in batches(pictures, network.transform, batch_size, indices):
            inputs = network.inputs(batch.inputs).to(place)
            source = _source(module, inputs, bank)
            fired += (_respond(bank, source, bank.padding).amax((2, 3)) > 0).sum(0).cpu()
            count += len(inputs)
            first = (inputs[:LOOKED_AT], source[:LOOKED_AT]) if first is None else first
            advance(len(inputs))
    if first is None:
        raise pictures.unreadable()
    projections = _projections(network, module, bank, first[0])
    grid = None if projections is None else spectrum.grid(projections, bank.stride)
    return {
        "pictures": count,
        "fires": fired / count,
        "shift": shift_inconsistency(bank, first[1]),
        "projections": projections,
        "grid": grid,
    }


def _source(module: torch.nn.Module, inputs: Tensor, bank: Bank) -> Tensor:
    """What the convolution reads for these inputs: the inputs themselves, as a rule."""
    return inputs if bank.source == 0 else trace(module, inputs, {bank.source})[1][bank.source]


def _respond(bank: Bank, source: Tensor, padding: tuple[int, int] = (0, 0)) -> Tensor:
    """The bank's responses before the rectifier, (N, F, rows, columns)."""
    weights, offsets = (part.to(source.device, source.dtype) for part in (bank.filters, bank.offsets))
    return F.conv2d(source, weights, offsets, bank.stride, padding)


def shift_inconsistency(bank: Bank, source: Tensor) -> float | None:
    """How much shifts of d = 1 … stride - 1 pixels change the rectified responses y beyond the shift (METHODS F6).

    ‖y(shifted by d) - y shifted by d/stride, linearly interpolated‖ / ‖y‖, the mean over d, both axes and pictures.
    None for stride 1, pictures too small, or no response at all.
    """
    changes = []
    for axis, stride in zip((2, 3), bank.stride, strict=True):
        length = source.shape[axis] - stride + 1
        for d in range(1, stride):
            # Windows into one picture: shifting the window back by d moves what it shows forward by d.
            if length < bank.filters.shape[axis] + stride:
                continue
            here, moved = (F.relu(_respond(bank, source.narrow(axis, at, length))) for at in (d, 0))
            rows = here.shape[axis] - 1
            before, after = here.narrow(axis, 0, rows), here.narrow(axis, 1, rows)
            expected = after + (before - after) * (d / stride)
            apart = (moved.narrow(axis, 1, rows) - expected).flatten(1).norm(dim=1)
            size = after.flatten(1).norm(dim=1)
            changes.append((apart[size > 0] / size[size > 0]).cpu())
    ratios = torch.cat(changes) if changes else torch.empty(0)
    return float(ratios.mean()) if len(ratios) else None


def _projections(network: Network, module: torch.nn.Module, bank: Bank, inputs: Tensor) -> Tensor | None:
    """The strongest unit of every map of the second layer (of 64 at most), projected (V1): (N, C, h, w) or None."""
    size = (inputs.shape[2], inputs.shape[3])
    graph = network.graph(size)
    layer = _second(graph, network.rectified(), bank)
    if layer is None:
        return None
    maps = run(module, inputs, [layer], times=graph.times)[layer]
    chosen = torch.linspace(0, maps.shape[1] - 1, min(PROJECTED, maps.shape[1])).round().long().to(maps.device)
    values, places = maps[:, chosen].transpose(0, 1).flatten(1).max(1)  # over pictures and positions
    alive = values > 0
    if not bool(alive.any()):
        return None
    rows, columns = maps.shape[2:]
    picture, place = places[alive] // (rows * columns), places[alive] % (rows * columns)
    units = Units(picture, chosen[alive], torch.stack([place // columns, place % columns], 1))
    reverse = Reverse(module, graph, network.geometry(size), [layer])
    return reverse(inputs, {layer: units})[layer].crops.detach().float().cpu()


def _second(graph: Graph, rectified: Sequence[str], bank: Bank) -> str | None:
    """The first rectified layer that has this convolution and a further one below it."""
    for layer in rectified:
        below = graph.ancestors(graph.node(layer).index)
        convs = [node.index for node in convolutions(graph) if node.index in below]
        if len(convs) == 2 and any(graph.taps.get(bank.layer) == index for index in convs):
            return layer
    return None
