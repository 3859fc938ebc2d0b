"""What does the architecture lose without these layers? Variants trained alike, and measured on the same pictures.

    a = ablate("digits", variants=["m5", "m5:fc=[16]"], per_class=4, epochs=2)
    a.variants, a.pairs, a.failed; a.rows

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013), section 5.1, Table 3.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from convscope.data.picture_set import Pictures
from convscope.data.sources import images as open_images
from convscope.data.sources import with_classes
from convscope.data.splits import per_class as split_per_class
from convscope.device import resolve
from convscope.disk.cache import Cache
from convscope.disk.results import against, shown
from convscope.errors import ArgumentError, TrainingError
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.models.variants import VARIANTS, build
from convscope.parameters import Folder, Images, Labels
from convscope.training.evaluate import evaluate, hits
from convscope.training.published import TABLE3
from convscope.training.recipe import Recipe, assigned, named
from convscope.training.selection import choose
from convscope.training.significance import Pair, compared, spread
from convscope.training.train import ARCHITECTURES, RECIPE_OF, tidied, train

MEASURES = ("train top-1", "val top-1", "val top-5")
SAMPLE = 50_000  # training pictures that train errors are measured on (TB3)
WEIGHTS = "network.safetensors"


@dataclass(frozen=True)
class Variant:
    """A variant, trained with each of `seeds` (S of them).

    parameters: how many. errors: of each of `MEASURES` the error in per cent by seed; no top-5 of fewer than 6
    classes. right (S, N) bool: which validation pictures it gets right. weights: the S networks' files.
    """

    name: str
    parameters: int
    seeds: tuple[int, ...]
    errors: Mapping[str, tuple[float, ...]]
    right: Tensor
    weights: tuple[Path, ...]


@dataclass(frozen=True)
class Ablation:
    """What the variants came to, in the order they were asked for.

    network: the one of the fewest validation errors, of the first seed. pairs: every two variants, whether their order
    is more than chance. failed: what could not be trained, and why. trained_on, measured_on: how many pictures.
    deviation, freedom: of validation top-1 errors over seeds, pooled over the variants; 0 degrees: unknown.
    """

    network: Network
    variants: tuple[Variant, ...]
    pairs: tuple[Pair, ...]
    failed: Mapping[str, str]
    trained_on: int
    measured_on: int
    deviation: float
    freedom: int
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record a variant and measure, one a pair, one a failure.

        The published errors are of the full variants on ImageNet (TB3); beside a pair stands their difference.
        """
        return [*self._measured(), *map(_of_pair, self.pairs), *self._failures()]

    def _measured(self) -> Iterator[dict[str, Any]]:
        for variant in self.variants:
            yield _row(variant.name, "parameters") | {"seeds": len(variant.seeds), "value": variant.parameters}
            published = _published(variant.name)
            for measure, values in variant.errors.items():
                apart = stdev(values) if len(values) > 1 else None
                numbers = against(fmean(values), published.get(measure))
                yield _row(variant.name, measure) | {"seeds": len(values), "spread": apart} | numbers

    def _failures(self) -> Iterator[dict[str, Any]]:
        for name, reason in self.failed.items():
            yield _row(name, "failed") | {"reason": reason, "value": None}

    @property
    def arrays(self) -> dict[str, Any]:
        """Which validation pictures each variant gets right, (S, N) bool by name."""
        return {variant.name: variant.right.numpy() for variant in self.variants}

    @property
    def text(self) -> str:
        """The table, as a terminal shows it."""
        wide = max(28, *(len(name) + 2 for name in (*self.failed, *(variant.name for variant in self.variants))))
        lines = [f"{'variant':{wide}}{'parameters':>14}" + "".join(f"{measure:>15}" for measure in MEASURES)]
        for variant in self.variants:
            cells = "".join(f"{_cell(variant, measure):>15}" for measure in MEASURES)
            lines.append(f"{variant.name:{wide}}{variant.parameters:14,}{cells}")
        lines += [f"{name:{wide}}failed: {reason}" for name, reason in self.failed.items()]
        apart = sum(pair.separated for pair in self.pairs)
        told = f"; of {len(self.pairs)} pairs {apart} are told apart" if self.pairs else ""
        known = {variant.name for variant in self.variants} & set(TABLE3)
        published = ", in brackets the published of the full networks on ImageNet" if known else ""
        return "\n".join([*lines, f"errors in per cent{published}{told}"])


