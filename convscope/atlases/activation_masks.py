"""What filters and concepts are on at in every picture, a bit for each place: read in two passes, kept, asked for.

    found = Imprints(Slides(network, concepts("drawn:24"), ["relu5"], grid=4), 0.005)
    found.on([3, 4]), found.marked(17, [3, 4])

For methods that come back to the same pictures many times (METHODS N2, N3).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.atlases.concept_batches import Slides
from convscope.data.concepts import Seen
from convscope.errors import ArgumentError
from convscope.probe.concepts.streaming_quantile import Tail

Bits = NDArray[np.uint8]


class Imprints:
    """One layer's K filters, of maps (h, w), and the concepts of the N pictures that can be read.

    indices: their places in the source. means (N, K): mean activations. masks: concept -> picture -> bits of (P, Q).
    looked: category -> the pictures in which somebody looked for its concepts. rows (P, h), columns (Q, w): what brings
    maps to the pixels compared. Pictures are numbered 0 to N - 1 here.
    """

    def __init__(self, slides: Slides, quantile: float) -> None:
        if len(slides.layers) != 1:
            raise ArgumentError("layer", list(slides.layers), "expected one layer")
        ((self.layer, layer),) = slides.layers.items()
        self.slides, self.filters, self.size = slides, layer.channels, (layer.height, layer.width)
        self.rows, self.columns = (weights.cpu() for weights in slides.weights[self.layer])
        tail = Tail(self.filters, len(slides.concepts.pictures) * math.prod(self.size), quantile)
        for slide in slides.each("thresholds"):
            slides.look(slide, {self.layer: lambda maps: tail.add(maps.transpose(0, 1).flatten(1))})
        self.limits = tail.threshold()[:, None, None]
        self.masks: dict[int, dict[int, Bits]] = {}
        self.looked: dict[str, list[int]] = {}
        self.indices: list[int] = []
        bits: list[Bits] = []
        means: list[Tensor] = []
        for slide in slides.each("concepts", marks=True):
            own, mean = slides.look(slide, {self.layer: self._read})[self.layer]
            bits.append(own)
            means.append(mean)
            for index, seen in zip(slide.indices.tolist(), slide.seen, strict=True):
                self._note(seen)
                self.indices.append(index)
        self._bits, self.means = np.concatenate(bits), torch.cat(means)

    def _read(self, maps: Tensor) -> tuple[Bits, Tensor]:
        """Of (n, K, h, w): where filters are on, a bit each, and their means (n, K)."""
        on = (maps > self.limits.to(maps.device)).flatten(1).cpu().numpy()
        return np.packbits(on, axis=1), maps.mean((2, 3)).cpu()

    def _note(self, seen: Seen) -> None:
        """What is marked in the next picture."""
        place = len(self.indices)
        for category in seen.categories:
            self.looked.setdefault(category, []).append(place)
        for concept, mask in zip(seen.concepts.tolist(), seen.masks.numpy(), strict=True):
            self.masks.setdefault(concept, {})[place] = np.packbits(mask)

    def having(self, concept: int) -> list[int]:
        """The pictures with a concept."""
        return list(self.masks.get(concept, ()))

    def on(self, places: Sequence[int]) -> Tensor:
        """Where the filters are on in some pictures, (n, K, h, w) bool."""
        count = self.filters * math.prod(self.size)
        flat = np.unpackbits(self._bits[list(places)], axis=1, count=count)
        return torch.from_numpy(flat).bool().view(-1, self.filters, *self.size)

    def marked(self, concept: int, places: Sequence[int]) -> Tensor:
        """Where a concept is in some pictures, (n, P, Q) bool."""
        size = len(self.rows), len(self.columns)
        flat = [np.unpackbits(self.masks[concept][place], count=math.prod(size)) for place in places]
        return torch.from_numpy(np.stack(flat)).bool().view(-1, *size)
