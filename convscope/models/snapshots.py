"""Weights after chosen epochs, as files in the folder of a training (METHODS F4).

    write(network, "run", 5)                       # run/snapshots/epoch-005.safetensors
    kept("run")                                    # {5: that file}
    opened(file, builder="py:mine:network")        # a builder for networks that are none of ours

`train` writes them, and `convscope.Snapshots` in anybody's own training.
"""

import copy
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from convscope.errors import ArgumentError, DataError
from convscope.models.catalog import load
from convscope.models.network import Network, read, save
from convscope.models.variants import OWN, build
from convscope.models.zfnet import Chain

Builder = str | Callable[[], nn.Module | Network]


def write(network: Network, folder: str | Path, epoch: int) -> Path:
    """Keep the weights, transform and classes of a network after an epoch, counted from 1; returns the file."""
    file = Path(folder) / "snapshots" / f"epoch-{epoch:03d}.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    module = network.module
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    architecture = module.architecture if isinstance(module, Chain) else {"base": OWN, "module": kind}
    save(network, file, architecture, {**network.recipe, "epoch": epoch})
    return file


def kept(folder: str | Path) -> dict[int, Path]:
    """The snapshots of a training by epoch, in order. Raises DataError where there are none."""
    files = Path(folder).joinpath("snapshots").glob("epoch-*.safetensors")
    found = {int(match[1]): file for file in files if (match := re.fullmatch(r"epoch-(\d+)", file.stem))}
    if not found:
        raise DataError(
            f"run is {str(folder)!r}: no snapshots/epoch-NNN.safetensors there; "
            "expected a folder that train or Snapshots wrote"
        )
    return dict(sorted(found.items()))


def opened(file: str | Path, builder: Builder | None = None) -> Network:
    """The network of a snapshot; `builder`, a function or "py:MODULE:FUNCTION", makes its module where that is none of
    ours. Raises WeightsError where the weights do not fit it.
    """

    def module(architecture: Mapping[str, Any]) -> nn.Module:
        if builder is None:
            return build(architecture)
        made = load(builder) if isinstance(builder, str) else builder()
        made = made.module if isinstance(made, Network) else made
        if not isinstance(made, nn.Module):
            raise ArgumentError("builder", type(made).__name__, "expected a function that makes a torch.nn.Module")
        return copy.deepcopy(made)  # a function may give the same module twice, and every epoch needs its own

    found = read(file, module)
    found.spec = str(file) if builder is None else None
    return found
