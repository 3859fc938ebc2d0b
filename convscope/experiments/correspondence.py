"""Does hiding the same part change different pictures alike? Eyes, noses, and places at random (METHODS F8, TB1).

    found = correspondence(network, "gallery", "faces", count=5)
    found.table()

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013), section 4.3, figure 8 and table 1.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.data import part_boxes
from convscope.data.sources import images as opened
from convscope.device import resolve
from convscope.disk.results import against
from convscope.errors import ArgumentError, DataError
from convscope.models.network import Network
from convscope.models.occluder import covering
from convscope.parameters import Images, Kind
from convscope.probe.trace.record import run
from convscope.probe.windows.occluder_grid import hide
from convscope.progress import progress

RANDOM, SAME = "random", "same place"  # anywhere in each picture; anywhere, but at one place in all of them
CHANGED = 1e-6  # of a layer's largest value: what counts as a change
PUBLISHED = {  # TB1: mean and standard deviation
    ("right eye", "pool5"): (0.067, 0.007),
    ("left eye", "pool5"): (0.069, 0.007),
    ("nose", "pool5"): (0.079, 0.017),
    (RANDOM, "pool5"): (0.107, 0.017),
    ("right eye", "relu7"): (0.069, 0.015),
    ("left eye", "relu7"): (0.068, 0.013),
    ("nose", "relu7"): (0.069, 0.011),
    (RANDOM, "relu7"): (0.073, 0.014),
}

Boxes = Annotated[
    Any, Kind("file"), "a CSV with columns image,part,top,left,bottom,right; faces (bundled, for gallery)"
]
Fill = Literal["grey", "mean"]


@dataclass(frozen=True)
class Score:
    """How differently hiding one location changes pictures at one layer: mean and standard deviation over the pairs,
    None of a single pair; of several draws, the means of both.
    """

    location: str
    layer: str
    mean: float
    std: float | None


@dataclass(frozen=True)
class Correspondence:
    """N pictures with B boxes in each, seen at L layers. All tensors on the CPU.

    images: N names. locations: B names, the parts, then "random" for each draw, then "same place" for each. layers: L
    names. inputs (N, C, H, W): the pictures in network space. filled (C, H, W): what stands in the boxes. boxes
    (N, B, 4) int64: top, left, bottom, right in the input, exclusive; all of one size. pairs (K, 2): which pictures,
    i < j. scores (L, B, K): the share of a layer's values that hiding the box changes in different directions in the
    two pictures, from 0 to 1. notes: what a reader should know.
    """

    images: tuple[str, ...]
    locations: tuple[str, ...]
    layers: tuple[str, ...]
    inputs: Tensor
    filled: Tensor
    boxes: Tensor
    pairs: Tensor
    scores: Tensor
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, list[int]]:
        """Which boxes each location has."""
        return {name: [k for k, n in enumerate(self.locations) if n == name] for name in dict.fromkeys(self.locations)}

    def table(self) -> list[Score]:
        """A score for each location at every layer."""
        found = []
        for layer, scores in zip(self.layers, self.scores, strict=True):
            for location, columns in self.columns.items():
                each = scores[columns]
                std = float(each.std(1).mean()) if each.shape[1] > 1 else None
                found.append(Score(location, layer, float(each.mean()), std))
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The table, beside the published one where it has the same part at the same layer."""
        rows = []
        for score in self.table():
            mean, std = PUBLISHED.get((score.location, score.layer), (None, None))
            row = {"location": score.location, "layer": score.layer, **against(score.mean, mean), "std": score.std}
            rows.append(row | ({} if std is None else {"reference std": std}))
        return rows

    @property
    def arrays(self) -> dict[str, Tensor]:
        """The scores of every pair, which pictures they are of, and the boxes."""
        return {"scores": self.scores, "pairs": self.pairs, "boxes": self.boxes}

    @property
    def text(self) -> str:
        """The table as lines."""
        return "\n".join(_line(row) for row in self.rows)


def _line(row: dict[str, Any]) -> str:
    spread = "" if row["std"] is None else f" ± {row['std']:.3f}"
    published = f"   published {row['reference']:.3f} ± {row['reference std']:.3f}" if "reference" in row else ""
    return f"{row['layer']:<10} {row['location']:<12} {row['value']:.3f}{spread}{published}"


