"""Which boxes of a network's maps an occluder changes, and which occluders go in one batch (METHODS F7b).

    boxes = Boxes(graph, axes, graph.ancestors(node), occluders)
    for group in boxes.groups: ...

Rows and columns are apart: the interval [a, b) of a node's input changes the outputs [ceil((a + p - k + 1) / s),
floor((b - 1 + p) / s)], clipped to the map. Occluders of a group get windows of one size at every node, the largest box
among them; how finely they are grouped balances multiplications against calls. Knows nothing of values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from convscope.probe.trace.geometry import Kernel, Spatial, argument
from convscope.probe.trace.graph import INPUT, Graph, Node
from convscope.probe.windows.window_ops import reach

Whole = NDArray[np.int64]

# What else costs time, in multiplications (measured on a CPU, where one core does about 5e10 a second):
CALL = 1e6  # one operation, however small
WEIGHT = 100  # a weight, brought into the order that the convolution wants, once a call
NUMBER = 90  # a number of a map, written and read


@dataclass(frozen=True)
class Group:
    """Occluders `members` (B,) whose windows have one size: `starts` (K, B, 2) and `sizes` (K, 2) of K nodes."""

    members: Whole
    starts: Whole
    sizes: Whole


class Boxes:
    """The changed boxes of the windowed nodes among `needed` (ascending), for occluders (B, 4).

    An occluder is top, left, bottom, right (exclusive), inside the picture. `cap` in (0, 1] keeps at most that share
    of each side of a map, around the middle of its box: 1 is exact. `nodes`: the K windowed nodes, a list that begins
    with the picture; `groups`: the occluders in groups.
    """

    def __init__(
        self, graph: Graph, axes: Sequence[Spatial], needed: Sequence[int], occluders: Tensor, cap: float = 1.0
    ) -> None:
        self.graph, self.axes, self.needed = graph, axes, needed
        reads = reaches(graph, axes, needed)
        self.nodes = list(reads)
        table = occluders.numpy().astype(np.int64)
        self.which: list[Whole] = []  # for rows, columns: which distinct interval each occluder has, (B,)
        self.low: list[Whole] = []  # where the changed interval of each node begins, (U, K)
        self.high: list[Whole] = []  # and where it ends, exclusive
        for axis in range(2):
            distinct, which = np.unique(table[:, [axis, axis + 2]], axis=0, return_inverse=True)
            low, high = self._intervals(reads, axis, distinct, cap)
            self.which.append(which.reshape(-1))
            self.low.append(low)
            self.high.append(high)
        self.groups = self._grouped()

    def _intervals(
        self, reads: dict[int, tuple[Kernel, Kernel] | None], axis: int, distinct: Whole, cap: float
    ) -> tuple[Whole, Whole]:
        low: dict[int, Whole] = {}
        high: dict[int, Whole] = {}
        for index, kernel in reads.items():
            length = self.lengths(index)[axis]
            if kernel is None:
                a, b = distinct[:, 0], distinct[:, 1]
            else:
                k, inputs = kernel[axis], self.graph.nodes[index].inputs
                a = np.min([low[i] for i in inputs], axis=0)
                b = np.max([high[i] for i in inputs], axis=0)
                a, b = -((k.extent - 1 - a - k.padding) // k.stride), (b - 1 + k.padding) // k.stride + 1
            a, b = a.clip(0, length - 1), b.clip(0, length)
            b = np.maximum(b, a + 1)  # an empty box becomes one place, which does no harm
            spare = (b - a - max(1, int(np.ceil(cap * length)))).clip(0)
            low[index], high[index] = a + spare // 2, b - (spare - spare // 2)
        return np.stack(list(low.values()), 1), np.stack(list(high.values()), 1)

    def lengths(self, index: int) -> tuple[int, int]:
        """Height and width of a node's whole map."""
        spatial = self.axes[index]
        assert spatial is not None
        return spatial[0].length, spatial[1].length

    def _grouped(self) -> list[Group]:
        weights = np.array([weights_of(self.graph.nodes[n]) for n in self.nodes], float)
        channels = np.array([prod(self.graph.nodes[n].shape[1:]) / prod(self.lengths(n)) for n in self.nodes])
        sizes, labels = [], []
        for low, high, which in zip(self.low, self.high, self.which, strict=True):
            kinds, kind = np.unique(high - low, axis=0, return_inverse=True)
            sizes.append(kinds)
            labels.append(kind.reshape(-1)[which])
        call = float((WEIGHT * weights + CALL).sum())
        sizes, labels = merged(sizes, labels, weights + NUMBER * channels, call)
        columns = len(sizes[1])
        together = labels[0] * columns + labels[1]
        return [self._group(np.flatnonzero(together == g), sizes, divmod(int(g), columns)) for g in np.unique(together)]

    def _group(self, members: Whole, sizes: list[Whole], classes: tuple[int, int]) -> Group:
        lengths = np.array([self.lengths(n) for n in self.nodes])  # (K, 2)
        own = np.stack([sizes[0][classes[0]], sizes[1][classes[1]]], 1)  # (K, 2)
        low = np.stack([self.low[axis][self.which[axis][members]].T for axis in range(2)], 2)  # (K, B, 2)
        return Group(members, np.minimum(low, (lengths - own)[:, None]), own)

    @property
    def multiplications(self) -> float:
        """Multiplications of convolutions and linear layers that the changed boxes ask for, an occluder on average."""
        areas = prod((high - low)[which] for low, high, which in zip(self.low, self.high, self.which, strict=True))
        mean: Any = np.asarray(areas).mean(0)  # (K,)
        windowed = sum(float(a) * weights_of(self.graph.nodes[n]) for a, n in zip(mean, self.nodes, strict=True))
        known = set(self.nodes)
        return windowed + sum(multiplications(self.graph.nodes[n]) for n in self.needed if n not in known)


