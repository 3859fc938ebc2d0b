from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from convscope.data.picture_set import Pictures
from convscope.errors import TrainingError
from convscope.training import callbacks
from convscope.training.callbacks import read_log
from convscope.training.train import train
from tests.training.toys import TINY

QUICK: dict[str, Any] = {"architecture": TINY, "recipe": "scaled", "batch_size": 8, "warmup": 0.0}


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[list[int | str]]:
    """What progress bars were told: total, steps, "closed"."""
    told: list[list[int | str]] = []

    @contextmanager
    def recorded(total: int, description: str) -> Iterator[Callable[[int], None]]:
        told.append([total])
        yield told[-1].append
        told[-1].append("closed")

    monkeypatch.setattr(callbacks, "progress", recorded)
    return told


def test_the_bar_counts_steps_and_goes_on_where_a_resumed_training_does(
    toy: Callable[..., Pictures], tmp_path: Path, bars: list[list[int | str]]
) -> None:
    train(toy(24), tmp_path, epochs=2, schedule="constant", **QUICK)
    train(toy(24), tmp_path, epochs=3, resume=True, schedule="constant", **QUICK)
    assert bars == [[6, 0, *[1] * 6, "closed"], [9, 6, *[1] * 3, "closed"]]


def test_the_bar_closes_when_training_fails(
    toy: Callable[..., Pictures], tmp_path: Path, bars: list[list[int | str]]
) -> None:
    with pytest.raises(TrainingError):
        train(toy(24), tmp_path, epochs=2, lr=1e30, clip=1e9, schedule="constant", **QUICK)
    assert bars[0][-1] == "closed"


def test_rows_of_epochs_trained_again_are_replaced(toy: Callable[..., Pictures], tmp_path: Path) -> None:
    train(toy(24), tmp_path, epochs=2, schedule="constant", **QUICK)
    log = tmp_path / "log.csv"
    with log.open("a") as file:  # as after a kill between a row and the state
        file.write(log.read_text().splitlines()[-1].replace("2,", "3,", 1) + "\n")
    train(toy(24), tmp_path, epochs=3, resume=True, schedule="constant", **QUICK)
    assert [row["epoch"] for row in read_log(log)] == ["1", "2", "3"]
    assert [file.name for file in sorted((tmp_path / "snapshots").iterdir())] == [
        f"epoch-00{epoch}.safetensors" for epoch in (1, 2, 3)
    ]