def correspondence(
    network: Network,
    images: Images,
    boxes: Boxes = "faces",
    *,
    layers: Annotated[
        Sequence[str] | None, "layers to compare at [default: pool5 or the last rectified maps, and the last rectified]"
    ] = None,
    count: Annotated[int | None, "pictures to take, chosen by the seed [default: all that have boxes]"] = None,
    draws: Annotated[int, "random boxes in each picture, averaged"] = 10,
    within: Annotated[str, "the part that random boxes stay inside, itself not hidden; else the picture"] = "object",
    fill: Annotated[Fill, "what hides a part"] = "grey",
    seed: int = 0,
    device: str | None = None,
) -> Correspondence:
    """Hide the same part in several pictures and compare how their features change (METHODS F8, TB1).

    For two pictures the score is the share of a layer's values whose changes differ in sign, where a change of at most
    1e-6 of the layer's largest value counts as none; 0: hiding the part changes both alike. `boxes` are in pixels of
    the pictures; in the network's input all of them take their mean size, about their own centres. Random boxes have
    that size too, lie inside `within`, touch no part, and are drawn for each picture alone. Where parts lie at much the
    same place in all pictures, hiding that place would be enough: the boxes called "same place" are drawn once for all
    pictures, and only a part that scores below them is a part that the network knows.

    Raises DataError for fewer than two pictures, a table that does not fit the pictures, a box outside its picture or
    outside the part of it that the network sees, and where there is no place for a random box; LayerError for a layer
    that is not there; ArgumentError for numbers out of range. Warns of a part whose hiding changes nothing.
    """
    if draws < 1:
        raise ArgumentError("draws", draws, "expected at least 1")
    if fill not in ("grey", "mean"):
        raise ArgumentError("fill", fill, "expected grey or mean")
    pictures, random = opened(images), np.random.default_rng(seed)
    table = part_boxes.read(boxes, pictures)
    names = _chosen(table, count, random)
    hidden, wanted = _hidden(table, within), _layers(network, layers)
    for layer in wanted:
        network.graph().node(layer)
    inputs, located = _located(network, pictures, table, names)
    size = network.input_size[1:]
    blank = covering(network, torch.zeros(network.input_size, dtype=network.dtype), fill)
    placed = _placed(located, hidden, size, names)
    free = [_free(own, each.get(within), size) for own, each in zip(placed, located, strict=True)]
    drawn = _scattered(free, placed[0, 0, 2:] - placed[0, 0, :2], draws, random, names)
    placed = torch.cat([placed, *drawn.values()], 1)
    locations = (*hidden, *(name for name in drawn for _ in range(draws)))
    signs = _changes(network, inputs, placed, blank, wanted, device)
    pairs = torch.tensor(list(combinations(range(len(names)), 2)))
    scores = torch.stack([torch.stack([_apart(each[i], each[j]) for i, j in pairs.tolist()], 1) for each in signs])
    notes = _unchanged(signs, wanted, names, locations)
    if SAME not in drawn:
        notes = (*notes, "the pictures have no place in common beside their parts: no score of the same place")
    return Correspondence(tuple(names), locations, wanted, inputs, blank, placed, pairs, scores, notes)


def _hidden(table: part_boxes.Parts, within: str) -> tuple[str, ...]:
    """The parts to hide: all but `within`."""
    hidden = tuple(part for part in table.named() if part != within)
    if within not in table.named() and within != "object":
        raise ArgumentError("within", within, f"expected a part of {table.name}: {', '.join(hidden)}")
    if not hidden or {RANDOM, SAME} & set(hidden):
        named = ", ".join(hidden) or "none"
        raise DataError(f"{table.name}: parts to hide: {named}; expected some, none called {RANDOM} or {SAME}")
    return hidden


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """Signs (B, D) of changes in two pictures: (B,) the share that differ."""
    return (a != b).float().mean(1)


def _chosen(table: part_boxes.Parts, count: int | None, random: np.random.Generator) -> list[str]:
    names = list(table.boxes)
    if count is not None and not 2 <= count <= len(names):
        raise ArgumentError("count", count, f"expected 2 to {len(names)}, the images in {table.name}")
    if len(names) < 2:
        raise DataError(f"{table.name}: boxes in {len(names)} image, expected at least 2 to compare")
    if count is None:
        return names
    return [names[k] for k in sorted(random.choice(len(names), count, replace=False).tolist())]


