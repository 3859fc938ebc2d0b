"""Saliency maps (METHODS A2)."""

import torch
from torch import nn

from convscope.experiments.project import project
from convscope.figures.project import project as draw
from convscope.figures.project import saliency
from convscope.models.network import Network


def test_a_saliency_map_is_the_largest_size_over_the_channels() -> None:
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, 4, 3))
    module.add_module("relu", nn.ReLU())
    module.add_module("flatten", nn.Flatten())
    module.add_module("fc", nn.Linear(4 * 36, 2))
    net, x = Network(module, (3, 8, 8), 0.0, 1.0), torch.rand(1, 3, 8, 8)
    found = project(net, x, "fc:1", rule="gradient", start="one")
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(leaf)[0, 1], leaf)
    sizes = gradient[0].abs().amax(0)
    shown = torch.from_numpy(saliency(found.pixels[0]).astype(float))
    assert shown.shape == (8, 8, 3)
    assert float((shown[..., 0] - 255 * sizes / sizes.max()).abs().max()) < 3
    titles = [axes.get_title() for axes in draw(net, found, shown="saliency").axes]
    assert titles[-1] == "saliency (switch)"


def test_zero_is_black() -> None:
    pixels = torch.zeros(3, 4, 4)
    pixels[1, 2, 2] = -3
    shown = saliency(pixels)
    assert shown[2, 2].tolist() == [255, 255, 255]
    assert shown.sum() == 3 * 255
