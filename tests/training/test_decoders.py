"""Decoders are trained, each alone, while the network stays as it is (METHODS I2, M8)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from convscope.data.picture_set import Pictures
from convscope.errors import ArgumentError
from convscope.models.network import Network
from convscope.models.upconvnet import read
from convscope.training.decoders import train_decoders

FAST: dict[str, Any] = {
    "side": 16,
    "target": 16,
    "maps": (8, 8),
    "dense": 32,
    "accelerator": "cpu",
    "quiet": True,
    "batch_size": 8,
}


@pytest.fixture
def net() -> Network:
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, 8, 3, 2, 1))
    module.add_module("relu", nn.ReLU())
    module.add_module("flatten", nn.Flatten())
    module.add_module("drop", nn.Dropout(0.5))
    module.add_module("fc", nn.Linear(8 * 64, 16))
    return Network(module, (3, 16, 16), 0.5, 0.25, name="small")


def test_decoders_learn_and_the_network_does_not(toy: Callable[..., Pictures], net: Network, tmp_path: Path) -> None:
    before = net.fingerprint()
    settings: dict[str, Any] = {**FAST, "epochs": 4, "lr": 3e-3, "schedule": "cosine"}
    done = train_decoders(net, ["relu", "fc"], toy(24), tmp_path, validation=toy(6, seed=1), **settings)
    assert net.fingerprint() == before
    assert done.log[-1]["val_relu"] < 0.8 * done.log[0]["val_relu"]
    assert {"train_loss", "val_loss", "val_fc", "lr"} <= set(done.log[-1])
    assert done.log[-1]["val_loss"] == pytest.approx(done.log[-1]["val_relu"] + done.log[-1]["val_fc"], rel=1e-4)
    again = read(tmp_path / "decoders.safetensors", net)
    features = {"relu": torch.randn(1, 8, 8, 8), "fc": torch.randn(1, 16)}
    torch.testing.assert_close(again(features)["relu"], done.decoders(features)["relu"])
    assert again(features)["fc"].shape == (1, 3, 16, 16)
    on = train_decoders(net, ["relu", "fc"], toy(24), tmp_path / "on", init_from=tmp_path / "decoders.safetensors",
                        **{**settings, "epochs": 1, "lr": 1e-6})  # fmt: skip
    assert on.log[0]["train_loss"] < 1.5 * done.log[-1]["train_loss"]


def test_a_killed_training_ends_where_an_undisturbed_one_does(
    toy: Callable[..., Pictures], net: Network, tmp_path: Path
) -> None:
    def go(out: str, **more: Any) -> torch.Tensor:
        settings: dict[str, Any] = {**FAST, "lr": 1e-3, "schedule": "constant", **more}
        return train_decoders(net, ["relu"], toy(16), tmp_path / out, **settings).decoders.state_dict()[
            "nets.0.0.weight"
        ]

    whole = go("whole", epochs=2)
    go("parts", epochs=1)
    torch.testing.assert_close(go("parts", epochs=2, resume=True), whole, rtol=0, atol=0)


def test_a_layer_learns_as_it_would_alone(toy: Callable[..., Pictures], net: Network, tmp_path: Path) -> None:
    settings: dict[str, Any] = {**FAST, "epochs": 1, "lr": 1e-3, "schedule": "constant"}
    both = train_decoders(net, ["relu", "fc"], toy(16), tmp_path / "both", **settings).decoders["relu"]
    alone = train_decoders(net, ["relu"], toy(16), tmp_path / "alone", **settings).decoders["relu"]
    torch.testing.assert_close(both.state_dict(), alone.state_dict(), rtol=1e-5, atol=1e-6)


def test_mistakes(toy: Callable[..., Pictures], net: Network, tmp_path: Path) -> None:
    settings: dict[str, Any] = {**FAST, "epochs": 1, "schedule": "constant"}
    with pytest.raises(ArgumentError, match="the nearest are"):
        train_decoders(net, ["rleu"], toy(8), tmp_path, **settings)
    with pytest.raises(ArgumentError, match="needs pictures to validate on"):
        train_decoders(net, ["relu"], toy(8), tmp_path, **{**settings, "schedule": "plateau"})
    with pytest.raises(ArgumentError, match="lr"):
        train_decoders(net, ["relu"], toy(8), tmp_path, **{**settings, "lr": -1.0})
    with pytest.raises(ArgumentError, match="expected at least one"):
        train_decoders(net, [], toy(8), tmp_path, **settings)
