"""Projection: from a unit back to the pixels that excited it (METHODS V1, V6).

A unit at one position depends on its cone only, so `Reverse` works on receptive-field-sized windows: many units of
several layers in one batch, each with its own picture, channel and position. Where the cone has no windowed form
(global operations, whole maps, other unpoolings) `whole` projects over the full picture by autograd. The two agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from convscope.errors import ArgumentError, NetworkError
from convscope.probe.geometry import Spatial
from convscope.probe.graph import Graph, trace
from convscope.probe.record import run
from convscope.probe.rectify import LRN, Rectified, Rule, Unpool, check, is_rectifier, uncaught
from convscope.probe.windows import Cone, Travel, cone, saved, whole_macs

Start = Literal["activation", "one"]

WHOLE = 16  # units at a time where each needs a pass over its full picture
MEMORY = 128 * 2**20  # bytes of windows or kept maps at a time: larger batches only cost cache misses


@dataclass(frozen=True)
class Units:
    """Units of one layer, one a row: `picture` (B,) rows of the pictures, `channel` (B,), `position` (B, 2)."""

    picture: Tensor
    channel: Tensor
    position: Tensor

    def __len__(self) -> int:
        return len(self.picture)

    def rows(self, chosen: Tensor) -> "Units":
        """Some of the rows."""
        return Units(self.picture[chosen], self.channel[chosen], self.position[chosen])


@dataclass(frozen=True)
class Projected:
    """Row by row: `values` (B,) the units' activations, `crops` (B, C, h, w) their projections, signed.

    `top_left` (B, 2) says where each crop lies in the picture; it may begin outside.
    """

    values: Tensor
    crops: Tensor
    top_left: Tensor


class Reverse:
    """Projections of units of some layers of one network, at the size of their receptive fields where that can be.

    `module` in evaluation mode, `graph` and `axes` its traced pass and geometry for the pictures' size. Raises
    LayerError, and ArgumentError for unknown rules.
    """

    def __init__(
        self,
        module: nn.Module,
        graph: Graph,
        axes: Sequence[Spatial],
        layers: Sequence[str],
        rule: Rule = "deconvnet",
        lrn: LRN = "identity",
        start: Start = "activation",
    ) -> None:
        for argument, value, choices in (("rule", rule, Rule), ("lrn", lrn, LRN), ("start", start, Start)):
            check(argument, value, choices)
        self.module, self.graph, self.rule, self.lrn, self.start = module, graph, rule, lrn, start
        self.cones: dict[str, Cone | None] = {}
        for layer in layers:
            node = graph.node(layer).index
            found = cone(graph, axes, node) if len(graph.nodes[node].shape) == 4 else None
            self.cones[layer] = found

    def __call__(self, pictures: Tensor, units: Mapping[str, Units]) -> dict[str, Projected]:
        """Project `units[layer]` on `pictures` (N, C, H, W) in network space."""
        windowed = {layer: u for layer, u in units.items() if self.cones[layer] is not None and len(u)}
        results = {layer: self._whole(pictures, layer, u) for layer, u in units.items() if layer not in windowed}
        if windowed and self._sharing_pays(len(pictures), windowed):
            results |= self._shared(pictures, windowed)
        else:
            results |= {layer: self._alone(pictures, layer, u) for layer, u in windowed.items()}
        return {layer: results[layer] for layer in units}

    def _cone(self, layer: str) -> Cone:
        found = self.cones[layer]
        assert found is not None
        return found

    def _sharing_pays(self, pictures: int, units: Mapping[str, Units]) -> bool:
        """Whether one forward pass a picture costs less than a cone a unit."""
        last = max(self._cone(layer).target for layer in units)
        alone = sum(len(u) * self._cone(layer).macs for layer, u in units.items())
        return pictures * whole_macs(self.graph, last) <= alone

    def _shared(self, pictures: Tensor, units: Mapping[str, Units]) -> dict[str, Projected]:
        """Units that share a picture share its forward pass; windows are cut out of its maps."""
        keep = {n for layer in units for n in saved(self._cone(layer), self.rule, self.lrn)}
        keep |= {self._cone(layer).target for layer in units}
        size = sum(torch.Size(self.graph.nodes[n].shape[1:]).numel() for n in keep) * pictures.element_size()
        step = max(1, MEMORY // max(1, size))
        parts: dict[str, list[tuple[Tensor, Projected]]] = {layer: [] for layer in units}
        for first in range(0, len(pictures), step):
            batch = pictures[first : first + step].contiguous(memory_format=torch.channels_last)
            _, maps = trace(self.module, batch, keep)
            for layer, all_units in units.items():
                here = ((all_units.picture >= first) & (all_units.picture < first + step)).nonzero()[:, 0]
                for rows in self._batches(layer, here):
                    part = all_units.rows(rows)
                    part = Units(part.picture - first, part.channel, part.position)
                    parts[layer].append((rows, self._from_maps(layer, maps, part)))
        return {layer: _reassemble(found, len(units[layer])) for layer, found in parts.items()}

    def _alone(self, pictures: Tensor, layer: str, units: Units) -> Projected:
        """Every unit computes its own cone, from the receptive field up."""
        parts, found = [], self._cone(layer)
        for rows in self._batches(layer, torch.arange(len(units))):
            part = units.rows(rows)
            travel = Travel(found, part.position)
            with torch.no_grad():
                picture = found.gather(0, pictures, part.picture, part.position)
                windows = travel.forward(picture.contiguous(memory_format=torch.channels_last))
                values = windows[found.target][torch.arange(len(part)), part.channel, 0, 0]
                parts.append((rows, self._descend(travel, values, part, windows)))
        return _reassemble(parts, len(units))

    def _from_maps(self, layer: str, maps: Mapping[int, Tensor], units: Units) -> Projected:
        found = self._cone(layer)
        travel = Travel(found, units.position)
        with torch.no_grad():
            rows, columns = units.position.unbind(1)
            values = maps[found.target][units.picture, units.channel, rows, columns]
            needed = saved(found, self.rule, self.lrn)
            windows = {n: found.gather(n, maps[n], units.picture, units.position) for n in needed}
            return self._descend(travel, values, units, windows)

    def _descend(self, travel: Travel, values: Tensor, units: Units, windows: Mapping[int, Tensor]) -> Projected:
        channels = self.graph.nodes[travel.cone.target].shape[1]
        begin = torch.ones_like(values) if self.start == "one" else values
        if self.rule == "deconvnet":
            begin = begin.clamp(min=0)
        signal = values.new_zeros(len(units), channels, 1, 1)
        signal[torch.arange(len(units)), units.channel, 0, 0] = begin
        crops = travel.backward(signal, windows, self.rule, self.lrn)
        return Projected(values, crops, travel.cone.starts(0, units.position))

    def _batches(self, layer: str, rows: Tensor) -> Sequence[Tensor]:
        step = max(1, MEMORY // (4 * self._cone(layer).elements))
        return torch.split(rows, step) if len(rows) else []

    def _whole(self, pictures: Tensor, layer: str, units: Units) -> Projected:
        """Full pictures by autograd, a few units at a time."""
        shape = self.graph.node(layer).shape[1:]
        parts = []
        for rows in torch.split(torch.arange(len(units)), WHOLE):
            part = units.rows(rows)
            selection = pictures.new_zeros(len(part), *shape)
            index = (torch.arange(len(part)), part.channel)
            selection[(*index, *part.position.unbind(1)) if len(shape) == 3 else index] = 1
            batch, rules, times = pictures[part.picture], (self.rule, self.lrn), self.graph.times
            values, pixels, _ = whole(self.module, batch, layer, selection, *rules, start=self.start, times=times)
            parts.append((rows, Projected(values, pixels, torch.zeros(len(part), 2, dtype=torch.long))))
        return _reassemble(parts, len(units))


def _reassemble(parts: Sequence[tuple[Tensor, Projected]], count: int) -> Projected:
    order = torch.cat([rows for rows, _ in parts])
    place = torch.empty(count, dtype=torch.long)
    place[order] = torch.arange(count)
    values, crops, top_left = (
        torch.cat([getattr(part, name) for _, part in parts])[place] for name in ("values", "crops", "top_left")
    )
    return Projected(values, crops, top_left)


def whole(
    module: nn.Module,
    pictures: Tensor,
    layer: str,
    selection: Tensor,
    rule: Rule = "deconvnet",
    lrn: LRN = "identity",
    unpool: Unpool = "switch",
    start: Start = "activation",
    times: Mapping[str, int] | None = None,
) -> tuple[Tensor, Tensor, list[str]]:
    """Project over the full picture by autograd under `Rectified`: any network, any selection.

    `pictures` (N, C, H, W) in network space, `selection` the shape of the layer's output: what to begin with, times the
    activation where `start` is "activation"; `times` as in `record.run`. Returns the selected activations summed (N,),
    the projections (N, C, H, W), and the rectifiers replaced. Raises NetworkError for a rectifier it cannot reach.
    """
    check("start", start, Start)
    pictures = pictures.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    with torch.enable_grad():
        with Rectified(rule, lrn, unpool) as mode:
            output: Tensor = run(module, pictures, [layer], times=times)[layer]
        if rule != "gradient" and (missed := uncaught(output)):
            raise NetworkError(
                f"rule {rule!r} cannot reach {len(missed)} rectifier(s) on the way to {layer!r} ({missed[0]}): "
                "scripted modules must be given as the plain modules they were made from"
            )
        if output.shape != selection.shape:
            raise ArgumentError(
                "selection", tuple(selection.shape), f"expected the shape of {layer}, {tuple(output.shape)}"
            )
        begin = selection if start == "one" else selection * output.detach()
        if rule == "deconvnet":
            begin = begin.clamp(min=0)
        (pixels,) = torch.autograd.grad(output, pictures, begin, allow_unused=True)
    values = (selection * output.detach()).flatten(1).sum(1)
    return values, torch.zeros_like(pictures) if pixels is None else pixels, mode.caught


def expected_rectifiers(graph: Graph, layer: str) -> list[str]:
    """The rectifiers on the way to a layer, in order."""
    target = graph.node(layer).index
    below = [graph.nodes[n] for n in graph.ancestors(target)]
    return [node.op for node in below if is_rectifier(node.op, node.args, node.kwargs)]
