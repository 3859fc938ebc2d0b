"""A traced graph on a moving window: for every node the box a unit depends on, and both directions of travel over it.

`cone` gives, for a target node, the window of each node it depends on: relative to the target's position, the same for
every unit of a layer. `forward` evaluates the graph on such windows, `backward` takes a signal down through them. Both
work without padding: positions outside the real map are what padding would have put there (zero, or minus infinity
below a max-pool). Batches mix pictures, channels and positions. Used by projection and by incremental inference.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.probe.geometry import POINTWISE, VIEWS, Kernel, Spatial, argument, kernels
from convscope.probe.graph import INPUT, Graph, Node
from convscope.probe.rectify import is_rectifier, normaliser, signal_rule


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


Window = tuple[Span, Span]
POOLS = {"max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"}
SLIDES = POOLS | {"conv2d"}
LINEAR = VIEWS | {"conv2d", "avg_pool2d", "adaptive_avg_pool2d", "batch_norm", "add", "sub", "neg", "cat", "dropout"}
LINEAR |= {"linear", "contiguous", "clone", "detach", "identity"}


class Cone:
    """The windows of all nodes that one unit of `target` depends on, and how to travel over them."""

    def __init__(self, graph: Graph, axes: Sequence[Spatial], target: int, windows: dict[int, Window]) -> None:
        self.graph, self.axes, self.target, self.windows = graph, axes, target, windows
        self.order = sorted(windows)

    @property
    def macs(self) -> int:
        """Multiplications of the cone's convolutions, forward, a unit."""
        return sum(_macs(self.graph.nodes[n], self.windows[n][0].size * self.windows[n][1].size) for n in self.order)

    @property
    def elements(self) -> int:
        """Numbers held by all windows of one unit: what a batch costs in memory."""
        total = 0
        for index, (rows, columns) in self.windows.items():
            shape, (r, c) = self.graph.nodes[index].shape, self.dims(index)
            count = 1
            for dim, length in enumerate(shape[1:], 1):
                count *= {r: rows.size, c: columns.size}.get(dim, length)
            total += count
        return total

    def dims(self, index: int) -> tuple[int, int]:
        """Which dimensions of a node's output are rows and columns."""
        spatial = self.axes[index]
        assert spatial is not None
        return spatial[0].dim, spatial[1].dim

    def lengths(self, index: int) -> tuple[int, int]:
        """Height and width of a node's whole map."""
        spatial = self.axes[index]
        assert spatial is not None
        return spatial[0].length, spatial[1].length

    def starts(self, index: int, positions: Tensor) -> Tensor:
        """Where each unit's window of a node begins: positions (B, 2) of the target -> (B, 2)."""
        rows, columns = self.windows[index]
        slope = positions.new_tensor([rows.slope, columns.slope])
        return positions * slope + positions.new_tensor([rows.offset, columns.offset])

    def gather(self, index: int, maps: Tensor, which: Tensor, positions: Tensor) -> Tensor:
        """Each unit's window of a node, out of whole maps: row i from picture `which[i]`; outside repeats the edge."""
        starts, (rows, columns) = self.starts(index, positions), self.windows[index]
        dims = self.dims(index)
        r = (starts[:, :1] + torch.arange(rows.size)).clamp(0, self.lengths(index)[0] - 1)
        c = (starts[:, 1:] + torch.arange(columns.size)).clamp(0, self.lengths(index)[1] - 1)
        cut = maps.movedim(dims, (1, 2))[which[:, None, None], r[:, :, None], c[:, None, :]]
        return cut.movedim((1, 2), dims)

    def outside(self, index: int, positions: Tensor) -> Tensor | None:
        """Which places of the windows lie outside the node's map: (B, h, w); None when none does."""
        starts, spans, lengths = self.starts(index, positions), self.windows[index], self.lengths(index)
        masks = []
        for axis in range(2):
            places = starts[:, axis : axis + 1] + torch.arange(spans[axis].size)
            masks.append((places < 0) | (places >= lengths[axis]))
        mask = masks[0][:, :, None] | masks[1][:, None, :]
        return mask if bool(mask.any()) else None

    def needs(self, node: Node) -> dict[int, Window]:
        """The part of each input's window that this node reads."""
        found = _below(self.graph, self.axes, node, self.windows[node.index])
        assert found is not None
        return found


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


