"""A picture covered in parts, against the network run on pictures painted over (METHODS F7, F7b)."""

from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from convscope.errors import ArgumentError, LayerError
from convscope.models.network import Network
from convscope.models.occluder import Approach, Mode, Occluder, covering
from convscope.models.variants import build
from convscope.probe.trace.record import run
from convscope.probe.windows.occluder_grid import Grid, grid

SIDE = 64
PLACES = grid((SIDE, SIDE), (20, 14), (9, 10))


def net(classes: int = 5) -> Network:
    """A small ZFNet with weights that keep every layer alive."""
    torch.manual_seed(0)
    architecture = {"base": "zfnet", "side": SIDE, "maps": (4, 4, 4, 4, 4), "fc": (8, 8), "classes": classes}
    module = build(architecture)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
    return Network(module, (3, SIDE, SIDE), 0.4, 0.25, name="small")


def pixels() -> Tensor:
    return torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def brute(network: Network, x: Tensor, cover: Tensor, places: Grid, channel: int) -> tuple[Tensor, Tensor]:
    """Probabilities (B, K), and the sum of a map of relu5, one picture after another."""
    module, maps = network.module.eval(), []
    handle = module.get_submodule("relu5").register_forward_hook(lambda m, i, o: maps.append(o[0, channel].sum()))
    shares = []
    for t, l, b, r in places.boxes.tolist():  # noqa: E741
        covered = x.clone()
        covered[0, :, t:b, l:r] = cover[:, t:b, l:r]
        shares.append(module(covered).softmax(1)[0])
    handle.remove()
    return torch.stack(shares), torch.stack(maps)


@pytest.mark.parametrize("fill", ["grey", "noise", 0.7])
@pytest.mark.parametrize("mode", ["exact", "whole"])
def test_it_is_what_the_network_says_of_pictures_painted_over(mode: Mode, fill: str | float) -> None:
    network, x = net(), pixels()
    occluder = Occluder(network, x, fill=fill, approach=Approach(mode))
    found = occluder.sweep(PLACES, [2, 0])
    shares, maps = brute(network, x, occluder.cover, PLACES, occluder.unit.channel)
    shape = PLACES.shape
    torch.testing.assert_close(found[:2].flatten(1).T.float(), shares[:, [2, 0]], rtol=1e-5, atol=1e-6)
    assert torch.equal(found[2].flatten().long(), shares.argmax(1))
    torch.testing.assert_close(found[3].float(), maps.reshape(shape), rtol=1e-5, atol=1e-5)


def test_the_strongest_map() -> None:
    network, x = net(), pixels()
    with torch.no_grad():
        maps = run(network.working("cpu"), x, ["relu5"])["relu5"][0]
    by_value, by_sum = (Occluder(network, x, strongest=how) for how in ("max", "sum"))
    for occluder, scores in ((by_value, maps.amax((1, 2))), (by_sum, maps.sum((1, 2)))):
        assert occluder.unit.layer == "relu5"
        assert occluder.unit.channel == int(scores.argmax())
        assert isinstance(occluder.unit.position, tuple)
        row, column = occluder.unit.position
        assert float(maps[occluder.unit.channel, row, column]) == float(maps[occluder.unit.channel].max())
        assert occluder.activity == pytest.approx(float(maps[occluder.unit.channel].sum()), rel=1e-5)


def test_approximations_end_where_the_exact_one_is() -> None:
    network, x = net(), pixels()
    exact = Occluder(network, x).sweep(PLACES, [1])
    for approach in (Approach("capped", cap=1.0), Approach("drill", share=1.0), Approach("drill", coarser=1)):
        torch.testing.assert_close(Occluder(network, x, approach=approach).sweep(PLACES, [1]), exact)


