"""Projection as a user calls it: against Captum, by its invariants (METHODS V1), and on bad input (METHODS 12)."""

import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torchvision
from captum.attr import NeuronDeconvolution
from torch import nn

from convscope.errors import ArgumentError, LayerError, NetworkError, PictureError, UnitError
from convscope.experiments.project import project
from convscope.models.network import Network
from convscope.probe.rectify import Unpool
from tests.nets import PreActivation, Spelled
from tests.slow_twins import plain_copy

CAPTUM = {"alexnet": ("features.10", 224), "vgg16": ("features.12", 64), "squeezenet1_1": ("features.9.squeeze", 224)}


def spelled(how: str = "module") -> Network:
    torch.manual_seed(0)
    return Network(Spelled(how).double(), (3, 20, 20), 0.0, 1.0)


def noise(count: int = 2, side: int = 20) -> torch.Tensor:
    return torch.randn(count, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CAPTUM)
@pytest.mark.filterwarnings("ignore")  # Captum's own, at every call
def test_equal_to_captum_in_float64(name: str) -> None:
    layer, side = CAPTUM[name]
    torch.manual_seed(0)
    options = {"init_weights": False} if name == "vgg16" else {}
    module = torchvision.models.get_model(name, weights=None, **options).double().eval()
    net, x = Network(module, (3, side, side), 0.0, 1.0), noise(1, side)
    before = plain_copy(module)
    shape = net.graph().node(layer).shape
    for channel, row, column in ((0, 0, 0), (shape[1] - 1, shape[2] // 2, shape[3] - 1)):
        ours = project(net, x, f"{layer}:{channel}@{row},{column}", start="one")
        captum = NeuronDeconvolution(module, module.get_submodule(layer)).attribute(x, (channel, row, column))
        scale = float(captum.abs().max())
        torch.testing.assert_close(ours.pixels / scale, captum.detach() / scale, rtol=0, atol=1e-10)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


def test_captum_is_wrong_where_a_rectifiers_input_feeds_the_skip() -> None:
    """The reason for intercepting operations; should Captum mend this, the sentence in the README must go."""
    torch.manual_seed(0)
    module = PreActivation().double().eval()
    net, x = Network(module, (3, 12, 12), 0.0, 1.0), noise(1, 12)
    ours = project(net, x, "body:2@5,5", start="one").pixels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        captum = NeuronDeconvolution(module, module.body).attribute(x, (2, 5, 5)).detach()
    assert float((captum - ours).abs().max()) > 0.1 * float(ours.abs().max())


@pytest.mark.parametrize("how", Spelled.HOWS)
def test_gradient_rule_is_autograd(how: str) -> None:
    net, x = spelled(how), noise()
    p = project(net, x, "c:3@1,2", rule="gradient", start="one")
    leaf = x.clone().requires_grad_()
    module: Any = net.module
    h = module.c(nn.functional.max_pool2d(module.rectifier(module.b(module.rectifier(module.a(leaf)))), 3, 2))
    expected = torch.autograd.grad(h[:, 3, 1, 2].sum(), leaf)[0]
    torch.testing.assert_close(p.pixels, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(p.values, h[:, 3, 1, 2].detach())
    assert not p.replaced


def test_linear_in_the_selected_value_and_zero_where_nothing_is_selected() -> None:
    net, x = spelled(), noise(1)
    p, one = project(net, x, "relu:2"), project(net, x, "relu:2", start="one")
    torch.testing.assert_close(p.pixels, one.pixels * p.values[0])
    assert p.replaced == ("relu", "relu", "relu")
    dark = net.module.get_parameter("c.bias")
    with torch.no_grad():
        dark.fill_(-1e3)
    with pytest.warns(UserWarning, match=r"relu:2@0,0 is 0: what is not positive"):
        black = project(net, x, "relu:2")
    assert not black.pixels.any()
    assert len(black.notes) == 1


def test_supported_on_the_receptive_field_only() -> None:
    p = project(spelled(), noise(1), ["relu:1@0,0", "relu:1@3,3", "relu#0:1@19,19"], start="one")
    for box, pixels in zip(p.boxes.tolist(), p.pixels, strict=True):
        outside = pixels.clone()
        outside[:, max(box[0], 0) : box[2], max(box[1], 0) : box[3]] = 0
        assert not outside.any()
    assert p.boxes[2].tolist() == [18, 18, 21, 21]
    assert p.crops[2].shape == (3, 3, 3)


def test_switches_are_those_of_this_picture() -> None:
    net = spelled()
    x = noise(1)
    moved = x + torch.randn_like(x) * 0.5
    a, b = (project(net, picture, "c:0@2,2", start="one").pixels for picture in (x, moved))
    assert not torch.allclose(a, b)


def test_one_unit_many_pictures_many_units_one_picture_and_pairs() -> None:
    net, x = spelled(), noise(3)
    many = project(net, x, "c:1@2,2", start="one")
    pairs = project(net, x, ["c:0@1,1", "c:1@2,2", "b:3"], start="one")
    one = project(net, x[1], ["c:0@1,1", "c:1@2,2"], start="one")
    torch.testing.assert_close(many.pixels[1], pairs.pixels[1])
    torch.testing.assert_close(one.pixels[1], pairs.pixels[1])
    assert [str(u) for u in pairs.units][:2] == ["c:0@1,1", "c:1@2,2"]
    with pytest.raises(ArgumentError, match="as many as pictures"):
        project(net, x, ["c:0", "c:1"])


def test_without_a_position_where_the_map_is_largest() -> None:
    net, x = spelled(), noise(2)
    p = project(net, x, "relu:4")
    with torch.no_grad():
        maps = net.module(x)[:, 4]
    torch.testing.assert_close(p.values, maps.amax((1, 2)))
    for row, (i, j) in enumerate(p.positions.tolist()):
        assert maps[row, i, j] == maps[row].max()


def test_whole_maps_vectors_and_patches() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 49, 5)).double()
    net, x = Network(module, (3, 9, 9), 0.0, 1.0), noise(1, 9)
    leaf = x.clone().requires_grad_()
    everything = torch.autograd.grad(module[:2](leaf)[:, 2].pow(2).sum() / 2, leaf)[0]  # activation times gradient
    p = project(net, x, ["1:2@*", "3:1"], rule="gradient")
    torch.testing.assert_close(p.pixels[0], everything[0])
    torch.testing.assert_close(p.values[1], module(x)[0, 1].detach())
    assert p.positions.tolist() == [[-1, -1], [0, 0]]
    assert p.boxes[1].tolist() == [0, 0, 9, 9]
    corner = project(net, x, "0:1@0,0", start="one")
    torch.testing.assert_close(corner.patches[0], x[0, :, :3, :3])


@pytest.mark.parametrize("unpool", get_args(Unpool))
def test_unpoolings_agree_where_windows_do_not_overlap(unpool: Unpool) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 2)).double()
    p = project(Network(module, (3, 10, 10), 0.0, 1.0), noise(1, 10), "3:1@1,1", unpool=unpool, start="one")
    switch = project(Network(module, (3, 10, 10), 0.0, 1.0), noise(1, 10), "3:1@1,1", start="one")
    same = torch.allclose(p.pixels, switch.pixels)
    assert same == (unpool in ("switch", "max", "overwrite"))


@pytest.mark.parametrize(
    ("unit", "options", "error", "words"),
    [
        ("rellu:1", {}, LayerError, "nearest are relu#"),
        ("c:99", {}, UnitError, "c has channels 0 to 4"),
        ("c:1@50,0", {}, UnitError, "the maps of c are 7 x 7"),
        ("c", {}, ArgumentError, "expected layer:channel"),
        ("c:1", {"rule": "deconv"}, ArgumentError, "rule is 'deconv': expected one of deconvnet"),
        ("c:1", {"start": "zero"}, ArgumentError, "start is 'zero'"),
    ],
)
def test_bad_units_and_options(unit: str, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        project(spelled(), noise(1), unit, **options)


def test_bad_pictures(tmp_path: Path) -> None:
    net = spelled()
    with pytest.raises(NetworkError, match="fails on a 3x3x3 picture"):
        project(net, noise(1, 3), "c:1")
    with pytest.raises(PictureError):
        project(net, tmp_path / "missing.jpg", "c:1")
    with pytest.raises(ArgumentError, match="NaN or infinity"):
        project(net, noise(1) * np.nan, "c:1")
