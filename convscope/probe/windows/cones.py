"""A traced graph on a moving window: for every node the box a unit depends on, and both directions of travel over it.

`cones` gives, for a target node, the window of each node it depends on: relative to the target's position, the same for
every unit of a layer, but that the borders of the maps clip it. `Cone.forward` evaluates the graph on such windows,
`Cone.backward` takes a signal down through them. Operations run without padding: what padding would have put there
(zero, or minus infinity below a max-pool) is put around the windows that reach the border, and nothing outside the maps
is ever computed. Batches mix pictures, channels, and positions that are clipped alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.probe.rectify import is_rectifier, normaliser, signal_rule
from convscope.probe.trace.geometry import VIEWS, Kernel, Spatial, argument, pair
from convscope.probe.trace.graph import INPUT, Graph, Node
from convscope.probe.windows.window_ops import beyond, local, reach


@dataclass(frozen=True)
class Span:
    """Along one axis: positions [slope·p + offset, … + size) of a node, for the target's position p."""

    slope: int
    offset: int
    size: int

    def below(self, kernel: Kernel) -> "Span":
        """What a sliding operation reads to make this span."""
        return Span(
            self.slope * kernel.stride,
            self.offset * kernel.stride - kernel.padding,
            (self.size - 1) * kernel.stride + kernel.extent,
        )

    def union(self, other: "Span") -> "Span":
        """The span around both."""
        start = min(self.offset, other.offset)
        return Span(self.slope, start, max(self.offset + self.size, other.offset + other.size) - start)

    def within(self, position: int, length: int) -> "Span":
        """The part inside a map of `length`, one place at least, where the target's position is `position`."""
        start = self.slope * position + self.offset
        first = min(max(start, 0), length - 1)
        stop = max(min(start + self.size, length), first + 1)
        return Span(self.slope, first - self.slope * position, stop - first)


Window = tuple[Span, Span]
LINEAR = VIEWS | {"conv2d", "pad", "avg_pool2d", "adaptive_avg_pool2d", "batch_norm", "add", "sub", "neg", "cat"}
LINEAR |= {"linear", "contiguous", "clone", "detach", "identity", "dropout"}
FEW = 8  # input channels below which a strided convolution's adjoint is quicker as a convolution of its phases