def test_drilling_looks_finely_where_the_drop_is() -> None:
    network, x = net(), pixels()
    places = grid((SIDE, SIDE), (12, 12), (4, 4))  # 14 x 14
    exact = Occluder(network, x).sweep(places, [1])
    told = 0

    def advance(n: int) -> None:
        nonlocal told
        told += n

    drilled = Occluder(network, x, approach=Approach("drill", share=0.25)).sweep(places, [1], advance=advance)
    same = torch.isclose(drilled[0], exact[0], rtol=1e-5, atol=1e-9)
    assert told == 196
    assert same[::3, ::3].all()
    assert same[13, 13]
    assert 36 + 49 <= int(same.sum()) < 196
    assert (drilled[1] == drilled[1].round()).all(), "labels are not interpolated"


def test_a_cap_saves_and_errs() -> None:
    network, x = net(), pixels()
    exact, capped = (Occluder(network, x, approach=Approach(mode, cap=0.3)) for mode in ("exact", "capped"))
    plans = exact.plan(PLACES), capped.plan(PLACES)
    assert plans[0] is not None
    assert plans[1] is not None
    assert plans[1].multiplications < plans[0].multiplications
    assert not torch.allclose(exact.sweep(PLACES, [1])[0], capped.sweep(PLACES, [1])[0], rtol=1e-4)


def test_a_plan_serves_other_pictures() -> None:
    network = net()
    one, other = Occluder(network, pixels()), Occluder(network, pixels().flip(3))
    torch.testing.assert_close(other.sweep(PLACES, [1], one.plan(PLACES)), other.sweep(PLACES, [1]))


def test_a_network_without_scores() -> None:
    maps = Network(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()), (3, 12, 12), 0.0, 1.0)
    occluder = Occluder(maps, torch.randn(1, 3, 12, 12))
    assert occluder.probabilities.shape == (0,)
    for mode in get_args(Mode):
        found = Occluder(maps, occluder.inputs, approach=Approach(mode)).sweep(grid((12, 12), (4, 4), (2, 2)), [])
        assert found.shape == (2, 5, 5)
        assert (found[0] == -1).all()


def test_a_softmax_is_not_taken_twice() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 12), nn.ReLU(), nn.Flatten(), nn.Softmax(1))
    network, x = Network(module, (3, 12, 12), 0.0, 1.0), torch.randn(1, 3, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(Occluder(network, x).probabilities, module(x)[0])


def test_fills() -> None:
    network, x = net(), pixels()[0]
    grey = covering(network, x, "grey")
    torch.testing.assert_close(grey, torch.full_like(x, (128 / 255 - 0.4) / 0.25))
    assert not covering(network, x, "mean").any()
    assert (covering(network, x, "0.25") == 0.25).all()
    noise = covering(network, x, "noise", 5)
    assert torch.equal(noise, covering(network, x, "noise", 5))
    assert not torch.equal(noise, covering(network, x, "noise", 6))
    torch.testing.assert_close(noise.std((1, 2)), x.std((1, 2)), rtol=0.05, atol=0)
    blurred = covering(network, x, "blur")
    assert float(blurred.std()) < 0.2 * float(x.std())
    torch.testing.assert_close(blurred.mean((1, 2)), x.mean((1, 2)), rtol=0, atol=0.05)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8))
    assert torch.equal(covering(network, x, image), network.inputs(image)[0])


def test_mistakes() -> None:
    network, x = net(), pixels()
    for wrong, words in (("gray", "expected grey, mean"), (float("nan"), "finite"), (torch.zeros(2, 3, 8, 8), "one")):
        with pytest.raises(ArgumentError, match=words):
            covering(network, x[0], wrong)
    with pytest.raises(ArgumentError, match="2 pictures"):
        Occluder(network, torch.cat([x, x]))
    with pytest.raises(ArgumentError, match="expected maps"):
        Occluder(network, x, "relu7")
    with pytest.raises(LayerError, match="relu5"):
        Occluder(network, x, "rleu5")
    with pytest.raises(ArgumentError, match="name the layer"):
        Occluder(Network(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh()), (3, 8, 8)), torch.zeros(1, 3, 8, 8))
    for settings in ({"mode": "fast"}, {"cap": 0.0}, {"share": 1.5}, {"coarser": 0}):
        with pytest.raises(ArgumentError):
            Approach(**settings)
