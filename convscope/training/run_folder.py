"""The folder of a training: the same training goes on in it, another one is refused.

    with run_folder("out/train") as folder:
        resume = begin(folder, Path("out/train"), {"trains": "a network", "recipe": recipe}, ["network.safetensors"])

A training is known by its recipe, architecture, first weights and data, in values that JSON can hold. Knows neither
Lightning's trainer nor pictures.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only

from convscope.disk.output_folder import Kind, OutputFolder, output_folder
from convscope.errors import TrainingError
from convscope.models.snapshots import FOLDER, differences

LOG, STATE, REPORT = "log.csv", "state.ckpt", "training.json"
PRODUCTS = ("network.safetensors", "decoders.safetensors")
GROUPS = {  # of a key's names, by how they begin: what is different
    "recipe.data": "of other pictures",
    "recipe.init_from": "with other first weights",
    "recipe.": "with another recipe",
    "network": "for another network",
    "trains": "of another kind",
}


def _unrecorded(folder: Path) -> list[str]:
    """Return the files of a training that was written before records were kept, known by its log."""
    try:
        known = (folder / LOG).read_text(encoding="utf-8").startswith("epoch,train_loss,")
    except (OSError, ValueError):
        return []
    names = [LOG, STATE, REPORT, *PRODUCTS]
    names += [f"{FOLDER}/{file.name}" for file in (folder / FOLDER).glob("epoch-*.safetensors")]
    there = [name for name in names if (folder / name).is_file()]
    return there if known else []


TRAINING = Kind("a training", _unrecorded)


@contextmanager
def run_folder(out: str | Path) -> Iterator[OutputFolder | None]:
    """Hold the folder of a training; None in all processes of a training but the first, which writes the files."""
    if getattr(rank_zero_only, "rank", 0):
        yield None
    else:
        with output_folder(out, TRAINING) as folder:
            yield folder


def begin(folder: OutputFolder | None, out: Path, key: Mapping[str, Any], names: Sequence[str], resume: bool) -> bool:
    """Record a training by its key, and the files that it will write; returns whether there is a state to go on from.

    Raises TrainingError where the folder holds another training, where nothing is left to go on from, and with `resume`
    where nothing was begun.
    """
    state = out / STATE
    if folder is None:
        return state.exists()
    if resume and not state.exists():
        raise TrainingError(f"nothing to resume: there is no {state}")
    plain = json.loads(json.dumps(key))
    _require_same(folder, plain)
    if not state.exists() and any((out / product).exists() for product in PRODUCTS):
        line = f"holds a finished training and no {STATE} to go on from; choose another folder"
        raise TrainingError(f"out is {str(out)!r}: {line}")
    folder.reserve(LOG, STATE, REPORT, *names)
    folder.remember(plain)
    return state.exists()


def _require_same(folder: OutputFolder, key: Mapping[str, Any]) -> None:
    out = folder.path
    if not any((out / name).exists() for name in folder.record.files if name != LOG):
        return  # nothing was trained
    changed = differences(folder.record.key or _reported(out), key)
    for name, (old, new) in changed.items():
        what = next((words for start, words in GROUPS.items() if name.startswith(start)), "of another architecture")
        detail = f"{name.rpartition('.')[2]} is {_short(old)} there, {_short(new)} here"
        raise TrainingError(f"out is {str(out)!r}: holds a training {what} ({detail}); choose another folder")
    finished, asked = _epochs(out / LOG), int(key["recipe"]["epochs"])
    if finished > asked:
        detail = f"{finished} epochs are trained there, {asked} asked for"
        raise TrainingError(f"out is {str(out)!r}: holds a longer training ({detail}); choose another folder")


def _reported(out: Path) -> Mapping[str, Any]:
    """Return the key of a training without a record, as far as its report has it; a state has the recipe as well."""
    try:
        report = json.loads((out / REPORT).read_bytes())
        own = {"trains": "a network", "architecture": report["architecture"], "recipe": report["recipe"]}
        return own if "architecture" in report else {"trains": "decoders", "recipe": report}
    except (OSError, ValueError, KeyError):
        return {}


def _epochs(log: Path) -> int:
    """Return how many epochs a log has."""
    return max(0, len(log.read_text(encoding="utf-8").splitlines()) - 1) if log.is_file() else 0


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
