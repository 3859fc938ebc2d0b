"""What happens beside the steps: the log of every epoch, snapshots of the weights, the progress bar.

The files are written by the first process only. Snapshots are written by a function handed in.
"""

import csv
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from convscope.progress import Advance, progress
from convscope.training.module import Trainee, filter_rms

COLUMNS = (
    "epoch", "train_loss", "train_error", "val_loss", "val_top1", "val_top5", "lr", "max_filter_rms",
    "dead_units", "seconds",
)  # fmt: skip


def _trainee(module: L.LightningModule) -> Trainee:
    assert isinstance(module, Trainee)
    return module


@torch.no_grad()
def dead_share(network: nn.Module, inputs: Tensor) -> float:
    """Share of the units behind rectifiers that no input makes fire: maps count whole, as one unit each."""
    fired: list[Tensor] = []

    def note(module: nn.Module, args: object, out: Tensor) -> None:
        fired.append((out > 0).flatten(2).any(2).any(0) if out.ndim > 2 else (out > 0).any(0))

    rectifiers = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    hooks = [module.register_forward_hook(note) for module in rectifiers]
    mode = network.training
    try:
        network.eval()(inputs)
    finally:
        network.train(mode)
        for hook in hooks:
            hook.remove()
    return 1 - float(torch.cat(fired).float().mean()) if fired else 0.0


class EpochLog(L.Callback):
    """A row of `log.csv` an epoch: losses, errors in per cent, rate, max filter RMS, share of dead units, seconds.

    `sample` is a batch in network space on which units that never fire are counted. On resuming, rows of epochs
    that are trained again are replaced.
    """

    def __init__(self, path: Path, sample: Tensor) -> None:
        self.path, self.sample = path, sample
        self._began = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the rows of finished epochs, drop the others."""
        self._began = time.perf_counter()
        if not trainer.is_global_zero:
            return
        rows = read_log(self.path) if self.path.exists() else []
        kept = [row for row in rows if int(row["epoch"]) <= trainer.current_epoch]
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """One row."""
        module = _trainee(pl_module)
        module.close_epoch()
        convolutions = [layer for layer in module.network.modules() if isinstance(layer, nn.Conv2d)]
        now = time.perf_counter()
        seconds, self._began = now - self._began, now
        extra = {
            "max_filter_rms": max((float(filter_rms(layer).max()) for layer in convolutions), default=0.0),
            "dead_units": dead_share(module.network, self.sample.to(module.device)),
        }
        module.record |= extra
        if not trainer.is_global_zero:
            return
        row = {"epoch": trainer.current_epoch + 1, "seconds": round(seconds, 1)}
        values = {name: f"{value:.6g}" for name, value in module.record.items() if name in COLUMNS}
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row | values)
        for logger in trainer.loggers:
            logger.log_metrics(module.record, step=trainer.current_epoch + 1)


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows of a `log.csv`, values as written."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Snapshots(L.Callback):
    """Weights after chosen epochs, counted from 1: `write(epoch)` is called with the network up to date."""

    def __init__(self, epochs: Iterable[int], write: Callable[[int], Any]) -> None:
        self.epochs, self.write = frozenset(epochs), write

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write when the epoch is a chosen one, or the last."""
        epoch = trainer.current_epoch + 1
        if trainer.is_global_zero and (epoch in self.epochs or epoch == trainer.max_epochs or trainer.should_stop):
            self.write(epoch)


class ProgressBar(L.Callback):
    """Steps of the whole training with a rate and an estimate; silent where standard error is no terminal."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._advance: Advance = lambda n: None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the bar; a resumed training begins where it stopped."""
        batches = int(trainer.num_training_batches)
        if trainer.is_global_zero:
            bar = progress(batches * int(trainer.max_epochs or 0), "training, steps")
            self._advance = self._stack.enter_context(bar)
            self._advance(batches * trainer.current_epoch)

    def on_train_batch_end(self, *args: Any) -> None:
        """One step further."""
        self._advance(1)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Close the bar."""
        self._stack.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Close the bar before the error is shown."""
        self._stack.close()
