"""Exact inference on a picture of which only a box has changed: the rest comes from the maps of the whole picture.

    incremental = Incremental(module, graph, axes, picture, {"relu5": 42})
    found = incremental(cover, occluders)              # outputs (B, classes), and map 42 of relu5 for each

An occluder changes a small box of the picture, and each layer only a box of its maps (`boxes`). Windows of that size
are carried from layer to layer; what an operation reads beyond them is cut out of the unoccluded maps. From the first
global operation on, maps are put together and the rest runs as always. METHODS F7b.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import NetworkError
from convscope.probe.trace.geometry import Kernel, Spatial, argument
from convscope.probe.trace.graph import INPUT, Graph, Node, trace
from convscope.probe.windows.changed_boxes import Boxes, Group, reaches, weights_of
from convscope.probe.windows.window_ops import SLIDES, beyond, cut, local

WINDOWS = 32 * 2**20  # bytes of the largest windows of a batch: larger ones only cost cache misses
PENDING = 256 * 2**20  # bytes of maps put together at a time, for global operations with
HEAVY = 2**21  # so many weights that reading them for each batch would take long
WHOLE = 32  # whole pictures at a time


@dataclass(frozen=True)
class Found:
    """Row i is occluder i: `outputs` (B, K) of the network, None where not asked for; `maps`: layer -> (B, h, w)."""

    outputs: Tensor | None
    maps: dict[str, Tensor]


@dataclass(frozen=True)
class _Window:
    """The recomputed part of a node's output: `value` at `starts` (B, 2), `size` (h, w)."""

    value: Tensor
    starts: Tensor
    size: tuple[int, int]


