"""Every hyperparameter with its reason, and the learning rate as a function of them (METHODS T4 to T9).

Knows neither Lightning nor pictures. `PAPER` is Zeiler and Fergus' recipe; `SCALED` suits small networks of ours;
`M5` is for the student convnets (METHODS M5, M6).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from convscope.errors import ArgumentError, TrainingError

SCHEDULES = ("plateau", "replay", "cosine", "constant")
CROPS = ("centre", "ten", "random", "scale", "whole")
OPTIMIZERS = ("sgd", "adam")
SNAPSHOTS = (1, 2, 5, 10, 20, 30, 40, 64)  # the epochs of the paper's Figure 4 (METHODS F4)
_KINDS: Mapping[Any, tuple[Any, str]] = {  # a hyperparameter's annotation: what it may be, in words
    int: (int, "a whole number"),
    float: (float | int, "a number"),
    float | None: (float | int | None, "a number or none"),
    bool: (bool, "true or false"),
    str: (str, "a word"),
    tuple[tuple[int, float], ...]: (tuple | list, "pairs of an epoch and a rate"),
}
LIGHTNING = ("accelerator", "devices", "strategy", "num_nodes", "precision")  # settings beside a recipe: its Trainer's
UNIT_STD = 58 / 255  # brings pictures to about unit scale, which He initialisation presumes


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The defaults are the paper's (METHODS §3); `he`, cosine and the rest are options."""

    epochs: int = 70  # the paper's (T4)
    batch_size: int = 128  # the paper's (T4)
    lr: float = 1e-2  # the paper's start, and the peak of a cosine (T4, T6)
    optimizer: str = "sgd"  # the paper's (T4); "adam" with betas momentum and 0.999 is that of M5 and M6
    momentum: float = 0.9  # the paper's (T4)
    nesterov: bool = False  # not the paper's; steadier at high rates
    weight_decay: float = 0.0  # not stated: 0 for M1, where T9 is the stated control, 5e-4 for M2 (T4)
    schedule: str = "plateau"  # the paper annealed by hand when the validation error stalled (T5)
    patience: int = 3  # epochs without progress before a drop (T5)
    progress: float = 0.1  # points of top-1 error that count as progress (T5)
    drop: float = 0.1  # factor of a drop (T5)
    max_drops: int = 3  # drops after which the rate stays (T5)
    replay: tuple[tuple[int, float], ...] = ()  # (epoch, lr) from which epoch on which rate holds (T5)
    warmup: float = 0.0  # epochs of linear rise; large first steps upset He-initialised networks
    lr_min: float = 0.0  # where a cosine ends (T6)
    cycle: float | None = None  # epochs of the first cosine cycle; None: one cycle to the end (T6)
    cycle_mult: float = 1.0  # growth of the cycles, SGDR's T_mult (T6)
    clip: float | None = None  # bound on the gradient's norm; None: the paper has none
    dropout: float = 0.5  # the paper's, on layers 6 and 7 (T7)
    init: str = "gaussian"  # N(0, 0.01²), biases 0 (T8); "he" is ours
    radius: float | None = 0.1  # RMS that no convolution filter exceeds after an update (T9); None: off
    crops: str = "ten"  # the ten fixed sub-crops (T2); "random" offsets; "scale": also size and aspect; "centre";
    # "whole": pictures are resized to the network's side, and nothing is cut off
    area: float = 0.35  # smallest share of the square that "scale" shows; 1 is the whole
    jitter: float = 0.0  # largest relative change of brightness, contrast and channel gain; the paper has none
    label_smoothing: float = 0.0  # the paper's loss is plain cross-entropy (T3)
    unit_scale: bool = False  # False: values of 0 to 255 less a mean picture (G0, T1); True: std 58/255
    zero_to_one: bool = False  # True: values of 0 to 1, nothing subtracted, as M5 and M6 take them
    enough: float | None = None  # train error in per cent at which training ends early (M5); None: all the epochs
    seed: int = 0  # order, augmentation, dropout and initial weights follow from it

    def __post_init__(self) -> None:
        """Every value of its kind and in its range."""
        for field in fields(self):
            kind, words = _KINDS[field.type]
            if not isinstance(value := getattr(self, field.name), kind):
                raise ArgumentError(field.name, value, f"expected {words}")
        rules: dict[str, tuple[bool, str]] = {
            "epochs": (self.epochs >= 1, "expected at least 1"),
            "batch_size": (self.batch_size >= 1, "expected at least 1"),
            "lr": (self.lr > 0, "expected a positive rate"),
            "optimizer": (self.optimizer in OPTIMIZERS, f"expected one of {', '.join(OPTIMIZERS)}"),
            "momentum": (0 <= self.momentum < 1, "expected a number in [0, 1)"),
            "weight_decay": (self.weight_decay >= 0, "expected at least 0"),
            "schedule": (self.schedule in SCHEDULES, f"expected one of {', '.join(SCHEDULES)}"),
            "patience": (self.patience >= 1, "expected at least 1"),
            "drop": (0 < self.drop < 1, "expected a factor between 0 and 1"),
            "replay": (self.schedule != "replay" or bool(self.replay), "replay needs (epoch, lr) pairs"),
            "warmup": (0 <= self.warmup < self.epochs, "expected fewer epochs than the training has"),
            "lr_min": (0 <= self.lr_min <= self.lr, "expected a rate in [0, lr]"),
            "cycle": (self.cycle is None or self.cycle > 0, "expected a positive number of epochs"),
            "cycle_mult": (self.cycle_mult >= 1, "expected at least 1"),
            "clip": (self.clip is None or self.clip > 0, "expected a positive norm"),
            "dropout": (0 <= self.dropout < 1, "expected a probability in [0, 1)"),
            "init": (self.init in ("gaussian", "he"), "expected gaussian or he"),
            "radius": (self.radius is None or self.radius > 0, "expected a positive RMS"),
            "crops": (self.crops in CROPS, f"expected one of {', '.join(CROPS)}"),
            "area": (0 < self.area <= 1, "expected a share in (0, 1]"),
            "jitter": (0 <= self.jitter < 1, "expected a share in [0, 1)"),
            "zero_to_one": (not (self.zero_to_one and self.unit_scale), "expected one of it and unit_scale"),
            "enough": (self.enough is None or self.enough >= 0, "expected a per cent"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "expected a share in [0, 1)"),
        }
        for name, (holds, expected) in rules.items():
            if not holds:
                raise ArgumentError(name, getattr(self, name), expected)

    def changed(self, **changes: Any) -> Self:
        """This recipe with the given values in place; None leaves a value as it is, "none" turns it off.

        Raises ArgumentError for a value that is unknown, of another kind, or out of range.
        """
        unknown = set(changes) - {field.name for field in fields(self)}
        if unknown:
            raise ArgumentError("recipe", sorted(unknown), "no such hyperparameters")
        given = {name: value for name, value in changes.items() if value is not None}
        turned: dict[str, Any] = {name: None if value == "none" else value for name, value in given.items()}
        return replace(self, **turned)

    def plain(self) -> dict[str, Any]:
        """The recipe as JSON can hold it."""
        return asdict(self)


