"""`train`: pictures in, a trained network and its files out (METHODS §3).

    train("pictures/", "out/", architecture="zfnet128", recipe="scaled", side=64, epochs=4)

OUT holds `network.safetensors` (the last weights), `snapshots/epoch-NNN.safetensors`, `log.csv`, `training.json`
(architecture, recipe, data, what started afresh, the log) and `state.ckpt`, from which the same call goes on.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from convscope.data.exclusions import Exclude
from convscope.data.picture_set import Pictures
from convscope.device import seeded
from convscope.disk.atomic import put
from convscope.errors import ArgumentError
from convscope.models.catalog import load
from convscope.models.network import Network, save
from convscope.models.variants import STUDENTS, VARIANTS, ZFNET128, build
from convscope.models.zfnet import Chain, initialise
from convscope.progress import silenced
from convscope.training.evaluate import Evaluation, evaluate
from convscope.training.recipe import LIGHTNING, SNAPSHOTS, Recipe, named
from convscope.training.selection import choose
from convscope.training.weight_transfer import carry_over

if TYPE_CHECKING:  # Lightning takes seconds to import; only who trains waits for it
    from convscope.training.data_module import Feed

__all__ = ["ARCHITECTURES", "Evaluation", "Training", "evaluate", "tidied", "train"]

ARCHITECTURES: Mapping[str, Mapping[str, Any]] = {**VARIANTS, "zfnet128": ZFNET128, **STUDENTS}
RECIPE_OF = {"zfnet128": "scaled", "m5": "m5", "m6": "m6"}  # where it is not the paper's, by name or base
# Settings that are the architecture's, not the recipe's.
SHAPE = ("side", "maps", "fc", "remove", "groups", "norm", "option")


@dataclass(frozen=True)
class Training:
    """What a training gave.

    `network`; `log`, a row an epoch, the columns of `log.csv`, errors in per cent; `fresh`, names of the tensors that
    `init` had nothing for; `skipped`, path -> reason; `output`, the folder.
    """

    network: Network
    log: list[dict[str, float]]
    fresh: list[str]
    skipped: dict[str, str]
    output: Path


def train(
    pictures: object,
    output: str | Path,
    *,
    validation: object | None = None,
    architecture: str | Mapping[str, Any] = "zfnet",
    recipe: str | Recipe | None = None,
    init_from: str | Network | None = None,
    exclude: Exclude = (),
    per_class: int | None = None,
    test_cap: int | None = 50,
    split_seed: int = 0,
    name: str | None = None,
    resume: bool = False,
    snapshots: Sequence[int] = SNAPSHOTS,
    half: bool = False,
    validate_every: int = 1,
    cache: str | Path | None = None,
    workers: int = 0,
    tensorboard: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Training:
    """Train a network on labelled pictures (METHODS §3, T1 to T10).

    Args:
        pictures: what `convscope.images` takes, with classes (class folders, say).
        output: folder for the files: new, empty, or with the same training, which goes on from its last finished epoch
            and ends where an undisturbed one does. It may go on for more epochs, unless the rate follows from their
            number.
        validation: pictures to validate on, with the same classes. With `per_class` a seeded split of the pictures
            instead: so many of every class to train on, up to `test_cap` of the rest to validate (METHODS D2).
        architecture: a name in `ARCHITECTURES`, or settings for `build`; the classes are those of the pictures.
        recipe: "paper" (METHODS T4 to T9), "scaled" (our own for small networks), "m5", "m6" (the student convnets'),
            or a `Recipe`; by default the paper's for the paper's networks, and for the others their own.
        init_from: a network to begin from, as `convscope.load` spells it: every tensor that fits is carried over,
            `fc6` also from another picture size, and the transform. A training that goes on with pictures it has seen
            wants another `seed`: with the same one every crop and dropout mask comes again.
        exclude: a file of relative paths, one a line or the first column of a CSV, or paths; folders count whole, and
            so do classes.
        name: the trained network's; default: the architecture's.
        resume: go on, and raise an error where `output` holds nothing to go on from.
        snapshots: epochs, counted from 1, after which the weights are kept; the last is always kept.
        half: store the last weights in half precision.
        validate_every: epochs from one validation to the next.
        cache: folder to keep decoded pictures in.
        workers: processes that crop pictures; 0: none beside the training.
        settings: in place of the named ones, values of `Recipe` (epochs=, lr=, …), of the architecture (side=, maps=,
            fc=, remove=, groups=, norm=, option=) and of Lightning's Trainer (accelerator=, devices=, strategy=,
            num_nodes=, precision=). None changes nothing.

    Raises:
        ArgumentError: values out of range, or names that nothing has; a folder that holds other files, or that another
            process writes to.
        DataError: pictures without classes, labels that are not theirs, classes too small for the split.
        TrainingError: a loss that is not finite (epoch, step, rate); a folder with another training.
    """
    from convscope.training.data_module import Feed
    from convscope.training.run_folder import begin, run_folder

    shape, chosen, flags = _settings(architecture, recipe, settings)
    with silenced(quiet), seeded(chosen.seed), run_folder(output) as folder:
        training, held_out = choose(
            pictures,
            validation=validation,
            exclude=exclude,
            per_class=per_class,
            test_cap=test_cap,
            split_seed=split_seed,
        )
        _require_validation(chosen, held_out, validate_every)
        begun = None if init_from is None else load(init_from)
        module, fresh = _module(shape, chosen, training, begun)
        story = _story(chosen, training, held_out, begun)
        key = {"trains": "a network", "architecture": module.architecture, "recipe": story}
        goes_on = begin(folder, Path(output), key, _files(chosen, snapshots), resume)
        place = None if cache is None else Path(cache)
        feed = Feed(training, held_out, _size(module), chosen, begun=begun, cache=place, workers=workers)
        _require_batches(module, feed)
        network = _network(module, feed, training, name or _name(architecture))
        network.recipe = story
        lightning = {"logger": tensorboard, "check_val_every_n_epoch": validate_every, **flags}
        first = _fit(network, feed, Path(output), snapshots, goes_on, lightning)
        done = Training(network, _log(Path(output)), fresh, _skipped(training, held_out), Path(output))
        network.recipe["epoch"] = int(done.log[-1]["epoch"])
        if first:
            save(network, done.output / "network.safetensors", module.architecture, network.recipe, half=half)
            _report(done, training, held_out, split=per_class is not None)
    return done


def _settings(
    architecture: str | Mapping[str, Any], recipe: str | Recipe | None, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], Recipe, dict[str, Any]]:
    """The architecture, the recipe and Lightning's flags, each with the settings that belong to it."""
    if recipe is None:
        recipe = RECIPE_OF.get(_name(architecture), "paper")
    if isinstance(architecture, str):
        if architecture not in ARCHITECTURES:
            raise ArgumentError("architecture", architecture, f"expected one of {', '.join(ARCHITECTURES)}")
        architecture = ARCHITECTURES[architecture]
    if isinstance(recipe, str):
        recipe = named(recipe, str(architecture.get("base")))
    given = {key: value for key, value in settings.items() if value is not None}
    shape = {**architecture, **{key: given.pop(key) for key in SHAPE if key in given}}
    flags = {key: given.pop(key) for key in LIGHTNING if key in given}
    if any(kind in str(flags.get("strategy")) for kind in ("spawn", "fork", "notebook")):
        # Their processes are copies made within `fit`, after the pictures have been shared out.
        raise ArgumentError("strategy", flags["strategy"], "expected one that starts the script again, such as ddp")
    return shape, recipe.changed(**given), flags


