"""Pictures with concepts under a network, batch by batch (METHODS N1).

    slides = Slides(network, concepts("drawn:24"), ["relu5"])
    for slide in slides.each("comparing", marks=True):
        slides.look(slide, {"relu5": reduce})

What a look keeps is the caller's affair; a slide is gone with the next.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convscope.atlases.scan import chosen_layers
from convscope.data.batches import batches
from convscope.data.concepts import Concepts, Seen
from convscope.data.preprocess import lattice
from convscope.device import resolve
from convscope.errors import ArgumentError, DataError, NetworkError
from convscope.models.network import Layer, Network
from convscope.probe.concepts.upsample import anchored, spread
from convscope.probe.trace.record import run
from convscope.progress import progress


@dataclass(frozen=True)
class Slide:
    """A batch: `indices` (n,) of the pictures, `inputs` (n, C, H, W) and, if asked for, what is marked in each."""

    indices: Tensor
    inputs: Tensor
    seen: tuple[Seen, ...] = ()


class Slides:
    """`concepts` under `network`, looked at in `layers` (default: all rectified maps), every `grid`-th pixel.

    Raises ArgumentError for a grid out of range and where there is no layer, LayerError for one that is not there,
    DataError for no pictures.
    """

    def __init__(
        self,
        network: Network,
        concepts: Concepts,
        layers: Sequence[str] | None = None,
        grid: int = 1,
        batch_size: int = 32,
        device: str | None = None,
    ) -> None:
        side = min(network.input_size[1:])
        if not 1 <= grid <= side:
            raise ArgumentError("grid", grid, f"expected 1 to {side}, pixels of the input")
        if not len(concepts.pictures):
            raise DataError(f"no pictures in {concepts.name}")
        self.layers: dict[str, Layer] = chosen_layers(network, layers)
        if not self.layers:
            raise ArgumentError(
                "layers", layers, f"{network.name} has no rectified maps, so name the layers to look at"
            )
        self.network, self.concepts, self.grid, self.batch_size = network, concepts, grid, batch_size
        self.device = resolve(device)
        self.weights = {name: self.anchors(name, grid) for name in self.layers}

    def anchors(self, layer: str, grid: int) -> tuple[Tensor, Tensor]:
        """What brings the layer's maps to every `grid`-th row and column of the input."""
        found, (high, wide) = self.layers[layer], self.network.input_size[1:]
        places = (torch.from_numpy(lattice(high, grid)), torch.from_numpy(lattice(wide, grid)))
        rows, columns = anchored(found.receptive_field, (found.height, found.width), places, (high, wide))
        return rows.to(self.device), columns.to(self.device)

    def spread(self, layer: str, maps: Tensor) -> Tensor:
        """Maps (..., h, w) of a layer at the pixels compared: (..., rows, columns)."""
        return spread(maps, *self.weights[layer])

    def each(self, doing: str, *, marks: bool = False) -> Iterator[Slide]:
        """One pass over all pictures. Raises DataError where none can be read."""
        pictures, shown = self.concepts.pictures, 0
        with progress(len(pictures), doing) as advance:
            for batch in batches(pictures, self.network.transform, self.batch_size):
                own = batch.indices.tolist() if marks else []
                seen = tuple(self.concepts.seen(index, self.network.transform, self.grid) for index in own)
                yield Slide(batch.indices, batch.inputs, seen)
                shown += len(batch.indices)
                advance(len(batch.indices))
        if not shown:
            raise pictures.unreadable()

    def look(self, slide: Slide, reducers: Mapping[str, Callable[[Tensor], Any]]) -> dict[str, Any]:
        """What the reducers make of each layer's maps, (n, channels, h, w) float32.

        Raises NetworkError for activations that are not finite.
        """

        def reducer(layer: str) -> Callable[[Tensor], Any]:
            return lambda output: reducers[layer](self._maps(layer, output, slide))

        inputs = slide.inputs.to(self.device, self.network.dtype)
        if tuple(inputs.shape[1:]) != self.network.input_size:
            raise DataError(f"pictures of shape {tuple(inputs.shape[1:])}: expected {self.network.input_size}")
        with torch.inference_mode():
            module, times = self.network.working(self.device), self.network.graph().times
            return run(module, inputs, {layer: reducer(layer) for layer in reducers}, times=times)

    def _maps(self, layer: str, output: Tensor, slide: Slide) -> Tensor:
        maps = (output[..., None, None] if output.ndim == 2 else output).float()
        if not bool(maps.sum().isfinite()) and not bool(maps.isfinite().all()):  # the sum is a tenth of the work
            row, channel = (~maps.isfinite()).nonzero()[0, :2].tolist()
            path = self.concepts.pictures.paths[int(slide.indices[row])]
            raise NetworkError(f"layer {layer!r} gives NaN or infinity in channel {channel} for {path}")
        return maps
