"""UpConvNets: what a layer says of a picture, turned back into the picture (METHODS M8).

    decoders = Decoders({"pool5": (128, 3, 3), "relu7": (1024,)}, side=64)
    pictures = decoders({"pool5": maps, "relu7": vectors})     # {layer: (N, 3, 48, 48)}, {…: (N, 3, 64, 64)}

One decoder for every layer; each speaks of levels of 0 to 255, the mean subtracted, divided by 128 (`UNIT`). Trained by
`training.decoders`. `write` and `read` keep them in one file, with the fingerprint of the network they are for.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convscope.errors import ArgumentError, WeightsError
from convscope.models.network import Network
from convscope.models.weight_files import halved, load_state, store, stored

UNIT = 128  # levels that are 1 to a decoder
SLOPE = 0.2  # of the leaky rectifier
MAPS = (256, 128, 64, 32)


class UpConvNet(nn.Sequential):
    """A decoder of features (C, H, W) or (C,): (N, *shape) in, (N, colours, rows, columns) out.

    From maps three 3x3 convolutions, from vectors three dense layers and a reshape to 4x4; then up-convolutions (5x5,
    each doubles the size), as many as bring the rows nearest to `side`. `maps`: widths, the last of them before the
    picture; `dense` of the dense layers. Leaky rectifiers after all but the last; features are divided by `scale`.
    """

    scale: Tensor

    def __init__(
        self, shape: Sequence[int], *, maps: Sequence[int] = MAPS, dense: int = 4096, side: int = 128, colours: int = 3
    ) -> None:
        if len(shape) not in (1, 3) or min(shape) < 1:
            raise ArgumentError("layer", tuple(shape), "expected one that gives maps or vectors")
        if not maps or min(maps) < 1:
            raise ArgumentError("maps", maps, "expected positive whole numbers")
        if dense < 16 or dense % 16:
            raise ArgumentError("dense", dense, "expected a multiple of 16")
        if side < 8:
            raise ArgumentError("side", side, "expected at least 8")
        rows = 4 if len(shape) == 1 else shape[1]
        count = max(1, round(math.log2(side / rows)))
        layers: list[nn.Module] = []
        if len(shape) == 1:
            for taken, given in ((shape[0], dense), (dense, dense), (dense, dense)):
                layers += [nn.Linear(taken, given), nn.LeakyReLU(SLOPE)]
            layers.append(nn.Unflatten(1, (dense // 16, 4, 4)))
        else:
            for taken in (shape[0], maps[0], maps[0]):
                layers += [nn.Conv2d(taken, maps[0], 3, padding=1), nn.LeakyReLU(SLOPE)]
        width = dense // 16 if len(shape) == 1 else maps[0]
        for given in [maps[max(0, len(maps) - k)] for k in range(count - 1, 0, -1)]:
            layers += [nn.ConvTranspose2d(width, given, 5, 2, 2, 1), nn.LeakyReLU(SLOPE)]
            width = given
        layers.append(nn.ConvTranspose2d(width, colours, 5, 2, 2, 1))
        super().__init__(*layers)
        self.shape = tuple(shape)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """Raises ArgumentError for features of another layer, with both shapes."""
        if tuple(features.shape[1:]) != self.shape:
            raise ArgumentError("features", tuple(features.shape[1:]), f"this decoder is for {self.shape}")
        decoded = features / self.scale
        for layer in self:
            decoded = layer(decoded)
        return decoded

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Weights as He et al. have them for leaky rectifiers, biases 0: outputs as large as (scaled) features are."""
        for layer in self:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                reads = float(layer.weight[0].numel())
            elif isinstance(layer, nn.ConvTranspose2d):
                reads = layer.weight[:, 0].numel() / 4  # at stride 2 a pixel meets a quarter of the kernel
            else:
                continue
            deviation = (2 / ((1 + SLOPE**2) * reads)) ** 0.5
            layer.weight.copy_(torch.empty(layer.weight.shape).normal_(0, deviation, generator=generator))
            if layer.bias is not None:
                layer.bias.zero_()


class Decoders(nn.Module):
    """A decoder for each of several layers, {name: shape without N}; the other settings are `UpConvNet`'s."""

    def __init__(self, layers: Mapping[str, Sequence[int]], **settings: Any) -> None:
        super().__init__()
        self.architecture = {"layers": {name: list(shape) for name, shape in layers.items()}, **settings}
        self.layers = tuple(layers)
        self.nets = nn.ModuleList(UpConvNet(shape, **settings) for shape in layers.values())

    def __getitem__(self, layer: str) -> UpConvNet:
        net = self.nets[self.layers.index(layer)]
        assert isinstance(net, UpConvNet)
        return net

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{layer: (N, colours, rows, columns)}, levels less the mean, divided by `UNIT`."""
        return {layer: self[layer](features[layer]) for layer in self.layers}


def write(
    decoders: Decoders, path: str | Path, network: Network, recipe: Mapping[str, Any], half: bool = False
) -> None:
    """Keep the decoders in one file, in half precision where asked, with the recipe and the network's name and
    fingerprint.
    """
    header = {
        "decoders": decoders.architecture,
        "network": {"name": network.name, "weights": network.fingerprint()},
        "recipe": dict(recipe),
    }
    tensors = halved(decoders.state_dict()) if half else decoders.state_dict()
    store(path, json.dumps(header), tensors)  # keys are not sorted: the layers' order is that of their weights


def read(path: str | Path, network: Network) -> Decoders:
    """The decoders of a file that `write` wrote, in float32, for this network. Raises WeightsError for a file that is
    none of ours, or for decoders of another network.
    """
    header, tensors = stored(path, "decoders")
    if "decoders" not in header:
        raise WeightsError(f"decoders: {str(path)!r} holds none; expected a file that train --decode wrote")
    made_for = header["network"]
    if made_for["weights"] != network.fingerprint():
        raise WeightsError(
            f"decoders: {str(path)!r} was trained on other weights ({made_for['name']}) than {network.name}'s"
        )
    decoders = Decoders(**header["decoders"])
    load_state(decoders, tensors, str(path))
    return decoders.eval().requires_grad_(False)
