"""A network under the microscope: a module tied to its input transform, its class names and its table of layers.

    net = Network(module, input_size=(3, 224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    net.layers()

The user's module is never altered: everything runs on a converted copy in evaluation mode and channels-last.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convscope.data.preprocess import Preprocess
from convscope.device import resolve
from convscope.errors import ArgumentError, WeightsError
from convscope.models.weight_files import halved, load_state, store, stored
from convscope.probe.rectify import is_rectifier
from convscope.probe.trace.geometry import ReceptiveField, Spatial, receptive_field, spatial_axes
from convscope.probe.trace.graph import Graph, Node, trace

PerChannel = Sequence[float] | Tensor | float


@dataclass(frozen=True)
class Layer:
    """One call of a named module: what comes out of it and what one of its units sees.

    `height` and `width` are 1 for vectors; `receptive_field` is None where a unit sees the whole picture.
    `parameters` counts the module's own and its children's.
    """

    name: str
    kind: str
    channels: int
    height: int
    width: int
    parameters: int
    receptive_field: ReceptiveField | None
    rectified: bool


class Network:
    """A module with its transform (METHODS T1), class names and layers.

    `input_size` (C, H, W); `mean` and `std` per channel or (C, H, W), in units of a picture scaled to [0, 1];
    `classes` names of the outputs or None; `resize` the side that the shortest side is scaled to before the centre is
    cut, side·8/7 by default. Raises ArgumentError for shapes that do not fit, WeightsError for weights that are not
    finite (which tensor).
    """

    def __init__(
        self,
        module: nn.Module,
        input_size: tuple[int, int, int] = (3, 224, 224),
        mean: PerChannel = (0.485, 0.456, 0.406),
        std: PerChannel = (0.229, 0.224, 0.225),
        classes: Sequence[str] | None = None,
        name: str | None = None,
        resize: int | tuple[int, int] | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ArgumentError("module", type(module).__name__, "expected a torch.nn.Module")
        self.module = module
        self.transform = Preprocess(input_size=input_size, mean=mean, std=std, resize=resize)
        self.input_size = self.transform.input_size
        self.mean, self.std = self.transform.mean_table, self.transform.std_table
        self.resize = self.transform.resize
        self.classes = None if classes is None else tuple(str(c) for c in classes)
        self.name = name or type(module).__name__
        self.spec: str | None = None  # what `load` was asked for; None for a network that only lives in memory
        self.recipe: dict[str, Any] = {}
        self._working: dict[tuple[str, str], tuple[object, nn.Module]] = {}
        self._graphs: dict[tuple[int, int], tuple[object, Graph]] = {}
        _require_finite(module)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.input_size))
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"Network({self.name}, {size}{classes})"

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the network's parameters, in which it computes."""
        floating = (p.dtype for p in self.module.parameters() if p.is_floating_point())
        return next(floating, torch.float32)

    def working(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> nn.Module:
        """A copy of the module in evaluation mode and channels-last on `device`; never the user's own.

        Kept until the user's weights change. Weights without a layout (all but those of four axes) are not copied.
        """
        place, dtype = resolve(device), dtype or self.dtype
        key, now = (str(place), str(dtype)), self._version()
        kept = self._working.get(key)
        if kept is None or kept[0] != now:
            shared = (p for p in self.module.parameters() if p.dim() != 4)
            memo = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in shared}
            module = copy.deepcopy(self.module, memo).to(place, dtype)
            module = module.to(memory_format=torch.channels_last)
            kept = self._working[key] = (now, module.eval().requires_grad_(False))
        return kept[1]

    def _version(self) -> object:
        tensors = [*self.module.parameters(), *self.module.buffers()]
        return tuple((t.data_ptr(), t._version) for t in tensors)

    def graph(self, size: tuple[int, int] | None = None) -> Graph:
        """The traced forward pass for pictures of `size` (height, width), the input size by default."""
        size, now = size or (self.input_size[1], self.input_size[2]), self._version()
        kept = self._graphs.get(size)
        if kept is None or kept[0] != now:
            module = self.working("cpu")
            blank = torch.zeros(1, self.input_size[0], *size, dtype=self.dtype)
            kept = self._graphs[size] = (now, trace(module, blank)[0])
        return kept[1]

    def geometry(self, size: tuple[int, int] | None = None) -> list[Spatial]:
        """Receptive fields of every node of `graph(size)`."""
        return spatial_axes(self.graph(size))

    def layers(self) -> list[Layer]:
        """Every call of a named module that gives one tensor (N, C, H, W) or (N, C), in order (METHODS M1, M2).

        A module called more than once has a row a call, `name#k`.
        """
        graph, fields = self.graph(), self.geometry()
        modules = dict(self.module.named_modules())
        rows = []
        for name, index in graph.taps.items():
            shape = graph.nodes[index].shape
            if len(shape) not in (2, 4):
                continue
            height, width = shape[2:] if len(shape) == 4 else (1, 1)
            base = name.rpartition("#")[0] or name
            count = sum(p.numel() for p in modules[base].parameters())
            field = receptive_field(fields[index]) if len(shape) == 4 else None
            rectified = _rectifies(graph.nodes[index])
            rows.append(Layer(name, graph.kinds[name], shape[1], height, width, count, field, rectified))
        return rows

    def rectified(self, maps: bool = True) -> list[str]:
        """The default layers: outputs of rectifiers, by their module or, where a rectifier is none, by the module it
        follows; with `maps`, those that have rows and columns.
        """
        graph = self.graph()
        name_of: dict[int, str] = {}
        for name, index in graph.taps.items():
            name_of.setdefault(index, name)  # the innermost module is the first to finish
        chosen = []
        for node in graph.nodes:
            if not _rectifies(node) or (maps and len(node.shape) != 4):
                continue
            own = [name_of[i] for i in (node.index, *node.inputs) if i in name_of]
            if own and own[0] not in chosen:
                chosen.append(own[0])
        return chosen

    def inputs(self, pictures: Any) -> Tensor:
        """Pictures in network space: (N, C, H, W) in the network's dtype.

        A path, a PIL image or a uint8 array (H, W, 3) goes through the transform, a list of them gives one row each; a
        float tensor (N, C, H, W) or (C, H, W) is taken as already in network space. Raises ArgumentError for another
        rank, number of channels, or numbers that are not finite; PictureError for what is no picture.
        """
        if isinstance(pictures, Tensor) and pictures.is_floating_point():
            found = pictures[None] if pictures.dim() == 3 else pictures
        else:
            several = isinstance(pictures, (list, tuple)) or getattr(pictures, "ndim", 3) == 4
            found = torch.stack([self.transform(p) for p in (pictures if several else [pictures])])
        channels = self.input_size[0]
        if found.dim() != 4 or found.shape[1] != channels or not len(found):
            expected = f"expected (N, {channels}, height, width), N at least 1"
            fix = "; move the last axis, the channels, to the front" if found.shape[-1] == channels else ""
            raise ArgumentError("picture", tuple(found.shape), expected + fix)
        if not bool(torch.isfinite(found).all()):
            first = tuple((~torch.isfinite(found)).nonzero()[0].tolist())
            raise ArgumentError("picture", f"NaN or infinity at {first}", "expected finite numbers")
        return found.to(self.dtype)

    def fingerprint(self) -> str:
        """SHA-256 of the weights: names, shapes and bytes, in order."""
        digest = hashlib.sha256()
        for name, tensor in self.module.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def identity(self) -> dict[str, Any]:
        """What results say of it: its name, its spelling if it has one, its weights' fingerprint."""
        return {"name": self.name, "spec": self.spec, "weights": self.fingerprint()}


