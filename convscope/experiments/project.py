"""What in this picture excited this unit? Deconvnet projections of single units (METHODS V1-V6).

    p = project(network, "dog.jpg", "relu5:42")
    p.values, p.positions, p.boxes, p.crops, p.pixels

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013), section 2.1.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from convscope.device import resolve
from convscope.errors import ArgumentError
from convscope.models.network import Network
from convscope.parameters import Pictures
from convscope.probe.projection import Projected, Reverse, Start, Units, expected_rectifiers, whole
from convscope.probe.rectify import LRN, Rule, Unpool, check
from convscope.probe.trace.address import Unit, parse
from convscope.probe.trace.graph import Graph
from convscope.probe.trace.record import run


@dataclass(frozen=True)
class Projection:
    """Row i is unit i on picture i. All tensors on the CPU.

    units: N units, each at the position projected ("*" where the whole map was). values (N,): their activations (of a
    whole map, summed). positions (N, 2): row, column; (0, 0) for vectors, (-1, -1) for whole maps. boxes (N, 4): top,
    left, bottom, right of the receptive field in the input, exclusive, before clipping. crops: N signed projections
    (C, h, w) in that box, zero outside the picture. inputs (N, C, H, W): the pictures in network space. unpool: how
    each was unpooled; with several ways asked for, all units by the first come before all by the second. replaced: the
    rectifiers whose backward rule was replaced, layer by layer of the first unit. notes: what a reader should know.
    """

    units: tuple[Unit, ...]
    values: Tensor
    positions: Tensor
    boxes: Tensor
    crops: tuple[Tensor, ...]
    inputs: Tensor
    unpool: tuple[str, ...]
    replaced: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record a projection: unit, way of unpooling, value, position and box."""
        columns = zip(
            self.units, self.unpool, self.values.tolist(), self.positions.tolist(), self.boxes.tolist(), strict=True
        )
        return [
            {"unit": str(unit), "unpool": way, "value": value, "row": row, "column": column}
            | dict(zip(("top", "left", "bottom", "right"), box, strict=True))
            for unit, way, value, (row, column), box in columns
        ]

    @property
    def arrays(self) -> dict[str, Tensor]:
        """The projections over the full pictures."""
        return {"pixels": self.pixels}

    @property
    def pixels(self) -> Tensor:
        """The projections over the full pictures: (N, C, H, W), zero outside the boxes."""
        pixels = torch.zeros_like(self.inputs)
        for row, (box, crop) in enumerate(zip(self.boxes.tolist(), self.crops, strict=True)):
            place, part = _overlap(box, self.inputs.shape[2:])
            pixels[row][place] = crop[part]
        return pixels

    @property
    def patches(self) -> tuple[Tensor, ...]:
        """The pictures in the boxes (V6): N tensors (C, h, w) in network space, zero outside the picture."""
        cut = []
        for row, (box, crop) in enumerate(zip(self.boxes.tolist(), self.crops, strict=True)):
            place, part = _overlap(box, self.inputs.shape[2:])
            patch = torch.zeros_like(crop)
            patch[part] = self.inputs[row][place]
            cut.append(patch)
        return tuple(cut)


Found = tuple[Tensor, Tensor, Tensor]  # of a unit: its value, its projection (C, h, w), that box's top left corner
Slices = tuple[slice, slice, slice]


def _overlap(box: Sequence[int], size: Sequence[int]) -> tuple[Slices, Slices]:
    """Where a box lies in a picture of `size`, and which part of the box that is."""
    top, left, bottom, right = box
    t, l = max(top, 0), max(left, 0)  # noqa: E741
    b, r = max(t, min(bottom, size[0])), max(l, min(right, size[1]))  # a box may lie outside altogether
    everything = slice(None)
    return (everything, slice(t, b), slice(l, r)), (everything, slice(t - top, b - top), slice(l - left, r - left))


