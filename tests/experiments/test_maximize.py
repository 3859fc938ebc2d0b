"""Gradient ascent where the answer is known, every preset, and bad input (METHODS A1-A4, P2-P5, P7)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from convscope.errors import ArgumentError, ConvscopeError
from convscope.experiments.maximize import Optima, maximize
from convscope.figures.maximize import maximize as draw
from convscope.models.network import Network
from convscope.pictures import standardised
from convscope.probe.optimize.ascent import PRESETS, Ascent

PLAIN = Ascent(30, 1e-3, "plain", noise=1.0)


def linear(std: float = 1 / 255) -> Network:
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("flatten", nn.Flatten())
    module.add_module("fc", nn.Linear(3 * 64, 4))
    return Network(module.double(), (3, 8, 8), 0.45, std, ["cat", "dog", "cup", "bow"], name="linear")


def convolutional() -> Network:
    torch.manual_seed(1)
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, 6, 3, padding=1))
    module.add_module("relu", nn.ReLU(inplace=True))
    module.add_module("pool", nn.MaxPool2d(2))
    module.add_module("conv2", nn.Conv2d(6, 5, 3, padding=1))
    module.add_module("relu2", nn.ReLU(inplace=True))
    module.add_module("mean", nn.AdaptiveAvgPool2d(2))
    module.add_module("flatten", nn.Flatten())
    module.add_module("fc", nn.Linear(20, 3))
    return Network(module.double(), (3, 16, 16), 0.45, 0.2, ["cat", "dog", "cup"], name="small")


def silenced(net: Network, channel: int) -> Network:
    with torch.no_grad():
        net.module.get_parameter("conv2.bias")[channel] = -100.0
    return net


def classes(root: Path) -> str:
    """Three pictures of cats and one of a cup, in folders."""
    for number, name in enumerate(["cat", "cat", "cat", "cup"]):
        (root / name).mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name / f"{number}.png")
    return str(root)


def test_a_linear_units_optimum_is_its_weight() -> None:
    net = linear()
    found = maximize(net, ["fc:2", "dog"], preset="sphere", norm=50.0)
    for row, channel in enumerate([2, 1]):
        weight = net.module.get_parameter("fc.weight")[channel].detach()
        assert float(torch.cosine_similarity(found.pictures[row].flatten(), weight, 0)) > 0.999
        assert float(found.levels[row].norm()) == pytest.approx(50)
        best = 50 * weight.norm() + net.module.get_parameter("fc.bias")[channel].detach()
        assert found.rows[row]["score"] == pytest.approx(float(best), rel=1e-3)


@pytest.mark.parametrize("target", ["relu2:1", "relu2:1@2,3", "cat", "relu2"])
def test_small_steps_never_lose(target: str) -> None:
    scores = maximize(convolutional(), target, preset=PLAIN, start="noise").history["score"][0]
    assert bool((scores.diff() >= -1e-12).all())
    assert float(scores[-1]) > float(scores[0])


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_climbs_the_same_way_twice(preset: Any) -> None:
    octaves: dict[str, Any] = {} if preset == "deepdream" else {"start": "noise"}
    how = replace(PRESETS[preset], steps=4, noise=20.0 if PRESETS[preset].paint == "pixels" else 0.3)
    if preset == "deepdream":
        how = replace(how, octaves=2)
    net = convolutional()
    once, twice, other = (maximize(net, "relu2", preset=how, seed=seed, **octaves) for seed in (3, 3, 4))
    assert torch.equal(once.pictures, twice.pictures)
    assert not torch.equal(once.pictures, other.pictures)
    assert once.pictures.isfinite().all()
    assert once.pictures.shape == (1, 3, 16, 16)


@pytest.mark.parametrize("preset", ["fourier", "normalised", "deepdream", "yosinski-4"])
def test_a_batch_of_targets_is_one_at_a_time(preset: Any) -> None:
    net = convolutional()
    how = replace(PRESETS[preset], steps=5, octaves=1, noise=0.3 if preset == "fourier" else 30.0)
    names = ["relu2:0", "relu:4", "relu2:3", "relu2:0@1,2", "relu2"]
    together = maximize(net, names, preset=how, start="noise")
    for row, name in enumerate(names):
        alone = maximize(net, name, preset=how, start="noise")
        torch.testing.assert_close(together.pictures[row], alone.pictures[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(together.history["score"][row], alone.history["score"][0])
    split = maximize(net, names, preset=how, start="noise", batch_size=1)
    torch.testing.assert_close(split.pictures, together.pictures, rtol=1e-9, atol=1e-9)


def test_p3_against_its_formula() -> None:
    net = convolutional()
    module = net.working("cpu")
    for preset in ("literal", "normalised"):
        found = maximize(net, "dog", preset=preset, steps=3, start="zero", seed=0)
        levels = torch.zeros(1, 3, 16, 16, dtype=torch.float64)
        scale = 255 * net.std.double()
        for number in range(3):
            leaf = levels.clone().requires_grad_()
            score = module(leaf / scale)[0, 1]
            assert float(score.detach()) == pytest.approx(float(found.history["score"][0, number]), rel=1e-5)
            (gradient,) = torch.autograd.grad(score, leaf)
            if preset == "normalised":
                gradient = gradient / (gradient.square().mean().sqrt() + 1e-5)
            levels = levels + 0.5 * (gradient - 0.1 * levels.sign())
        torch.testing.assert_close(found.levels, levels)
        assert found.history["l1"][0, -1] == pytest.approx(0.1 * float(levels.abs().sum()), rel=1e-5)
        assert "probability" in found.history


def test_no_weight_on_activity_is_p3_and_some_is_another_picture() -> None:
    net = convolutional()
    plain, none, some = (maximize(net, "cat", preset="normalised", steps=5, activity=a) for a in (None, 0.0, 3.0))
    assert torch.equal(plain.pictures, none.pictures)
    assert not torch.equal(plain.pictures, some.pictures)
    row = some.rows[0]
    assert row["total"] == pytest.approx(row["score"] - 3 * row["activity"] - row["l1"], rel=1e-5)


def test_a_silent_unit_is_stuck_skipped_or_woken() -> None:
    net = silenced(convolutional(), 2)
    with pytest.warns(UserWarning, match="relu2:2 is stuck: its gradient is zero"):
        found = maximize(net, ["relu2:2", "relu2:1"], preset="yosinski-3", steps=2)
    assert found.status == ("stuck", "done")
    assert found.ended.tolist() == [0, 2]
    with pytest.warns(UserWarning, match="relu2:2 is skipped"):
        found = maximize(net, ["relu2:1", "relu2:2"], preset="channel", steps=2)
    assert found.status[1] == "skipped"
    assert len(found.notes) == 1
    with pytest.raises(ArgumentError, match="all skipped"):
        maximize(net, "relu2:2", preset="channel")
    with torch.no_grad():
        net.module.get_parameter("conv2.bias")[0] = -0.9
    woken = maximize(net, "relu2:0")
    assert float(woken.history["score"][0, 0]) == 0
    assert woken.rows[0]["score"] > 0


def test_what_settles_ends() -> None:
    how = Ascent(60, 1e-9, "plain", settle=True)
    found = maximize(convolutional(), "cat", preset=how)
    assert found.status == ("settled",)
    assert int(found.ended[0]) == 20
    assert found.history["score"].shape == (1, 61)


def test_starts_and_seeds_are_rows_in_order(tmp_path: Path) -> None:
    net, data = convolutional(), classes(tmp_path)
    found = maximize(
        net, ["cat", "cup"], preset="normalised", steps=1, start=["noise", "class-mean"], images=data, seeds=2, seed=5
    )
    assert [target.name for target in found.targets] == ["cat"] * 4 + ["cup"] * 4
    assert found.starts == ("noise", "noise", "class-mean", "class-mean") * 2
    assert found.seeds == (5, 6) * 4
    assert found.agreement[2] == pytest.approx(1)  # nothing random in a class mean
    assert (found.agreement[0] or 0) < 0.99
    single = maximize(net, "cup", preset="normalised", steps=1, seed=6)
    torch.testing.assert_close(single.pictures[0], found.pictures[5])
    assert found.originals is not None
    torch.testing.assert_close(found.originals[0], net.inputs(tmp_path / "cat" / "0.png")[0])


@pytest.mark.parametrize("preset", ["normalised", "fourier"])
def test_uniform_noise_is_within_ten_levels(preset: Any) -> None:
    how = replace(PRESETS[preset], steps=1, step=1e-9)
    once, twice, other = (maximize(convolutional(), "cat", preset=how, start="uniform", seed=s) for s in (0, 0, 1))
    assert torch.equal(once.pictures, twice.pictures)
    assert not torch.equal(once.pictures, other.pictures)
    assert 9 < float(once.levels.abs().max()) < 10 + 1e-3
    assert abs(float(once.levels.mean())) < 1


def test_frequencies_start_from_grey_whatever_the_networks_mean() -> None:
    net = convolutional()
    dark = Network(net.module, (3, 16, 16), 0.0, 0.2, ["cat", "dog", "cup"], name="dark")
    how = replace(PRESETS["fourier"], steps=1, step=1e-9)
    pixels = [maximize(each, "cat", preset=how).pictures * 0.2 + each.mean for each in (net, dark)]
    torch.testing.assert_close(pixels[0], pixels[1])
    assert 0.4 < float(pixels[1].mean()) < 0.6


def test_class_means(tmp_path: Path) -> None:
    net, data = convolutional(), classes(tmp_path)
    how = Ascent(1, 1e-9, "plain")
    mean = maximize(net, "cat", preset=how, images=data)
    three = net.inputs([tmp_path / "cat" / f"{k}.png" for k in range(3)])
    assert mean.starts == ("class-mean",)
    torch.testing.assert_close(mean.pictures[0], three.mean(0), atol=1e-6, rtol=0)
    colour = maximize(net, "cat", preset=how, images=data, start="class-colour")
    torch.testing.assert_close(colour.pictures[0, :, 3, 4], three.mean((0, 2, 3)), atol=1e-6, rtol=0)
    with pytest.raises(ConvscopeError, match="no class 'dog'"):
        maximize(net, "dog", images=data)


def test_a_dream_is_on_its_picture_and_inside_black_and_white() -> None:
    net = convolutional()
    picture = (torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0)).double() - 0.45) / 0.2
    found = maximize(net, ["relu2", "relu2:1"], preset="deepdream", picture=picture, steps=3)
    assert found.pictures.shape == (2, 3, 24, 32)
    pixels = found.pictures * 0.2 + 0.45
    assert float(pixels.min()) > -1e-6
    assert float(pixels.max()) < 1 + 1e-6
    assert found.history["score"].shape == (2, 4 * 4)
    assert float(torch.nn.functional.cosine_similarity(found.pictures[0].flatten(), picture.flatten(), 0)) > 0.5


@pytest.mark.parametrize(
    ("targets", "options", "word"),
    [
        ([], {}, "expected at least one"),
        ("cta", {}, "the nearest are cat"),
        ("fc:3", {}, "channels 0 to 2"),
        ("relu2:1@8,0", {}, "8 x 8"),
        ("cat", {"preset": "moderm"}, "expected one of fourier"),
        ("cat", {"start": "picture"}, "needs a picture"),
        ("cat", {"start": "class-mean"}, "needs images"),
        ("cat", {"start": "nowhere"}, "expected one of noise"),
        ("cat", {"steps": 0}, "steps is 0"),
        ("cat", {"step": 0.0}, "step is 0.0"),
        ("cat", {"l1": -0.1}, "l1 is -0.1"),
        ("cat", {"preset": "sphere", "norm": 0.0}, "norm is 0.0"),
        ("cat", {"norm": 3.0}, "not for the preset fourier"),
        ("cat", {"activity": -1.0}, "activity is -1.0"),
        ("cat", {"seeds": 0}, "seeds is 0"),
        ("cat", {"picture": torch.rand(2, 3, 16, 16)}, "expected one"),
        ("cat", {"picture": torch.full((1, 3, 16, 16), torch.nan)}, "NaN"),
        ("relu2:1@3,3", {"preset": "deepdream"}, "octaves change the map"),
        ("relu2", {"preset": "literal", "step": 1e300}, "not finite"),
    ],
)
def test_bad_input(targets: Any, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConvscopeError, match=word):
        maximize(convolutional(), targets, **options)


def test_too_small_for_its_octaves() -> None:
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, 4, 9))
    net = Network(module, (3, 16, 16), 0.5, 0.5)
    with pytest.raises(ArgumentError, match="4 octaves of conv need a height of 25"):
        maximize(net, "conv", preset="deepdream")
    found = maximize(net, "conv", preset="deepdream", picture=torch.zeros(3, 25, 25), steps=1)
    assert found.pictures.shape == (1, 3, 25, 25)


def titles(found: Optima, **options: Any) -> list[str]:
    return [axes.get_title() for axes in draw(convolutional(), found, **options).axes if axes.get_title()]


def test_the_figure_names_its_tiles(tmp_path: Path) -> None:
    net = silenced(convolutional(), 2)
    with pytest.warns(UserWarning, match="skipped"):
        found = maximize(net, ["relu2:1", "relu2:2"], preset="channel", steps=2)
    assert titles(found) == ["relu2:1"]
    data = classes(tmp_path)
    found = maximize(net, ["cat"], steps=1, start=["noise", "class-mean"], images=data)
    assert titles(found, curves=False) == ["cat: a picture", "from noise", "from class mean"]
    found = maximize(net, ["cat", "cup"], steps=1, images=data)
    assert titles(found) == ["cat: a picture", "from class mean", "cup: a picture", "from class mean"]
    found = maximize(net, ["cat", "dog"], steps=1, seeds=2)
    assert titles(found) == ["cat, seed 0", "seed 1", "dog, seed 0", "seed 1"]


def test_all_channels_of_a_layer_and_the_best_of_them_first() -> None:
    net = silenced(convolutional(), 2)
    with pytest.warns(UserWarning, match="skipped"):
        found = maximize(net, "relu2:*", preset="channel", steps=2)
    assert [target.name for target in found.targets] == [f"relu2:{k}" for k in range(5)]
    scores = found.history["score"][:, -1].tolist()
    kept = [k for k, status in enumerate(found.status) if status != "skipped"]
    assert 1 < len(kept) < 5
    order = sorted(kept, key=lambda k: -scores[k])
    assert order != kept
    assert titles(found) == [f"relu2:{k}" for k in order]
    assert titles(found, best=2) == [f"relu2:{k}" for k in order[:2]]
    words = [text.get_text() for text in draw(net, found, best=2).texts]
    assert words[0] == f"What excites small most: 2 of 5, {5 - len(kept)} skipped"
    plain = maximize(net, ["relu:*", "cat"], steps=1, seeds=2)
    assert len(plain.targets) == 14
    assert titles(plain)[0].startswith("relu:0")  # as asked for
    with pytest.raises(ArgumentError, match="best is 0"):
        draw(net, found, best=0)
    with pytest.raises(ConvscopeError, match="the nearest are relu"):
        maximize(net, "rleu:*")


def test_standardised_colours() -> None:
    shown = standardised(torch.randn(3, 40, 40) * 9 + 4)
    assert abs(float(shown.mean()) - 127.5) < 1
    assert abs(float(shown.std()) - 25.5) < 1
    assert (standardised(torch.zeros(3, 4, 4)) == 128).all()


def test_pictures_in_colours() -> None:
    net = convolutional()
    found = maximize(net, ["relu2:1", "cat"], preset="fourier", steps=2)
    colours = (found.pictures * net.std + net.mean).clamp(0, 1).mul(255).round().to(torch.uint8)
    assert torch.equal(found.shown, colours.expand(-1, 3, -1, -1).permute(0, 2, 3, 1))
    free = maximize(net, ["relu2:1"], preset="literal", steps=2)
    assert torch.equal(free.shown[0], torch.from_numpy(standardised(free.pictures[0])))
    assert set(found.arrays) >= {"pictures", "shown"}
