"""Units whose curvature is known, the optimum in the box of the receptive field, doubts that are said (METHODS A5)."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convscope.errors import ArgumentError, ConvscopeError
from convscope.experiments.curvature import ANGLES, Curvature, curvature
from convscope.figures.curvature import curvature as draw
from convscope.models.network import Network

QUICK: dict[str, Any] = {"steps": 40, "krylov": 16, "count": 2}


class Quadratic(nn.Module):
    """Half of xᵀAx of a flattened picture."""

    a: Tensor

    def __init__(self, a: Tensor) -> None:
        super().__init__()
        self.register_buffer("a", a)

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1)
        return ((z @ self.a) * z).sum(1, keepdim=True) / 2


def convolutional(rectifier: nn.Module | None = None) -> Network:
    torch.manual_seed(1)
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, 6, 3, padding=1))
    module.add_module("relu", rectifier or nn.ReLU(inplace=True))
    module.add_module("pool", nn.MaxPool2d(2))
    module.add_module("conv2", nn.Conv2d(6, 5, 3, padding=1))
    module.add_module("mean", nn.AdaptiveAvgPool2d(2))
    module.add_module("flatten", nn.Flatten())
    module.add_module("fc", nn.Linear(20, 3))
    return Network(module.double(), (3, 12, 12), 0.45, 0.2, ["cat", "dog", "cup"], name="small")


@pytest.mark.parametrize("way", ["softplus", "differences"])
def test_the_spectrum_of_a_quadratic_form(way: Any) -> None:
    random = torch.randn(27, 27, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = (random + random.T) / 1e3
    net = Network(nn.Sequential(Quadratic(a)), (3, 3, 3), 0.5, 1 / 255, name="form")  # levels are its own units
    net.module.double()
    found = curvature(net, "0:0", way=way, krylov=99, steps=150)
    peak, expected = found.peaks[0], torch.linalg.eigvalsh(a)
    torch.testing.assert_close(peak.eigenvalues, expected[:-1], rtol=0, atol=1e-6)
    torch.testing.assert_close(peak.spectrum, 2 * (expected[:-1] / expected[-1] - 1), rtol=0, atol=1e-3)
    assert peak.tilt < 1e-3
    # f is f* cos² + ½wᵀAw r² sin²: the quadratic form is exact up to the fourth order of the angle
    assert float(peak.errors[:, ANGLES.abs() < 8].max()) < 1e-3
    assert not found.notes


def test_a_linear_unit_and_its_box() -> None:
    net = convolutional()
    found = curvature(net, ["conv:2@0,0", "conv:2"], **QUICK)
    corner, middle = found.peaks
    assert corner.box == (0, 0, 2, 2)
    assert middle.box == (5, 5, 8, 8)
    assert middle.target.name == "conv:2@6,6"
    weight = net.module.get_parameter("conv.weight")[2].detach()
    assert float(torch.cosine_similarity(middle.picture.flatten(), weight.flatten(), 0)) > 0.999
    assert middle.norm == pytest.approx(45 * 27**0.5)
    bias = float(net.module.get_parameter("conv.bias")[2].detach())
    assert middle.spectrum.tolist() == pytest.approx([-(middle.value - bias) / middle.value] * 16)
    assert middle.own == middle.value
    assert float(middle.errors.max()) < 0.02


def test_a_smoothed_network_is_near_itself_and_its_sharper_copy_nearer() -> None:
    net = convolutional()
    rough, fine = (curvature(net, "dog", beta=beta, **QUICK).peaks[0] for beta in (2.0, 50.0))
    assert abs(fine.value - fine.own) < 0.1 * abs(rough.value - rough.own)
    assert float(fine.errors.mean()) > float(rough.errors.mean())  # corners are not quadratic
    smooth = convolutional(nn.SiLU())
    found = curvature(smooth, "conv2:1@1,1", **QUICK)
    assert found.peaks[0].own != found.peaks[0].value  # the pool is smoothed all the same
    alone = curvature(convolutional(nn.Tanh()), "relu:1", **QUICK).peaks[0]
    assert alone.own == alone.value


def test_around_a_picture() -> None:
    net = convolutional()
    x = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    with pytest.warns(UserWarning, match="dog: no ") as caught:
        found = curvature(net, "dog", picture=x, **QUICK)
    assert [str(each.message) for each in caught] == list(found.notes)
    assert "dog: no optimum, 0." in found.notes[0]
    peak = found.peaks[0]
    torch.testing.assert_close(peak.picture, x[0] * 0.2 * 255)
    with torch.no_grad():
        assert peak.own == pytest.approx(float(net.working("cpu")(x)[0, 1]))
    torch.testing.assert_close(peak.responses[:, len(ANGLES) // 2], torch.full((6,), peak.own).double())


def test_rows_text_and_arrays() -> None:
    found = curvature(convolutional(), ["conv:1", "cat"], **QUICK)
    assert [(r["direction"], r["rank"]) for r in found.rows[:6]] == [
        (kind, rank) for kind in ("sensitive", "invariant", "random") for rank in (1, 2)
    ]
    for row in found.rows:
        assert row["error 45°"] >= row["error 15°"] >= 0
    assert found.rows[6]["curvature"] <= found.rows[7]["curvature"] <= found.rows[8]["curvature"]
    assert found.text.splitlines()[1].startswith("conv: sensitive ")
    assert found.arrays["1.directions"].shape == (6, 3, 12, 12)
    assert found.arrays["0.responses"].shape == (6, len(ANGLES))
    torch.testing.assert_close(found.arrays["1.directions"].flatten(1).norm(dim=1), torch.ones(6).double())


def test_the_same_seed_the_same_peak() -> None:
    once, twice, other = (curvature(convolutional(), "conv2:3@2,2", seed=s, **QUICK).peaks[0] for s in (0, 0, 1))
    assert torch.equal(once.directions, twice.directions)
    assert not torch.equal(once.picture, other.picture)


def silenced() -> Network:
    net = convolutional()
    with torch.no_grad():
        net.module.get_parameter("conv.weight")[0] = 0
        net.module.get_parameter("conv.bias")[0] = 0
    return net


def test_a_silent_unit_is_left_out() -> None:
    with pytest.warns(UserWarning, match="conv:0@6,6 is left out: it is silent"):
        found = curvature(silenced(), ["conv:0", "conv:1"], **QUICK)
    assert len(found.peaks) == 1
    with pytest.raises(ArgumentError, match="all silent"):
        curvature(silenced(), "conv:0", **QUICK)


@pytest.mark.parametrize(
    ("targets", "options", "word"),
    [
        ("cta", {}, "the nearest are cat"),
        ("conv:9", {}, "channels 0 to 5"),
        ("conv:1@12,0", {}, "12 x 12"),
        ("cat", {"count": 0}, "count is 0"),
        ("cat", {"krylov": 3}, "krylov is 3: expected at least 6"),
        ("cat", {"steps": 0}, "steps is 0"),
        ("cat", {"norm": 0.0}, "norm is 0.0"),
        ("cat", {"beta": -1.0}, "beta is -1.0"),
        ("cat", {"way": "guess"}, "expected softplus, differences"),
        ("cat", {"picture": torch.rand(2, 3, 12, 12)}, "expected one of"),
        ("cat", {"picture": torch.rand(1, 3, 9, 9)}, "expected one of"),
        ("cat", {"picture": torch.zeros(1, 3, 12, 12)}, "other than the mean picture"),
        ("cat", {"picture": torch.full((1, 3, 12, 12), torch.nan)}, "NaN"),
    ],
)
def test_bad_input(targets: Any, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConvscopeError, match=word):
        curvature(convolutional(), targets, **options)


def titles(net: Network, found: Curvature, **options: Any) -> list[str]:
    return [axes.get_title() for axes in draw(net, found, **options).axes if axes.get_title()]


def test_the_figure_has_a_block_a_target_and_the_errors_by_layer() -> None:
    net = convolutional()
    found = curvature(net, ["conv:1", "cat"], **QUICK)
    block = ["response / response at the optimum", "curvatures found"]
    assert titles(net, found) == [*block, *block, "error of the prediction / value at the optimum"]
    alone = curvature(net, "cat", **QUICK)
    assert titles(net, alone) == block
    strips = [axes for axes in draw(net, alone).axes if axes.images]
    assert len(strips) == 14
    middle = np.asarray(strips[3].images[0].get_array())
    assert np.array_equal(middle, np.asarray(strips[10].images[0].get_array()))  # the optimum itself