class Cone:
    """The windows of all nodes that some units of `target` depend on, and both directions of travel over them.

    Row i of every batch is one unit, at its own position, of any channel and picture.
    """

    def __init__(self, graph: Graph, axes: Sequence[Spatial], target: int, windows: Mapping[int, Window]) -> None:
        self.graph, self.axes, self.target, self.windows = graph, axes, target, windows
        self.order = sorted(windows)

    @property
    def macs(self) -> int:
        """Multiplications of the cone's convolutions, forward, a unit."""
        return sum(_macs(self.graph.nodes[n], self.windows[n][0].size * self.windows[n][1].size) for n in self.order)

    @property
    def elements(self) -> int:
        """Numbers held by all windows of one unit: what a batch costs in memory."""
        return sum(torch.Size(self.shape(index)).numel() for index in self.windows)

    def dims(self, index: int) -> tuple[int, int]:
        """Which dimensions of a node's output are rows and columns."""
        spatial = self.axes[index]
        assert spatial is not None
        return spatial[0].dim, spatial[1].dim

    def shape(self, index: int, window: Window | None = None) -> list[int]:
        """The shape of a node's window, of one unit without the batch."""
        rows, columns = window or self.windows[index]
        shape, (r, c) = list(self.graph.nodes[index].shape), self.dims(index)
        shape[r], shape[c] = rows.size, columns.size
        return shape[1:]

    def starts(self, index: int, positions: Tensor) -> Tensor:
        """Where each unit's window of a node begins: positions (B, 2) of the target -> (B, 2)."""
        rows, columns = self.windows[index]
        slope = positions.new_tensor([rows.slope, columns.slope])
        return positions * slope + positions.new_tensor([rows.offset, columns.offset])

    def gather(self, index: int, maps: Tensor, which: Tensor, positions: Tensor) -> Tensor:
        """Each unit's window of a node, out of whole maps: row i from picture `which[i]`."""
        (rows, columns), dims = self.windows[index], self.dims(index)
        r, c = self.starts(index, positions).unbind(1)
        places = maps.movedim(dims, (1, 2)).unfold(1, rows.size, 1).unfold(2, columns.size, 1)
        return places[which, r, c].movedim((-2, -1), dims)

    def needs(self, node: Node) -> dict[int, Window]:
        """What this node reads of each of its inputs, padding included."""
        found = _below(self.graph, self.axes, node, self.windows[node.index])
        assert found is not None
        return found

    def operation(self, node: Node) -> Callable[..., Tensor]:
        """`node` on its windows."""
        rows, columns = self.windows[node.index]
        return local(node, (rows.size, columns.size), self.dims(node.index))

    def inputs(self, node: Node, windows: Mapping[int, Tensor]) -> list[Tensor]:
        """What `node` reads: its part of each input's window, with padding where it slides over the border."""
        return [
            fit(windows[source], self.dims(source), self.windows[source], need, beyond(node))
            for source, need in self.needs(node).items()
        ]

    def forward(self, picture: Tensor) -> dict[int, Tensor]:
        """Windows of all nodes from the windows of the picture (B, C, h, w)."""
        windows = {0: picture}
        for index in self.order[1:]:
            node = self.graph.nodes[index]
            windows[index] = self.operation(node)(*self.inputs(node, windows))
        return windows

    def backward(self, signal: Tensor, windows: Mapping[int, Tensor], rule: str, lrn: str) -> Tensor:
        """Take `signal` (at the target, windows of one unit) down to the picture's windows, (B, C, h, w).

        `windows` must hold what `saved` names.
        """
        signals = {self.target: signal}
        for index in reversed(self.order[1:]):
            node = self.graph.nodes[index]
            below = self._adjoint(node, signals.pop(index), windows, rule, lrn)
            for (source, need), part in zip(self.needs(node).items(), below, strict=True):
                part = fit(part, self.dims(source), need, self.windows[source], 0.0)
                signals[source] = signals[source] + part if source in signals else part
        return signals[0]

    def _adjoint(
        self, node: Node, signal: Tensor, windows: Mapping[int, Tensor], rule: str, lrn: str
    ) -> Sequence[Tensor]:
        if node.op == "conv2d":
            return [_transposed(node, signal)]
        if is_rectifier(node.op, node.args, node.kwargs):
            looks = rule in {"guided", "gradient"}
            source = self._read(node, windows, signal)[0] if looks else signal
            return [signal_rule(rule, self.operation(node), source)(signal)]
        if node.op == "local_response_norm" and lrn != "gradient":
            source = self._read(node, windows, signal)[0] if lrn == "scale" else signal
            value = self.operation(node)(source) if lrn == "scale" else source
            return [normaliser(lrn, source, value)(signal)]
        distinct = len(set(node.inputs)) == len(node.inputs)
        if node.op == "add" and distinct and not node.kwargs:
            return [signal] * len(node.inputs)
        if node.op == "cat" and distinct:
            dim = argument(node, 1, "dim", 0)
            return torch.split(signal, [self.graph.nodes[i].shape[dim] for i in node.inputs], dim)
        if node.op == "batch_norm" and len(node.args) > 3 and node.args[3] is not None:
            scale = node.args[3] * torch.rsqrt(node.args[2] + argument(node, 7, "eps", 1e-5))
            return [signal * scale[:, None, None]]
        if node.op == "dropout":
            return [signal]
        read = [part.detach().requires_grad_() for part in self._read(node, windows, signal)]
        with torch.enable_grad():
            output = self.operation(node)(*read)
            return torch.autograd.grad(output, read, signal.expand_as(output))

    def _read(self, node: Node, windows: Mapping[int, Tensor], signal: Tensor) -> list[Tensor]:
        """The node's inputs where they were kept; where its adjoint does not look at them, any will do."""
        if all(i in windows for i in node.inputs):
            return self.inputs(node, windows)
        needs = self.needs(node)
        return [signal.new_zeros(len(signal), *self.shape(source, need)) for source, need in needs.items()]


class Cones:
    """The cones below all units of a node: alike but for those that the borders of the maps clip.

    `whole` is the cone of a unit far from all borders.
    """

    def __init__(self, whole: Cone) -> None:
        self.whole = whole
        self._kind: dict[tuple[int, int], int] = {}  # (axis, position) -> which of `_spans`
        self._spans: list[tuple[Span, ...]] = []
        self._cones: dict[tuple[int, int], Cone] = {}

    def groups(self, positions: Tensor) -> list[tuple[Cone, Tensor]]:
        """Units at `positions` (B, 2) by the way they are clipped: each cone with the rows of its units."""
        rows: dict[tuple[int, int], list[int]] = {}
        for row, (r, c) in enumerate(positions.tolist()):
            rows.setdefault((self._clipped(0, r), self._clipped(1, c)), []).append(row)
        return [(self._cone(kinds), torch.tensor(members)) for kinds, members in rows.items()]

    def _clipped(self, axis: int, position: int) -> int:
        key = (axis, position)
        if key not in self._kind:
            graph, axes, target = self.whole.graph, self.whole.axes, self.whole.target
            windows = _windows(graph, axes, target, (position, 0) if axis == 0 else (0, position))
            assert windows is not None
            spans = tuple(windows[index][axis] for index in self.whole.order)
            if spans not in self._spans:
                self._spans.append(spans)
            self._kind[key] = self._spans.index(spans)
        return self._kind[key]

    def _cone(self, kinds: tuple[int, int]) -> Cone:
        if kinds not in self._cones:
            pairs = zip(*(self._spans[kind] for kind in kinds), strict=True)
            windows = dict(zip(self.whole.order, pairs, strict=True))
            self._cones[kinds] = Cone(self.whole.graph, self.whole.axes, self.whole.target, windows)
        return self._cones[kinds]


