import re
from typing import Any

import pytest
import torch

from convscope.errors import ArgumentError
from convscope.models.network import Network
from convscope.models.student import M5, M6
from convscope.models.variants import build


def sides(module: torch.nn.Sequential, x: torch.Tensor) -> list[int]:
    """The input's side, and that behind every convolution and pooling."""
    found = [x.shape[3]]
    for name, child in module.named_children():
        x = child(x)
        if name.startswith(("conv", "pool")):
            assert x.shape[2] == x.shape[3]
            found.append(x.shape[3])
    return found


@pytest.mark.parametrize(
    ("option", "expected", "flat", "parameters"),
    [
        ("A", [28, 14, 7, 4, 2], 256, 53_002),
        ("B", [28, 13, 6, 2, 1], 64, 28_426),
        ("C", [28, 26, 13, 11, 5], 1600, 225_034),
        ("D", [28, 28, 14, 14, 7], 3136, 421_642),
    ],
)
def test_the_four_readings_of_stride_2(option: str, expected: list[int], flat: int, parameters: int) -> None:
    module = M5(option=option).eval()
    assert sides(module, torch.zeros(1, 1, 28, 28)) == expected
    assert module.get_submodule("fc3").in_features == flat
    assert sum(p.numel() for p in module.parameters()) == parameters
    assert module(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_padding_at_the_top_left_is_same_padding_of_the_picture_turned_round() -> None:
    convolution: Any = M5().get_submodule("conv1")
    x = torch.randn(1, 1, 28, 28)
    weight, bias = convolution.weight, convolution.bias
    same = torch.nn.functional.conv2d(torch.nn.functional.pad(x.flip(2, 3), (0, 1, 0, 1)), weight.flip(2, 3), bias, 2)
    torch.testing.assert_close(convolution(x), same.flip(2, 3))


def test_the_five_class_network() -> None:
    module = M6().eval()
    assert sides(module, torch.zeros(1, 3, 224, 224)) == [224, 112, 56, 28, 14, 7, 3, 2, 1]
    assert sum(p.numel() for p in module.parameters()) == 258_693
    assert sum(p.numel() for p in M6(option="D").parameters()) == 3_453_573
    names = [name for name, _ in module.named_children()]
    assert names[:5] == ["conv1", "relu1", "pool1", "norm1", "conv2"]
    assert names[-5:] == ["flatten", "fc5", "relu5", "drop5", "fc6"]


def test_without_padding_the_fourth_pooling_has_nothing_left() -> None:
    trace = "pool4 would be empty: 224 → 111 → 55 → 27 → 13 → 6 → 3 → 1 → 0"
    with pytest.raises(ArgumentError, match=trace):
        M6(option="B")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base": "m5", "option": "E"}, "option is 'E': expected one of A, B, C, D"),
        ({"base": "m6", "classes": 4}, "classes is 4: m6 tells 5 classes apart"),
        ({"base": "m5", "fc": (8, 8)}, "fc is [8, 8]: expected 1 positive"),
        ({"base": "m5", "maps": ()}, "maps is []: expected some positive"),
        ({"base": "m5", "classes": 0}, "classes is 0"),
        ({"base": "m5", "dropout": 1.0}, "dropout is 1.0"),
        ({"base": "m5", "depth": 3}, "architecture is ['depth']: no such settings"),
        ({"base": "m5", "side": 2, "option": "B"}, "conv1 would be empty: 2 → 0 → 0"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(words)):
        build(settings)


@pytest.mark.parametrize("shape", [(1, 3, 28, 28), (1, 1, 32, 32), (1, 28, 28)])
def test_another_input_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match=r"expected \(N, 1, 28, 28\)"):
        M5()(torch.zeros(shape))


def test_built_again_from_its_architecture() -> None:
    module = M6(option="D", side=64, classes=7)
    again = build(module.architecture)
    assert again.architecture == module.architecture
    again.load_state_dict(module.state_dict())


def test_its_layers_are_those_of_a_live_pass() -> None:
    net = Network(M5(), (1, 28, 28), 0.0, 1.0)
    rows = {row.name: row for row in net.layers()}
    assert [rows[name].height for name in ("conv1", "pool1", "conv2", "pool2", "fc3")] == [14, 7, 4, 2, 1]
    assert net.rectified() == ["relu1", "relu2"]
    field = rows["relu2"].receptive_field
    assert field is not None
    assert (field.size[0], field.jump[0]) == (13, 8)
