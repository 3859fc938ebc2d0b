"""What do the maps of a layer look like for this picture? All of them, as they are (METHODS P1).

    found = activations(network, "dog.jpg", layers=["relu1", "relu2"])
    found.maps["relu1"], found.inactive("relu1")

The figure shows every map twice: stretched to its own range, and on one scale for the layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from convscope.device import resolve
from convscope.errors import ArgumentError
from convscope.models.network import Network
from convscope.parameters import Picture
from convscope.probe.trace.record import run

INACTIVE = 1e-6  # a map that nowhere exceeds this does not take part (P1)
NAMED = 12  # inactive maps a note lists by number


@dataclass(frozen=True)
class Activations:
    """The maps of some layers for one picture. All tensors on the CPU.

    inputs (1, C, H, W): the picture in network space. maps: layer -> (maps, h, w), the units of a vector as maps of
    1 x 1. notes: what a reader should know.
    """

    inputs: Tensor
    maps: dict[str, Tensor]
    notes: tuple[str, ...] = ()

    def inactive(self, layer: str) -> list[int]:
        """The maps of a layer that are nowhere above 1e-6 for this picture."""
        return (self.maps[layer].amax((1, 2)) <= INACTIVE).nonzero().flatten().tolist()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record a map: its largest value, where in the map that is, its mean, whether it is inactive."""
        return [
            {"layer": layer, "map": number, **_measured(one)}
            for layer, maps in self.maps.items()
            for number, one in enumerate(maps)
        ]

    @property
    def arrays(self) -> dict[str, Tensor]:
        """The maps by layer."""
        return dict(self.maps)


def _measured(one: Tensor) -> dict[str, Any]:
    place, largest = int(one.argmax()), float(one.max())
    row, column = divmod(place, one.shape[1])
    return {
        "maximum": largest,
        "row": row,
        "column": column,
        "mean": float(one.mean()),
        "inactive": largest <= INACTIVE,
    }


def activations(
    network: Network,
    picture: Picture,
    *,
    layers: Annotated[Sequence[str] | None, "layers to show [default: all rectified maps]"] = None,
    device: str | None = None,
) -> Activations:
    """The output of every map of `layers` for one picture (METHODS P1): any layers that give maps or vectors.

    A map that is nowhere above 1e-6 is inactive: noted, not an error. Raises LayerError for a layer that is not there,
    ArgumentError for one that gives neither maps nor vectors, for a network without rectified maps where no layers are
    named, and for several pictures; PictureError for what is no picture.
    """
    inputs = network.inputs(picture)
    if len(inputs) != 1:
        raise ArgumentError("picture", f"{len(inputs)} pictures", "expected one")
    graph, place = network.graph((inputs.shape[2], inputs.shape[3])), resolve(device)
    wanted = list(dict.fromkeys([layers] if isinstance(layers, str) else layers or network.rectified()))
    if not wanted:
        raise ArgumentError("layers", layers, f"{network.name} has no rectified maps, so name the layers to show")
    for layer in wanted:
        if len(shape := graph.node(layer).shape) not in (2, 4):
            raise ArgumentError("layers", layer, f"its output is of shape {shape}: expected maps or a vector")
    with torch.no_grad():
        outputs = run(network.working(place), inputs.to(place), wanted, times=graph.times)
    maps = {layer: _maps(outputs[layer][0]) for layer in wanted}
    found = Activations(inputs, maps)
    return Activations(inputs, maps, tuple(note for layer in wanted if (note := _note(layer, found))))


def _maps(output: Tensor) -> Tensor:
    """(C, h, w) or (C,) as (C, h, w) in float32 on the CPU."""
    return output.float().cpu().reshape(len(output), *(output.shape[1:] or (1, 1))).contiguous()


def _note(layer: str, found: Activations) -> str:
    still, count = found.inactive(layer), len(found.maps[layer])
    if not still:
        return ""
    some = ", ".join(map(str, still[:NAMED])) + (", …" if len(still) > NAMED else "")
    return f"{layer}: {len(still)} of {count} maps are inactive here, nowhere above {INACTIVE:g}: {some}"
