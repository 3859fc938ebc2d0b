"""What happens beside the steps: the log of every epoch, snapshots of the weights, the progress bar.

The files are written by the first process only. `Snapshots` also serves trainings that are not ours.
"""

import csv
import io
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.disk.atomic import put
from convscope.errors import ArgumentError
from convscope.models.network import Network
from convscope.models.snapshots import has_snapshots, write
from convscope.pictures import decode
from convscope.progress import Advance, progress
from convscope.training.module import Trainee, filter_rms
from convscope.training.recipe import SNAPSHOTS

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

    `sample` is a batch in network space on which units that never fire are counted, where there are any. On resuming,
    rows of epochs that are trained again are replaced.
    """

    def __init__(self, path: Path, sample: Tensor | None, columns: Sequence[str] = COLUMNS) -> None:
        self.path, self.sample, self.columns = path, sample, columns
        self._began = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the rows of finished epochs, drop the others."""
        self._began = time.perf_counter()
        if not trainer.is_global_zero:
            return
        rows = read_log(self.path) if self.path.exists() else []
        kept = [row for row in rows if int(row["epoch"]) <= trainer.current_epoch]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(kept)
        put(self.path, text.getvalue().encode())

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """One row."""
        module = _trainee(pl_module)
        module.close_epoch()
        convolutions = [layer for layer in module.network.modules() if isinstance(layer, nn.Conv2d)]
        now = time.perf_counter()
        seconds, self._began = now - self._began, now
        module.record["max_filter_rms"] = max((float(filter_rms(layer).max()) for layer in convolutions), default=0.0)
        if self.sample is not None:
            module.record["dead_units"] = dead_share(module.network, self.sample.to(module.device))
        if not trainer.is_global_zero:
            return
        row = {"epoch": trainer.current_epoch + 1, "seconds": round(seconds, 1)}
        values = {name: f"{value:.6g}" for name, value in module.record.items() if name in self.columns}
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row | values)
        for logger in trainer.loggers:
            logger.log_metrics(module.record, step=trainer.current_epoch + 1)


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows of a `log.csv`, values as written."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Snapshots(L.Callback):
    """The weights after chosen epochs of any training, as files that `evolution` reads (METHODS F4).

        snapshots = Snapshots("run", lambda module: Network(module.net, (3, 64, 64), mean, std))
        L.Trainer(callbacks=[snapshots])                        # with Lightning

        snapshots = Snapshots("run", lambda module: Network(module, (3, 64, 64), mean, std))
        for epoch in range(1, 65):                              # or in a loop of one's own
            ...
            snapshots(module, epoch)

    Args:
        out: folder; the files are OUT/snapshots/epoch-NNN.safetensors, `train`'s own among them.
        network: what to make of the module that is trained: it says which part is the network, and its transform.
        epochs: those to keep, counted from 1, besides the last one where it is known.
        draw: a picture of the network for TensorBoard, as uint8 (H, W, 3) or a matplotlib figure.
        writer: TensorBoard's `SummaryWriter` for these; by default that of Lightning's loggers.
        resume: the training goes on with the snapshots that OUT holds. Otherwise it may hold none, so that those of two
            trainings do not mix. A training that Lightning resumes need not say so.

    Raises:
        ArgumentError: an epoch before the first; something to draw and no writer for it; a folder with snapshots of
            another training.
    """

    def __init__(
        self,
        out: str | Path,
        network: Callable[[Any], Network],
        epochs: Iterable[int] = SNAPSHOTS,
        *,
        draw: Callable[[Network], Any] | None = None,
        writer: Any = None,
        resume: bool = False,
    ) -> None:
        self.out, self.network, self.epochs, self._alone = Path(out), network, frozenset(epochs), resume
        self.draw, self.writer = draw, writer
        if early := sorted(epoch for epoch in self.epochs if epoch < 1):
            raise ArgumentError("epochs", early[0], "expected epochs counted from 1")

    def __call__(self, module: nn.Module, epoch: int, *, last: bool = False) -> None:
        """Keep the weights if `epoch` is a chosen one, or the `last`. The module stays as it is."""
        self._require_alone()
        self._keep(module, epoch, last, [] if self.writer is None else [self.writer])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Find out before the work whether the folder holds snapshots of another training."""
        self._alone |= trainer.current_epoch > 0
        if trainer.is_global_zero:
            self._require_alone()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same in Lightning."""
        epoch = trainer.current_epoch + 1
        last = epoch == trainer.max_epochs or trainer.should_stop
        loggers = [getattr(logger, "experiment", None) for logger in trainer.loggers]
        writers = loggers if self.writer is None else [self.writer]
        if trainer.is_global_zero:
            self._keep(pl_module, epoch, last, [writer for writer in writers if hasattr(writer, "add_image")])

    def _require_alone(self) -> None:
        if not self._alone and has_snapshots(self.out):
            line = (
                "holds snapshots of another training; choose another folder, or say resume=True where this one goes on"
            )
            raise ArgumentError("out", str(self.out), line)
        self._alone = True

    def _keep(self, module: nn.Module, epoch: int, last: bool, writers: Sequence[Any]) -> None:
        if epoch not in self.epochs and not last:
            return
        network = self.network(module)
        write(network, self.out, epoch)
        if self.draw is None:
            return
        if not writers:
            raise ArgumentError("draw", "given", "expected a TensorBoard logger of the trainer, or writer=")
        pixels = _pixels(self.draw(network))
        for writer in writers:
            writer.add_image("projections", pixels, epoch, dataformats="HWC")


def _pixels(drawn: Any) -> NDArray[np.uint8]:
    """A drawing as uint8 (H, W, 3), a figure rendered."""
    if not hasattr(drawn, "savefig"):
        return np.asarray(drawn)
    file = io.BytesIO()
    drawn.savefig(file, format="png")
    return decode(file.getvalue())


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
