"""Receptive fields of every node of a traced graph: size, jump and start, as (row, column) pairs.

Unit (i, j) of a node sees the rows [start + i·jump, start + i·jump + size - 1] of the picture, before clipping, and the
columns likewise. Where an operation is global or irregular (squeeze-excite, attention, pooling that does not divide)
the field is the whole picture: None. Arithmetic of Dumoulin & Visin's guide; METHODS M1, M2, V6.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from convscope.probe.trace.graph import INPUT, Graph, Node

Number = int | Fraction
Pair = tuple[Number, Number]


@dataclass(frozen=True)
class ReceptiveField:
    """What a unit sees, in pixels of the network's input: (row, column) pairs, fractions only above an upsampling."""

    size: Pair
    jump: Pair
    start: Pair

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right (exclusive) of what unit (row, column) sees, before clipping to the picture."""
        top, left = (_floor(s + i * j) for s, i, j in zip(self.start, (row, column), self.jump, strict=True))
        high, wide = (-_floor(-s) for s in self.size)
        return top, left, top + high, left + wide


def _floor(number: Number) -> int:
    return number.numerator // number.denominator


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a node: which dimension it is, its length, and the field along it."""

    dim: int
    length: int
    size: Number
    jump: Number
    start: Number


@dataclass(frozen=True)
class Kernel:
    """A sliding operation along one axis: output i reads inputs [i·stride - padding, … + (size-1)·dilation]."""

    size: int
    stride: int
    padding: int = 0
    dilation: int = 1

    @property
    def extent(self) -> int:
        """How many inputs one output spans."""
        return (self.size - 1) * self.dilation + 1


Spatial = tuple[Axis, Axis] | None

POINTWISE = frozenset(
    """relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish hardtanh softplus softsign threshold
    hardsigmoid sigmoid logsigmoid tanh tanhshrink softshrink hardshrink clamp clamp_min clamp_max maximum minimum
    add sub rsub mul div neg abs pow square sqrt rsqrt exp log reciprocal batch_norm dropout dropout2d feature_dropout
    feature_alpha_dropout alpha_dropout local_response_norm clone contiguous detach to float double half bfloat16
    type type_as identity alias where""".split()
)
VIEWS = frozenset(
    """permute transpose view reshape flatten unflatten unsqueeze squeeze chunk split __getitem__ movedim swapaxes
    narrow select unbind tensor_split split_with_sizes channel_shuffle""".split()
)
SLIDING = frozenset({"conv2d", "max_pool2d", "avg_pool2d", "lp_pool2d", "max_pool2d_with_indices"})


def argument(node: Node, place: int, name: str, default: Any = None) -> Any:
    """An argument of a node's call by position or name."""
    return node.args[place] if place < len(node.args) else node.kwargs.get(name, default)


def pair(value: Any) -> tuple[Any, Any]:
    """A parameter of a sliding operation as (rows, columns)."""
    if isinstance(value, (tuple, list)):
        return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])
    return value, value


