"""One operation on windows: what of its inputs' maps it reads, what it finds beyond their edges, and how to do it.

Used by the cones of projection and by incremental inference. Knows neither.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.probe.trace.geometry import POINTWISE, VIEWS, Kernel, Spatial, argument, kernels
from convscope.probe.trace.graph import Node

POOLS = {"max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"}
SLIDES = POOLS | {"conv2d", "pad"}
HERE = Kernel(1, 1)  # what a pointwise operation reads


def reach(axes: Sequence[Spatial], node: Node) -> tuple[Kernel, Kernel] | None:
    """What a place of a node reads of each of its inputs, along rows and columns; None without a windowed form."""
    own, inputs = axes[node.index], node.inputs
    if own is None or not inputs or any(axes[i] is None for i in inputs):
        return None
    if node.op in SLIDES:
        source = axes[inputs[0]]
        assert source is not None
        if not _plain_average(node) or (source[0].dim, source[1].dim) != (2, 3) or len(node.shape) != 4:
            return None
        return _margins(node) if node.op == "pad" else kernels(node, (source[0].length, source[1].length))
    if node.op not in POINTWISE | VIEWS | {"cat", "linear", "layer_norm", "softmax", "log_softmax"}:
        return None
    for origin in inputs:
        for theirs, ours in zip(axes[origin] or (), own, strict=True):
            moved = node.op in VIEWS and (theirs.start, theirs.jump) != (ours.start, ours.jump)
            if theirs.length != ours.length or moved:
                return None
    return HERE, HERE


def _margins(node: Node) -> tuple[Kernel, Kernel] | None:
    pads = tuple(argument(node, 1, "pad"))
    return (Kernel(1, 1, pads[2] if len(pads) > 2 else 0), Kernel(1, 1, pads[0])) if len(pads) <= 4 else None


def beyond(node: Node) -> float:
    """What a sliding operation finds outside the map."""
    if node.op == "pad":
        return float(argument(node, 3, "value") or 0.0)
    return float("-inf") if "max_pool" in node.op else 0.0


def cut(maps: Tensor, dims: tuple[int, int], which: Tensor, starts: Tensor, sizes: tuple[int, int]) -> Tensor:
    """Windows of `sizes` out of whole maps, row i at `starts[i]` of picture `which[i]`; outside repeats the edge."""
    (h, w), limits = sizes, starts.new_tensor([maps.shape[d] - n for d, n in zip(dims, sizes, strict=True)])
    lead = maps.movedim(dims, (1, 2))  # (N, H, W, ...)
    if bool(((starts >= 0) & (starts <= limits)).all()):  # four times as fast as by index
        places = zip(which.tolist(), starts.tolist(), strict=True)
        return torch.stack([lead[n, r : r + h, c : c + w] for n, (r, c) in places]).movedim((1, 2), dims)
    rows = (starts[:, :1] + torch.arange(h)).clamp(0, maps.shape[dims[0]] - 1)
    columns = (starts[:, 1:] + torch.arange(w)).clamp(0, maps.shape[dims[1]] - 1)
    return lead[which[:, None, None], rows[:, :, None], columns[:, None, :]].movedim((1, 2), dims)


def _plain_average(node: Node) -> bool:
    """Average pooling divides by the same number everywhere (no padding left out of the count, no clipped window)."""
    if node.op != "avg_pool2d":
        return True
    padding = argument(node, 3, "padding", 0)
    padded = any(padding) if isinstance(padding, tuple) else bool(padding)
    return not argument(node, 4, "ceil_mode", False) and (
        not padded or bool(argument(node, 5, "count_include_pad", True))
    )


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
    if node.op == "pad":
        return lambda x: x
    if node.op in {"view", "reshape", "flatten", "unflatten"}:
        shape = [-1, *node.shape[1:]]
        shape[dims[0]], shape[dims[1]] = sizes
        return lambda x: x.reshape(shape)
    order = list(dict.fromkeys(node.inputs))
    return lambda *inputs: node(dict(zip(order, inputs, strict=True)))
