"""The rules are right for every spelling of a rectifier, and nothing of the network is touched."""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import ArgumentError, NetworkError
from convscope.probe.projection import whole
from convscope.probe.rectify import LRN, Rectified, Rule, unpooled
from tests.nets import PreActivation, Spelled
from tests.slow_twins import RuleRelu, deconvnet, plain_copy

RULES: tuple[Rule, ...] = ("deconvnet", "guided", "gradient", "none")


def by_rule(net: nn.Module, x: Tensor, rule: Rule) -> tuple[Tensor, list[str]]:
    x = x.clone().requires_grad_()
    with Rectified(rule) as mode:
        output = net(x)
    return torch.autograd.grad(output[:, 1, 2, 2].sum(), x)[0], mode.caught


def by_twin(net: nn.Module, x: Tensor, rule: Rule) -> Tensor:
    x = x.clone().requires_grad_()
    output = net(x, relu=lambda h: RuleRelu.apply(h, rule))
    return torch.autograd.grad(output[:, 1, 2, 2].sum(), x)[0]


@pytest.mark.parametrize(("how", "rule"), list(itertools.product(Spelled.HOWS, RULES)))
def test_every_spelling_of_a_rectifier(how: str, rule: Rule) -> None:
    torch.manual_seed(0)
    net = Spelled(how).double().eval()
    x = torch.randn(2, 3, 11, 11, dtype=torch.float64)
    before = plain_copy(net)
    found, caught = by_rule(net, x, rule)
    assert len(caught) == 3
    torch.testing.assert_close(found, by_twin(net, x, rule), rtol=0, atol=1e-12)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in net.modules())
    assert net.relu.inplace == (how == "inplace")


@pytest.mark.parametrize(("inplace", "rule"), list(itertools.product((False, True), RULES)))
def test_pre_activation_residuals(inplace: bool, rule: Rule) -> None:
    torch.manual_seed(1)
    net = PreActivation(inplace).double().eval()
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    found, _ = by_rule(net, x, rule)
    torch.testing.assert_close(found, by_twin(net, x, rule), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_against_nested_loops(rule: Rule) -> None:
    torch.manual_seed(2)
    first, second = nn.Conv2d(2, 4, 3, 2, 1).double(), nn.Conv2d(4, 3, 2, 1, 1).double()
    net = nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), second, nn.ReLU(), nn.MaxPool2d(2, 1, 1))
    stages = [
        ("conv", first.weight.detach(), first.get_parameter("bias").detach(), 2, 1),
        ("relu",),
        ("pool", 3, 2, 0, True),
        ("conv", second.weight.detach(), second.get_parameter("bias").detach(), 1, 1),
        ("relu",),
        ("pool", 2, 1, 1, False),
    ]
    x = torch.randn(1, 2, 10, 12, dtype=torch.float64)
    shape = net(x).shape
    for channel, row, column in ((0, 0, 0), (1, 1, 2), (2, shape[2] - 1, shape[3] - 1)):
        selection = torch.zeros(shape, dtype=torch.float64)
        selection[0, channel, row, column] = 1
        _, pixels, _ = whole(net.eval(), x, "5", selection, rule)
        slow = deconvnet(stages, x[0], channel, (row, column), rule)
        torch.testing.assert_close(pixels[0], slow, rtol=0, atol=1e-12)


def test_hand_values_of_the_four_rules() -> None:
    x, R = torch.tensor([1.0, 1.0, -1.0, -1.0]), torch.tensor([2.0, -2.0, 2.0, -2.0])
    expected: dict[Rule, list[int]] = {
        "deconvnet": [2, 0, 2, 0],
        "gradient": [2, -2, 0, 0],
        "guided": [2, 0, 0, 0],
        "none": [2, -2, 2, -2],
    }
    for rule, values in expected.items():
        leaf = x.clone().requires_grad_()
        with Rectified(rule):
            y = F.relu(leaf)
        assert torch.autograd.grad(y, leaf, R)[0].tolist() == values