def kernels(node: Node, lengths: tuple[int, int]) -> tuple[Kernel, Kernel] | None:
    """The sliding windows of a convolution or pooling on maps of `lengths`; None for any other operation."""
    if node.op == "conv2d":
        sizes = tuple(argument(node, 1, "weight").shape[2:])
        strides, padding = pair(argument(node, 3, "stride", 1)), argument(node, 4, "padding", 0)
        dilations = pair(argument(node, 5, "dilation", 1))
        if padding == "same":
            pads: tuple[Any, Any] = tuple(d * (k - 1) // 2 for k, d in zip(sizes, dilations, strict=True))
        else:
            pads = (0, 0) if padding == "valid" else pair(padding)
    elif node.op in SLIDING:
        sizes = pair(argument(node, 1, "kernel_size"))
        strides = pair(argument(node, 2, "stride") or sizes)
        pads, dilations = (0, 0), (1, 1)
        if node.op != "lp_pool2d":
            pads = pair(argument(node, 3, "padding", 0))
        if node.op.startswith("max"):
            dilations = pair(argument(node, 4, "dilation", 1))
    elif node.op in {"adaptive_avg_pool2d", "adaptive_max_pool2d"}:
        wanted = [n if w is None else w for n, w in zip(lengths, pair(argument(node, 1, "output_size")), strict=True)]
        if any(n % w for n, w in zip(lengths, wanted, strict=True)):
            return None
        sizes = strides = tuple(n // w for n, w in zip(lengths, wanted, strict=True))  # type: ignore[assignment]
        pads, dilations = (0, 0), (1, 1)
    else:
        return None
    rows, columns = zip(sizes, strides, pads, dilations, strict=True)
    return Kernel(*rows), Kernel(*columns)


def _slide(axis: Axis, kernel: Kernel, length: int) -> Axis:
    return Axis(
        axis.dim,
        length,
        axis.size + (kernel.extent - 1) * axis.jump,
        axis.jump * kernel.stride,
        axis.start - kernel.padding * axis.jump,
    )


def _sliding(node: Node, spatial: tuple[Axis, Axis]) -> Spatial:
    found = kernels(node, (spatial[0].length, spatial[1].length))
    if found is None:
        return None
    out = [_slide(a, k, node.shape[d]) for a, k, d in zip(spatial, found, (-2, -1), strict=True)]
    return out[0], out[1]


def _union(spatials: list[tuple[Axis, Axis]]) -> Spatial:
    """Several fields seen at once: the box around them, if they move together."""
    axes = []
    for along in zip(*spatials, strict=True):
        first = along[0]
        if any((a.dim, a.length, a.jump) != (first.dim, first.length, first.jump) for a in along):
            return None
        start = min(a.start for a in along)
        end = max(a.start + a.size for a in along)
        axes.append(Axis(first.dim, first.length, end - start, first.jump, start))
    return axes[0], axes[1]


def _pointwise(node: Node, spatials: list[Spatial], shapes: list[tuple[int, ...]]) -> Spatial:
    """Elementwise with broadcasting: inputs without spatial extent (a scale, a bias) leave the field alone."""
    wide = []
    for spatial, shape in zip(spatials, shapes, strict=True):
        if spatial is None:
            return None
        lead = len(node.shape) - len(shape)
        wide.append(tuple(_moved(axis, axis.dim + lead) for axis in spatial))
    return _union(wide)  # type: ignore[arg-type]


def _moved(axis: Axis, dim: int) -> Axis:
    return Axis(dim, axis.length, axis.size, axis.jump, axis.start)


def _view(node: Node, spatial: tuple[Axis, Axis], shape: tuple[int, ...]) -> Spatial:
    """Follow rows and columns through any rearrangement by rearranging their own numbers."""
    axes = []
    for axis in spatial:
        numbers = torch.arange(shape[axis.dim], dtype=torch.float64)
        numbers = numbers.view([-1 if d == axis.dim else 1 for d in range(len(shape))]).expand(shape)
        try:
            moved = node({leaf: numbers.contiguous() for leaf in node.inputs})
        except (RuntimeError, TypeError):
            return None
        found = _ramp(moved)
        if found is None:
            return None
        dim, first, step = found
        axes.append(Axis(dim, moved.shape[dim], axis.size, axis.jump * step, axis.start + first * axis.jump))
    return (axes[0], axes[1]) if axes[0].dim != axes[1].dim else None


def _ramp(numbers: Tensor) -> tuple[int, int, int] | None:
    """The one dimension along which `numbers` run evenly, with first number and step; None if there is no such."""
    for dim, length in enumerate(numbers.shape):
        line = numbers.movedim(dim, -1).reshape(-1, length)
        if length > 1 and line[0, 0] != line[0, 1]:
            step = line[0, 1] - line[0, 0]
            even = line[0, 0] + step * torch.arange(length, dtype=numbers.dtype)
            return (dim, int(line[0, 0]), int(step)) if step > 0 and bool((line == even).all()) else None
    return None


def _pad(node: Node, spatial: tuple[Axis, Axis]) -> Spatial:
    pads = list(argument(node, 1, "pad"))
    if argument(node, 2, "mode", "constant") != "constant" or (spatial[0].dim, spatial[1].dim) != (2, 3):
        return None
    before = (pads[2] if len(pads) > 2 else 0, pads[0])
    axes = [
        Axis(a.dim, node.shape[a.dim], a.size, a.jump, a.start - b * a.jump)
        for a, b in zip(spatial, before, strict=True)
    ]
    return axes[0], axes[1]


def _upsample(node: Node, spatial: tuple[Axis, Axis]) -> Spatial:
    """Interpolation: output i looks at inputs around i/scale; the box is widened to hold every phase."""
    reach = {"nearest": 0, "nearest-exact": 0, "bilinear": 1, "bicubic": 2}.get(argument(node, 3, "mode", "nearest"))
    if reach is None or argument(node, 4, "align_corners"):
        return None
    axes = []
    for axis in spatial:
        length = node.shape[axis.dim]
        step = Fraction(axis.length, length)
        if step > 1:
            return None
        slack = (reach + 1) * axis.jump
        axes.append(Axis(axis.dim, length, axis.size + 2 * slack, axis.jump * step, axis.start - slack))
    return axes[0], axes[1]


def _transposed(node: Node, spatial: tuple[Axis, Axis]) -> Spatial:
    """Transposed convolution: output i reads inputs from (i + padding - extent + 1)/stride to (i + padding)/stride."""
    sizes = argument(node, 1, "weight").shape[2:]
    strides, pads = pair(argument(node, 3, "stride", 1)), pair(argument(node, 4, "padding", 0))
    dilations = pair(argument(node, 7, "dilation", 1))
    axes = []
    for axis, k, s, p, d in zip(spatial, sizes, strides, pads, dilations, strict=True):
        step = Fraction(1, s)
        low = Fraction(p - (k - 1) * d, s)  # first input of output 0, before rounding up
        reach = Fraction((k - 1) * d, s) + 1
        axes.append(
            Axis(
                axis.dim,
                node.shape[axis.dim],
                axis.size + reach * axis.jump,
                axis.jump * step,
                axis.start + low * axis.jump,
            )
        )
    return axes[0], axes[1]


def _last_dims(node: Node, spatial: tuple[Axis, Axis]) -> Spatial:
    """Operations over the last dimensions (linear, layer_norm): pointwise unless these are rows or columns."""
    span = 1 if node.op == "linear" else len(argument(node, 1, "normalized_shape"))
    first = len(node.shape) - span
    return spatial if all(axis.dim < first for axis in spatial) else None


def _channels(node: Node, spatial: tuple[Axis, Axis]) -> Spatial:
    """Operations along one dimension (softmax, mean, sum, cumsum) that is neither rows nor columns."""
    dims = argument(node, 1, "dim")
    keep = argument(node, 2, "keepdim", False) or node.op in {"softmax", "log_softmax"}
    dims = (dims,) if isinstance(dims, int) else dims
    if not dims:
        return None
    rank = len(node.shape) if keep else len(node.shape) + len(dims)
    dims = {d % rank for d in dims}
    if any(axis.dim in dims for axis in spatial):
        return None
    moved = [_moved(a, a.dim if keep else a.dim - sum(d < a.dim for d in dims)) for a in spatial]
    return moved[0], moved[1]


ONE_INPUT: dict[str, Callable[[Node, tuple[Axis, Axis]], Spatial]] = {
    **dict.fromkeys((*SLIDING, "adaptive_avg_pool2d", "adaptive_max_pool2d"), _sliding),
    "pad": _pad,
    "interpolate": _upsample,
    "conv_transpose2d": _transposed,
    "linear": _last_dims,
    "layer_norm": _last_dims,
    **dict.fromkeys(("softmax", "log_softmax", "mean", "sum", "norm", "amax"), _channels),
}


def spatial_axes(graph: Graph) -> list[Spatial]:
    """Rows and columns of every node with their receptive fields; None where a node sees the whole picture."""
    found: list[Spatial] = []
    for node in graph.nodes:
        found.append(_axes(graph, node, found))
    return found


def _axes(graph: Graph, node: Node, found: list[Spatial]) -> Spatial:
    if node.op == INPUT:
        return Axis(2, node.shape[2], 1, 1, 0), Axis(3, node.shape[3], 1, 1, 0)
    inputs = [found[i] for i in node.inputs]
    shapes = [graph.nodes[i].shape for i in node.inputs]
    if node.op in POINTWISE:
        return _pointwise(node, inputs, shapes)
    if node.op in {"cat", "concat", "concatenate", "stack"}:
        return _cat(node, inputs)
    first = inputs[0]
    if first is None or len(set(node.inputs)) > 1:
        return None
    if node.op in VIEWS:
        return _view(node, first, shapes[0])
    rule = ONE_INPUT.get(node.op)
    return rule(node, first) if rule else None


def _cat(node: Node, inputs: list[Spatial]) -> Spatial:
    dim = argument(node, 1, "dim", 0) % len(node.shape)
    if node.op == "stack" or any(s is None or dim in (s[0].dim, s[1].dim) for s in inputs):
        return None
    return _union(inputs)  # type: ignore[arg-type]


def receptive_field(spatial: Spatial) -> ReceptiveField | None:
    """The field of a node as (row, column) pairs; None for the whole picture."""
    if spatial is None:
        return None
    rows, columns = spatial
    return ReceptiveField(
        (_whole(rows.size), _whole(columns.size)),
        (_whole(rows.jump), _whole(columns.jump)),
        (_whole(rows.start), _whole(columns.start)),
    )


def _whole(number: Number) -> Number:
    return int(number) if number == int(number) else number
