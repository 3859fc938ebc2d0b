"""Features of a network that stays as it is, for other classes (METHODS E0, TB4, F9, T10)."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from convscope import Network
from convscope.data.picture_set import Pictures
from convscope.errors import ArgumentError, DataError, NetworkError
from convscope.experiments.transfer import ALONE, BASELINE, crossing, transfer
from convscope.figures.transfer import transfer as draw
from convscope.models.variants import build
from tests.experiments.colours import pictures

SMALL = {"base": "zfnet", "side": 64, "maps": [4, 4, 4, 4, 4], "fc": [8, 8], "classes": 3}


def network() -> Network:
    """It sees colour, through a batch normalisation with statistics of its own; left in training mode."""
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(16))
    with torch.no_grad():
        net.get_parameter("0.weight").copy_(torch.eye(3)[:, :, None, None])
        net.get_parameter("0.bias").zero_()
        net.get_buffer("1.running_mean").fill_(0.1)
    return Network(net.train(), (3, 16, 16), 0.0, 1.0, name="colours")


def test_colour_is_enough_and_gradients_are_not() -> None:
    net = network()
    before = {name: tensor.clone() for name, tensor in net.module.state_dict().items()}
    found = transfer(net, pictures(), train=[4, 1], folds=3, layer="3")
    curve = found.curves["3 + softmax"]
    assert list(curve) == [1, 4]
    assert curve[4].mean == 100
    assert found.curves[BASELINE][4].mean < 90
    assert net.module.training
    for name, tensor in net.module.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert [row["kind"] for row in found.rows] == ["here"] * 4 + ["crossing"]
    assert found.arrays["3 + softmax.4.confusion"].shape == (3, 3, 3)
    assert found.arrays["4.train"].shape == (3, 12)
    assert set(found.arrays["4.train"][0].tolist()).isdisjoint(found.arrays["4.test"][0].tolist())
    assert "3 + softmax reaches the best of HOG + SVM" in found.text
    draw(net, found)


def test_published_numbers_stand_beside_ours() -> None:
    found = transfer(network(), pictures(), train=[4], folds=2, layer="3", hog=False)
    assert found.rows[0].get("reference") is None
    known = dataclasses.replace(
        found, data="Caltech-101", curves={found.features: {30: found.curves[found.features][4]}}
    )
    assert known.rows[0]["reference"] == 86.5
    assert known.rows[0]["delta"] == pytest.approx(known.rows[0]["value"] - 86.5)
    assert {"kind": "published", "who": "Bo et al. 2013", "train": 30, "value": 81.4, "std": 0.33} in known.rows
    draw(network(), known)


def test_from_scratch_is_trained_on_the_fold_alone_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network(build(SMALL), (3, 64, 64), name="small")
    options: dict[str, Any] = {"train": [2], "folds": 2, "hog": False, "device": "cpu"}
    alone: dict[str, Any] = {"scratch": [3], "scratch_epochs": 2, "cache": tmp_path}
    found = transfer(net, pictures(6, 32), **options, **alone)
    trained = found.curves[ALONE][3]
    assert trained.confusion.sum() == 9
    assert trained.strength is None
    assert [row["who"] for row in found.rows if row["kind"] == "here"] == ["relu7 + softmax", ALONE]
    monkeypatch.setattr("convscope.training.from_scratch.train", None)
    assert transfer(net, pictures(6, 32), **options, **alone).rows == found.rows


def test_what_was_left_halfway_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"train": [2, 4], "folds": 2, "layer": "3", "hog": False}
    whole = transfer(network(), pictures(), **options)
    transfer(network(), pictures(), **{**options, "train": [2]}, cache=tmp_path)
    before = {part.name for part in tmp_path.iterdir()}
    assert transfer(network(), pictures(), **options, cache=tmp_path).rows == whole.rows
    assert before < {part.name for part in tmp_path.iterdir()}
    monkeypatch.setattr("convscope.training.cross_validation.fit", None)
    assert transfer(network(), pictures(), **options, cache=tmp_path).rows == whole.rows


def test_where_one_curve_reaches_the_best_of_another() -> None:
    published = {15: 40.5, 30: 48.0, 60: 55.2}
    found = crossing("ours", {1: 30.0, 5: 50.0, 6: 60.0}, "theirs", published)
    assert found.train == pytest.approx(5.52)
    assert (found.level, found.at, found.already) == (55.2, 60, False)
    assert str(found) == "ours reaches the best of theirs (55.2 % with 60 pictures of a class) with 5.52"
    assert str(crossing("ours", {6: 58.0}, "theirs", published)).endswith("with 6 or fewer")
    never = crossing("ours", {1: 30.0, 60: 55.1}, "theirs", published)
    assert never.train is None
    assert str(never).startswith("ours never reaches")
    assert crossing("ours", {2: 55.2}, "theirs", published).already


def test_errors() -> None:
    with pytest.raises(DataError, match="class 'red' has 12 pictures, need 16: 15 for training, 1 for testing"):
        transfer(network(), pictures(), layer="3")
    with pytest.raises(ArgumentError, match="expected at least one number"):
        transfer(network(), pictures(), train=[])
    with pytest.raises(NetworkError, match="colours is no network that `train` makes"):
        transfer(network(), pictures(), train=[2], scratch=[2])
    with pytest.raises(ArgumentError, match="test_cap is 0"):
        transfer(network(), pictures(), train=[2], test_cap=0)
    bare = Network(nn.Sequential(nn.Flatten(), nn.Linear(768, 3)), (3, 16, 16))
    with pytest.raises(NetworkError, match="has no rectifier: name a layer"):
        transfer(bare, pictures(), train=[2])


def several(count: int, seed: int, classes: tuple[str, ...] = ("red", "green", "blue")) -> Pictures:
    """Pictures that show one or more of three colours."""
    noise = np.random.default_rng(seed)
    truth = noise.integers(0, 2, (count, 3)).astype(np.int8)
    truth[truth.sum(1) == 0, 0] = 1
    items = [(noise.integers(20, 50, (24, 24, 3)) + np.int16(150) * row).astype(np.uint8) for row in truth]
    return Pictures(f"seen{seed}", items, classes=classes, truth=truth)


def test_pictures_that_show_several_classes_are_measured_by_average_precision() -> None:
    first, second = several(40, 0), several(30, 1)
    found = transfer(network(), first, test=second, layer="3")
    own = found.precision["3 + softmax"]
    assert own.mean > 95
    assert own.accuracy > 95
    assert found.precision[BASELINE].mean < own.mean
    kinds = [row["kind"] for row in found.rows]
    assert kinds == [*["precision"] * 3, "mean precision", "accuracy"] * 2
    assert "likeliest is present" in found.text
    draw(network(), found)
    assert second.truth is not None
    second.truth[:, 2] = -1
    assert transfer(network(), first, test=second, layer="3").notes == (
        "no test picture shows blue: no average precision",
    )
    with pytest.raises(ArgumentError, match="pictures that show several classes need others"):
        transfer(network(), first, layer="3")
    with pytest.raises(DataError, match="seen1 has other classes than seen0"):
        transfer(network(), first, test=several(30, 1, ("red", "blue", "green")), layer="3")


def test_other_pictures_to_test_on_are_tested_in_every_fold() -> None:
    found = transfer(network(), pictures(), test=pictures(5), train=[2], folds=2, layer="3", hog=False)
    assert found.curves["3 + softmax"][2].confusion.sum((1, 2)).tolist() == [15, 15]
    every = transfer(network(), pictures(), test=pictures(5), train=[12], folds=1, layer="3", hog=False)
    assert every.arrays["12.train"].shape == (1, 36)
    broken = pictures(1)
    broken._items = [*broken._items[:2], b"words"]
    with pytest.raises(DataError, match="class 'blue' has 0 pictures to test on that can be read"):
        transfer(network(), pictures(), test=broken, train=[2], folds=1, layer="3", hog=False)


def test_what_is_excluded_is_neither_trained_on_nor_tested() -> None:
    found = transfer(
        network(), pictures(), test=pictures(5), train=[2], folds=1, layer="3", hog=False, exclude=["blue"]
    )
    assert found.classes == ("red", "green")
    assert found.curves["3 + softmax"][2].confusion.sum() == 10
    first, second = several(40, 0), several(30, 1)
    gone = [f"first/{path}" for path in first.paths[10:]]
    few = transfer(network(), first, test=second, layer="3", hog=False, exclude=gone).precision["3 + softmax"]
    assert (
        few == transfer(network(), first.subset(range(10)), test=second, layer="3", hog=False).precision["3 + softmax"]
    )
    with pytest.raises(ArgumentError, match=r"scratch is \[2\]: expected none for pictures that show several classes"):
        transfer(Network(build(SMALL), (3, 64, 64)), first, test=second, layer="relu7", scratch=[2])