PAPER = Recipe()
SCALED = Recipe(
    epochs=20,
    lr=0.03,
    nesterov=True,
    weight_decay=5e-4,
    schedule="cosine",
    warmup=1.0,
    clip=2.0,
    init="he",
    radius=None,
    crops="random",
    unit_scale=True,
)
M5 = Recipe(  # Adam, its rate and the end are not stated: the usual ones, and the published train accuracy, 0.991
    epochs=12,
    lr=1e-3,
    optimizer="adam",
    schedule="constant",
    dropout=0.3,
    init="he",
    radius=None,
    crops="whole",
    zero_to_one=True,
    enough=0.9,
)
RECIPES: Mapping[str, Recipe] = {
    "paper": PAPER,
    "scaled": SCALED,
    "m5": M5,
    "m6": replace(M5, epochs=5, enough=None),
}


def named(name: str, base: str = "zfnet") -> Recipe:
    """The recipe of this name for a network of this base: the paper's has a weight decay for AlexNet only (T4)."""
    if name not in RECIPES:
        raise ArgumentError("recipe", name, f"expected one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    return replace(recipe, weight_decay=5e-4) if base == "alexnet" else recipe


def assigned(changes: Sequence[str], argument: str) -> dict[str, Any]:
    """NAME=VALUE pairs by name; a value is read as JSON, or as it stands where it is none.

    Raises ArgumentError, naming `argument`, for one without an equals sign.
    """
    settings = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise ArgumentError(argument, change, "expected NAME=VALUE, as lr=0.03")
        try:
            settings[name.replace("-", "_")] = json.loads(value)
        except ValueError:
            settings[name.replace("-", "_")] = value
    return settings


def cosine(elapsed: float, *, lr: float, lr_min: float = 0.0, cycle: float, cycle_mult: float = 1.0) -> float:
    """Rate after `elapsed` epochs of cosine annealing with warm restarts (SGDR, METHODS T6).

    Raises:
        ArgumentError: a cycle of no length, or cycles that would shrink.
    """
    if cycle <= 0:
        raise ArgumentError("cycle", cycle, "expected a positive number of epochs")
    if cycle_mult < 1:
        raise ArgumentError("cycle_mult", cycle_mult, "expected at least 1")
    while elapsed >= cycle:
        elapsed -= cycle
        cycle *= cycle_mult
    return lr_min + (lr - lr_min) / 2 * (1 + math.cos(math.pi * elapsed / cycle))


def replayed(epoch: int, replay: Sequence[tuple[int, float]], lr: float) -> float:
    """Rate in `epoch` (from 0) when `replay` says from which epoch on which rate holds (METHODS T5)."""
    for start, rate in sorted(replay):
        if epoch >= start:
            lr = rate
    return lr


@dataclass
class Plateau:
    """Divides the rate when the validation error stalls (METHODS T5); `update` once an epoch.

    Its four numbers are the whole state, and travel with the resume state.
    """

    best: float = math.inf  # per cent of top-1 error
    stalled: int = 0
    drops: int = 0

    def update(self, error: float, recipe: Recipe) -> bool:
        """Take in an epoch's top-1 error in per cent; True when the rate drops. Raises TrainingError on NaN."""
        if math.isnan(error):
            raise TrainingError("the validation error is NaN: the plateau schedule cannot go on")
        if error <= self.best - recipe.progress:
            self.best, self.stalled = error, 0
            return False
        self.stalled += 1
        if self.stalled < recipe.patience or self.drops >= recipe.max_drops:
            return False
        self.stalled, self.drops = 0, self.drops + 1
        return True


def learning_rate(recipe: Recipe, elapsed: float, drops: int = 0) -> float:
    """Rate for the step that begins after `elapsed` epochs (a fraction within an epoch), after `drops` drops."""
    if elapsed < recipe.warmup:
        return recipe.lr * max(elapsed, 1e-2) / recipe.warmup  # never 0: a velocity could not be carried over
    if recipe.schedule == "plateau":
        return recipe.lr * recipe.drop**drops
    if recipe.schedule == "replay":
        return replayed(int(elapsed), recipe.replay, recipe.lr)
    if recipe.schedule == "constant":
        return recipe.lr
    cycle = recipe.cycle if recipe.cycle is not None else recipe.epochs - recipe.warmup
    return cosine(
        elapsed - recipe.warmup, lr=recipe.lr, lr_min=recipe.lr_min, cycle=cycle, cycle_mult=recipe.cycle_mult
    )