@pytest.mark.parametrize("smooth", [F.gelu, F.silu, F.hardswish, F.elu, F.mish, F.softplus])
def test_smooth_rectifiers_count(smooth: object) -> None:
    assert callable(smooth)
    x = torch.randn(8, dtype=torch.float64, requires_grad=True)
    R = torch.randn(8, dtype=torch.float64)
    plain = torch.autograd.grad(smooth(x).sum(), x)[0]
    ways: dict[Rule, Tensor] = {"deconvnet": R.clamp(min=0), "guided": R.clamp(min=0) * plain, "none": R}
    for rule, expected in ways.items():
        with Rectified(rule) as mode:
            y = smooth(x)
        assert len(mode.caught) == 1
        torch.testing.assert_close(y, smooth(x))
        torch.testing.assert_close(torch.autograd.grad(y, x, R)[0], expected)


def test_a_scripted_rectifier_is_an_error_not_a_plain_gradient() -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        hidden = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))

    class Hiding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(hidden(x))

    with pytest.raises(NetworkError, match="cannot reach 1 rectifier"):
        whole(Hiding(), torch.randn(1, 3, 6, 6), "last", torch.ones(1, 2, 4, 4))


def test_lrn_is_identity_scale_or_gradient() -> None:
    torch.manual_seed(3)
    lrn = nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)
    x = torch.randn(1, 7, 3, 3, dtype=torch.float64).requires_grad_()
    R = torch.randn_like(x)
    expected: dict[LRN, Tensor] = {
        "identity": R,
        "scale": R * lrn(x) / x,
        "gradient": torch.autograd.grad(lrn(x), x, R)[0],
    }
    for how, value in expected.items():
        with Rectified(lrn=how):
            y = lrn(x)
        torch.testing.assert_close(torch.autograd.grad(y, x, R)[0], value.detach())


def test_the_worked_examples_of_unpooling() -> None:
    rows = [[1, 2, 3, 0, 1], [4, 9, 5, 1, 0], [2, 6, 8, 2, 7], [0, 1, 3, 2, 1], [5, 0, 1, 4, 3]]
    pooled, switches = F.max_pool2d(torch.tensor([[rows]], dtype=torch.float64), 3, 2, return_indices=True)
    assert pooled[0, 0].tolist() == [[9, 8], [8, 8]]
    signal = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.float64)
    result = {how: unpooled(signal, switches, (5, 5), how)[0, 0] for how in ("switch", "max", "overwrite")}
    assert result["switch"][1, 1] == 1
    assert [float(r[2, 2]) for r in result.values()] == [9, 4, 4]
    assert all(float(r.sum()) == 1 + float(r[2, 2]) for r in result.values())
    four = [[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]]
    pooled, switches = F.max_pool2d(torch.tensor([[four]], dtype=torch.float64), 2, 2, return_indices=True)
    shown = {how: unpooled(signal, switches, (4, 4), how)[0, 0].tolist() for how in ("switch", "nearest", "nails")}
    assert shown["switch"] == [[0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4]]
    assert shown["nearest"] == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert shown["nails"] == [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]


def test_the_larger_of_overlapping_negative_signals() -> None:
    signal, switches = torch.tensor([[[[-3.0, -1.0]]]]), torch.tensor([[[[0, 0]]]])
    assert unpooled(signal, switches, (1, 2), "max")[0, 0].tolist() == [[-1, 0]]
    assert unpooled(signal, switches, (1, 2), "overwrite")[0, 0].tolist() == [[-1, 0]]


def test_switches_outside_the_map_and_other_shapes_are_errors() -> None:
    signal = torch.ones(1, 1, 1, 2)
    with pytest.raises(ArgumentError, match="places from 0 to 1"):
        unpooled(signal, torch.tensor([[[[0, 2]]]]), (1, 2), "switch")
    with pytest.raises(ArgumentError, match="shape of the signal"):
        unpooled(signal, torch.tensor([[[[0]]]]), (1, 2), "switch")


@pytest.mark.parametrize("names", [{"rule": "deconv"}, {"lrn": "none"}, {"unpool": "switches"}])
def test_unknown_rules_list_the_known(names: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="expected one of"):
        Rectified(**names)
