"""Inversion where the answer is known, from several seeds, by decoders, of descriptors; mistakes (METHODS I1 to I5)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from convscope.data.sources import images
from convscope.errors import ArgumentError, ConvscopeError, WeightsError
from convscope.experiments.invert import invert
from convscope.figures.invert import invert as draw
from convscope.models.catalog import ASSETS, load
from convscope.models.network import Network
from convscope.models.upconvnet import Decoders, write


def small(dead: bool = False) -> Network:
    torch.manual_seed(1)
    module = nn.Sequential()
    module.add_module("same", nn.Identity())
    module.add_module("conv", nn.Conv2d(3, 24, 3, padding=1))
    module.add_module("relu", nn.ReLU(inplace=True))
    module.add_module("pool", nn.MaxPool2d(2))
    module.add_module("conv2", nn.Conv2d(24, 12, 3, padding=1))
    module.add_module("relu2", nn.ReLU(inplace=True))
    module.add_module("flatten", nn.Flatten())
    module.add_module("fc", nn.Linear(12 * 64, 3))
    if dead:
        with torch.no_grad():
            module.get_parameter("conv.bias").fill_(-100.0)
    return Network(module, (3, 16, 16), 0.45, 0.2, name="small")


def pictures(count: int = 2) -> torch.Tensor:
    coarse = torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(coarse, (16, 16), mode="bilinear")


def test_identity_without_priors_gives_the_picture_back() -> None:
    x = pictures()
    found = invert(small(), x, layers=["same"], tv=0, alpha=0, steps=300).made[0]
    torch.testing.assert_close(found.pictures[0], x, atol=0.02, rtol=0)
    assert float(found.error.max()) < 1e-4
    assert float(found.distance.max()) < 0.01


def test_low_layers_hold_more_than_high_ones_and_the_error_falls() -> None:
    found = invert(small(), pictures(), steps=80)
    assert [each.source for each in found.made] == ["relu", "relu2"]
    for each in found.made:
        history = each.history
        assert bool((history["error"][..., -1] < 0.5 * history["error"][..., 0]).all())
        torch.testing.assert_close(history["energy"], history["error"] + history["tv"] + history["alpha"])
    assert found.means[0]["distance"] < found.means[1]["distance"]
    assert found.rows[0]["root"] == pytest.approx(found.rows[0]["error"] ** 0.5)


def test_seeds_agree_in_what_the_layer_says_and_not_in_the_picture() -> None:
    net = small()
    found = invert(net, pictures(1), layers=["fc"], seeds=4, steps=40, tv=0.01).made[0]
    assert float(found.error.max()) < 0.01
    apart = torch.pdist(found.pictures.flatten(1))
    assert float(apart.min()) > 0.1 * float(found.pictures.flatten(1).norm(dim=1).mean())


def test_a_picture_comes_out_as_it_would_alone() -> None:
    x = pictures(3)
    together = invert(small(), x, layers=["relu2"], steps=5).made[0]
    alone = invert(small(), x[1:2], layers=["relu2"], steps=5).made[0]
    torch.testing.assert_close(together.pictures[:, 1:2], alone.pictures, rtol=1e-4, atol=1e-4)
    assert alone.distance.isnan().all()


@pytest.mark.parametrize("preset", ["adam", "mahendran"])
def test_descriptors_are_inverted_in_grey(preset: str) -> None:
    net = small()
    x = nn.functional.interpolate(pictures(), (32, 32), mode="bilinear")
    found = invert(net, x, layers=["none"], descriptors=["uoctti", "hog"], preset=preset, steps=25)  # type: ignore[arg-type]
    for each in found.made:
        values = each.pictures * net.std + net.mean
        torch.testing.assert_close(values, values.mean(2, keepdim=True).expand_as(values))
        assert bool((each.history["error"][..., -1] < 0.9 * each.history["error"][..., 0]).all())
        assert each.edges is not None
        assert each.edges.shape == (1, 2)
        assert each.drawn is not None
        assert each.drawn.shape[0] == 2
    if preset == "adam":
        assert found.made[0].edges is not None
        assert float(found.made[0].edges.min()) > 0.1


def test_a_descriptor_of_ones_own_sees_colours() -> None:
    found = invert(small(), pictures(), layers=[], descriptors=[lambda values: values], steps=150, tv=0).made[0]
    assert found.source == "<lambda>"
    assert float(found.error.max()) < 0.02  # some values lie outside what a picture can hold


def test_decoders_are_measured_beside_the_descent_at_their_size(tmp_path: Path) -> None:
    net = small()
    decoders = Decoders({"relu2": (12, 8, 8)}, maps=(4,), side=16)
    with torch.no_grad():
        for parameter in decoders.parameters():
            parameter.zero_()
        decoders["relu2"][-1].bias.copy_(torch.tensor([0.5, 0.0, -0.5]))  # type: ignore[operator]
    write(decoders, tmp_path / "decoders.safetensors", net, {})
    x = pictures()
    found = invert(net, x, decoders=tmp_path / "decoders.safetensors", steps=3)
    plain, decoded = found.made
    assert plain.decoded is None
    assert decoded.decoded is not None
    assert decoded.decoded_distance is not None
    levels = torch.tensor([64.0, 0.0, -64.0])[:, None, None].expand(2, 3, 16, 16)
    torch.testing.assert_close(decoded.decoded * 255 * 0.2, levels)
    originals = x * 255 * 0.2
    apart = (originals[0] - originals[1]).norm()
    torch.testing.assert_close(decoded.decoded_distance, (levels - originals).flatten(1).norm(dim=1) / apart)
    assert [row["method"] for row in found.means] == ["gradient", "gradient", "upconvnet"]
    assert "upconvnet" in found.text
    assert len(found.rows) == 6
    drawn = draw(net, found)
    assert len(drawn.axes) == 2 * (1 + 2 + 1) + 2  # tiles, charts
    with pytest.raises(WeightsError, match="was trained on other weights"):
        invert(small(dead=True), x, decoders=tmp_path / "decoders.safetensors", steps=3)


def test_what_is_bundled_is_taken_by_itself_where_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscope.experiments.invert.ASSETS", tmp_path)
    net, x = small(), pictures()
    (tmp_path / "decoders").mkdir()
    for file, owner in (("another", small(dead=True)), ("own", net)):
        write(Decoders({"relu2": (12, 8, 8)}, maps=(4,), side=16), tmp_path / f"decoders/{file}.safetensors", owner, {})
    decoded = {key: invert(net, x, steps=1, decoders=key).made[1].decoded for key in (None, "none")}
    assert decoded[None] is not None
    assert decoded["none"] is None
    (tmp_path / "decoders/own.safetensors").unlink()
    assert invert(net, x, steps=1).made[1].decoded is None


def test_the_bundled_decoders_know_more_than_the_mean_picture() -> None:
    net, gallery = load("zfnet128"), images("gallery")
    files = list((ASSETS / "decoders").iterdir())
    assert sum(file.stat().st_size for file in files) < 8e6
    some = [gallery.picture(index) for index in range(0, len(gallery), 13)]
    found = invert(net, some, layers=["pool2", "pool5", "relu7"], steps=1)
    levels = found.originals * net.std * 255
    for each, share in zip(found.made, (0.3, 0.65, 0.85), strict=True):
        assert each.decoded is not None
        small = nn.functional.interpolate(levels, each.decoded.shape[2:], mode="bilinear", antialias=True)
        assert float((each.decoded * net.std * 255 - small).square().mean()) < share * float(small.square().mean())


def test_the_figure_draws_so_many_pictures() -> None:
    net, x = small(), pictures(3)
    found = invert(net, x, layers=["relu"], descriptors=["uoctti"], steps=2)
    few, all_ = draw(net, found, most=1), draw(net, found)
    assert len(all_.axes) - len(few.axes) == 2 * 4
    few.canvas.draw()
    assert np.isfinite(few.get_size_inches()).all()


def test_without_a_gradient_at_the_start_it_stays_there_and_says_so() -> None:
    net = small()
    with torch.no_grad():
        net.module.get_parameter("conv.bias").fill_(-1)  # silent on faint noise, not on pictures
    x = 3 * pictures()
    with pytest.warns(UserWarning, match="relu has no gradient at the start"):
        found = invert(net, x, layers=["relu"], steps=3)
    assert found.made[0].status == ("stuck", "stuck")
    assert len(found.notes) == 1
    torch.testing.assert_close(found.made[0].error, torch.ones(1, 2))
    assert found.made[0].pictures.isfinite().all()


def test_mistakes() -> None:
    net, x = small(), pictures()
    with pytest.raises(ArgumentError, match="picture is 0: relu says nothing of it, all is 0"):
        invert(small(dead=True), x, layers=["relu"])
    with pytest.raises(ArgumentError, match=r"step is 40: relu's error .* expected a shorter one"):
        invert(net, x, layers=["relu"], preset="mahendran", step=40)
    for values, words in (
        ({"layers": ["rleu"]}, "the nearest are relu"),
        ({"layers": []}, "expected a layer or a descriptor"),
        ({"descriptors": ["sift"]}, "expected hog, uoctti"),
        ({"seeds": 0}, "seeds is 0"),
        ({"preset": "sgd"}, "expected one of adam, mahendran"),
        ({"jitter": -1}, "jitter is -1"),
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"step": 0.0}, "step is 0.0"),
    ):
        with pytest.raises(ConvscopeError, match=words):
            invert(net, x, **values)
