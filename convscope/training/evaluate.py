"""Top-1 and top-5 errors of a network or an ensemble, on the centre crop or on ten crops (METHODS T2, M4, TB2).

Knows nothing of training.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from convscope.data.batches import batches
from convscope.data.exclusions import Exclude
from convscope.data.picture_set import Pictures
from convscope.data.sources import images
from convscope.device import resolve
from convscope.errors import ArgumentError, DataError
from convscope.models.network import Network
from convscope.progress import progress, silenced
from convscope.training.selection import choose, excluded, labelled

CROPS = {"centre": 1, "ten": 10}
CENTRE = 4  # the place of the centre crop among the ten
TINY = 1e-30  # below any softmax output that matters; keeps a geometric mean from taking the logarithm of 0


@dataclass(frozen=True)
class Evaluation:
    """What a network, or an ensemble, makes of labelled pictures.

    `probabilities` (N, classes) float32 and `labels` (N,) int64 in the order of the pictures that could be read;
    `errors` k -> share of pictures, in per cent, whose label is not among the k likeliest; `accuracy` the mean over
    classes of the share, in per cent, that is right (E0); `per_class` that share by name; `skipped` path -> reason;
    `centre` what the centre crops alone give, where ten were asked for; `members` of an ensemble: name and the same of
    each alone.
    """

    probabilities: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    errors: dict[int, float]
    accuracy: float
    per_class: dict[str, float]
    skipped: dict[str, str]
    centre: Self | None = None
    members: tuple[tuple[str, Self], ...] = ()

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Flat records of the errors and accuracies, in per cent: of the members, and of the whole under `name`.

        `class` is None but for the accuracies of single classes, which only the whole has.
        """
        alone = [row for member, found in self.members for row in found._totals(member)]
        own = {"network": name, "crops": self._crops, "measure": "accuracy"}
        classes = [own | {"class": each, "value": value} for each, value in self.per_class.items()]
        return [*alone, *self._totals(name), *classes]

    @property
    def _crops(self) -> str:
        return "centre" if self.centre is None else "ten"

    def _totals(self, name: str) -> list[dict[str, Any]]:
        """The records of the centre crop, where it was looked at beside the ten, and of all crops."""
        measured = [*((f"top-{k} error", error) for k, error in self.errors.items()), ("accuracy", self.accuracy)]
        own: dict[str, Any] = {"network": name, "crops": self._crops}
        rows = [own | {"measure": measure, "class": None, "value": value} for measure, value in measured]
        return rows if self.centre is None else [*self.centre._totals(name), *rows]