def _name(architecture: str | Mapping[str, Any]) -> str:
    return architecture if isinstance(architecture, str) else str(architecture.get("base"))


def _require_validation(recipe: Recipe, held_out: Pictures | None, every: int) -> None:
    if recipe.schedule != "plateau":
        return
    if held_out is None:
        raise ArgumentError("validation", None, "the plateau schedule needs pictures to validate on")
    if every != 1:
        raise ArgumentError("validate_every", every, "the plateau schedule needs the error of every epoch")


def _module(
    shape: Mapping[str, Any], recipe: Recipe, training: Pictures, begun: Network | None
) -> tuple[Chain, list[str]]:
    """The network as training begins, and the tensors that `begun` had nothing for."""
    module = build({**shape, "classes": len(training.classes or ()), "dropout": recipe.dropout})
    initialise(module, recipe.init, recipe.seed)
    return module, [] if begun is None else carry_over(module, begun.module.state_dict())


def _size(module: Chain) -> tuple[int, int, int]:
    side = module.architecture["side"]
    return module.architecture["channels"], side, side


def _require_batches(module: Chain, feed: "Feed") -> None:
    """Batch normalisation learns nothing from one picture, and torch refuses it where maps have one position."""
    size = feed.recipe.batch_size
    if len(feed.training) % size == 1 and any(isinstance(child, torch.nn.BatchNorm2d) for child in module):
        last = f"{len(feed.training)} pictures leave a last batch of one, too small to normalise; expected another size"
        raise ArgumentError("batch_size", size, last)