def _rectifies(node: Node) -> bool:
    return is_rectifier(node.op, node.args, node.kwargs)


def _require_finite(module: nn.Module) -> None:
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            first = (~torch.isfinite(tensor)).nonzero()[0].tolist()
            raise WeightsError(f"weights: {name} holds NaN or infinity, first at {first}; expected finite numbers")


def save(
    network: Network,
    path: str | Path,
    architecture: Mapping[str, Any],
    recipe: Mapping[str, Any],
    *,
    half: bool = False,
) -> None:
    """Write weights, transform and class names as one file that `read` opens again, weights in half precision if asked.

    `architecture` is what `build` makes the module from; `recipe` says how it was trained.
    """
    header = {
        "architecture": dict(architecture),
        "name": network.name,
        "input_size": list(network.input_size),
        "resize": network.resize,
        "classes": None if network.classes is None else list(network.classes),
        "recipe": dict(recipe),
    }
    tensors = halved(network.module.state_dict()) if half else network.module.state_dict()
    transform = {"transform.mean": network.mean, "transform.std": network.std}
    store(path, json.dumps(header, sort_keys=True), {**tensors, **transform})


def read(path: str | Path, build: Callable[[Mapping[str, Any]], nn.Module]) -> Network:
    """Open a file that `save` wrote; `build` makes the module from its architecture.

    Weights stored in half precision compute in float32. Raises WeightsError for a file that is none of ours, or whose
    tensors do not fit the architecture (which keys, which shapes).
    """
    header, tensors = stored(path, "weights")
    if "architecture" not in header:
        raise WeightsError(
            f"weights: {str(path)!r} was not written by convscope; load its network with py:module:function"
        )
    mean, std = tensors.pop("transform.mean"), tensors.pop("transform.std")
    module = build(header["architecture"])
    load_state(module, tensors, str(path))
    network = Network(
        module, tuple(header["input_size"]), mean, std, header["classes"], header["name"], header["resize"]
    )
    network.recipe = header["recipe"]
    return network