def _layers(network: Network, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Those asked for, or the last maps and the last rectified output."""
    if layers:
        return tuple(dict.fromkeys([layers] if isinstance(layers, str) else layers))
    maps, all_of_them = network.rectified(), network.rectified(maps=False)
    if not all_of_them:
        raise ArgumentError("layers", layers, f"{network.name} has no rectified outputs, so name the layers to compare")
    low = "pool5" if "pool5" in network.graph().taps else (maps or all_of_them)[-1]
    return tuple(dict.fromkeys([low, all_of_them[-1]]))


def _located(
    network: Network, pictures: Any, table: part_boxes.Parts, names: Sequence[str]
) -> tuple[Tensor, list[dict[str, part_boxes.Box]]]:
    """The pictures in network space (N, C, H, W), and the boxes of each in that input."""
    place = {path: index for index, path in enumerate(pictures.paths)}
    inputs, found = [], []
    for name in names:
        item = pictures.item(place[name]) if pictures.tensors else pictures.picture(place[name])
        inputs.append(network.inputs(item))
        if tuple(inputs[-1].shape[1:]) != network.input_size:
            raise DataError(f"{name} is of shape {tuple(item.shape)}: expected {network.input_size}")
        size = item.size if isinstance(item, Image.Image) else (item.shape[2], item.shape[1])
        own = {part: table.box(name, part, size) for part in table.named()}
        at = network.transform.located if isinstance(item, Image.Image) else lambda box, size: box
        found.append({part: at(box, size) for part, box in own.items()})
    return torch.cat(inputs), found


def _placed(
    located: Sequence[dict[str, part_boxes.Box]], parts: Sequence[str], size: tuple[int, int], names: Sequence[str]
) -> Tensor:
    """The boxes of the parts in the input, all of their mean size: (N, P, 4) int64."""
    boxes = torch.tensor([[own[part] for part in parts] for own in located], dtype=torch.float64)
    limit = torch.tensor(size, dtype=torch.float64)
    outside = ((boxes[..., :2] < -0.5) | (boxes[..., 2:] > limit + 0.5)).any(2).nonzero()
    if len(outside):
        i, k = outside[0].tolist()
        seen = f"the {size[0]} x {size[1]} centre that the network sees"
        where = part_boxes.spelled(boxes[i, k].round().tolist())
        raise DataError(f"{names[i]}: the box of {parts[k]} lies outside {seen}, at {where} in it")
    extent = (boxes[..., 2:] - boxes[..., :2]).mean((0, 1)).round().clamp_min(1)
    corner = ((boxes[..., :2] + boxes[..., 2:] - extent) / 2).round()
    corner = corner.clamp_min(0).minimum(limit - extent)
    return torch.cat([corner, corner + extent], 2).long()


def _free(parts: Tensor, within: part_boxes.Box | None, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the top left corner of a box of the size of `parts` (P, 4) may lie, so as to be inside `within` and touch
    no part: (rows, columns).
    """
    height, width = (parts[0, 2:] - parts[0, :2]).tolist()
    top, left, bottom, right = (0.0, 0.0, *size) if within is None else within
    row = np.arange(size[0] - height + 1)[:, None]
    column = np.arange(size[1] - width + 1)[None]
    free: NDArray[np.bool_] = (row >= top) & (row + height <= bottom) & (column >= left) & (column + width <= right)
    for t, l, b, r in parts.tolist():  # noqa: E741
        free &= (row + height <= t) | (row >= b) | (column + width <= l) | (column >= r)
    return free


def _drawn(free: NDArray[np.bool_], extent: Tensor, draws: int, random: np.random.Generator) -> Tensor:
    """Boxes (draws, 4) int64 of a height and width with their corners at free places."""
    places = np.argwhere(free)
    corners = torch.from_numpy(places[random.integers(len(places), size=draws)])
    return torch.cat([corners, corners + extent], 1)


def _scattered(
    free: Sequence[NDArray[np.bool_]], extent: Tensor, draws: int, random: np.random.Generator, names: Sequence[str]
) -> dict[str, Tensor]:
    """Random boxes (N, draws, 4): of each picture alone and, where they have a free place in common, of all."""
    for each, name in zip(free, names, strict=True):
        if not each.any():
            raise DataError(f"{name}: no place for a random box beside its parts")
    found = {RANDOM: torch.stack([_drawn(each, extent, draws, random) for each in free])}
    common = np.logical_and.reduce(free)
    if common.any():
        found[SAME] = _drawn(common, extent, draws, random).expand(len(free), -1, -1)
    return found


def _changes(
    network: Network, inputs: Tensor, boxes: Tensor, blank: Tensor, layers: Sequence[str], device: str | None
) -> list[list[Tensor]]:
    """Layer by layer, for each picture: signs (P + R, D) int8 of what hiding each box takes from the values."""
    module, place, times = network.working(device), resolve(device), network.graph().times
    found: list[list[Tensor]] = [[] for _ in layers]
    with progress(len(inputs), "hiding") as advance, torch.no_grad():
        for picture, own in zip(inputs, boxes.tolist(), strict=True):
            batch = torch.stack([picture, *(hide(picture, box, blank) for box in own)])
            signs = run(module, batch.to(place), dict.fromkeys(layers, _signs), times=times)
            for kept, layer in zip(found, layers, strict=True):
                kept.append(signs[layer])
            advance(1)
    return found


def _signs(output: Tensor) -> Tensor:
    """(1 + B, ...) -> (B, D) int8: the signs of first row minus the others, 0 where they hardly differ."""
    rows = output.float().flatten(1)
    change = rows[:1] - rows[1:]
    return (change.sign() * (change.abs() > CHANGED * rows[0].abs().max())).to(torch.int8).cpu()


def _unchanged(
    signs: Sequence[Sequence[Tensor]], layers: Sequence[str], names: Sequence[str], locations: Sequence[str]
) -> tuple[str, ...]:
    """What to say of hidings that changed nothing, which are alike for that reason only; also warned of."""
    notes = [
        f"hiding {locations[k]} of {name} changes nothing at {layer}"
        for layer, each in zip(layers, signs, strict=True)
        for name, own in zip(names, each, strict=True)
        for k in (~own.any(1)).nonzero().flatten().tolist()
    ]
    for note in (once := tuple(dict.fromkeys(notes))):
        warnings.warn(note, stacklevel=3)
    return once
