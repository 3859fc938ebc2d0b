"""Networks trained on a fold's pictures alone, to set beside features that come from elsewhere (METHODS T10)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convscope.data.splits import Split
from convscope.device import resolve
from convscope.disk.cache import Cache
from convscope.errors import NetworkError
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.training.cross_validation import Measured, Task, confused
from convscope.training.evaluate import evaluate
from convscope.training.selection import labelled
from convscope.training.train import tidied, train


@dataclass(frozen=True)
class Scratch:
    """How they are trained: the architecture `build` makes, the recipe's name and epochs, the side in pixels."""

    architecture: Mapping[str, Any]
    recipe: str
    epochs: int
    side: int

    def measured(
        self, task: Task, splits: Sequence[Split], store: Cache, *, seed: int = 0, device: str | None = None
    ) -> Measured:
        """A network for every fold. A finished one is a part of `store`; one that was interrupted goes on."""
        tables = [self._confusion(task, split, store, seed + k, device) for k, split in enumerate(splits)]
        return Measured(torch.from_numpy(np.stack(tables)), None, {})

    def _confusion(self, task: Task, split: Split, store: Cache, seed: int, device: str | None) -> Any:
        places = hashlib.sha256(json.dumps([split.train, split.test, task.labels]).encode()).hexdigest()
        how = {"architecture": dict(self.architecture), "recipe": self.recipe, "epochs": self.epochs, "side": self.side}
        key = {**how, "pictures": task.content, "split": places, "seed": seed, "convscope": version("convscope")}

        def make(folder: Path) -> None:
            accelerator = {"cuda": "gpu"}.get(resolve(device).type, resolve(device).type)
            train(
                labelled(task.pictures.subset(split.train)), folder / "run",
                architecture=self.architecture, recipe=self.recipe, epochs=self.epochs,
                side=self.side, seed=seed, name="scratch", snapshots=(),
                accelerator=accelerator, devices=1,
            )  # fmt: skip
            trained = load(str(folder / "run" / "network.safetensors"))
            found = evaluate(trained, task.pictures.subset(split.test), device=device)
            table = confused(found.probabilities, found.labels.tolist(), len(task.classes))
            np.save(folder / "confusion.npy", table.numpy())

        part = store.part("scratch", key, make)
        tidied(part / "run")
        return np.load(part / "confusion.npy")


def architecture_of(network: Network) -> Mapping[str, Any]:
    """What `build` makes the network from. Raises NetworkError for one that is not ours."""
    found = getattr(network.module, "architecture", None)
    if not isinstance(found, Mapping):
        raise NetworkError(f"{network.name} is no network that `train` makes, so it cannot be trained from scratch")
    return found