def _cell(variant: Variant, measure: str) -> str:
    """An error, and the published one."""
    values = variant.errors.get(measure)
    return "" if values is None else shown(fmean(values), None, _published(variant.name).get(measure))


def _published(name: str) -> dict[str, float]:
    """The errors of the full variant on ImageNet, by measure (TB3); of others nothing."""
    return dict(zip(MEASURES, TABLE3.get(name, ()), strict=False))


def _row(variant: str, measure: str) -> dict[str, Any]:
    return {"variant": variant, "measure": measure}


def _of_pair(pair: Pair) -> dict[str, Any]:
    published = TABLE3[pair.b].top1 - TABLE3[pair.a].top1 if {pair.a, pair.b} <= set(TABLE3) else None
    decided = {"p_pictures": pair.p_pictures, "p_seeds": pair.p_seeds, "separated": pair.separated}
    row = {"variant": pair.b, "than": pair.a, "measure": "more val top-1"}
    return row | decided | against(pair.difference, published)


def ablate(
    images: Images,
    *,
    validation: Annotated[
        Images | None, "pictures to measure on [default: up to 50 a class of those left over]"
    ] = None,
    variants: Annotated[Sequence[str] | None, "NAME or NAME:SETTING=VALUE;… [default: the twelve of Table 3]"] = None,
    per_class: Annotated[int | None, "pictures of every class to train on [default: all]"] = None,
    side: Annotated[int | None, "of the networks' input, pixels [default: as published]"] = None,
    width: Annotated[float, "share of the maps that every convolution keeps"] = 1.0,
    units: Annotated[float, "share of the units that every fully connected layer keeps"] = 1.0,
    recipe: Annotated[str | None, "paper, scaled, m5 or m6 [default: the architecture's own]"] = None,
    epochs: Annotated[int | None, "passes over the pictures [default: the recipe's]"] = None,
    settings: Annotated[Sequence[str], "NAME=VALUE of the recipe, as lr=0.01"] = (),
    labels: Labels = None,
    seeds: Annotated[int, "trainings of a variant, from seed on"] = 1,
    repeated: Annotated[
        Sequence[str] | None, "a variant that has all the seeds, others the first [default: all]"
    ] = None,
    sample: Annotated[int, "at most so many training pictures to measure train errors on"] = SAMPLE,
    precision: Annotated[str | None, "Lightning's: 32-true, bf16-mixed or 16-mixed"] = None,
    cache: Annotated[Folder, "folder to keep finished trainings in"] = "out/cache",
    seed: int = 0,
    device: str | None = None,
) -> Ablation:
    """Train variants of an architecture under one recipe and budget, and compare their errors (METHODS M3, TB3).

    Every variant sees the same pictures in the same order for the same epochs. Errors are of the centre crop, in
    evaluation mode. Finished trainings stay in `cache`, and one that was interrupted goes on from its last finished
    epoch: the same call again gives the same numbers. A variant that fails is reported, and the others go on.

    The order of two variants counts as separated where McNemar's exact test on the validation pictures says so and,
    if any variant was trained with several seeds, a t-test on their pooled spread as well, both with Holm's correction
    over all the pairs, at 0.05. With one seed it is these two networks that differ, not yet their architectures.

    Raises ArgumentError for variants, settings and numbers out of range, before anything is trained; DataError for
    pictures without classes, or too few of one; TrainingError where no variant could be trained.
    """
    plan = _planned(variants, repeated, seeds, seed)
    source = open_images(images, labels=labels)
    other = None if validation is None else with_classes(validation, labels)
    training, held_out = _pictures(source, other, per_class, seed)
    measured = training.subset(_evenly(len(training), sample))
    shapes = {name: _shape(name, side, width, units, len(training.classes or ())) for name, _ in plan}
    base = {name: _recipe(name, shapes[name], recipe, epochs, settings) for name in shapes}
    room = Cache(cache)
    data = _Data(training, held_out, measured, Path(room.folder) / "squares")
    done: dict[str, dict[int, Path]] = {}
    failed: dict[str, str] = {}
    for name, number in plan:
        run = _Run(name, shapes[name], base[name].changed(seed=number), precision, device)
        try:
            made = room.part("ablate", run.key(data), partial(run.make, data=data))
            done.setdefault(name, {})[number] = tidied(made)  # only now: until here a kill may ask for its state
        except Exception as error:  # whatever ails one variant, the others are still wanted
            failed[name] = f"seed {number}: {' '.join(str(error).split()) or type(error).__name__}"
    found = {name: _read(name, shapes[name], parts) for name, parts in done.items() if parts}
    if not found:
        raise TrainingError(f"no variant could be trained; {next(iter(failed))}, {next(iter(failed.values()))}")
    return _assembled(found, failed, data)


