"""How far do features move when the picture shifts, scales, turns? Layer by layer, and the class with it (METHODS F5).

    found = invariance(network, ["dog.jpg", "cup.jpg"])
    found.distances["rotation"], found.probabilities["rotation"]

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013), figure 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from convscope.data.warp import IDENTITY, Transform, moved
from convscope.device import resolve
from convscope.errors import ArgumentError
from convscope.models.network import Network
from convscope.models.targets import class_number, folder_class
from convscope.parameters import Pictures
from convscope.pictures import called, separate
from convscope.probe.trace.record import run
from convscope.progress import progress

SIDE = 224  # the input that the paper's shifts, in pixels, belong to
SHIFT, STEP = 60, 5  # of them
EXAMPLES, SHOWN = 5, 5  # of how many amounts there are pictures to look at, and of how many pictures


@dataclass(frozen=True)
class Invariance:
    """N pictures moved by three transforms, seen at L layers. All tensors on the CPU.

    pictures: their names. labels: the class of each as a number, None where the network gives no classes. layers: L
    names. amounts: transform -> (A,), pixels of the input downwards, factors, degrees counter-clockwise. distances:
    transform -> (L, N, A), the Euclidean norm of the difference to the unmoved picture's features. norms (L, N): that
    of the unmoved features. probabilities: transform -> (N, A) of the label, None where there is none. examples:
    transform -> (at most 5, E, C, H, W), the first pictures in network space, moved by `shown` (E,) of the amounts.
    notes: what a reader should know.
    """

    pictures: tuple[str, ...]
    labels: tuple[int, ...] | None
    layers: tuple[str, ...]
    amounts: dict[Transform, Tensor]
    distances: dict[Transform, Tensor]
    norms: Tensor
    probabilities: dict[Transform, Tensor] | None
    examples: dict[Transform, Tensor]
    shown: dict[Transform, Tensor]
    notes: tuple[str, ...] = ()

    @property
    def relative(self) -> dict[Transform, Tensor]:
        """Distances in units of the unmoved features' norm; 0 where that is 0."""
        norms = self.norms[..., None].where(self.norms[..., None] > 0, torch.inf)
        return {transform: distances / norms for transform, distances in self.distances.items()}

    @property
    def linearity(self) -> dict[Transform, Tensor]:
        """R² of the straight line through distances against how far shift and scale are from none: (L, N) each."""
        return {
            transform: _straightness((self.amounts[transform] - IDENTITY[transform]).abs(), self.distances[transform])
            for transform in self.amounts
            if transform != "rotation"
        }

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record for every picture, transform and amount: a distance and a relative distance a layer, probability."""
        return [
            {"picture": picture, "transform": transform, "amount": round(float(amount), 6)}
            | {f"distance {layer}": float(self.distances[transform][k, i, a]) for k, layer in enumerate(self.layers)}
            | {f"relative {layer}": float(self.relative[transform][k, i, a]) for k, layer in enumerate(self.layers)}
            | {"probability": float(self.probabilities[transform][i, a]) if self.probabilities else None}
            for transform, amounts in self.amounts.items()
            for i, picture in enumerate(self.pictures)
            for a, amount in enumerate(amounts)
        ]

    @property
    def arrays(self) -> dict[str, Tensor]:
        """Amounts, distances and probabilities of every transform, the norms, and how straight the curves are."""
        found = {"norms": self.norms}
        for transform, amounts in self.amounts.items():
            found |= {f"{transform}.amounts": amounts, f"{transform}.distances": self.distances[transform]}
        for name, values in (("probabilities", self.probabilities or {}), ("linearity", self.linearity)):
            found |= {f"{transform}.{name}": each for transform, each in values.items()}
        return found


def _straightness(x: Tensor, y: Tensor) -> Tensor:
    """R² of the least-squares line through (x, y) over the last axis: x (A,), y (..., A); 1 where y is constant."""
    x, y = (x - x.mean()).double(), (y - y.mean(-1, keepdim=True)).double()
    slope = (x * y).sum(-1, keepdim=True) / x.square().sum().clamp_min(1e-30)
    total = y.square().sum(-1)
    return 1 - (y - slope * x).square().sum(-1) / total.where(total > 0, 1)


def invariance(
    network: Network,
    pictures: Pictures,
    *,
    layers: Annotated[
        Sequence[str] | None, "layers to compare at [default: norm1 or the first rectified one, and the last]"
    ] = None,
    labels: Annotated[
        Sequence[str | int] | None,
        "the class of each picture, by name or number [default: its folder's name, else what the network says]",
    ] = None,
    translations: Annotated[
        Sequence[float] | None, "shifts down, pixels [default: 60/224 of the side up to the same down, 25 of them]"
    ] = None,
    scales: Annotated[Sequence[float] | None, "factors [default: 1 to 1.8 by 0.05]"] = None,
    rotations: Annotated[Sequence[float] | None, "degrees, counter-clockwise [default: 0 to 350 by 10]"] = None,
    batch_size: int = 16,
    device: str | None = None,
) -> Invariance:
    """Distances of features, and probabilities of the class, as pictures shift, scale and turn (METHODS F5).

    The resized picture is moved about its centre, bilinearly; what comes in from outside it is the mean picture.
    Distances are those of all of a layer's values from those of the unmoved picture. The first layer is `norm1` (or
    `pool1`) where the network has one, else its first rectified maps; the last its last rectified output, `relu7` in
    ours. A class is a name of the network's or a number.

    Raises ArgumentError for scales of 0 or less, amounts that are not finite, labels that are no class or do not match
    the pictures in number; LayerError for a layer that is not there; PictureError for what is no picture.
    """
    if batch_size < 1:
        raise ArgumentError("batch_size", batch_size, "expected at least 1")
    inputs, given = network.inputs(pictures), separate(pictures)
    size = (int(inputs.shape[2]), int(inputs.shape[3]))
    names, wanted = tuple(called(each, i) for i, each in enumerate(given)), _layers(network, layers)
    for layer in wanted:
        network.graph(size).node(layer)
    amounts = _amounts(size[0], {"translation": translations, "scale": scales, "rotation": rotations})
    eye = _Eye(network.working(device), wanted, resolve(device), batch_size)
    chosen, notes = _labels(network, given, names, labels, eye.scores(inputs))
    seen: dict[Transform, list[_Seen]] = {transform: [] for transform in amounts}
    with progress(len(given) * sum(map(len, amounts.values())), "moving") as advance:
        for i, picture in enumerate(given):
            for transform, values in amounts.items():
                x = moved(network.transform, picture, transform, values.tolist()).to(network.dtype)
                seen[transform].append(eye(inputs[i : i + 1], x, None if chosen is None else chosen[i]))
                advance(len(x))
    norms = torch.stack([one.norms for one in seen["translation"]], 1)
    notes += [
        f"{layer} is zero everywhere for {name}: no relative distance"
        for layer, row in zip(wanted, norms.tolist(), strict=True)
        for name, norm in zip(names, row, strict=True)
        if norm == 0
    ]
    probabilities = {t: torch.stack([one.probability for one in several]) for t, several in seen.items()}
    shown = {transform: _spread(values) for transform, values in amounts.items()}
    return Invariance(
        names,
        chosen,
        wanted,
        amounts,
        {transform: torch.stack([one.distances for one in several], 1) for transform, several in seen.items()},
        norms,
        probabilities if chosen is not None else None,
        {t: torch.stack([moved(network.transform, p, t, v.tolist()) for p in given[:SHOWN]]) for t, v in shown.items()},
        shown,
        tuple(notes),
    )


def _spread(amounts: Tensor) -> Tensor:
    """A few of them, from first to last."""
    return amounts[torch.linspace(0, len(amounts) - 1, min(EXAMPLES, len(amounts))).round().long()]


@dataclass(frozen=True)
class _Seen:
    """One picture moved A times: norms (L,) before, distances (L, A), probability (A,) of its label."""

    norms: Tensor
    distances: Tensor
    probability: Tensor


@dataclass(frozen=True)
class _Eye:
    """A network asked about the layers, in batches."""

    module: nn.Module
    layers: tuple[str, ...]
    device: torch.device
    batch_size: int

    @torch.no_grad()
    def scores(self, x: Tensor) -> Tensor | None:
        """The network's own output (N, K) in float32, None where it gives another shape."""
        output = run(self.module, x.to(self.device), [""])[""]
        return output.float().cpu() if output.dim() == 2 else None

    @torch.no_grad()
    def __call__(self, still: Tensor, x: Tensor, label: int | None) -> _Seen:
        """What x (A, C, H, W) does to the features of `still` (1, C, H, W)."""
        reducers: dict[str, Any] = dict.fromkeys(self.layers, _apart)
        if label is not None:
            reducers[""] = lambda output: output[1:].float().softmax(1)[:, label].cpu()
        # The unmoved picture goes with every batch: what is compared was computed alike.
        parts = [x[first : first + self.batch_size] for first in range(0, len(x), self.batch_size)]
        found = [run(self.module, torch.cat([still, part]).to(self.device), reducers) for part in parts]
        apart = [torch.stack([each[layer] for layer in self.layers]) for each in found]  # (L, 1 + n) each
        probability = torch.cat([each[""] for each in found]) if label is not None else torch.zeros(0)
        return _Seen(apart[0][:, 0], torch.cat([each[:, 1:] for each in apart], 1), probability)