def _network(module: Chain, feed: "Feed", training: Pictures, name: str) -> Network:
    transform = feed.transform
    mean, std = torch.as_tensor(transform.mean), torch.as_tensor(transform.std)
    return Network(module, transform.input_size, mean, std, training.classes, name, transform.resize)


def _fit(
    network: Network,
    feed: "Feed",
    out: Path,
    snapshots: Sequence[int],
    resume: bool,
    lightning: Mapping[str, Any],
) -> bool:
    """Train `network` in place; True in the first of the processes, which writes the files."""
    from convscope.training.callbacks import EpochLog, Snapshots
    from convscope.training.lightning_trainer import fit
    from convscope.training.module import Trainee

    module = network.module
    assert isinstance(module, Chain)
    trainee = Trainee(build(module.architecture), feed.recipe, module.architecture["classes"])
    trainee.network.load_state_dict(module.state_dict())

    def current(trained: Trainee) -> Network:
        module.load_state_dict(trained.network.state_dict())
        return network

    callbacks = [EpochLog(out / "log.csv", feed.sample()), Snapshots(out, current, snapshots, resume=True)]
    first = fit(trainee, feed, out, resume=resume, lightning=lightning, callbacks=callbacks)
    module.load_state_dict(trainee.network.state_dict())
    module.eval()
    return first


def _files(recipe: Recipe, snapshots: Sequence[int]) -> list[str]:
    """The weights' files; a training that ends early has a snapshot of any epoch."""
    last = recipe.epochs
    epochs = range(1, last + 1) if recipe.enough is not None else sorted({last, *(e for e in snapshots if e <= last)})
    return ["network.safetensors", *(f"snapshots/epoch-{epoch:03d}.safetensors" for epoch in epochs)]


def _story(recipe: Recipe, training: Pictures, held_out: Pictures | None, begun: Network | None) -> dict[str, Any]:
    """What goes into the weights' file: the recipe, the data, what came before."""
    parts = {"training": training, "validation": held_out}
    data = {part: pictures.identity() for part, pictures in parts.items() if pictures is not None}
    before = None if begun is None else {"name": begun.name, "recipe": begun.recipe, "weights": begun.fingerprint()}
    return {**recipe.plain(), "convscope": version("convscope"), "data": data, "init_from": before}


def _log(out: Path) -> list[dict[str, float]]:
    from convscope.training.callbacks import read_log

    rows = read_log(out / "log.csv")
    return [{key: float(value) for key, value in row.items() if value} for row in rows]


def _skipped(*parts: Pictures | None) -> dict[str, str]:
    present = [part for part in parts if part is not None]
    return {part.paths[index]: reason for part in present for index, reason in part.skipped.items()}


def _report(done: Training, training: Pictures, held_out: Pictures | None, *, split: bool) -> None:
    """`training.json`; the paths of a split are in it, so that nobody tests on what was trained on."""
    assert isinstance(done.network.module, Chain)
    content: dict[str, Any] = {
        "architecture": done.network.module.architecture,
        "recipe": done.network.recipe,
        "fresh": done.fresh,
        "log": done.log,
        "skipped": done.skipped,
    }
    if split and held_out is not None:
        content["split"] = {"training": training.paths, "validation": held_out.paths}
    put(done.output / "training.json", (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def tidied(output: Path) -> Path:
    """A finished training's folder in a cache, without its state, twice the weights, its snapshots, and halves of files
    that an interrupted attempt left.
    """
    snapshots = output / "snapshots"
    for file in (output / "state.ckpt", *output.glob("*.part"), *snapshots.glob("epoch-*.safetensors")):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or it holds other files
        snapshots.rmdir()
    return output