def project(
    network: Network,
    pictures: Pictures,
    units: Annotated[Sequence[str | Unit] | str | Unit, "layer:channel[@row,column] or layer:channel@*"],
    *,
    rule: Annotated[Rule, "what a rectifier does to the signal on its way back"] = "deconvnet",
    lrn: Annotated[LRN, "what contrast normalisation does to it"] = "identity",
    unpool: Annotated[Sequence[Unpool] | Unpool, "how max-pools are undone"] = "switch",
    start: Annotated[Start, "what it begins with"] = "activation",
    device: str | None = None,
) -> Projection:
    """Project units back to the pixels of pictures (METHODS V1).

    `pictures` as `Network.inputs` takes them, `units` as `layer:channel[@row,column|@*]`: one of either broadcasts,
    else row i is picture i seen by unit i. `rule` is what a rectifier does to the signal coming down: "deconvnet",
    "guided", "gradient", "none" (V3); `lrn` what response normalisation does: "identity", "scale", "gradient";
    `unpool`: "switch", "max", "overwrite", "nearest", "nails" (V2), or several of these to compare; `start`: the unit's
    "activation" or "one".

    Raises LayerError, UnitError and ArgumentError for names and numbers that do not fit, PictureError for what is no
    picture, NetworkError where the network fails or hides a rectifier. A unit whose selection is not positive gives an
    empty picture under "deconvnet", with a warning.
    """
    ways = [unpool] if isinstance(unpool, str) else list(unpool)
    checks = [("rule", rule, Rule), ("lrn", lrn, LRN), ("start", start, Start), *(("unpool", w, Unpool) for w in ways)]
    for argument, value, choices in checks:
        check(argument, value, choices)
    inputs, wanted = _rows(network.inputs(pictures), units)
    size = (inputs.shape[2], inputs.shape[3])
    graph, place = network.graph(size), resolve(device)
    for unit in wanted:
        unit.check(graph.node(unit.layer).shape)
    module, inputs = network.working(place), inputs.to(place)
    wanted = _strongest(module, graph, inputs, wanted)
    reverse = partial(Reverse, module, graph, network.geometry(size), rule=rule, lrn=lrn, start=start)
    back = partial(whole, module, rule=rule, lrn=lrn, start=start, times=graph.times)
    found = [row for way in ways for row in _projected(graph, inputs, wanted, way, reverse, back)]
    replaced = expected_rectifiers(graph, wanted[0].layer) if rule != "gradient" else []
    notes = _notes(wanted, found, rule, start)
    return _assembled(wanted, ways, found, inputs, replaced, notes)


def _projected(
    graph: Graph,
    inputs: Tensor,
    wanted: Sequence[Unit],
    way: str,
    reverse: Callable[..., Reverse],
    back: Callable[..., tuple[Tensor, Tensor, list[str]]],
) -> list[Found]:
    """Each unit's value, crop and corner: by its receptive field where pools have switches, else over the picture."""
    found: dict[int, Found] = {}
    pointed = [i for i, u in enumerate(wanted) if u.position != "*" and way == "switch"]
    project_units = reverse(layers=sorted({wanted[i].layer for i in pointed}))
    for layer, rows in _by_layer(wanted, pointed).items():
        projected = project_units(inputs, {layer: _units(wanted, rows)})[layer]
        found |= {i: _row(projected, k) for k, i in enumerate(rows)}
    for layer, rows in _by_layer(wanted, [i for i in range(len(wanted)) if i not in found]).items():
        selection = _selection(graph.node(layer).shape, [wanted[i] for i in rows], inputs)
        values, pixels, _ = back(pictures=inputs[rows], layer=layer, selection=selection, unpool=way)
        found |= {i: (values[k], pixels[k], torch.zeros(2, dtype=torch.long)) for k, i in enumerate(rows)}
    return [found[i] for i in range(len(wanted))]


