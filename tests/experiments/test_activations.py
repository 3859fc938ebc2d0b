"""The maps of layers for one picture (METHODS P1), their figure, and bad input."""

import re

import pytest
import torch
from torch import nn

from convscope.errors import ArgumentError, LayerError, PictureError
from convscope.experiments.activations import activations
from convscope.figures import activations as figure
from convscope.models.network import Network


def network(maps: int = 70) -> Network:
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, maps, 3))
    module.add_module("relu", nn.ReLU(inplace=True))
    module.add_module("flatten", nn.Flatten())
    module.add_module("last", nn.Linear(maps * 36, 5))
    return Network(module, (3, 8, 8), 0.0, 1.0)


def picture() -> torch.Tensor:
    return torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_the_maps_are_those_of_a_forward_pass_before_anything_changes_them_in_place() -> None:
    net, x = network(), picture()
    found = activations(net, x, layers=["conv", "relu", "last"])
    with torch.no_grad():
        before = net.module.get_submodule("conv")(x)
        torch.testing.assert_close(found.maps["conv"], before[0])
        torch.testing.assert_close(found.maps["relu"], before[0].relu())
        torch.testing.assert_close(found.maps["last"].flatten(), net.module(x)[0])
    assert found.maps["last"].shape == (5, 1, 1)
    assert list(found.arrays) == ["conv", "relu", "last"]


def test_a_row_says_where_a_map_is_largest() -> None:
    found = activations(network(), picture())
    assert list(found.maps) == ["relu"]  # the rectified maps
    assert len(found.rows) == 70
    row = found.rows[7]
    assert row["map"] == 7
    assert found.maps["relu"][7, row["row"], row["column"]] == row["maximum"] == float(found.maps["relu"][7].max())


def test_inactive_maps_are_reported() -> None:
    net = network(9)
    with torch.no_grad():
        biases = [100.0, 100, -100, 100, 100, -100, 100, 100, 100]
        net.module.get_parameter("conv.bias").copy_(torch.tensor(biases))
    found = activations(net, picture())
    assert found.inactive("relu") == [2, 5]
    assert [row["map"] for row in found.rows if row["inactive"]] == [2, 5]
    assert found.notes == ("relu: 2 of 9 maps are inactive here, nowhere above 1e-06: 2, 5",)


def test_a_constant_map_is_black_and_each_scale_is_its_own() -> None:
    maps = torch.stack([torch.full((2, 2), 4.0), torch.tensor([[0.0, 1], [2, 1]]), torch.tensor([[0.0, 5], [10, 0]])])
    own = figure.stretched(maps, maps.amin((1, 2)), maps.amax((1, 2)))
    assert own[0].max() == 0
    assert own[1].tolist() == [[0, 0.5], [1, 0.5]]
    shared = figure.stretched(maps, maps.min(), maps.max())
    assert shared[0].tolist() == [[0.4, 0.4], [0.4, 0.4]]
    assert shared[1].tolist() == [[0, 0.1], [0.2, 0.1]]


def texts(found: object, **options: str) -> list[str]:
    drawn = figure.activations(network(), found, **options)  # type: ignore[arg-type]
    return [axes.get_title() for axes in drawn.axes if axes.get_title()]


def test_more_than_64_maps_take_another_page() -> None:
    found = activations(network(), picture(), layers=["relu", "last"])
    titles = texts(found)
    assert [re.split(", (?=each|one)", title)[0] for title in titles] == ["0 to 63"] * 2 + ["64 to 69"] * 2 + ["0 to 4"]
    assert len(texts(found, scale="map")) == 3
    assert titles[4].startswith("0 to 4, one scale")  # a single number has no range of its own


def test_a_constant_picture_and_a_silent_network_are_drawn() -> None:
    net = network()
    with torch.no_grad():
        net.module.get_parameter("conv.bias").fill_(-100)
    found = activations(net, torch.zeros(1, 3, 8, 8))
    assert found.inactive("relu") == list(range(70))
    assert len(texts(found)) == 4


def test_mistakes() -> None:
    net = network()
    with pytest.raises(LayerError, match="the nearest are relu"):
        activations(net, picture(), layers=["rleu"])
    with pytest.raises(ArgumentError, match=r"2 pictures.*expected one"):
        activations(net, picture().expand(2, -1, -1, -1))
    with pytest.raises(PictureError, match=r"none\.png"):
        activations(net, "none.png")
    with pytest.raises(ArgumentError, match="NaN"):
        activations(net, picture() * float("nan"))
    bare = Network(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh()), (3, 8, 8), name="bare")
    with pytest.raises(ArgumentError, match="bare has no rectified maps"):
        activations(bare, picture())
    assert list(activations(bare, picture(), layers=["1"]).maps) == ["1"]
