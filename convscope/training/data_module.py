"""The loaders of a training, and the one transform that all its pictures go through."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from convscope.data.picture_set import Pictures
from convscope.data.preprocess import Preprocess
from convscope.models.network import Network
from convscope.training.crop_dataset import Bytes, Presentations, Squares, decode, mean_picture
from convscope.training.recipe import UNIT_STD, Recipe

Table = npt.NDArray[np.float64]  # (C,), or (R, R, C) for every pixel of the square


class Feed:
    """Batches to train and to validate on, of pictures of `size` (C, H, W).

    `transform` is what the trained network gets (METHODS T1).
    """

    def __init__(
        self,
        training: Pictures,
        held_out: Pictures | None,
        size: tuple[int, int, int],
        recipe: Recipe,
        *,
        begun: Network | None = None,
        cache: Path | None = None,
        workers: int = 0,
    ) -> None:
        self.recipe, self.workers = recipe, workers
        self.transform = Preprocess(size, resize=size[1] if recipe.crops == "whole" else None)
        squares, kept = decode(training, self.transform, cache)
        mean, std = _tables(squares, recipe) if begun is None else _tables_of(begun, squares.shape[1:3])
        self.transform = replace(self.transform, mean=_channels_first(mean), std=_channels_first(std))
        crops: Mapping[str, Any] = {
            "crops": recipe.crops,
            "area": recipe.area,
            "jitter": recipe.jitter,
            "seed": recipe.seed,
        }
        self.training = Squares(squares, _labels(training, kept), size[1:], mean, std, **crops)
        self.held_out = None
        if held_out is not None:
            squares, kept = decode(held_out, self.transform, cache)
            self.held_out = Squares(squares, _labels(held_out, kept), size[1:], mean, std)

    def training_batches(self, trainer: L.Trainer) -> DataLoader[Any]:
        """This process's share of every epoch, in an order that follows from (seed, epoch)."""
        order = Presentations(
            len(self.training), seed=self.recipe.seed, rank=trainer.global_rank, world=trainer.world_size
        )
        return self._loader(self.training, self.recipe.batch_size, order)

    def validation_batches(self, trainer: L.Trainer) -> DataLoader[Any] | None:
        """Every held-out picture once, among all processes; None where there are none."""
        if self.held_out is None:
            return None
        order = Presentations(len(self.held_out), shuffle=False, rank=trainer.global_rank, world=trainer.world_size)
        return self._loader(self.held_out, 2 * self.recipe.batch_size, order)

    def _loader(self, source: Squares, size: int, order: Presentations) -> DataLoader[Any]:
        # Squares makes whole batches, so there is nothing left to collate.
        return DataLoader(source, size, sampler=order, num_workers=self.workers, collate_fn=_as_it_is)

    def sample(self, count: int = 256) -> Tensor:
        """Centre crops, evenly from the held-out pictures where there are any, else from the others."""
        source = self.training if self.held_out is None else self.held_out
        places = np.linspace(0, len(source) - 1, min(count, len(source))).astype(int).tolist()
        return source.centres(places)


def _as_it_is(batch: Any) -> Any:
    return batch


def _labels(pictures: Pictures, kept: list[int]) -> list[int]:
    assert pictures.labels is not None
    return [pictures.labels[index] for index in kept]


def _tables(squares: Bytes, recipe: Recipe) -> tuple[Table, Table]:
    """Mean and std of pictures in [0, 1]: the paper's mean picture and 1/255, per channel at unit scale, or 0 and 1."""
    channels = squares.shape[3]
    if recipe.zero_to_one:
        return np.zeros(channels), np.ones(channels)
    mean = mean_picture(squares)
    if recipe.unit_scale:
        return mean.mean((0, 1)), np.full(channels, UNIT_STD)
    return mean, np.full(channels, 1 / 255)


def _tables_of(begun: Network, size: tuple[int, ...]) -> tuple[Table, Table]:
    """Mean and std of the network to begin from, which its weights expect (T1); pictures are brought to size."""
    tables = []
    for given in (begun.mean, begun.std):
        table = torch.as_tensor(given, dtype=torch.float64)
        table = table.reshape(len(table), -1, table.shape[-1]) if table.ndim == 3 else table[:, None, None]
        if table[0].numel() > 1:
            table = F.interpolate(table[None], size, mode="bilinear", antialias=True)[0]
            tables.append(table.permute(1, 2, 0).numpy())
        else:
            tables.append(table.flatten().numpy())
    return tables[0], tables[1]


def _channels_first(table: Table) -> Tensor:
    return torch.from_numpy(np.moveaxis(table, -1, 0).astype(np.float32))
