"""Projection: from a unit back to the pixels that excited it (METHODS V1, V6).

A unit at one position depends on its cone only, so `Reverse` works on receptive-field-sized windows: many units of
several layers in one batch, each with its own picture, channel and position. Where the cone has no windowed form
(global operations, whole maps, other unpoolings) `whole` projects over the full picture by autograd. The two agree.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from convscope.errors import ArgumentError, NetworkError
from convscope.probe.rectify import LRN, Rectified, Rule, Unpool, check, is_rectifier, uncaught
from convscope.probe.trace.geometry import Spatial
from convscope.probe.trace.graph import Graph, trace
from convscope.probe.trace.record import run
from convscope.probe.windows.cones import Cone, Cones, cones, fit, saved, whole_macs

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
        self.cones: dict[str, Cones | None] = {}
        for layer in layers:
            node = graph.node(layer).index
            self.cones[layer] = cones(graph, axes, node) if len(graph.nodes[node].shape) == 4 else None

    def __call__(self, pictures: Tensor, units: Mapping[str, Units]) -> dict[str, Projected]:
        """Project `units[layer]` on `pictures` (N, C, H, W) in network space."""
        windowed = {layer: u for layer, u in units.items() if self.cones[layer] is not None and len(u)}
        results = {layer: self._whole(pictures, layer, u) for layer, u in units.items() if layer not in windowed}
        if windowed:
            results |= self._windowed(pictures, windowed, self._sharing_pays(len(pictures), windowed))
        return {layer: results[layer] for layer in units}

    def _cones(self, layer: str) -> Cones:
        found = self.cones[layer]
        assert found is not None
        return found

    def _sharing_pays(self, pictures: int, units: Mapping[str, Units]) -> Tensor:
        """For which pictures (N,) one forward pass costs less than a cone for each of their units."""
        last = max(self._cones(layer).whole.target for layer in units)
        alone = torch.zeros(pictures, dtype=torch.float64)
        for layer, u in units.items():
            for found, rows in self._cones(layer).groups(u.position):
                alone.index_add_(0, u.picture[rows], alone.new_full((len(rows),), found.macs))
        return alone >= whole_macs(self.graph, last)

    def _windowed(self, pictures: Tensor, units: Mapping[str, Units], shared: Tensor) -> dict[str, Projected]:
        """Units on pictures that `shared` (N,) names share a forward pass; each of the others computes its own cone."""
        results = {layer: self._blank(pictures, layer, u) for layer, u in units.items()}
        with torch.no_grad():
            for layer, u in units.items():
                self._alone(pictures, layer, u, (~shared[u.picture]).nonzero()[:, 0], results[layer])
            self._shared(pictures, units, shared.nonzero()[:, 0], results)
        return results

    def _blank(self, pictures: Tensor, layer: str, units: Units) -> Projected:
        whole = self._cones(layer).whole
        crops = pictures.new_empty(len(units), *whole.shape(0))
        return Projected(pictures.new_empty(len(units)), crops, whole.starts(0, units.position))

    def _shared(
        self, pictures: Tensor, units: Mapping[str, Units], chosen: Tensor, results: Mapping[str, Projected]
    ) -> None:
        """One forward pass for each of the pictures `chosen`; the windows of their units are cut out of its maps."""
        needed = {layer: saved(self._cones(layer).whole, self.rule, self.lrn) for layer in units}
        keep = {self._cones(layer).whole.target for layer in units}.union(*needed.values())
        size = sum(torch.Size(self.graph.nodes[n].shape[1:]).numel() for n in keep) * pictures.element_size()
        for some in torch.split(chosen, max(1, MEMORY // max(1, size))) if len(chosen) else ():
            _, maps = trace(self.module, pictures[some].contiguous(memory_format=torch.channels_last), keep)
            place = torch.full((len(pictures),), -1)
            place[some] = torch.arange(len(some))
            for layer, every in units.items():
                for found, rows in self._batches(layer, every, (place[every.picture] >= 0).nonzero()[:, 0]):
                    part = every.rows(rows)
                    part = Units(place[part.picture], part.channel, part.position)
                    values = maps[found.target][part.picture, part.channel, *part.position.unbind(1)]
                    windows = {n: found.gather(n, maps[n], part.picture, part.position) for n in needed[layer]}
                    results[layer].values[rows] = values
                    results[layer].crops[rows] = self._descend(layer, found, values, part, windows)

    def _alone(self, pictures: Tensor, layer: str, units: Units, chosen: Tensor, result: Projected) -> None:
        """Each of the units `chosen` computes its own cone, from the receptive field up."""
        for found, rows in self._batches(layer, units, chosen):
            part = units.rows(rows)
            picture = found.gather(0, pictures, part.picture, part.position)
            windows = found.forward(picture.contiguous(memory_format=torch.channels_last))
            values = windows[found.target][torch.arange(len(part)), part.channel, 0, 0]
            result.values[rows] = values
            result.crops[rows] = self._descend(layer, found, values, part, windows)

    def _batches(self, layer: str, units: Units, rows: Tensor) -> Iterator[tuple[Cone, Tensor]]:
        """Rows of `units` in batches of those that the borders clip alike, with their cone."""
        for found, members in self._cones(layer).groups(units.position[rows]):
            for part in torch.split(rows[members], max(1, MEMORY // (4 * found.elements))):
                yield found, part

    def _descend(self, layer: str, found: Cone, values: Tensor, units: Units, windows: Mapping[int, Tensor]) -> Tensor:
        """The projections of one batch over the whole receptive field, zero where the border clipped it."""
        begin = torch.ones_like(values) if self.start == "one" else values
        if self.rule == "deconvnet":
            begin = begin.clamp(min=0)
        signal = values.new_zeros(len(units), *found.shape(found.target))
        signal[torch.arange(len(units)), units.channel, 0, 0] = begin
        crops = found.backward(signal, windows, self.rule, self.lrn)
        return fit(crops, found.dims(0), found.windows[0], self._cones(layer).whole.windows[0], 0.0)

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