def _rows(inputs: Tensor, units: str | Unit | Sequence[str | Unit]) -> tuple[Tensor, list[Unit]]:
    wanted = [parse(u) for u in ([units] if isinstance(units, (str, Unit)) else units)]
    if not wanted:
        raise ArgumentError("units", units, "expected at least one unit")
    if len(wanted) == 1:
        wanted = wanted * len(inputs)
    if len(inputs) == 1:
        inputs = inputs.expand(len(wanted), -1, -1, -1)
    if len(inputs) != len(wanted):
        raise ArgumentError("units", len(wanted), f"expected one unit, or as many as pictures ({len(inputs)})")
    return inputs, wanted


def _by_layer(units: Sequence[Unit], rows: Sequence[int]) -> dict[str, list[int]]:
    grouped: dict[str, list[int]] = {}
    for i in rows:
        grouped.setdefault(units[i].layer, []).append(i)
    return grouped


def _strongest(module: nn.Module, graph: Graph, inputs: Tensor, units: Sequence[Unit]) -> list[Unit]:
    """Give units without a position the place where their map is largest, first in row-major order."""
    settled = list(units)
    open_rows = [i for i, u in enumerate(units) if u.position is None]
    for layer, rows in _by_layer(units, open_rows).items():
        if len(graph.node(layer).shape) != 4:
            for i in rows:
                settled[i] = units[i].at((0, 0))
            continue
        for i in rows:
            with torch.no_grad():
                one_map = run(module, inputs[i : i + 1], {layer: lambda m, c=units[i].channel: m[0, c].clone()})[layer]
            place = int(one_map.flatten().argmax())
            settled[i] = units[i].at((place // one_map.shape[1], place % one_map.shape[1]))
    return settled


def _units(units: Sequence[Unit], rows: Sequence[int]) -> Units:
    places = [units[i].position for i in rows]
    return Units(torch.tensor(rows), torch.tensor([units[i].channel for i in rows]), torch.tensor(places))


def _row(projected: Projected, k: int) -> tuple[Tensor, Tensor, Tensor]:
    return projected.values[k], projected.crops[k], projected.top_left[k]


def _selection(shape: tuple[int, ...], units: Sequence[Unit], like: Tensor) -> Tensor:
    """One where a unit is, over whole maps where its position is "*": (N, C, H, W) or (N, C)."""
    selection = like.new_zeros(len(units), *shape[1:])
    for row, unit in enumerate(units):
        target = selection[row, unit.channel]
        if isinstance(unit.position, tuple) and target.dim():
            target = target[unit.position]
        target.fill_(1)
    return selection


def _notes(units: Sequence[Unit], found: Sequence[Found], rule: str, start: str) -> tuple[str, ...]:
    notes = []
    for unit, (value, _, _) in zip(units, found, strict=False):
        if rule == "deconvnet" and start == "activation" and float(value) <= 0 and unit.position != "*":
            empty = "what is not positive has an empty projection under deconvnet"
            notes.append(f"{unit} is {float(value):.3g}: {empty}")
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return tuple(notes)


def _assembled(
    units: list[Unit],
    ways: Sequence[str],
    found: Sequence[Found],
    inputs: Tensor,
    replaced: list[str],
    notes: tuple[str, ...],
) -> Projection:
    values = torch.stack([value.detach() for value, _, _ in found]).cpu()
    crops = tuple(crop.detach().cpu() for _, crop, _ in found)
    corners = torch.stack([corner for _, _, corner in found]).cpu()
    boxes = torch.cat([corners, corners + torch.tensor([c.shape[1:] for c in crops])], 1)
    everything = units * len(ways)
    places = torch.tensor([(-1, -1) if u.position == "*" else u.position for u in everything])
    unpool = tuple(way for way in ways for _ in units)
    rows = inputs.cpu().repeat(len(ways), 1, 1, 1)
    return Projection(tuple(everything), values, places, boxes, crops, rows, unpool, tuple(replaced), notes)