def _apart(output: Tensor) -> Tensor:
    """(1 + n, ...) -> (1 + n,): the norm of the first row, and how far the others are from it."""
    rows = output.float().flatten(1)
    apart: Tensor = torch.linalg.vector_norm(torch.cat([rows[:1], rows[1:] - rows[:1]]), dim=1)
    return apart.cpu()


def _layers(network: Network, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Those asked for, or the first stage's output and the last rectified one."""
    if layers:
        return tuple(dict.fromkeys([layers] if isinstance(layers, str) else layers))
    taps, rectified = network.graph().taps, network.rectified(maps=False)
    if not rectified:
        raise ArgumentError("layers", layers, f"{network.name} has no rectified outputs, so name the layers to compare")
    first = next((name for name in ("norm1", "pool1") if name in taps), rectified[0])
    return tuple(dict.fromkeys([first, rectified[-1]]))


def _amounts(side: int, asked: Mapping[Transform, Sequence[float] | None]) -> dict[Transform, Tensor]:
    """What each transform does: the paper's grids where nothing is asked for, its pixels in proportion to `side`."""
    paper: dict[Transform, list[float]] = {
        "translation": [pixels * side / SIDE for pixels in range(-SHIFT, SHIFT + 1, STEP)],
        "scale": [1 + step / 20 for step in range(17)],
        "rotation": [float(degrees) for degrees in range(0, 360, 10)],
    }
    return {t: torch.tensor(list(asked[t] or ()) or grid, dtype=torch.float64) for t, grid in paper.items()}


def _labels(
    network: Network,
    given: Sequence[Any],
    names: Sequence[str],
    labels: Sequence[str | int] | None,
    scores: Tensor | None,
) -> tuple[tuple[int, ...] | None, list[str]]:
    """The class of each picture, and notes on those that the network had to say."""
    if scores is None:
        if labels is not None:
            raise ArgumentError("labels", labels, f"{network.name} gives no scores of classes")
        return None, [f"{network.name} gives no scores of classes: no probability"]
    classes = network.classes or ()
    if labels is not None:
        wanted = [labels] if isinstance(labels, str | int) else list(labels)
        wanted = wanted * len(given) if len(wanted) == 1 else wanted
        if len(wanted) != len(given):
            raise ArgumentError("labels", labels, f"expected one, or one for each of {len(given)} pictures")
        return tuple(class_number(label, classes, scores.shape[1], "labels") for label in wanted), []
    found, notes = [], []
    for picture, name, row in zip(given, names, scores, strict=True):
        known = folder_class(picture, classes)
        found.append(int(row.argmax()) if known is None else known)
        if known is None:
            said = classes[found[-1]] if classes else f"class {found[-1]}"
            notes.append(f"{name}: its class is not known, so the probability is that of what the network says, {said}")
    return tuple(found), notes