def _planned(
    variants: Sequence[str] | None, repeated: Sequence[str] | None, seeds: int, seed: int
) -> list[tuple[str, int]]:
    """Which variant is trained with which seed: all with the first, before any with the second."""
    names = list(dict.fromkeys(VARIANTS if variants is None else variants))
    if not names:
        raise ArgumentError("variants", variants, "expected at least one")
    if seeds < 1:
        raise ArgumentError("seeds", seeds, "expected at least 1")
    again = names if repeated is None else list(repeated)
    for name in again:
        if name not in names:
            raise ArgumentError("repeated", name, f"expected of the variants {', '.join(names)}")
    return [(name, seed + k) for k, name in product(range(seeds), names) if k == 0 or name in again]


def _pictures(source: Any, validation: Any, per_class: int | None, seed: int) -> tuple[Pictures, Pictures]:
    """To train on, and to measure on: `validation`, or up to 50 of every class that `per_class` leaves."""
    if validation is None:
        if per_class is None:
            raise ArgumentError("validation", None, "expected pictures to measure on, or per_class to leave some")
        training, held_out = choose(source, per_class=per_class, split_seed=seed)
    else:
        training, held_out = choose(source, validation=validation)
        if per_class is not None:
            split = split_per_class(training.labels or [], per_class, seed=seed, classes=training.classes, tested=False)
            training = training.subset(split.train)
    assert held_out is not None
    return training, held_out


def _evenly(count: int, sample: int) -> list[int]:
    if sample < 1:
        raise ArgumentError("sample", sample, "expected at least 1")
    places: list[int] = np.linspace(0, count - 1, min(sample, count)).round().astype(int).tolist()
    return places


def _shape(name: str, side: int | None, width: float, units: float, classes: int) -> dict[str, Any]:
    """The architecture of a variant at the scale asked for, built once without memory to see that it can be."""
    known, colon, changes = name.partition(":")
    if known not in ARCHITECTURES:
        raise ArgumentError(
            "variants", name, f"expected one of {', '.join(ARCHITECTURES)}, alone or with :SETTING=VALUE"
        )
    for share, value in (("width", width), ("units", units)):
        if not 0 < value <= 4:
            raise ArgumentError(share, value, "expected a share above 0, 1 for the published")
    own = assigned(changes.split(";"), "variants") if colon else {}
    asked = {**ARCHITECTURES[known], **own, "classes": classes, **({} if side is None else {"side": side})}
    with torch.device("meta"):
        full = build(asked).architecture
        scaled = {"maps": _scaled(full["maps"], width), "fc": _scaled(full["fc"], units)}
        return build({**full, **scaled}).architecture


def _scaled(counts: Sequence[int], share: float) -> list[int]:
    return [max(1, round(count * share)) for count in counts]


def _recipe(
    name: str, shape: Mapping[str, Any], recipe: str | None, epochs: int | None, settings: Sequence[str]
) -> Recipe:
    chosen = named(recipe or RECIPE_OF.get(name.partition(":")[0], "paper"), shape["base"])
    return chosen.changed(**assigned(settings, "settings")).changed(epochs=epochs)


