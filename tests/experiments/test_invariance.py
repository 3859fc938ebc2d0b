"""Distances of features under moved pictures (METHODS F5): identity, hand cases, classes, and bad input."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from convscope.data.warp import moved
from convscope.errors import ArgumentError, LayerError, PictureError
from convscope.experiments.invariance import Invariance, _straightness, invariance
from convscope.figures.invariance import invariance as draw
from convscope.models.network import Network
from convscope.models.variants import build

GRID = {"translations": [-4, 0, 3], "scales": [1, 1.3], "rotations": [0, 90, 360]}


def small() -> Network:
    torch.manual_seed(0)
    architecture = {"base": "zfnet", "side": 64, "maps": (4, 4, 4, 4, 4), "fc": (8, 8), "classes": 3}
    return Network(build(architecture), (3, 64, 64), 0.5, 0.25, classes=["ant", "bee", "cat"], name="small")


def picture(seed: int = 0, side: int = 73) -> np.ndarray:
    """Smooth, so that small moves change little."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def test_nothing_moves_at_the_identity() -> None:
    found = invariance(small(), [picture(0), picture(1)], **GRID)  # type: ignore[arg-type]
    for transform, place in (("translation", 1), ("scale", 0), ("rotation", 0)):
        assert found.distances[transform][:, :, place].max() <= 1e-5 * found.norms.max()  # type: ignore[index]
    assert found.relative["rotation"][:, :, 2].max() < 1e-4  # once around
    assert found.relative["rotation"][0, :, 1].min() > 0.1


def test_distances_and_probabilities_are_those_of_plain_forward_passes() -> None:
    net, one = small(), picture()
    found = invariance(net, one, layers=["norm1", "fc7"], labels=["bee"], batch_size=2, **GRID)  # type: ignore[arg-type]
    module, still = net.working("cpu"), net.inputs(one)
    first = nn.Sequential(*[*module.children()][:4])
    assert found.distances["scale"].shape == (2, 1, 2)
    with torch.no_grad():
        for transform, amounts in found.amounts.items():
            for a, x in enumerate(moved(net.transform, one, transform, amounts.tolist())):
                features = [first(each) for each in (x[None], still)]
                expected = (features[0] - features[1]).norm()
                torch.testing.assert_close(found.distances[transform][0, 0, a], expected, rtol=1e-4, atol=1e-4)
                assert found.probabilities is not None
                probability = module(x[None]).softmax(1)[0, 1]
                torch.testing.assert_close(found.probabilities[transform][0, a], probability)
        torch.testing.assert_close(found.norms[0, 0], first(still).norm())


def test_the_papers_grids_in_proportion_to_the_side() -> None:
    found = invariance(small(), picture())
    assert found.layers == ("norm1", "relu7")
    shifts = found.amounts["translation"]
    assert len(shifts) == 25
    assert (float(shifts[0]), float(shifts[12])) == (-60 * 64 / 224, 0)
    assert found.amounts["scale"].tolist() == pytest.approx([1 + k / 20 for k in range(17)])
    assert found.amounts["rotation"].tolist() == [10 * k for k in range(36)]
    assert len(found.rows) == 25 + 17 + 36
    row = found.rows[12]
    assert (row["transform"], row["amount"], row["distance norm1"]) == ("translation", 0, pytest.approx(0, abs=1e-4))
    assert set(found.examples) == {"translation", "scale", "rotation"}
    assert found.examples["rotation"].shape == (1, 5, 3, 64, 64)


def test_how_straight_a_curve_is() -> None:
    x = torch.tensor([0.0, 1, 2, 3])
    curves = torch.stack([2 * x + 1, torch.ones(4), torch.tensor([1.0, -1, -1, 1]), torch.tensor([0.0, 1, 0, 1])])
    torch.testing.assert_close(_straightness(x, curves), torch.tensor([1.0, 1, 0, 0.2], dtype=torch.float64))


def test_whose_class(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    files = [tmp_path / "cat" / "a.png", tmp_path / "b.png"]
    for file in files:
        Image.fromarray(picture()).save(file)
    net = small()
    with torch.no_grad():
        said = int(net.working("cpu")(net.inputs(picture())).argmax())
    found = invariance(net, files, **GRID)  # type: ignore[arg-type]
    assert found.labels == (2, said)
    assert found.pictures[0] == "cat/a.png"
    assert len(found.notes) == 1
    assert "b.png: its class is not known" in found.notes[0]
    assert found.notes[0].endswith(("ant", "bee", "cat")[said])
    assert invariance(net, files, labels=["ant", "1"], **GRID).labels == (0, 1)  # type: ignore[arg-type]
    for wrong, words in ((["act"], "the nearest are cat"), (["3"], "0 to 2"), (["ant"] * 3, "each of 2 pictures")):
        with pytest.raises(ArgumentError, match=words):
            invariance(net, files, labels=wrong, **GRID)  # type: ignore[arg-type]


def test_a_network_without_classes_and_features_that_are_zero() -> None:
    torch.manual_seed(0)
    net = Network(nn.Sequential(nn.Conv2d(3, 2, 3, bias=False), nn.ReLU()), (3, 12, 12), 0.0, 1.0, name="maps")
    found = invariance(net, torch.zeros(1, 3, 12, 12), **GRID)  # type: ignore[arg-type]
    assert found.probabilities is None
    assert found.rows[0]["probability"] is None
    assert found.notes == (
        "maps gives no scores of classes: no probability",
        "1 is zero everywhere for picture 0: no relative distance",
    )
    assert not found.relative["scale"].any()
    with pytest.raises(ArgumentError, match="gives no scores of classes"):
        invariance(net, torch.zeros(1, 3, 12, 12), labels=["1"])
    titles(net, found, ["distance at 1"])


def titles(net: Network, found: Invariance, expected: list[str]) -> None:
    for relative in (False, True):
        drawn = draw(net, found, relative=relative)
        assert [axes.get_title() for axes in drawn.axes if axes.get_title()] == expected * 3


def test_the_figure_has_a_row_a_transform() -> None:
    net = small()
    found = invariance(net, [picture(seed) for seed in range(7)], layers=["relu3"], rotations=[45.0], scales=[1.2])
    titles(net, found, ["distance at relu3", "probability of the class"])


@pytest.mark.parametrize("side", [2, 73])
def test_a_constant_picture_is_no_trouble(side: int) -> None:
    found = invariance(small(), np.full((side, side, 3), 90, np.uint8), **GRID)  # type: ignore[arg-type]
    assert all(bool(each.isfinite().all()) for each in [*found.distances.values(), *found.relative.values()])


def test_mistakes(tmp_path: Path) -> None:
    net = small()
    with pytest.raises(ArgumentError, match=r"scale is 0\.0.*above 0"):
        invariance(net, picture(), scales=[1, 0])
    with pytest.raises(ArgumentError, match="rotation is nan"):
        invariance(net, picture(), rotations=[float("nan")])
    with pytest.raises(LayerError, match="norm1"):
        invariance(net, picture(), layers=["norm7"])
    with pytest.raises(PictureError, match=r"none\.png"):
        invariance(net, [tmp_path / "none.png"])
    with pytest.raises(ArgumentError, match="name the layers"):
        invariance(Network(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh()), (3, 8, 8)), picture())
    with pytest.raises(ArgumentError, match="batch_size is 0"):
        invariance(net, picture(), batch_size=0)