def reaches(graph: Graph, axes: Sequence[Spatial], needed: Sequence[int]) -> dict[int, tuple[Kernel, Kernel] | None]:
    """The nodes that have windows, and what each reads of its inputs; the picture reads nothing.

    A node below which something is global has none.
    """
    found: dict[int, tuple[Kernel, Kernel] | None] = {}
    for index in needed:
        node = graph.nodes[index]
        if node.op == INPUT:
            found[index] = None
        elif all(i in found for i in node.inputs) and (kernel := reach(axes, node)) is not None:
            found[index] = kernel
    return found


def merged(
    sizes: Sequence[Whole], labels: Sequence[Whole], work: NDArray[np.float64], call: float
) -> tuple[list[Whole], list[Whole]]:
    """Merge classes of rows or of columns, two at a time, while that saves time.

    `sizes` (classes, K) and `labels` (B,) for rows and for columns; `work` (K,) of a place of each node; `call`: of one
    batch, however small. Two classes that merge both grow to the larger of their sizes.
    """
    sizes, labels = [s.copy() for s in sizes], [label.copy() for label in labels]
    while True:
        best, chosen = 0.0, None
        counts = [np.bincount(own, minlength=len(s)) / max(1, len(own)) for s, own in zip(sizes, labels, strict=True)]
        for axis in range(2):
            own, share = sizes[axis], counts[axis]
            place = len(labels[0]) * work * (counts[1 - axis] @ sizes[1 - axis])
            larger = np.maximum(own[:, None], own[None])  # (classes, classes, K)
            growth = (larger - own[:, None]) @ place * share[:, None] + (larger - own[None]) @ place * share[None]
            gain = call * len(sizes[1 - axis]) - growth
            np.fill_diagonal(gain, 0)
            if gain.size and gain.max() > best:
                best, chosen = gain.max(), (axis, *sorted(divmod(int(gain.argmax()), len(own))))
        if chosen is None:
            return sizes, labels
        axis, keep, gone = chosen
        sizes[axis][keep] = np.maximum(sizes[axis][keep], sizes[axis][gone])
        sizes[axis] = np.delete(sizes[axis], gone, 0)
        labels[axis][labels[axis] == gone] = keep
        labels[axis][labels[axis] > gone] -= 1


def weights_of(node: Node) -> int:
    """Multiplications for one place of a node's map."""
    return int(argument(node, 1, "weight").numel()) if node.op in {"conv2d", "linear"} else 0


def multiplications(node: Node) -> float:
    """Multiplications of a convolution or linear layer on one whole picture."""
    places = node.shape[2:] if node.op == "conv2d" else node.shape[1:-1]
    return float(weights_of(node)) * prod(places)
