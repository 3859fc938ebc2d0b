"""Filters are read from operations: grouped, dilated, normalised, functional or computed, as their input meets them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import ArgumentError, LayerError, NetworkError
from convscope.probe.filters.filters import Bank, convolution
from convscope.probe.trace.graph import trace


def bank(module: nn.Module, layer: str | None = None, channels: int = 3, side: int = 32) -> Bank:
    graph, _ = trace(module.eval(), torch.zeros(1, channels, side, side))
    return convolution(graph, layer)


def seen(found: Bank, x: Tensor) -> Tensor:
    return F.conv2d(x.double(), found.filters, found.offsets, found.stride, found.padding)


@pytest.mark.parametrize(
    "convolved",
    [
        nn.Conv2d(3, 8, 7, 2, 1),
        nn.Conv2d(3, 6, (3, 5), (2, 1), (1, 0), bias=False),
        nn.Conv2d(3, 9, 3, groups=3),
        nn.Conv2d(3, 4, 3, dilation=(2, 3), padding=2),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 5)),
        nn.Conv2d(3, 4, 3, padding="same"),
    ],
)
def test_a_bank_does_what_its_convolution_does(convolved: nn.Module) -> None:
    x = torch.randn(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    found = bank(nn.Sequential(convolved, nn.ReLU()))
    torch.testing.assert_close(seen(found, x).float(), convolved(x))
    assert (found.layer, found.output) == ("0", "0")


def test_batch_normalisation_is_folded_in() -> None:
    norm = nn.BatchNorm2d(4)
    torch.manual_seed(0)
    for tensor in (norm.weight.data, norm.bias.data, norm.get_buffer("running_mean"), norm.get_buffer("running_var")):
        tensor.uniform_(0.1, 2)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU()).eval()
    found = bank(module)
    x = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(seen(found, x).float(), module[:2](x))
    assert (found.layer, found.output) == ("0", "1")


def test_channels_that_a_filter_does_not_read_do_not_count() -> None:
    found = bank(nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), channels=4)
    assert found.own.tolist() == [[True, True, False, False]] * 2 + [[False, False, True, True]] * 2
    weight = found.filters[3, 2:]
    assert float(found.rms[3]) == pytest.approx(float(weight.square().mean().sqrt()))


class Stems(nn.Module):
    """Two stems, functional and as a module, after something that is no convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.fine = nn.Parameter(torch.randn(2, 3, 5, 5)), nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 2)
        return torch.cat([F.relu(F.conv2d(x, self.weight, padding=2)), self.fine(x)], 1)


def test_the_first_of_several_stems_or_the_one_named() -> None:
    module = Stems()
    assert bank(module).kernel == (5, 5)
    assert bank(module).output is None
    assert bank(module, "fine").kernel == (3, 3)
    assert bank(module).source != 0


def test_what_is_no_convolution() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    with pytest.raises(ArgumentError, match="layer is '1': expected a convolution, such as 0"):
        bank(module, "1")
    with pytest.raises(LayerError):
        bank(module, "conv1")
    with pytest.raises(NetworkError, match="no two-dimensional convolution"):
        bank(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)))