class Incremental:
    """Inference on one picture with parts of it covered.

    `module` in evaluation mode; `graph` and `axes`: its traced pass and geometry for pictures of this size; `picture`
    (1, C, H, W) in network space; `channels`: {layer: channel} whose map is wanted; `output`: whether the network's
    outputs are; `whole`: every covered picture runs through all of the network. `outputs` (1, K) and `maps`
    {layer: (1, h, w)} are those of the uncovered picture. Kept warm, it answers for any box. Raises LayerError, and
    NetworkError for a network that fails.
    """

    def __init__(
        self,
        module: nn.Module,
        graph: Graph,
        axes: Sequence[Spatial],
        picture: Tensor,
        channels: Mapping[str, int],
        output: bool = True,
        whole: bool = False,
    ) -> None:
        self.module, self.graph, self.axes = module, graph, axes
        self.picture = picture.contiguous(memory_format=torch.channels_last)
        self.channels, self.output = dict(channels), graph.output if output else None
        self.targets = {layer: graph.node(layer).index for layer in channels}
        self.wanted = {*self.targets.values(), *([] if self.output is None else [self.output])}
        self.needed = sorted({n for wanted in self.wanted for n in graph.ancestors(wanted)})
        self.reads = {} if graph.aliased else reaches(graph, axes, self.needed)
        self.globals = [n for n in self.needed if n not in self.reads]
        self.readers = {i: n for n in self.needed for i in graph.nodes[n].inputs}  # the last of each
        below = {i for n in self.globals for i in graph.nodes[n].inputs} | self.wanted
        self.frontier = sorted(n for n in below if n in self.reads and (n in self.wanted or n not in self.globals))
        sources = {i for n in self.reads for i in graph.nodes[n].inputs}
        sources |= {n for n in self.reads if graph.nodes[n].op == "cat"}
        with torch.no_grad():
            _, self.cached = trace(module, self.picture, sources | set(self.frontier) | self.wanted)
        self.padded: dict[tuple[object, ...], Tensor] = {}
        self.replays = not whole and graph.once(("replays", *sorted(self.wanted)), self._replays)

    @property
    def outputs(self) -> Tensor | None:
        """The network's outputs on the uncovered picture, (1, K)."""
        return None if self.output is None else self.cached[self.output]

    @property
    def maps(self) -> dict[str, Tensor]:
        """The wanted maps of the uncovered picture, each (1, h, w)."""
        return {layer: self.cached[n][:, self.channels[layer]] for layer, n in self.targets.items()}

    def boxes(self, occluders: Tensor, cap: float = 1.0) -> Boxes:
        """The plan for occluders (B, 4): top, left, bottom, right, exclusive; serves other pictures of this size."""
        return Boxes(self.graph, self.axes, self.needed, occluders, cap)

    def __call__(
        self,
        cover: Tensor,
        occluders: Tensor,
        boxes: Boxes | None = None,
        advance: Callable[[int], None] = lambda done: None,
    ) -> Found:
        """What the network makes of the picture where `cover` (C, H, W) replaces it inside each occluder (B, 4).

        `boxes`: the plan, if it is known already. `advance` hears how many occluders are done.
        """
        count = len(occluders)
        outputs = None if self.output is None else self.picture.new_empty(count, *self.cached[self.output].shape[1:])
        maps = {layer: self.picture.new_empty(count, *found.shape[1:]) for layer, found in self.maps.items()}
        with torch.no_grad():
            for rows, values in self._batches(cover, occluders, boxes):
                if outputs is not None and self.output is not None:
                    outputs[rows] = values[self.output]
                for layer, node in self.targets.items():
                    maps[layer][rows] = values[node][:, self.channels[layer]]
                advance(len(rows))
        return Found(outputs, maps)

    def _batches(
        self, cover: Tensor, occluders: Tensor, boxes: Boxes | None
    ) -> Iterator[tuple[Tensor, dict[int, Tensor]]]:
        """Rows, and the values of the wanted nodes for them."""
        if not self.replays:
            for rows in torch.split(torch.arange(len(occluders)), WHOLE):
                yield rows, trace(self.module, self._covered(cover, occluders[rows]), self.wanted)[1]
            return
        boxes = boxes or self.boxes(occluders)
        pending: list[tuple[Tensor, dict[int, Tensor]]] = []
        size = sum(prod(self.cached[n].shape) for n in self.frontier) * self.picture.element_size()
        light = sum(weights_of(self.graph.nodes[n]) for n in self.globals) < HEAVY
        for group in boxes.groups:
            for part in self._split(boxes, group):
                pending.append((torch.from_numpy(part.members), self._windowed(boxes, part, cover, occluders)))
                if light or size * sum(len(rows) for rows, _ in pending) > PENDING:
                    yield self._finished(pending)
                    pending = []
        if pending:
            yield self._finished(pending)

    def _split(self, boxes: Boxes, group: Group) -> Iterator[Group]:
        """A group in batches that fit the memory."""
        numbers = 1
        for index, (h, w) in zip(boxes.nodes, group.sizes.tolist(), strict=True):
            whole = self.axes[index]
            assert whole is not None
            places = (h + 8) * (w + 8) / (whole[0].length * whole[1].length)
            numbers = max(numbers, int(prod(self.graph.nodes[index].shape[1:]) * places))
        step = max(1, WINDOWS // (numbers * self.picture.element_size()))
        for first in range(0, len(group.members), step):
            rows = slice(first, first + step)
            yield Group(group.members[rows], group.starts[:, rows], group.sizes)

    def _windowed(self, boxes: Boxes, group: Group, cover: Tensor, occluders: Tensor) -> dict[int, Tensor]:
        """The whole maps of the frontier for one group, from windows carried up through the graph."""
        windows: dict[int, _Window] = {}
        found: dict[int, Tensor] = {}
        for index, starts, (h, w) in zip(boxes.nodes, group.starts, group.sizes.tolist(), strict=True):
            node, own = self.graph.nodes[index], torch.from_numpy(starts)
            if node.op == INPUT:
                value = self._covered(cover, occluders[torch.from_numpy(group.members)], own, (h, w))
            else:
                value = self._operate(node, windows, own, (h, w))
            windows[index] = _Window(value, own, (h, w))
            if index in self.frontier:
                found[index] = self._read(index, windows[index], torch.zeros_like(own), self._lengths(index))
            for source in set(node.inputs):
                if self.readers[source] == index:
                    del windows[source]
        return found

    def _operate(self, node: Node, windows: Mapping[int, _Window], starts: Tensor, size: tuple[int, int]) -> Tensor:
        kernels = self.reads[node.index]
        assert kernels is not None
        sources = list(dict.fromkeys(node.inputs))
        if node.op in SLIDES and size == self._lengths(node.index):
            window = windows[sources[0]]
            if window.size == self._lengths(sources[0]):
                return node({sources[0]: window.value})  # whole maps, with their own padding
        if node.op == "cat" and any(windows[i].size != size for i in sources):
            return self._joined(node, windows, starts, size)
        strides, paddings = torch.tensor([k.stride for k in kernels]), torch.tensor([k.padding for k in kernels])
        begin = starts * strides - paddings
        rows, columns = ((n - 1) * k.stride + k.extent for n, k in zip(size, kernels, strict=True))
        parts = [self._read(i, windows[i], begin, (rows, columns), node, kernels) for i in sources]
        return local(node, size, self._dims(node.index))(*parts)

    def _joined(self, node: Node, windows: Mapping[int, _Window], starts: Tensor, size: tuple[int, int]) -> Tensor:
        """A concatenation of windows of different sizes, each put into its channels of the unoccluded maps."""
        dims, first, axis = self._dims(node.index), 0, argument(node, 1, "dim", 0)
        joined = cut(self.cached[node.index], dims, torch.zeros(len(starts), dtype=torch.long), starts, size)
        for source in node.inputs:
            window, channels = windows[source], self.graph.nodes[source].shape[axis]
            part = joined.narrow(axis, first, channels)
            paste(part.movedim(dims, (1, 2)), window.value.movedim(dims, (1, 2)), window.starts - starts)
            first += channels
        return joined

    def _read(
        self,
        source: int,
        window: _Window,
        starts: Tensor,
        size: tuple[int, int],
        reader: Node | None = None,
        kernels: tuple[Kernel, Kernel] | None = None,
    ) -> Tensor:
        """A part of a node's maps: unoccluded, but for the window. Outside the map is what `reader` finds there."""
        if window.size == size and torch.equal(window.starts, starts):
            return window.value
        dims, maps = self._dims(source), self.cached[source]
        begin = starts
        if reader is not None and reader.op in SLIDES and kernels is not None:
            maps = self._surrounded(source, reader, kernels)
            begin = starts + torch.tensor([max(0, k.padding) for k in kernels])
        part = cut(maps, dims, torch.zeros(len(starts), dtype=torch.long), begin, size)
        paste(part.movedim(dims, (1, 2)), window.value.movedim(dims, (1, 2)), window.starts - starts)
        return part

    def _surrounded(self, source: int, reader: Node, kernels: tuple[Kernel, Kernel]) -> Tensor:
        """A node's unoccluded maps with all around them that a sliding operation reads."""
        fill, pads = beyond(reader), []
        for length, kernel, outputs in zip(self._lengths(source), kernels, self._lengths(reader.index), strict=True):
            end = (outputs - 1) * kernel.stride - kernel.padding + kernel.extent
            pads.append((max(0, kernel.padding), max(0, end - length)))
        (top, bottom), (left, right) = pads
        key = (source, top, bottom, left, right, fill)
        if key not in self.padded:
            self.padded[key] = F.pad(self.cached[source], (left, right, top, bottom), value=fill)
        return self.padded[key]

    def _covered(
        self, cover: Tensor, occluders: Tensor, starts: Tensor | None = None, size: tuple[int, int] | None = None
    ) -> Tensor:
        """Windows of the picture with the cover inside the occluders: (B, C, h, w); the whole of it by default."""
        size = size or (self.picture.shape[2], self.picture.shape[3])
        starts = torch.zeros(len(occluders), 2, dtype=torch.long) if starts is None else starts
        inside = []
        for axis in range(2):
            places = starts[:, axis, None] + torch.arange(size[axis])
            inside.append((places >= occluders[:, axis, None]) & (places < occluders[:, axis + 2, None]))
        mask = (inside[0][:, None, :, None] & inside[1][:, None, None, :]).to(self.picture.device)
        both = torch.cat([self.picture, cover[None].to(self.picture)])
        first = torch.zeros(len(occluders), dtype=torch.long)
        plain, other = (cut(both, (2, 3), first + which, starts, size) for which in (0, 1))
        return torch.where(mask, other, plain).contiguous(memory_format=torch.channels_last)

    def _finished(self, pending: Sequence[tuple[Tensor, dict[int, Tensor]]]) -> tuple[Tensor, dict[int, Tensor]]:
        rows = _stacked([rows for rows, _ in pending])
        values = {n: _stacked([found[n] for _, found in pending]) for n in self.frontier}
        return rows, self._rest(values)

    def _rest(self, values: dict[int, Tensor]) -> dict[int, Tensor]:
        """The wanted nodes from whole maps of the frontier, a few pictures at a time where maps are large."""
        largest = max((prod(self.graph.nodes[n].shape) for n in self.globals), default=1)
        step = max(WHOLE, WINDOWS // (largest * self.picture.element_size()))
        count = len(next(iter(values.values())))
        parts = []
        for first in range(0, count, step):
            known = {n: value[first : first + step] for n, value in values.items()}
            for index in self.globals:
                node = self.graph.nodes[index]
                known[index] = _evaluated(node, known)
            parts.append({n: known[n] for n in self.wanted})
        return {n: _stacked([part[n] for part in parts]) for n in self.wanted}

    def _replays(self) -> bool:
        """Whether what is global can be evaluated node by node on several pictures at once."""
        if self.graph.aliased or 0 not in self.reads:
            return False
        try:
            with torch.no_grad():
                again = self._rest({n: torch.cat([self.cached[n]] * 2) for n in self.frontier})
        except (RuntimeError, NetworkError, TypeError, ValueError, IndexError):
            return False
        return all(
            again[n].shape[1:] == self.cached[n].shape[1:]
            and len(again[n]) == 2
            and torch.allclose(again[n], self.cached[n], rtol=1e-4, atol=1e-5 * float(self.cached[n].abs().max()))
            for n in self.wanted
        )

    def _dims(self, index: int) -> tuple[int, int]:
        spatial = self.axes[index]
        assert spatial is not None
        return spatial[0].dim, spatial[1].dim

    def _lengths(self, index: int) -> tuple[int, int]:
        spatial = self.axes[index]
        assert spatial is not None
        return spatial[0].length, spatial[1].length


def _evaluated(node: Node, known: Mapping[int, Tensor]) -> Tensor:
    """A node's value for several pictures, though its traced call may name a batch of one."""
    if node.op in {"view", "reshape"}:
        return known[node.inputs[0]].reshape(-1, *node.shape[1:])
    weight, bias = argument(node, 1, "weight"), argument(node, 2, "bias")
    if node.op == "linear" and bias is not None and known[node.inputs[0]].dim() == 2:
        return torch.addmm(bias[:, None], weight, known[node.inputs[0]].T).T  # a sixth faster with many weights
    return node(known)


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """One below the other; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def paste(into: Tensor, windows: Tensor, places: Tensor) -> None:
    """Put windows (B, h, w, ...) into (B, H, W, ...), row i at `places[i]`; what lies outside is left out."""
    height, width = into.shape[1:3]
    h, w = windows.shape[1:3]
    first = 0
    for (r, c), run in groupby(map(tuple, places.tolist())):  # neighbours are often at the same place
        rows = slice(first, first := first + len(list(run)))
        t, l, b, e = max(r, 0), max(c, 0), min(r + h, height), min(c + w, width)  # noqa: E741
        if t < b and l < e:
            into[rows, t:b, l:e] = windows[rows, t - r : b - r, l - c : e - c]