def hits(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """Whether each label is among the k largest of its row's scores, ties going to the lower class index (TB2).

    Raises:
        ArgumentError: k of less than 1 or more than there are classes.
    """
    if not 1 <= k <= scores.shape[1]:
        raise ArgumentError("k", k, f"expected 1 to {scores.shape[1]}, the number of classes")
    own = scores.gather(1, labels[:, None])
    lower = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    ahead = (scores > own) | ((scores == own) & lower)
    return ahead.sum(1) < k


def combine(members: Sequence[Tensor], rule: str = "mean") -> Tensor:
    """One (N, C) table of probabilities from several: their arithmetic or "geometric" mean (METHODS M4)."""
    if rule not in ("mean", "geometric"):
        raise ArgumentError("combine", rule, "expected mean or geometric")
    # Summed in double precision over sorted values, so that the members' order cannot matter.
    stacked = torch.stack([member.double() for member in members]).sort(0).values
    if rule == "mean":
        return stacked.mean(0).float()
    product = stacked.clamp_min(TINY).log().mean(0).exp()
    return (product / product.sum(1, keepdim=True)).float()


def evaluate(
    networks: Network | Sequence[Network],
    pictures: object,
    *,
    crops: str = "centre",
    combine_by: str = "mean",
    k: Sequence[int] | None = None,
    exclude: Exclude = (),
    per_class: int | None = None,
    test_cap: int | None = 50,
    split_seed: int = 0,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Errors and per-class accuracy on labelled pictures; several networks count as an ensemble (METHODS M4).

    Args:
        networks: one, or the members of an ensemble; members must name the same classes in the same order.
        pictures: what `convscope.images` takes, with classes. A class is the output that has its name; where no class
            has an output's name and all are numbers, the output of that number; where the network names no outputs,
            the output of the number that the data set itself gives the class.
        crops: "centre", or "ten", whose probabilities are averaged (METHODS T2); the centre's alone are told too.
        combine_by: "mean" or "geometric", over the members.
        k: the errors wanted; by default top-1, and top-5 where there are five classes.
        exclude, per_class, test_cap, split_seed: as in `train`; with `per_class` only the held-out part counts.

    Raises:
        ArgumentError: values out of range; k above the number of classes.
        DataError: pictures without classes, or classes that fit no output; members that differ in classes.
    """
    members = [networks] if isinstance(networks, Network) else list(networks)
    if not members:
        raise ArgumentError("networks", networks, "expected at least one")
    if crops not in CROPS:
        raise ArgumentError("crops", crops, f"expected one of {', '.join(CROPS)}")
    source = images(pictures)
    out = excluded(source, exclude)
    if per_class is not None:
        rest = choose(source, exclude=out, per_class=per_class, test_cap=test_cap, split_seed=split_seed)[1]
        assert rest is not None
        chosen = rest
    else:  # a network may be measured on some of its classes
        chosen = labelled(source, out)
        if missing := sorted(set(source.empty) - out.names):
            warnings.warn(f"{source.name} has no pictures of {', '.join(missing)}: left out", stacklevel=2)
    classes, targets = _targets(members, chosen, source.classes or ())
    with silenced(quiet):
        tables = [_probabilities(net, chosen, crops, batch_size, device, dtype) for net in members]
    seen = [index for index in range(len(chosen)) if index not in chosen.skipped]

    def scored(chosen_tables: Sequence[Tensor]) -> Evaluation:
        ways = [
            score(combine(table, combine_by), targets[seen], classes, k, _named(chosen))
            for table in zip(*chosen_tables, strict=True)
        ]
        return ways[0] if len(ways) == 1 else replace(ways[0], centre=ways[1])

    found = scored(tables)
    if len(members) == 1:
        return found
    alone = zip(_names(members), map(scored, ([table] for table in tables)), strict=True)
    return replace(found, members=tuple(alone))


def score(
    probabilities: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    k: Sequence[int] | None = None,
    skipped: Mapping[str, str] | None = None,
) -> Evaluation:
    """The errors of (N, C) probabilities against (N,) labels."""
    if not len(labels):
        raise DataError("no picture to evaluate")
    ks = k if k is not None else [k for k in (1, 5) if k <= probabilities.shape[1]]
    errors = {k: 100 * float((~hits(probabilities, labels, k)).float().mean()) for k in ks}
    right = hits(probabilities, labels, 1)
    per_class = {
        classes[label]: 100 * float(right[labels == label].float().mean()) for label in sorted(set(labels.tolist()))
    }
    accuracy = sum(per_class.values()) / len(per_class)
    return Evaluation(probabilities, labels, tuple(classes), errors, accuracy, per_class, dict(skipped or {}))


def _names(members: Sequence[Network]) -> list[str]:
    """The members' names; where several have the same, numbered."""
    names = [network.name for network in members]
    return [name if names.count(name) == 1 else f"{name} ({k})" for k, name in enumerate(names, 1)]


def _named(pictures: Pictures) -> dict[str, str]:
    return {pictures.paths[index]: reason for index, reason in sorted(pictures.skipped.items())}


def _targets(members: Sequence[Network], pictures: Pictures, numbered: Sequence[str]) -> tuple[tuple[str, ...], Tensor]:
    """A name for every output, and of every picture the output that is right; `numbered`: all classes of the source."""
    first, *others = members
    for other in others:
        if other.classes != first.classes:
            raise DataError(
                f"{other.name} has other classes, or in another order, than {first.name}: {_apart(other, first)}"
            )
    names = pictures.classes or ()
    outputs = first.classes or tuple(map(str, range(_outputs(first))))
    places = _places(names, outputs, first, pictures, numbered)
    called = list(outputs)
    for name, place in zip(names, places, strict=True):
        called[place] = called[place] if first.classes else name
    return tuple(called), torch.tensor(places)[torch.tensor(pictures.labels)]


def _places(
    names: Sequence[str], outputs: Sequence[str], network: Network, pictures: Pictures, numbered: Sequence[str]
) -> list[int]:
    """The output of each class: that of its name, that of its number, or that of its place in the data set."""
    if network.classes and all(name in outputs for name in names):
        return [outputs.index(name) for name in names]
    numbers = [int(name) if name.isdecimal() else -1 for name in names]
    if len(set(numbers)) == len(names) and all(0 <= number < len(outputs) for number in numbers):
        if pictures.alphabetical:
            meaning = f"numbers of outputs of {network.name}, {min(numbers)} to {max(numbers)}"
            warnings.warn(f"{pictures.name}: its {len(names)} classes are taken as {meaning}", stacklevel=4)
        return numbers
    if network.classes:
        unknown = [name for name in names if name not in outputs]
        some = ", ".join(map(repr, outputs[:3]))
        raise DataError(
            f"{network.name} has no class {unknown[0]!r}, one of {len(unknown)} it does not know; it has {some}, …"
        )
    if pictures.alphabetical:
        raise DataError(
            f"{network.name} does not name its {len(outputs)} outputs, so class {names[0]!r} of {pictures.name} may be "
            f"any of them: name the folders 0 to {len(outputs) - 1}, give --labels FILE with these numbers as classes, "
            "or load the network as a Network with classes="
        )
    places = [numbered.index(name) for name in names]
    if max(places) >= len(outputs):
        raise DataError(f"{pictures.name} has {len(numbered)} classes, expected at most {len(outputs)}: {network.name}")
    return places


@torch.inference_mode()
def _outputs(network: Network) -> int:
    """How many outputs the network has."""
    blank = network.inputs(torch.zeros(network.input_size))
    return int(network.working("cpu")(blank).shape[1])


def _apart(network: Network, first: Network) -> str:
    """Where the classes of two networks first part."""
    have, need = network.classes or (), first.classes or ()
    if not have or not need:
        return f"{(network if need else first).name} names none"
    place = next((k for k, (a, b) in enumerate(zip(have, need, strict=False)) if a != b), None)
    if place is None:
        return f"it has {len(have)}, expected {len(need)}"
    return f"class {place} is {have[place]!r}, expected {need[place]!r}"


@torch.inference_mode()
def _probabilities(
    network: Network,
    pictures: Pictures,
    crops: str,
    batch_size: int,
    device: str | torch.device | None,
    dtype: torch.dtype | None,
) -> Tensor:
    """Softmax outputs on the CPU, (1, N, C); for ten crops (2, N, C): their mean, and those of the centre."""
    module, place, count = network.working(device, dtype), resolve(device), CROPS[crops]
    channels = network.input_size[0]
    if count > 1 and pictures.tensors:
        raise ArgumentError("crops", crops, "tensors are already cropped; expected centre")
    transform = network.transform
    # The ten crops of a picture travel as one input of ten times the channels.
    load = transform if count == 1 else lambda image: transform.ten_crops(image).flatten(0, 1)
    rows = []
    with progress(len(pictures), f"evaluating {network.name}") as advance:
        for batch in batches(pictures, load, max(1, batch_size // count)):
            inputs = batch.inputs.reshape(-1, channels, *batch.inputs.shape[2:])
            inputs = network.inputs(inputs).to(place, dtype, memory_format=torch.channels_last)
            outputs = module(inputs).float().softmax(1).cpu()
            outputs = outputs.reshape(-1, count, outputs.shape[1])
            ways = [outputs.mean(1), outputs[:, CENTRE]] if count > 1 else [outputs[:, 0]]
            rows.append(torch.stack(ways))
            advance(len(batch.indices))
    if not rows:
        raise pictures.unreadable()
    return torch.cat(rows, 1)
