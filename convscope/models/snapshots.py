"""Weights after chosen epochs, as files in the folder of a training (METHODS F4).

    write(network, "run", 5)                       # run/snapshots/epoch-005.safetensors
    kept("run")                                    # {5: that file}
    opened(file, builder="py:mine:network")        # a builder for networks that are none of ours
    require_one_training(kept("run"))              # DataError where several trainings wrote them

`train` writes them, and `convscope.Snapshots` in anybody's own training.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from convscope.errors import ArgumentError, DataError
from convscope.models.catalog import load
from convscope.models.network import Network, read, save
from convscope.models.variants import OWN, build
from convscope.models.weight_files import header
from convscope.models.zfnet import Chain

FOLDER = "snapshots"  # of a training

Builder = str | Callable[[], nn.Module | Network]


def write(network: Network, folder: str | Path, epoch: int) -> Path:
    """Keep the weights, transform and classes of a network after an epoch, counted from 1; returns the file.

    Raises ArgumentError where a file that convscope did not write has that name.
    """
    file = Path(folder) / FOLDER / f"epoch-{epoch:03d}.safetensors"
    if file.exists() and not header(file):
        raise ArgumentError("out", str(folder), f"holds {FOLDER}/{file.name}, which convscope did not write")
    file.parent.mkdir(parents=True, exist_ok=True)
    module = network.module
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    architecture = module.architecture if isinstance(module, Chain) else {"base": OWN, "module": kind}
    save(network, file, architecture, {**network.recipe, "epoch": epoch})
    return file


def has_snapshots(folder: str | Path) -> bool:
    """Return whether a folder holds snapshots."""
    try:
        return bool(kept(folder))
    except DataError:
        return False


def kept(folder: str | Path) -> dict[int, Path]:
    """The snapshots of a training by epoch, in order. Raises DataError where there are none."""
    files = Path(folder).joinpath(FOLDER).glob("epoch-*.safetensors")
    found = {int(match[1]): file for file in files if (match := re.fullmatch(r"epoch-(\d+)", file.stem))}
    if not found:
        raise DataError(
            f"run is {str(folder)!r}: no snapshots/epoch-NNN.safetensors there; "
            "expected a folder that train or Snapshots wrote"
        )
    return dict(sorted(found.items()))


def require_one_training(files: Mapping[int, Path]) -> None:
    """Raise DataError where the snapshots, epoch -> file, are of several trainings, going by what their headers say."""
    keys = {
        epoch: {
            "classes": words.get("classes"),
            "architecture": words.get("architecture"),
            "recipe": words.get("recipe"),
        }
        for epoch, words in ((epoch, header(file)) for epoch, file in files.items())
    }
    first = min(keys)
    for epoch, key in keys.items():
        for name, (one, other) in differences(keys[first], key).items():
            folder = files[epoch].parent.parent
            detail = f"{name.rpartition('.')[2]} is {one!r} at epoch {first}, {other!r} at epoch {epoch}"
            raise DataError(
                f"run is {str(folder)!r}: its snapshots are of several trainings ({detail}); "
                "keep those of one in a folder of their own"
            )


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return in which values the keys of two trainings differ, as dotted name -> both; none for the same training.

    A key is known by what decides a training: not by the version of convscope, nor by how many epochs it has or has
    come to, where its rate does not follow from their number. Names that only one of them has are passed over.
    """
    flat = [dict(_flat(key)) for key in (one, other)]
    free = {"recipe.epoch", "recipe.convscope"}
    if flat[0].get("recipe.schedule") != "cosine":
        free.add("recipe.epochs")
    shared = [name for name in flat[0] if name in flat[1] and name not in free]
    return {name: (flat[0][name], flat[1][name]) for name in shared if flat[0][name] != flat[1][name]}


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        yield f"{prefix}{name}", "given" if isinstance(item, Mapping) else item
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{name}.")


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