@dataclass(frozen=True)
class _Data:
    """Pictures to train on, to measure on, those of the former that train errors are of; where to keep them decoded."""

    training: Pictures
    held_out: Pictures
    measured: Pictures
    squares: Path


@dataclass(frozen=True)
class _Run:
    """One training: which variant, how, where."""

    name: str
    shape: Mapping[str, Any]
    recipe: Recipe
    precision: str | None
    device: str | None

    def key(self, data: _Data) -> dict[str, Any]:
        """All that its outcome follows from."""
        parts = {"training": data.training, "validation": data.held_out, "measured": data.measured}
        prints = {part: f"{pictures.name} {pictures.fingerprint()}" for part, pictures in parts.items()}
        how = {"recipe": self.recipe.plain(), "precision": self.precision}
        return {"variant": self.name, "architecture": dict(self.shape), **how, **prints}

    def make(self, folder: Path, data: _Data) -> None:
        """Train, from the last finished epoch in `folder` where there is one, and measure."""
        plateau = self.recipe.schedule == "plateau"
        network = train(
            data.training,
            folder,
            validation=data.held_out if plateau else None,
            architecture=self.shape,
            recipe=self.recipe,
            name=self.name,
            snapshots=(),
            cache=data.squares,
            precision=self.precision,
            **_placed(self.device),
        ).network
        seen = evaluate(network, data.measured, device=self.device)
        found = evaluate(network, data.held_out, device=self.device)
        np.save(folder / "train.npy", hits(seen.probabilities, seen.labels, 1).numpy())
        np.save(folder / "probabilities.npy", found.probabilities.numpy())
        np.save(folder / "labels.npy", found.labels.numpy())


def _placed(device: str | None) -> dict[str, Any]:
    """Lightning's words for a device."""
    place = resolve(device)
    kind = {"cuda": "gpu"}.get(place.type, place.type)
    return {"accelerator": kind, "devices": [place.index or 0] if kind == "gpu" else 1}


def _read(name: str, shape: Mapping[str, Any], parts: Mapping[int, Path]) -> Variant:
    """A variant from its finished trainings."""
    tables = [torch.from_numpy(np.load(folder / "probabilities.npy")) for folder in parts.values()]
    labels = [torch.from_numpy(np.load(folder / "labels.npy")) for folder in parts.values()]
    seen = [np.load(folder / "train.npy") for folder in parts.values()]
    errors = {"train top-1": tuple(100 * float(1 - right.mean()) for right in seen)}
    for k in (1, 5):
        if k == 1 or tables[0].shape[1] > k:
            wrong = [~hits(table, own, k) for table, own in zip(tables, labels, strict=True)]
            errors[f"val top-{k}"] = tuple(100 * float(each.double().mean()) for each in wrong)
    right = torch.stack([hits(table, own, 1) for table, own in zip(tables, labels, strict=True)])
    with torch.device("meta"):
        parameters = sum(each.numel() for each in build(shape).parameters())
    return Variant(name, parameters, tuple(parts), errors, right, tuple(folder / WEIGHTS for folder in parts.values()))


def _assembled(found: Mapping[str, Variant], failed: Mapping[str, str], data: _Data) -> Ablation:
    variants = tuple(found.values())
    pairs = tuple(compared({variant.name: list(variant.right) for variant in variants}))
    best = min(variants, key=lambda variant: variant.errors["val top-1"][0])
    deviation, freedom = spread({variant.name: variant.errors["val top-1"] for variant in variants})
    measured = variants[0].right.shape[1]
    notes = tuple(_notes(failed, freedom, len(data.held_out) - measured))
    counts = (len(data.training), measured)
    return Ablation(load(str(best.weights[0])), variants, pairs, failed, *counts, deviation, freedom, notes)


def _notes(failed: Mapping[str, str], freedom: int, unread: int) -> Iterator[str]:
    yield "published errors are of 224-pixel pictures of ImageNet's 1,000 classes: compare orders, not numbers"
    if not freedom:
        yield "one seed: the pairs told apart are networks that differ, not yet architectures"
    if unread:
        yield f"{unread} pictures to measure on could not be read"
    for name, reason in failed.items():
        yield f"{name} could not be trained: {reason}"
