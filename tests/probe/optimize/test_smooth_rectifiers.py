"""Smoothed rectifiers and pools: near what they replace, twice differentiable, and nothing of the network touched."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import ArgumentError, NetworkError
from convscope.probe.optimize.smooth_rectifiers import Smoothed
from tests.nets import PreActivation, Spelled
from tests.slow_twins import plain_copy


def smoothed(net: nn.Module, x: Tensor, beta: float) -> tuple[Tensor, Smoothed]:
    mode = Smoothed(beta)
    with torch.no_grad():
        with mode.learning():
            net(x.clone())
        with mode:
            return net(x.clone()), mode


@pytest.mark.parametrize("how", Spelled.HOWS)
def test_every_spelling_of_a_rectifier_is_smoothed_alike(how: str) -> None:
    torch.manual_seed(0)
    net = Spelled(how).double().eval()
    x = torch.randn(2, 3, 11, 11, dtype=torch.float64)
    before = plain_copy(net)
    rough, mode = smoothed(net, x, 3.0)
    assert mode.replaced == 4  # and the pooling
    assert not mode.left
    fine, _ = smoothed(net, x, 3e4)
    plain = net(x).detach()
    assert float((rough - plain).abs().max()) > 0.01 * float(plain.abs().max())
    torch.testing.assert_close(fine, plain, rtol=0, atol=1e-4 * float(plain.abs().max()))
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    if how != "relu6":  # rounded above, too
        torch.manual_seed(0)
        torch.testing.assert_close(rough, smoothed(Spelled("module").double().eval(), x, 3.0)[0])


@pytest.mark.parametrize("inplace", [False, True])
def test_what_is_overwritten_stays_so_on_a_skip(inplace: bool) -> None:
    torch.manual_seed(1)
    net = PreActivation(inplace).double().eval()
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(smoothed(net, x, 1e5)[0], net(x.clone()).detach(), rtol=0, atol=1e-4)


def test_the_softplus_of_the_definition() -> None:
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[None]
    found, _ = smoothed(nn.ReLU(), x, 4.0)
    sharp = 4 / x.square().mean().sqrt()
    torch.testing.assert_close(found, (1 + (sharp * x).exp()).log() / sharp)
    slope, _ = smoothed(nn.LeakyReLU(0.2), x, 4.0)
    torch.testing.assert_close(slope, 0.2 * x + 0.8 * found)
    prelu = nn.PReLU(init=0.2).double().requires_grad_(False)
    torch.testing.assert_close(smoothed(prelu, x, 4.0)[0], slope)
    torch.testing.assert_close(smoothed(nn.Hardtanh(-0.5, 0.5), x, 1e4)[0], x.clamp(-0.5, 0.5), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool2d(3, 2, padding=1),
        nn.MaxPool2d((2, 3), (3, 1), padding=(1, 0), ceil_mode=True),
        nn.MaxPool2d(2, 1, dilation=2),
    ],
)
@pytest.mark.parametrize("size", [(9, 8), (10, 7), (7, 11)])
def test_pools_against_max_pooling_of_exponentials(pool: nn.MaxPool2d, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hard = pool(x)
    fine, mode = smoothed(pool, x, 1e6)
    assert mode.replaced == 1
    torch.testing.assert_close(fine, hard, rtol=0, atol=1e-4)
    soft, _ = smoothed(pool, x, 2.0)
    assert bool((soft >= hard - 1e-12).all())  # the sum of exponentials is at least the largest


def test_second_derivatives_are_those_of_differences() -> None:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 1))
    net = net.double().requires_grad_(False)
    x, mode = torch.randn(1, 1, 6, 6, dtype=torch.float64), Smoothed(4.0)
    with mode.learning():
        net(x)

    def f(z: Tensor) -> Tensor:
        with mode:
            return net(z)

    assert torch.autograd.gradcheck(f, [x.requires_grad_()])
    assert torch.autograd.gradgradcheck(f, [x])


def test_what_cannot_be_smoothed_is_named() -> None:
    net = nn.Sequential(nn.Hardswish(), nn.GELU(), nn.AdaptiveMaxPool2d(2))
    _, mode = smoothed(net, torch.randn(1, 2, 5, 5), 4.0)
    assert mode.left == ["hardswish", "adaptive_max_pool2d"]
    assert mode.replaced == 0
    for beta in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="beta"):
            Smoothed(beta)
    with pytest.raises(NetworkError, match="more rectifiers"), Smoothed(4.0):
        F.relu(torch.randn(3))


def test_zeros_have_no_size_to_go_by() -> None:
    found, mode = smoothed(nn.ReLU(), torch.zeros(1, 3), 4.0)
    assert mode.sizes == [1.0]
    torch.testing.assert_close(found, torch.full((1, 3), float(torch.tensor(2.0).log()) / 4))
