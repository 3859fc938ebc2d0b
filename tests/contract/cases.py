"""One row for every experiment: how it is called on a small network, and what would be wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

import convscope
from convscope.models.network import Network


@dataclass(frozen=True)
class Case:
    """`run` calls the public function; `arguments` are those of the command, NETWORK and `-o OUT` apart;
    `mistakes`: what to replace in them, {place: wrong value}, and a word of the error.
    """

    run: Callable[[Network, Path], Any]
    arguments: Sequence[str]
    mistakes: Sequence[tuple[dict[int, str], str]] = field(default=())


CASES = {
    "activations": Case(
        lambda net, picture: convscope.activations(net, picture, layers=["conv", "rectified"]),
        ["PICTURE", "--layers", "relu"],
        [
            ({2: "rleu"}, "the nearest are relu"),
            ({0: "none.png"}, "none.png"),
            ({0: "no-picture.png"}, "no-picture.png"),
        ],
    ),
    "project": Case(
        lambda net, picture: convscope.project(net, picture, ["relu:3", "pool:2@1,1"]),
        ["PICTURE", "relu:3"],
        [
            ({1: "rleu:3"}, "the nearest are relu"),
            ({1: "relu:99"}, "channels 0 to 5"),
            ({1: "relu:3@99,0"}, "30 x 30"),
            ({1: "relu"}, "expected layer:channel"),
            ({0: "none.png"}, "none.png"),
            ({0: "no-picture.png"}, "no-picture.png"),
        ],
    ),
}


def network() -> Network:
    """A network of two convolutions, left as a careless user leaves it: training, hooked, rectifying in place."""
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, 6, 3))
    module.add_module("relu", nn.ReLU(inplace=True))
    module.add_module("pool", nn.MaxPool2d(2))
    module.add_module("last", nn.Conv2d(6, 4, 3))
    module.add_module("rectified", nn.ReLU(inplace=True))
    module.get_submodule("conv").register_forward_hook(lambda *_: None)
    return Network(module.train(), (3, 32, 32), name="careless")
