import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convscope.models.variants import build
from convscope.models.zfnet import response_norm
from convscope.training.callbacks import dead_share
from convscope.training.module import BandedNorm, filter_rms, renormalise, with_banded_norms
from tests.training.toys import TINY


def test_the_loss_is_the_stated_one() -> None:
    logits = torch.tensor([[0.1, 0.1, 0.8]]).log()
    assert F.cross_entropy(logits, torch.tensor([1])).item() == pytest.approx(2.302585)


@pytest.mark.parametrize("norm", [response_norm(), nn.LocalResponseNorm(4, 0.3, 0.5, 1.0)])
def test_banded_norm_is_torchs(norm: nn.LocalResponseNorm) -> None:
    x = torch.randn(2, 9, 5, 4) * 30
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = BandedNorm(norm, 9)(ours), norm(theirs)
    assert torch.allclose(out, expected, rtol=1e-5, atol=1e-6)
    weight = torch.randn_like(x)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_exchanging_norms_keeps_outputs_and_weights() -> None:
    plain = build({**TINY, "classes": 3}).eval()
    fast = build({**TINY, "classes": 3}).eval()
    fast.load_state_dict(plain.state_dict())
    with_banded_norms(fast)
    assert list(fast.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, 3, 48, 48)
    assert torch.allclose(fast(x), plain(x), atol=1e-6)


def test_renormalisation_bounds_filters_and_keeps_their_direction() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.Flatten(), nn.Linear(8, 2))
    convolution, linear = network[0], network[2]
    assert isinstance(convolution, nn.Conv2d)
    with torch.no_grad():
        convolution.weight.mul_(torch.linspace(0, 4, 8)[:, None, None, None] ** 2)
        convolution.weight[7] *= 100
        linear.weight.mul_(1000)  # type: ignore[operator]
    before, bias, dense = convolution.weight.detach().clone(), convolution.bias, linear.weight.detach().clone()  # type: ignore[operator]
    renormalise(network, 0.1)
    after, rms = convolution.weight.detach(), before.flatten(1).square().mean(1).sqrt()
    assert (rms > 0.1).any()
    assert (rms <= 0.1).sum() > 1
    assert filter_rms(convolution).max() <= 0.1 * (1 + 1e-6)
    assert torch.equal(after[rms <= 0.1], before[rms <= 0.1])
    assert not after[0].any()
    cosines = F.cosine_similarity(after[1:].flatten(1).double(), before[1:].flatten(1).double())
    assert torch.allclose(cosines, torch.ones_like(cosines))
    assert torch.equal(convolution.bias, bias)  # type: ignore[arg-type]
    assert torch.equal(linear.weight, dense)  # type: ignore[arg-type]
    once = after.clone()
    renormalise(network, 0.1)
    assert torch.allclose(convolution.weight, once, rtol=1e-6)


def test_dead_units_are_counted_over_all_positions() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 4), nn.ReLU())
    with torch.no_grad():
        for index in (0, 3):
            layer = network[index]
            layer.weight.zero_()  # type: ignore[operator]
            layer.bias.copy_(torch.tensor([1.0, -1, 1, 0]))  # type: ignore[operator]
    network.train()
    assert dead_share(network, torch.randn(5, 1, 2, 2)) == 0.5
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert math.isclose(dead_share(nn.Sequential(nn.Flatten()), torch.zeros(1, 1, 2, 2)), 0)
