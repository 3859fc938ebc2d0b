"""A training as Lightning runs it: the callbacks of all ours, resuming, its talk kept down, interrupts as ours.

Leaves `state.ckpt` in the folder, from which `resume` goes on.
"""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from convscope.disk.atomic import temporary
from convscope.errors import ArgumentError
from convscope.training.callbacks import ProgressBar
from convscope.training.data_module import Feed
from convscope.training.module import Trainee
from convscope.training.run_folder import STATE

ADVICE = (  # of Lightning, that our users cannot act on
    "The '.*_dataloader' does not have many workers",  # batches are made whole, in the time of a few steps
    "Checkpoint directory .* exists and is not empty",  # as it should when a training is resumed
    "You defined a `validation_step` but have no `val_dataloader`",  # validation is optional
    "`isinstance\\(treespec, LeafSpec\\)` is deprecated",  # Lightning's own use of torch
)


def fit(
    trainee: Trainee,
    feed: Feed,
    out: Path,
    *,
    resume: bool,
    lightning: Mapping[str, Any],
    callbacks: Sequence[L.Callback],
) -> bool:
    """Train in place; True in the first of the processes, which writes the files.

    `lightning`: flags of its Trainer; `callbacks`: the log of the epochs, and what else; `resume`: go on from the state
    in `out`. Raises KeyboardInterrupt when interrupted.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _lightning_kept_quiet(), _interruptible():
        trainer = _trainer(out, feed, callbacks, lightning)
        trainer.fit(
            trainee,
            feed.training_batches(trainer),
            feed.validation_batches(trainer),
            ckpt_path=out / STATE if resume else None,
            weights_only=True,
        )
    return trainer.is_global_zero


class WholeFiles(TorchCheckpointIO):
    """States that are there as a whole or not at all. Lightning writes to the system's temporary folder and moves,
    which is a copy where that is another disk, and half a file after a kill.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write beside `path`, then rename."""
        part = temporary(Path(path))
        try:
            super().save_checkpoint(checkpoint, part, storage_options)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _trainer(out: Path, feed: Feed, callbacks: Sequence[L.Callback], lightning: Mapping[str, Any]) -> L.Trainer:
    return L.Trainer(
        **{**lightning, "logger": _tensorboard(out) if lightning.get("logger") else False},
        max_epochs=feed.recipe.epochs,
        gradient_clip_val=feed.recipe.clip,
        callbacks=[
            *callbacks,
            ProgressBar(),
            # Runs last, so that the state is that of a finished epoch; only the newest is kept.
            ModelCheckpoint(out, Path(STATE).stem, save_on_train_epoch_end=True, enable_version_counter=False),
        ],
        plugins=[WholeFiles()],
        default_root_dir=out,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # nothing is logged by step; a larger value only brings a warning
        use_distributed_sampler=False,  # the feed shares the pictures out, so that their order follows from the seed
    )


def _tensorboard(out: Path) -> TensorBoardLogger:
    try:
        return TensorBoardLogger(out, name="tensorboard", version="")
    except ModuleNotFoundError as error:
        raise ArgumentError("tensorboard", True, "needs the extra: pip install convscope[tensorboard]") from error


@contextmanager
def _lightning_kept_quiet() -> Iterator[None]:
    """Without Lightning's banners and its advice; its errors pass."""
    loggers = [logging.getLogger(f"lightning.pytorch{part}") for part in ("", ".utilities.rank_zero")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for advice in ADVICE:
                warnings.filterwarnings("ignore", advice)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Lightning answers an interrupt by ending the process, deaf to further ones; callers expect KeyboardInterrupt."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as end:
        raise KeyboardInterrupt from end
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
