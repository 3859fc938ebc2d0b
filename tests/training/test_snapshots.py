"""Snapshots of trainings that are not ours: in Lightning, and in a plain loop."""

import warnings
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from convscope.errors import ArgumentError, DataError, WeightsError
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.models.snapshots import kept, opened, require_one_training, write
from convscope.training.callbacks import Snapshots


def convnet() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))


def wrapped(module: nn.Module) -> Network:
    return Network(module, (3, 8, 8), 0.5, 0.25, ["a", "b"], "mine")


class Mine(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = convnet()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Board:
    """As much of a SummaryWriter as drawing needs."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, tuple[int, ...], int]] = []

    def add_image(self, tag: str, pixels: np.ndarray, step: int, dataformats: str) -> None:
        assert dataformats == "HWC"
        assert pixels.dtype == np.uint8
        self.drawn.append((tag, pixels.shape, step))


def fit(tmp_path: Path, epochs: int, *callbacks: L.Callback, **options: Any) -> Mine:
    torch.manual_seed(0)
    module = Mine()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice
        trainer = L.Trainer(
            **{"logger": False, **options}, max_epochs=epochs, callbacks=list(callbacks), accelerator="cpu",
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
            default_root_dir=tmp_path,
        )  # fmt: skip
        data = TensorDataset(torch.randn(8, 3, 8, 8), torch.arange(8) % 2)
        trainer.fit(module, DataLoader(data, 4))
    return module


def test_lightning_keeps_chosen_epochs_and_the_last(tmp_path: Path) -> None:
    trained = fit(tmp_path, 5, Snapshots(tmp_path / "run", lambda module: wrapped(module.net), [1, 3]))
    files = kept(tmp_path / "run")
    assert list(files) == [1, 3, 5]
    first, last = (opened(files[epoch], convnet) for epoch in (1, 5))
    for name, tensor in trained.net.state_dict().items():
        assert torch.equal(last.module.state_dict()[name], tensor)
    assert not torch.equal(first.module.state_dict()["0.weight"], last.module.state_dict()["0.weight"])
    assert (last.input_size, last.classes, last.name, last.recipe) == ((3, 8, 8), ("a", "b"), "mine", {"epoch": 5})
    assert float(last.std[0]) == 0.25


def test_a_plain_loop_writes_the_same_files(tmp_path: Path) -> None:
    module = convnet()
    snapshots = Snapshots(tmp_path, wrapped, [2, 4])
    for epoch in range(1, 6):
        with torch.no_grad():
            module.get_parameter("0.bias").fill_(epoch)
        snapshots(module, epoch, last=epoch == 5)
    assert list(kept(tmp_path)) == [2, 4, 5]
    assert float(opened(kept(tmp_path)[4], convnet).module.state_dict()["0.bias"][0]) == 4
    assert module.training


def test_snapshots_of_two_trainings_do_not_mix(tmp_path: Path) -> None:
    Snapshots(tmp_path, wrapped, [1])(convnet(), 1)
    before = kept(tmp_path)[1].read_bytes()
    with pytest.raises(ArgumentError, match="holds snapshots of another training; choose another folder"):
        Snapshots(tmp_path, wrapped, [1, 2])(convnet(), 1)
    with pytest.raises(ArgumentError, match="holds snapshots of another training"):
        fit(tmp_path, 1, Snapshots(tmp_path, lambda module: wrapped(module.net), [1]))
    assert kept(tmp_path)[1].read_bytes() == before
    Snapshots(tmp_path, wrapped, [2], resume=True)(convnet(), 2)
    assert list(kept(tmp_path)) == [1, 2]


def test_a_file_of_the_users_is_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "epoch-001.safetensors").write_text("mine")
    with pytest.raises(ArgumentError, match=r"holds snapshots/epoch-001\.safetensors, which convscope did not write"):
        Snapshots(tmp_path, wrapped, [1], resume=True)(convnet(), 1)
    assert (tmp_path / "snapshots" / "epoch-001.safetensors").read_text() == "mine"


def test_snapshots_say_of_which_training_they_are(tmp_path: Path) -> None:
    network = wrapped(convnet())
    cosine, constant = ({"schedule": schedule, "seed": 1} for schedule in ("cosine", "constant"))
    for run, recipes in {
        "longer": [constant | {"epochs": 1}, constant | {"epochs": 2}],
        "cosine": [cosine | {"epochs": 1}, cosine | {"epochs": 2}],
        "seeds": [constant, constant | {"seed": 2}],
        "data": [constant | {"data": {"fingerprint": name}} for name in "ab"],
        "first weights": [constant | {"init_from": before} for before in (None, {"name": "zfnet"})],
    }.items():
        for epoch, recipe in enumerate(recipes, 1):  # type: ignore[arg-type, var-annotated]
            network.recipe = recipe
            write(network, tmp_path / run, epoch)
    require_one_training(kept(tmp_path / "longer"))
    for run, detail in {
        "cosine": "epochs is 1 at epoch 1, 2 at epoch 2",
        "seeds": "seed is 1 at epoch 1, 2 at epoch 2",
        "data": "fingerprint is 'a' at epoch 1, 'b' at epoch 2",
        "first weights": "init_from is None at epoch 1, 'given' at epoch 2",
    }.items():
        with pytest.raises(DataError, match=rf"its snapshots are of several trainings \({detail}\)"):
            require_one_training(kept(tmp_path / run))


def test_networks_of_ours_need_no_builder(tmp_path: Path) -> None:
    Snapshots(tmp_path, lambda module: Network(module, (1, 28, 28), 0.0, 1.0), [1])(load_m5(), 1)
    file = kept(tmp_path)[1]
    assert opened(file).fingerprint() == load(str(file)).fingerprint()


def load_m5() -> nn.Module:
    from convscope.models.student import M5

    torch.manual_seed(1)
    return M5()


def test_a_network_of_the_users_own_needs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Snapshots(tmp_path, wrapped, [1])(convnet(), 1)
    file = kept(tmp_path)[1]
    for way in (lambda: opened(file), lambda: load(str(file))):
        with pytest.raises(WeightsError, match=r"of torch\.nn\.modules\.container\.Sequential, which is no"):
            way()
    (tmp_path / "shelf.py").write_text("from tests.training.test_snapshots import convnet")
    monkeypatch.chdir(tmp_path)
    assert opened(file, "py:shelf:convnet").input_size == (3, 8, 8)
    one = convnet()
    assert opened(file, lambda: one).module is not one
    with pytest.raises(WeightsError, match="of another architecture"):
        opened(file, lambda: nn.Sequential(nn.Conv2d(3, 5, 3)))
    with pytest.raises(ArgumentError, match="builder is 'int'"):
        opened(file, lambda: 3)  # type: ignore[arg-type]


def test_what_is_drawn_goes_to_tensorboard(tmp_path: Path) -> None:
    board = Board()
    drawings = [lambda network: np.zeros((4, 6, 3), np.uint8), lambda network: Figure((1, 2), dpi=50)]
    for number, drawing in enumerate(drawings):
        Snapshots(tmp_path / str(number), wrapped, [1, 2], draw=drawing, writer=board)(convnet(), 2)
    assert board.drawn == [("projections", (4, 6, 3), 2), ("projections", (100, 50, 3), 2)]
    with pytest.raises(ArgumentError, match="expected a TensorBoard logger"):
        Snapshots(tmp_path, wrapped, [1], draw=drawings[0])(convnet(), 1)


def test_lightnings_logger_is_found(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="board", version="")
    drawing = {"draw": lambda network: np.zeros((4, 6, 3), np.uint8)}
    fit(tmp_path, 2, Snapshots(tmp_path, lambda module: wrapped(module.net), [1], **drawing), logger=logger)  # type: ignore[arg-type]
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert [event.step for event in events.Images("projections")] == [1, 2]


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="epochs is 0: expected epochs counted from 1"):
        Snapshots(tmp_path, wrapped, [0, 1])
    with pytest.raises(DataError, match="no snapshots/epoch-NNN"):
        kept(tmp_path)