def cone(graph: Graph, axes: Sequence[Spatial], target: int) -> Cone | None:
    """The windows below one unit of `target`; None where something on the way is global or has no windowed form."""
    if graph.aliased or axes[target] is None:
        return None
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
            windows[origin] = (rows, columns)
    return Cone(graph, axes, target, windows)


def _below(graph: Graph, axes: Sequence[Spatial], node: Node, window: Window) -> dict[int, Window] | None:
    own, inputs = axes[node.index], node.inputs
    if own is None or any(axes[i] is None for i in inputs):
        return None
    if node.op in SLIDES:
        source = axes[inputs[0]]
        assert source is not None
        found = kernels(node, (source[0].length, source[1].length))
        if found is None or not _plain_average(node) or (source[0].dim, source[1].dim) != (2, 3):
            return None
        return {inputs[0]: (window[0].below(found[0]), window[1].below(found[1]))}
    if node.op not in POINTWISE | VIEWS | {"cat", "linear", "layer_norm", "softmax", "log_softmax"}:
        return None
    for origin in inputs:
        for theirs, ours in zip(axes[origin] or (), own, strict=True):
            moved = node.op in VIEWS and (theirs.start, theirs.jump) != (ours.start, ours.jump)
            if theirs.length != ours.length or moved:
                return None
    return dict.fromkeys(inputs, window)


def _plain_average(node: Node) -> bool:
    """Average pooling divides by the same number everywhere (no padding left out of the count, no clipped window)."""
    if node.op != "avg_pool2d":
        return True
    padding = argument(node, 3, "padding", 0)
    padded = any(padding) if isinstance(padding, tuple) else bool(padding)
    return not argument(node, 4, "ceil_mode", False) and (
        not padded or bool(argument(node, 5, "count_include_pad", True))
    )


def _crop(tensor: Tensor, dims: tuple[int, int], have: Window, need: Window) -> Tensor:
    for dim, h, n in zip(dims, have, need, strict=True):
        if h != n:
            tensor = tensor.narrow(dim, n.offset - h.offset, n.size)
    return tensor


def _spread(mask: Tensor, rank: int, dims: tuple[int, int]) -> Tensor:
    """A (B, h, w) mask in the shape of a node's output."""
    shape = [mask.shape[0]] + [1] * (rank - 1)
    shape[dims[0]], shape[dims[1]] = mask.shape[1], mask.shape[2]
    return mask.view(shape)


