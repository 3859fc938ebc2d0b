"""The lens: the network over one picture, a question at a time.

    lens = Lens(network, atlas.info)
    lens.reading(slide)                                   # class probabilities, the peak of every map
    lens.answer(slide, Square(40, 40, 28), "relu5", 42)   # the same with a part hidden
    lens.projection(slide, "relu5", 42, 3, 4, "guided")   # pixels

What was asked lately is remembered, and one question is computed at a time: hooks and threads do not mix.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import NamedTuple, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.atlases.store import Info, tile_box
from convscope.device import resolve
from convscope.errors import ConvscopeError, LayerError, NetworkError, UnitError
from convscope.models.network import Layer, Network
from convscope.models.occluder import covering
from convscope.pictures import GREY, cut, display
from convscope.probe.projection import Reverse, Units
from convscope.probe.rectify import LRN, Rule
from convscope.probe.trace.record import run
from convscope.probe.windows.occluder_grid import hide
from convscope.web.viewed_pictures import Slide

Pixels = NDArray[np.uint8]  # (height, width, 3)
Answered = TypeVar("Answered")

RULES: tuple[Rule, ...] = ("deconvnet", "guided", "gradient")


class Square(NamedTuple):
    """A part of the picture to hide, in pixels of the input."""

    top: int
    left: int
    side: int


@dataclass(frozen=True, eq=False)
class Reading:
    """What the network makes of a picture: `probabilities` (K,), or None where its output is no row of classes;
    `peaks`: for each layer the largest value of every map (C,) and its position (C, 2), row and column.
    """

    probabilities: NDArray[np.float32] | None
    peaks: Mapping[str, tuple[NDArray[np.float32], NDArray[np.int64]]]


@dataclass(frozen=True, eq=False)
class Answer:
    """The class probabilities (K,) or None, and one feature map (rows, columns), (1, 1) for vectors."""

    probabilities: NDArray[np.float32] | None
    map: NDArray[np.float32]


class Lens:
    """A network ready to be asked about single pictures. Raises NetworkError where it fails on one."""

    def __init__(self, network: Network, info: Info, device: str | None = None) -> None:
        self.network, self.info, self.device = network, info, resolve(device)
        self.layers = {name: info.layer(name) for name in info.layers}
        self._net = network.working(self.device)
        self._grey = covering(network, torch.zeros(network.input_size, dtype=network.dtype), "grey")
        self._lock = Lock()
        self.reading = lru_cache(64)(self._alone(self._reading))
        self.answer = lru_cache(256)(self._alone(self._answer))
        self.projection = lru_cache(256)(self._alone(self._projection))
        self._reverse = lru_cache(None)(self._reversed)

    def check(self, layer: str, channel: int, row: int = 0, column: int = 0) -> Layer:
        """The layer of a unit. Raises LayerError and UnitError for one that the atlas does not have."""
        if layer not in self.layers:
            raise LayerError(layer, self.layers)
        there = self.layers[layer]
        if not 0 <= channel < there.channels:
            raise UnitError("channel", channel, f"{layer} has channels 0 to {there.channels - 1}")
        if not (0 <= row < there.height and 0 <= column < there.width):
            raise UnitError("position", f"{row}, {column}", f"the maps of {layer} are {there.height} x {there.width}")
        return there

    def _alone(self, ask: Callable[..., Answered]) -> Callable[..., Answered]:
        """One question at a time; what a network raises becomes one line."""

        def asked(*question: object) -> Answered:
            with self._lock:
                try:
                    with torch.no_grad():
                        return ask(*question)
                except ConvscopeError:
                    raise
                except Exception as error:  # a network is the user's code
                    reason = (str(error).splitlines() or [type(error).__name__])[0]
                    raise NetworkError(f"the network fails on this picture: {reason}") from error

        return asked

    def _run(self, inputs: Tensor, layers: Mapping[str, Callable[[Tensor], object]]) -> dict[str, object]:
        """What the reducers of `layers` see in one forward pass, and the network's output as ""."""
        moved = inputs.to(self.device, memory_format=torch.channels_last)
        return run(self._net, moved, {**layers, "": lambda output: output})

    def _reading(self, slide: Slide) -> Reading:
        found = self._run(slide.inputs, dict.fromkeys(self.layers, _peaks))
        return Reading(probabilities(found.pop("")), found)  # type: ignore[arg-type]

    def hidden(self, slide: Slide, square: Square | None) -> Tensor:
        """The picture with a part of it grey, (1, C, H, W); a square may reach past the border."""
        if square is None:
            return slide.inputs
        top, left, side = square
        return hide(slide.inputs, (top, left, top + side, left + side), self._grey)

    def _answer(self, slide: Slide, square: Square | None, layer: str, channel: int) -> Answer:
        self.check(layer, channel)
        found = self._run(self.hidden(slide, square), {layer: lambda output: _map(output, channel)})
        return Answer(probabilities(found[""]), found[layer])  # type: ignore[arg-type]

    def patch(self, slide: Slide, layer: str, channel: int, row: int, column: int) -> Pixels:
        """What the unit sees, grey beyond the picture's border (METHODS V6)."""
        box = tile_box(self.check(layer, channel, row, column), self.network.input_size, row, column)
        shown = torch.from_numpy(slide.shown).permute(2, 0, 1)
        return cut(shown, (0, 0), box, GREY).permute(1, 2, 0).numpy()

    def _projection(self, slide: Slide, layer: str, channel: int, row: int, column: int, rule: Rule) -> Pixels:
        """What of it excited the unit, at the size of the patch (METHODS V1, V5)."""
        box = tile_box(self.check(layer, channel, row, column), self.network.input_size, row, column)
        unit = Units(torch.zeros(1, dtype=torch.long), torch.tensor([channel]), torch.tensor([[row, column]]))
        found = self._reverse(layer, rule)(slide.inputs.to(self.device), {layer: unit})[layer]
        crop = cut(found.crops[0].float().cpu(), found.top_left[0].tolist(), box, 0)
        return display(crop) if crop.any() else np.full((*crop.shape[1:], 3), GREY, np.uint8)

    def warm(self, slide: Slide) -> None:
        """Ask everything once, so that the first reader does not wait for what is only made once."""
        peaks = self.reading(slide).peaks
        for layer, (values, places) in peaks.items():
            channel = int(values.argmax())
            for rule in RULES:
                self.projection(slide, layer, channel, *places[channel].tolist(), rule)

    def _reversed(self, layer: str, rule: Rule) -> Reverse:
        net, lrn = self.network, self.info.lrn
        assert lrn in get_args(LRN)
        return Reverse(net.working(self.device), net.graph(), net.geometry(), [layer], rule, lrn)  # type: ignore[arg-type]


def probabilities(output: object) -> NDArray[np.float32] | None:
    """Of a network's output (1, K): its softmax, or itself where it is one already; None for any other output."""
    if not isinstance(output, Tensor) or output.dim() != 2 or not output.isfinite().all():
        return None
    row = output[0].float().cpu()
    if not (bool((row >= 0).all()) and abs(float(row.sum()) - 1) < 1e-4):
        row = row.softmax(0)
    return row.numpy()


def _peaks(output: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    maps = output[0].float().flatten(1).cpu() if output.dim() == 4 else output[0].float()[:, None].cpu()
    values, places = maps.max(1)
    width = output.shape[3] if output.dim() == 4 else 1
    return values.numpy(), torch.stack((places // width, places % width), 1).numpy()


def _map(output: Tensor, channel: int) -> NDArray[np.float32]:
    found = output[0, channel].float().cpu()
    return (found if found.dim() == 2 else found.reshape(1, 1)).clone().numpy()
