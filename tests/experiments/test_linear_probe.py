"""A layer that knows the class is better than one that does not (METHODS TB7)."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import convscope
from convscope import Network, load
from convscope.errors import ArgumentError, DataError, LayerError
from convscope.experiments import linear_probe as module
from convscope.experiments.linear_probe import linear_probe
from convscope.figures.linear_probe import linear_probe as draw
from tests.experiments.colours import pictures

CHANCE = 100 / 3


def network() -> Network:
    """Its first layer sees colour; the second forgets all but brightness."""
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.AvgPool2d(4), nn.Conv2d(3, 1, 1), nn.ReLU())
    with torch.no_grad():
        net.get_parameter("0.weight").copy_(torch.eye(3)[:, :, None, None])
        net.get_parameter("3.weight").fill_(1 / 3)
        for layer in (0, 3):
            net.get_parameter(f"{layer}.bias").zero_()
    return Network(net, (3, 8, 8), 0.0, 1.0, name="colours")


def test_the_layer_that_sees_colour_tells_colours_apart() -> None:
    net = network()
    weights = {name: tensor.clone() for name, tensor in net.module.state_dict().items()}
    found = linear_probe(net, pictures(), train=4, folds=3)
    assert list(found.sizes) == ["2", "4"]
    assert found.sizes == {"2": 12, "4": 4}
    for kind in ("svm", "softmax"):
        assert found.measured["2", kind].mean == 100
        assert found.measured["4", kind].mean < 75
    assert all(torch.equal(tensor, weights[name]) for name, tensor in net.module.state_dict().items())
    assert [row["layer"] for row in found.rows] == ["2", "2", "4", "4"]
    assert all("reference" not in row for row in found.rows)
    assert found.rows[0]["value"] == found.rows[0]["overall"] == 100
    assert found.arrays["2.svm.confusion"].shape == (3, 3, 3)
    assert "100.0 ± 0.0" in found.text
    draw(net, found)


def test_one_fold_has_no_deviation() -> None:
    found = linear_probe(network(), pictures(4), train=2, folds=1, classifiers=["softmax"], layers=["1"])
    assert [row["std"] for row in found.rows] == [None]
    draw(network(), found)


def test_a_second_run_reads_what_the_first_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"train": 3, "folds": 2, "classifiers": ["svm"], "cache": tmp_path}
    first = linear_probe(network(), pictures(), **options)
    monkeypatch.setattr("convscope.training.cross_validation.fit", None)
    monkeypatch.setattr("convscope.training.feature_store.batches", None)
    second = linear_probe(network(), pictures(), **options)
    assert second.rows == first.rows
    with pytest.raises(TypeError):
        linear_probe(network(), pictures(), **{**options, "seed": 1})


def test_published_numbers_stand_beside_layers_of_the_same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = module._stages(load("zfnet128"))
    assert stages == {"norm1": 1, "norm2": 2, "relu3": 3, "relu4": 4, "pool5": 5, "relu6": 6, "relu7": 7}
    found = linear_probe(network(), pictures(), train=4, folds=2, classifiers=["svm"])
    rows = module.Probed(found.measured, found.sizes, {"2": 5, "4": 7}, 30, found.classes, "Caltech-101", ()).rows
    assert [row["reference"] for row in rows] == [86.2, 85.5]
    assert rows[0]["delta"] == pytest.approx(rows[0]["value"] - 86.2)
    rows = module.Probed(found.measured, found.sizes, found.stages, 30, found.classes, "Caltech-101", ()).rows
    assert "reference" not in rows[0]


def test_errors_name_class_have_and_need() -> None:
    with pytest.raises(DataError, match="class 'red' has 12 pictures, need 31: 30 for training, 1 for testing"):
        linear_probe(network(), pictures())
    with pytest.raises(LayerError):
        linear_probe(network(), pictures(), train=4, layers=["9"])
    with pytest.raises(ArgumentError, match="expected svm or softmax"):
        linear_probe(network(), pictures(), train=4, classifiers=["tree"])
    with pytest.raises(DataError, match="no such folder"):
        convscope.linear_probe(network(), "nowhere")
