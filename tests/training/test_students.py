"""The student convnets through `train` (METHODS M5, M6)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convscope.data.picture_set import Pictures
from convscope.data.sources import images
from convscope.errors import ArgumentError
from convscope.models.catalog import load
from convscope.training.recipe import RECIPES
from convscope.training.train import train

FEW: dict[str, Any] = {"architecture": "m5", "per_class": 20, "test_cap": 5, "batch_size": 32}


def test_their_recipes_are_the_stated_ones() -> None:
    m5, m6 = RECIPES["m5"], RECIPES["m6"]
    assert (m5.optimizer, m5.lr, m5.batch_size, m5.epochs, m5.enough) == ("adam", 1e-3, 128, 12, 0.9)
    assert (m6.optimizer, m6.lr, m6.epochs, m6.enough, m6.dropout) == ("adam", 1e-3, 5, None, 0.3)


def test_digits_are_enlarged_in_grey_and_stay_between_0_and_1(tmp_path: Path) -> None:
    net = train("digits", tmp_path, epochs=1, **FEW).network
    again = load(str(tmp_path / "network.safetensors"))
    assert again.input_size == (1, 28, 28)
    assert again.classes == tuple("0123456789")
    digit = again.inputs(images("digits").picture(0))
    assert digit.shape == (1, 1, 28, 28)
    assert 0 <= float(digit.min()) < 0.01
    assert 0.85 < float(digit.max()) <= 1
    assert digit[0, 0, :, 0].max() < 0.05  # the whole digit: what was at the edge still is
    torch.testing.assert_close(again.working()(digit), net.working()(digit))


def test_training_ends_when_its_error_is_small_enough(tmp_path: Path) -> None:
    done = train("digits", tmp_path, epochs=20, enough=60.0, **FEW)
    errors = [row["train_error"] for row in done.log]
    assert len(errors) < 20
    assert errors[-1] <= 60 < min(errors[:-1])
    assert done.network.recipe["epoch"] == len(errors)
    assert (tmp_path / "snapshots" / f"epoch-{len(errors):03d}.safetensors").exists()
    again = train("digits", tmp_path, epochs=20, enough=60.0, resume=True, **FEW)
    assert len(again.log) == len(errors)


def test_a_resumed_adam_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    schedule = {"schedule": "constant", **FEW}
    whole = train("digits", tmp_path / "whole", epochs=2, **schedule)
    train("digits", tmp_path / "cut", epochs=1, **schedule)
    resumed = train("digits", tmp_path / "cut", epochs=2, resume=True, **schedule)
    for name, tensor in whole.network.module.state_dict().items():
        assert torch.equal(tensor, resumed.network.module.state_dict()[name]), name


@pytest.fixture
def colours() -> Callable[[int], Pictures]:
    """Pictures of so many classes, each of a colour."""

    def make(classes: int) -> Pictures:
        generator, count = np.random.default_rng(0), 8 * classes
        base = generator.integers(0, 200, (classes, 1, 1, 3))
        items = [(base[i % classes] + generator.integers(0, 55, (40, 40, 3))).astype(np.uint8) for i in range(count)]
        return Pictures("colours", items, labels=[i % classes for i in range(count)], classes=list("abcdefg"[:classes]))

    return make


def test_the_five_class_network_learns_and_normalises(colours: Callable[[int], Pictures], tmp_path: Path) -> None:
    done = train(colours(5), tmp_path, architecture="m6", option="D", side=32, batch_size=10)
    losses = [row["train_loss"] for row in done.log]
    assert len(losses) == 5
    assert losses[-1] < losses[0]
    state = load(str(tmp_path / "snapshots" / "epoch-005.safetensors")).module.state_dict()
    assert int(state["norm4.num_batches_tracked"]) == 20
    assert float(state["norm1.running_mean"].abs().max()) > 0


def test_a_last_batch_of_one_cannot_be_normalised(colours: Callable[[int], Pictures], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="batch_size is 13: 40 pictures leave a last batch of one"):
        train(colours(5), tmp_path, architecture="m6", option="D", side=32, batch_size=13)
    assert not list(tmp_path.iterdir())


def test_fewer_than_five_classes_are_an_error(colours: Callable[[int], Pictures], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="classes is 4: m6 tells 5 classes apart"):
        train(colours(4), tmp_path, architecture="m6")
