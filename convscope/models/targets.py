"""What of a network is to be excited: a unit, a channel, a class or a whole layer.

targets(network, ["relu5:42", "relu3:7@2,2", "stop_sign", "relu4", "relu1:*"])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor, nn

from convscope.errors import ArgumentError
from convscope.models.network import Network
from convscope.probe.optimize.ascent import Measure
from convscope.probe.trace.address import Unit, parse
from convscope.probe.trace.graph import Graph
from convscope.probe.trace.record import run


@dataclass(frozen=True)
class Target:
    """A class (its logit) by `name`, a unit, or, with no unit, all of `layer`."""

    name: str
    layer: str
    unit: Unit | None

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise UnitError or ArgumentError unless a layer of this output shape has it."""
        if len(shape) not in (2, 4):
            raise ArgumentError("targets", self.name, f"the output of {self.layer} is of shape {shape}, not maps")
        if self.unit:
            self.unit.check(shape)

    def score(self, outputs: Tensor) -> Tensor:
        """Of outputs (C, h, w) or (C,): the unit's value, the mean of its map, or half the squared norm of all."""
        if self.unit is None:
            return outputs.square().sum() / 2
        output = outputs[self.unit.channel]
        where = self.unit.position
        return output[where] if isinstance(where, tuple) and output.dim() == 2 else output.mean()


def targets(network: Network, names: Sequence[str | Unit] | str | Unit) -> list[Target]:
    """What `names` stand for: `layer:channel[@row,column]`, `layer:*` for each of its channels, a class, or a layer; a
    layer's name goes before a class's.

    Raises ArgumentError for a name of nothing (with the nearest), LayerError and UnitError.
    """
    several = [names] if isinstance(names, str | Unit) else list(names)
    if not several:
        raise ArgumentError("targets", names, "expected at least one")
    graph = network.graph()
    found = [_target(network, graph, one) for each in several for one in _channels(graph, each)]
    for target in found:
        target.check(graph.node(target.layer).shape)
    return found


def _channels(graph: Graph, name: str | Unit) -> list[str | Unit]:
    """Every channel of the layer in `layer:*`; any other name alone."""
    if isinstance(name, Unit) or not name.endswith(":*"):
        return [name]
    layer = name.removesuffix(":*")
    shape = graph.node(layer).shape
    return [f"{layer}:{channel}" for channel in range(shape[1] if len(shape) > 1 else 1)]


def output_layer(graph: Graph) -> str | None:
    """The layer whose output is the network's own."""
    return next((name for name, index in graph.taps.items() if index == graph.output), None)


def class_number(name: str | int, classes: Sequence[str], count: int, argument: str) -> int:
    """A class of `count` by name or number. Raises ArgumentError for `argument`, with the nearest names."""
    if name in classes:
        return classes.index(str(name))
    if str(name).isdigit() and int(name) < count:
        return int(name)
    near = get_close_matches(str(name), classes, 3, 0.5)
    named = f"no such class; the nearest are {', '.join(near)}" if near else f"expected a class, or 0 to {count - 1}"
    raise ArgumentError(argument, name, named)


def folder_class(picture: object, classes: Sequence[str]) -> int | None:
    """The class that a file's folder is named after, if it is one."""
    folder = Path(picture).absolute().parent.name if isinstance(picture, str | Path) else ""
    return classes.index(folder) if folder in classes else None


def measured(module: nn.Module, graph: Graph, targets: Sequence[Target], weighed: Sequence[str] = ()) -> Measure:
    """What an ascent measures of pictures, a row for each of `targets`, all of one layer; one alone serves any rows.

    "score"; of classes their "probability"; with `weighed` layers "activity", the mean size of their outputs, summed.
    """
    layer, classes = targets[0].layer, targets[0].layer == output_layer(graph)

    def measure(x: Tensor) -> dict[str, Tensor]:
        outputs = run(module, x, dict.fromkeys([layer, *weighed], _kept), times=graph.times)
        output = outputs[layer]
        each = list(targets) * (len(output) if len(targets) == 1 else 1)
        found = {"score": torch.stack([target.score(row) for target, row in zip(each, output, strict=True)])}
        if classes and output.dim() == 2:
            chances = output.detach().softmax(1)
            found["probability"] = torch.stack([t.score(row) for t, row in zip(each, chances, strict=True)])
        if weighed:
            found["activity"] = torch.stack([outputs[name].abs().flatten(1).mean(1) for name in weighed]).sum(0)
        return found

    return measure


def _kept(output: Tensor) -> Tensor:
    """A layer's output, out of reach of operations in place."""
    return output.clone()


def _target(network: Network, graph: Graph, name: str | Unit) -> Target:
    classes, last = network.classes or (), output_layer(graph)
    if isinstance(name, Unit) or ":" in name:
        unit = parse(name)
        is_class = unit.layer == last and unit.channel < len(classes)
        return Target(classes[unit.channel] if is_class else str(unit), unit.layer, unit)
    if name in graph.taps or f"{name}#0" in graph.taps:
        return Target(name, name, None)
    if name in classes and last is not None:
        return Target(name, last, Unit(last, classes.index(name)))
    near = get_close_matches(name, [*graph.taps, *classes], n=3, cutoff=0.5) or [*graph.taps][:3]
    expected = 'expected layer:channel, as "relu5:42", a layer or a class'
    raise ArgumentError("targets", name, f"{expected}; the nearest are {', '.join(near)}")