def local(node: Node, sizes: tuple[int, int], dims: tuple[int, int]) -> Callable[..., Tensor]:
    """The node's operation on windows: without padding, with shapes that fit a window of `sizes`."""
    if node.op == "conv2d":
        weight, bias = argument(node, 1, "weight"), argument(node, 2, "bias")
        stride, dilation = argument(node, 3, "stride", 1), argument(node, 5, "dilation", 1)
        return lambda x: F.conv2d(x, weight, bias, stride, 0, dilation, argument(node, 6, "groups", 1))
    if node.op == "max_pool2d":
        size = argument(node, 1, "kernel_size")
        stride, dilation = argument(node, 2, "stride") or size, argument(node, 4, "dilation", 1)
        return lambda x: F.max_pool2d(x, size, stride, 0, dilation)
    if node.op == "avg_pool2d":
        size = argument(node, 1, "kernel_size")
        stride, divisor = argument(node, 2, "stride") or size, argument(node, 6, "divisor_override")
        return lambda x: F.avg_pool2d(x, size, stride, divisor_override=divisor)
    if node.op in {"adaptive_avg_pool2d", "adaptive_max_pool2d"}:
        pool = F.avg_pool2d if node.op == "adaptive_avg_pool2d" else F.max_pool2d
        return lambda x: pool(x, (x.shape[2] // sizes[0], x.shape[3] // sizes[1]))
    if node.op in {"view", "reshape", "flatten", "unflatten"}:
        shape = [-1, *node.shape[1:]]
        shape[dims[0]], shape[dims[1]] = sizes
        return lambda x: x.reshape(shape)
    order = list(dict.fromkeys(node.inputs))
    return lambda *inputs: node(dict(zip(order, inputs, strict=True)))


class Travel:
    """One batch of units over a cone: windows of chosen nodes, forward and backward.

    `positions` (B, 2) of the target, on the CPU.
    """

    def __init__(self, cone: Cone, positions: Tensor) -> None:
        self.cone, self.positions = cone, positions
        self._outside: dict[int, Tensor | None] = {}

    def _mask(self, index: int, need: Window, device: torch.device) -> Tensor | None:
        if index not in self._outside:
            self._outside[index] = self.cone.outside(index, self.positions)
        mask = self._outside[index]
        return None if mask is None else _crop(mask, (1, 2), self.cone.windows[index], need).to(device)

    def inputs(self, node: Node, windows: Mapping[int, Tensor]) -> list[Tensor]:
        """What `node` reads: its part of each input's window, padding in place where it slides over the border."""
        read = []
        for source, need in self.cone.needs(node).items():
            dims = self.cone.dims(source)
            part = _crop(windows[source], dims, self.cone.windows[source], need)
            mask = self._mask(source, need, part.device) if node.op in SLIDES else None
            if mask is not None:
                fill = float("-inf") if "max_pool" in node.op else 0.0
                part = part.masked_fill(_spread(mask, part.dim(), dims), fill)
            read.append(part)
        return read

    def operation(self, node: Node) -> Callable[..., Tensor]:
        """`node` on its windows."""
        rows, columns = self.cone.windows[node.index]
        return local(node, (rows.size, columns.size), self.cone.dims(node.index))

    def forward(self, picture: Tensor) -> dict[int, Tensor]:
        """Windows of all nodes from the windows of the picture (B, C, h, w)."""
        windows = {0: picture}
        for index in self.cone.order[1:]:
            node = self.cone.graph.nodes[index]
            windows[index] = self.operation(node)(*self.inputs(node, windows))
        return windows

    def backward(self, signal: Tensor, windows: Mapping[int, Tensor], rule: str, lrn: str) -> Tensor:
        """Take `signal` (at the target, window of one unit) down to the picture: (B, C, h, w), zero outside it.

        `windows` must hold what `saved` names.
        """
        signals = {self.cone.target: signal}
        for index in reversed(self.cone.order[1:]):
            node = self.cone.graph.nodes[index]
            arrived = signals.pop(index)
            below = self._adjoint(node, arrived, windows, rule, lrn)
            for (source, need), part in zip(self.cone.needs(node).items(), below, strict=True):
                self._deliver(signals, node, source, need, part)
        mask = self._mask(0, self.cone.windows[0], signal.device)
        return signals[0] if mask is None else signals[0].masked_fill(mask[:, None], 0.0)

    def _deliver(self, signals: dict[int, Tensor], node: Node, source: int, need: Window, part: Tensor) -> None:
        dims, have = self.cone.dims(source), self.cone.windows[source]
        mask = self._mask(source, need, part.device) if node.op in SLIDES else None
        if mask is not None:
            part = part.masked_fill(_spread(mask, part.dim(), dims), 0.0)
        if source not in signals and need == have:
            signals[source] = part
            return
        if source not in signals:
            shape = list(part.shape)
            shape[dims[0]], shape[dims[1]] = have[0].size, have[1].size
            signals[source] = _zeros(part, shape)
        _crop(signals[source], dims, have, need).add_(part)

    def _adjoint(
        self, node: Node, signal: Tensor, windows: Mapping[int, Tensor], rule: str, lrn: str
    ) -> Sequence[Tensor]:
        if node.op == "conv2d":
            weight, stride = argument(node, 1, "weight"), argument(node, 3, "stride", 1)
            dilation, groups = argument(node, 5, "dilation", 1), argument(node, 6, "groups", 1)
            return [F.conv_transpose2d(signal, weight, None, stride, 0, 0, groups, dilation)]
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
            return [signal] + [signal.clone() for _ in node.inputs[1:]]
        if node.op == "cat" and distinct:
            dim = argument(node, 1, "dim", 0)
            return torch.split(signal, [self.cone.graph.nodes[i].shape[dim] for i in node.inputs], dim)
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
        blank = {}
        for source, (rows, columns) in self.cone.needs(node).items():
            shape = [signal.shape[0], *self.cone.graph.nodes[source].shape[1:]]
            dims = self.cone.dims(source)
            shape[dims[0]], shape[dims[1]] = rows.size, columns.size
            blank[source] = _zeros(signal, shape)
        return list(blank.values())


def _zeros(like: Tensor, shape: Sequence[int]) -> Tensor:
    layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    return torch.empty(tuple(shape), dtype=like.dtype, device=like.device, memory_format=layout).zero_()


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