def _macs(node: Node, places: int) -> int:
    if node.op != "conv2d":
        return 0
    weight = argument(node, 1, "weight")
    return int(weight.numel()) * places


def whole_macs(graph: Graph, target: int) -> int:
    """Multiplications of the convolutions of a full forward pass up to `target`, a picture."""
    return sum(
        _macs(graph.nodes[n], graph.nodes[n].shape[-1] * graph.nodes[n].shape[-2]) for n in graph.ancestors(target)
    )


def cones(graph: Graph, axes: Sequence[Spatial], target: int) -> Cones | None:
    """The cones below the units of `target`; None where something on the way is global or has no windowed form."""
    if graph.aliased or axes[target] is None:
        return None
    windows = _windows(graph, axes, target)
    return None if windows is None else Cones(Cone(graph, axes, target, windows))


def _windows(
    graph: Graph, axes: Sequence[Spatial], target: int, position: tuple[int, int] | None = None
) -> dict[int, Window] | None:
    """The windows below one unit of `target`, clipped to the maps where it stands at `position`."""
    unit = Span(1, 0, 1)
    windows: dict[int, Window] = {target: (unit, unit)}
    for index in reversed(graph.ancestors(target)):
        node = graph.nodes[index]
        if node.op == INPUT:
            continue
        below = _below(graph, axes, node, windows[index])
        if below is None:
            return None
        for origin, (rows, columns) in below.items():
            if origin in windows:
                have = windows[origin]
                if (have[0].slope, have[1].slope) != (rows.slope, columns.slope):
                    return None
                rows, columns = rows.union(have[0]), columns.union(have[1])
            spatial = axes[origin]
            if position is not None and spatial is not None:
                rows, columns = (
                    rows.within(position[0], spatial[0].length),
                    columns.within(position[1], spatial[1].length),
                )
            windows[origin] = (rows, columns)
    return windows


def _below(graph: Graph, axes: Sequence[Spatial], node: Node, window: Window) -> dict[int, Window] | None:
    found = reach(axes, node)
    if found is None:
        return None
    return dict.fromkeys(node.inputs, (window[0].below(found[0]), window[1].below(found[1])))


def fit(tensor: Tensor, dims: tuple[int, int], have: Window, need: Window, fill: float) -> Tensor:
    """A window `have` cut and filled up to a window `need` of the same node."""
    pads = [0] * (2 * tensor.dim())
    for dim, h, n in zip(dims, have, need, strict=True):
        first = min(max(h.offset, n.offset), h.offset + h.size)
        stop = max(min(h.offset + h.size, n.offset + n.size), first)
        tensor = tensor.narrow(dim, first - h.offset, stop - first)
        place = 2 * (tensor.dim() - 1 - dim)  # `pad` counts from the last dimension
        pads[place] = min(max(first - n.offset, 0), n.size) if stop > first else 0
        pads[place + 1] = n.size - (stop - first) - pads[place]
    return F.pad(tensor, pads, value=fill) if any(pads) else tensor


def _transposed(node: Node, signal: Tensor) -> Tensor:
    """The adjoint of a convolution without padding."""
    weight, stride, dilation, groups = (
        argument(node, place, name, 1) for place, name in ((1, "weight"), (3, "stride"), (5, "dilation"), (6, "groups"))
    )
    step = pair(stride)[0]
    if weight.shape[1] >= FEW or groups != 1 or step == 1 or pair(stride)[1] != step or pair(dilation) != (1, 1):
        return F.conv_transpose2d(signal, weight, None, stride, 0, 0, groups, dilation)
    # Outputs a stride apart depend on the same taps: a convolution with step² times the channels makes all of them.
    high, wide = (-(-size // step) for size in weight.shape[2:])
    phases = F.pad(weight, (0, wide * step - weight.shape[3], 0, high * step - weight.shape[2])).contiguous()
    phases = phases.view(*weight.shape[:2], high, step, wide, step).permute(1, 3, 5, 0, 2, 4)
    spread = F.conv2d(signal, phases.flatten(0, 2).flip(2, 3), None, 1, (high - 1, wide - 1))
    rows, columns = ((n - 1) * step + size for n, size in zip(signal.shape[2:], weight.shape[2:], strict=True))
    return F.pixel_shuffle(spread, step)[:, :, :rows, :columns]


def saved(cone: Cone, rule: str, lrn: str) -> set[int]:
    """The nodes whose values `backward` looks at: what lies below a switch, a mask or any other non-linear adjoint."""
    needed: set[int] = set()
    for index in cone.order[1:]:
        node = cone.graph.nodes[index]
        if is_rectifier(node.op, node.args, node.kwargs):
            looks = rule in {"guided", "gradient"}
        elif node.op == "local_response_norm":
            looks = lrn != "identity"
        elif node.op in {"mul", "div"}:
            looks = len(node.inputs) > 1
        else:
            looks = node.op not in LINEAR
        if looks:
            needed.update(node.inputs)
    return needed
