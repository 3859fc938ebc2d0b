"""The filters of a convolution as its input meets them, found in a traced graph.

    bank = convolution(network.graph())            # the first one
    bank.filters, bank.stride, bank.layer

Functional convolutions, weights that are computed on the way and batch normalisation after them are all seen, because
operations are read, not modules. Knows nothing of pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.errors import ArgumentError, NetworkError
from convscope.probe.trace.geometry import argument, kernels
from convscope.probe.trace.graph import Graph, Node


@dataclass(frozen=True)
class Bank:
    """F filters of one convolution, a batch normalisation right after it folded in.

    layer: its name, or that of the operation where no module made it. output: the layer that gives its responses, the
    normalisation where there is one; None where no module does. source: the node it reads. filters (F, C, h, w)
    float64: over all C input channels, zero outside a filter's group, zeros between the taps of a dilated one.
    offsets (F,): what is added. own (F, C): which input channels each filter reads. stride, padding: (row, column).
    """

    layer: str
    output: str | None
    source: int
    filters: Tensor
    offsets: Tensor
    own: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows and columns that a filter spans."""
        return self.filters.shape[2], self.filters.shape[3]

    @property
    def rms(self) -> Tensor:
        """Root mean square of each filter's weights over the channels it reads (METHODS F6): (F,)."""
        taps = self.own.sum(1) * self.filters[0, 0].numel()
        return (self.filters.square().sum((1, 2, 3)) / taps).sqrt()


def convolutions(graph: Graph) -> Iterator[Node]:
    """The two-dimensional convolutions of a pass, in order."""
    return (node for node in graph.nodes if node.op == "conv2d")


def convolution(graph: Graph, layer: str | None = None) -> Bank:
    """The filters of `layer`, by default of the first convolution of the graph.

    Raises LayerError for an unknown name, ArgumentError for a layer that is no convolution, NetworkError where there is
    none to be seen.
    """
    found = next(convolutions(graph), None)
    if found is None:
        raise NetworkError("the network has no two-dimensional convolution that can be seen in its forward pass")
    node = found if layer is None else graph.node(layer)
    if node.op != "conv2d":
        raise ArgumentError("layer", layer, f"expected a convolution, such as {_named(graph, found)}")
    after = next((later for later in graph.nodes if node.index in later.inputs), None)
    norm = after if after is not None and after.op == "batch_norm" else None
    weight = argument(node, 1, "weight").detach().cpu().double()
    windows = kernels(node, (0, 0))
    assert windows is not None
    down, across = windows
    filters, own = _spread(weight, argument(node, 6, "groups", 1), (down.dilation, across.dilation))
    bias = argument(node, 2, "bias")
    offsets = torch.zeros(len(filters)).double() if bias is None else bias.detach().cpu().double()
    if norm is not None:
        scale, shift = _scale(norm, node)
        filters, offsets = filters * scale[:, None, None, None], offsets * scale + shift
    return Bank(
        _named(graph, node) or f"{node.op} #{node.index}",
        _named(graph, norm or node),
        node.inputs[0],
        filters,
        offsets,
        own,
        (down.stride, across.stride),
        (down.padding, across.padding),
    )


def _named(graph: Graph, node: Node) -> str | None:
    """The innermost module whose output the node is."""
    return next((name for name, index in graph.taps.items() if index == node.index), None)


def _spread(weight: Tensor, groups: int, dilation: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Grouped, dilated weights (F, C/groups, h, w) over all input channels and pixels, and who reads which channel."""
    count, width, high, wide = weight.shape
    first = torch.arange(count) // (count // groups) * width
    channels = first[:, None] + torch.arange(width)  # (F, C/groups)
    own = torch.zeros(count, width * groups, dtype=torch.bool).scatter_(1, channels, True)
    filters = weight.new_zeros(count, width * groups, (high - 1) * dilation[0] + 1, (wide - 1) * dilation[1] + 1)
    filters[torch.arange(count)[:, None], channels, :: dilation[0], :: dilation[1]] = weight
    return filters, own


def _scale(norm: Node, node: Node) -> tuple[Tensor, Tensor]:
    """Scale and shift (F,) of a batch normalisation in evaluation mode, from what it makes of zeros and ones."""
    zeros = argument(node, 1, "weight").new_zeros(1, node.shape[1], 1, 1)
    shift, both = (norm({node.index: zeros + value}).detach().cpu().double().flatten() for value in (0, 1))
    return both - shift, shift
