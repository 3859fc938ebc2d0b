"""A network and pictures small enough to scan in no time, for the tests in this folder."""

from pathlib import Path

import torch
from torch import Tensor, nn

from convscope.atlases.build import atlas
from convscope.atlases.store import Atlas
from convscope.models.network import Network

LAYERS = ["relu1", "relu2", "fc3"]


class Noise:
    """Small pictures made from their index; some of them missing, where asked for."""

    def __init__(self, count: int = 40, missing: tuple[int, ...] = (), seed: int = 0) -> None:
        self.count, self.missing, self.seed = count, missing, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        if index in self.missing:
            raise OSError("gone")
        generator = torch.Generator().manual_seed(1000 * self.seed + index)
        coarse = torch.rand(1, 3, 4, 4, generator=generator)
        return nn.functional.interpolate(coarse, (30, 34)).mul(255).byte()[0]


def tiny(seed: int = 0) -> Network:
    """conv1 (8 maps, the last one dead) to a vector of 5, for pictures of 24 x 24."""
    torch.manual_seed(seed)
    module = nn.Sequential()
    module.add_module("conv1", nn.Conv2d(3, 8, 5, padding=2))
    module.add_module("relu1", nn.ReLU(inplace=True))
    module.add_module("pool1", nn.MaxPool2d(2))
    module.add_module("conv2", nn.Conv2d(8, 20, 3))
    module.add_module("relu2", nn.ReLU())
    module.add_module("flat", nn.Flatten())
    module.add_module("fc3", nn.Linear(20 * 100, 5))
    with torch.no_grad():
        module.get_parameter("conv1.weight")[7] = 0
        module.get_parameter("conv1.bias")[7] = -1
    return Network(module, (3, 24, 24), classes=list("abcde"), name="tiny")


def build(out: Path, **settings: object) -> Atlas:
    """An atlas of it in five units of work."""
    arguments = {"layers": LAYERS, "batch_size": 5, "unit": 8} | settings
    found = atlas(tiny(), Noise(), out, **arguments)  # type: ignore[call-overload]
    assert isinstance(found, Atlas)
    return found
