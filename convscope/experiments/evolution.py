"""How did these features form over the epochs of a training? The strongest activation at each, projected (METHODS F4).

    e = evolution("out/train", "pictures/", available=True)
    e.epochs, e.units, e.values, e.images, e.projections, e.converged

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013), section 4, Figure 4.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
from torch import Tensor

from convscope.atlases.scan import chosen_layers, scan
from convscope.atlases.store import tile_box
from convscope.data.batches import batches
from convscope.data.picture_set import Pictures
from convscope.data.sources import images as open_images
from convscope.device import resolve
from convscope.errors import ArgumentError, DataError
from convscope.models.network import Network
from convscope.models.snapshots import Builder, kept, opened, require_one_training
from convscope.parameters import Folder, Images
from convscope.pictures import GREY, cut
from convscope.probe.projection import Reverse, Units
from convscope.probe.trace.address import Unit, parse
from convscope.training.recipe import SNAPSHOTS

MAPS = 6  # of each layer
CORNER = (0, 0)  # where a picture begins
CLOSE = 0.9  # cosine with the last projection from which a feature counts as formed


@dataclass(frozen=True)
class Evolution:
    """Row u is a feature map, column e a snapshot. All tensors on the CPU.

    network: the last snapshot. epochs: E of them, counted from 1. units: U maps, layer by layer. values (U, E): the
    largest activation in any picture; pictures (U, E) int64: which picture that is, its place in the data; positions
    (U, E, 2): row, column. projections: layer -> (maps, E, C, h, w), signed, in the box that the unit sees, or of the
    whole picture where the box is larger; zero where the map is dead. patches: layer -> (maps, E, h, w, 3) uint8, the
    picture in the same box. similarity (U, E): cosine between a map's projection at an epoch and at the last one, both
    at the place and in the picture that excite it most at the last; 0 where it does not fire there. paths: picture ->
    its path. looked, total: how many pictures were looked at, of how many.
    """

    network: Network
    epochs: tuple[int, ...]
    units: tuple[Unit, ...]
    values: Tensor
    pictures: Tensor
    positions: Tensor
    projections: Mapping[str, Tensor]
    patches: Mapping[str, Tensor]
    similarity: Tensor
    paths: Mapping[int, str]
    looked: int
    total: int
    notes: tuple[str, ...] = ()

    @property
    def alive(self) -> Tensor:
        """(U, E) bool: the maps that any picture excites, at each epoch."""
        return self.values > 0

    @property
    def jumps(self) -> Tensor:
        """(U, E) bool: where another picture is the strongest than at the epoch before in the row."""
        changed = torch.zeros_like(self.pictures, dtype=torch.bool)
        changed[:, 1:] = self.pictures[:, 1:] != self.pictures[:, :-1]
        return changed & self.alive

    @property
    def converged(self) -> tuple[int | None, ...]:
        """Of every map the first epoch from which its similarity stays at 0.9 or more; None where it ends dead."""
        return tuple(_settled(row, self.epochs) for row in self.similarity.tolist())

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record a map and epoch; what a dead map has no value for is None."""
        found = []
        for u, (unit, settled) in enumerate(zip(self.units, self.converged, strict=True)):
            for e, epoch in enumerate(self.epochs):
                picture, (row, column) = int(self.pictures[u, e]), self.positions[u, e].tolist()
                place = {"picture": picture, "path": self.paths[picture], "row": row, "column": column}
                found.append(
                    {"layer": unit.layer, "channel": unit.channel, "epoch": epoch, "value": float(self.values[u, e])}
                    | (place if self.alive[u, e] else dict.fromkeys(place))
                    | {"jump": bool(self.jumps[u, e]), "similarity": float(self.similarity[u, e])}
                    | {"converged": settled}
                )
        return found

    @property
    def arrays(self) -> dict[str, Tensor]:
        """The projections, a layer each."""
        return {f"projections_{layer}": tiles for layer, tiles in self.projections.items()}


def _settled(similarity: Sequence[float], epochs: Sequence[int]) -> int | None:
    first = None
    for epoch, value in zip(reversed(epochs), reversed(similarity), strict=True):
        if value < CLOSE:
            break
        first = epoch
    return first


def evolution(
    run: Annotated[Folder, "a folder that train wrote, with snapshots of the weights"],
    images: Images,
    *,
    layers: Annotated[Sequence[str] | None, "a layer [default: all rectified maps]"] = None,
    maps: Annotated[int, "of each layer, drawn by the seed"] = MAPS,
    units: Annotated[Sequence[str | Unit] | None, "layer:channel, in place of layers and maps"] = None,
    epochs: Annotated[Sequence[int] | None, "a snapshot [default: 1, 2, 5, 10, 20, 30, 40 and 64]"] = None,
    available: Annotated[bool, "take the snapshots there are, without those that are missing"] = False,
    sample: Annotated[int | None, "only so many of the pictures, drawn by the seed [default: all]"] = None,
    builder: Annotated[str | None, "py:MODULE:FUNCTION that makes the network, where it is your own"] = None,
    batch_size: int = 64,
    seed: int = 0,
    device: str | None = None,
) -> Evolution:
    """Show for some feature maps, at each of some epochs, what excites them most in any training picture (METHODS F4).

    `run` is a folder that `train` or `convscope.Snapshots` wrote, or, in Python, a list of (epoch, Network); `images`
    the pictures it was trained on. The same maps are followed through all epochs: `maps` of each layer by `seed`. At
    each epoch the picture with the strongest activation is found anew, and that one activation projected; where it is
    another picture than before, the feature jumped. A feature counts as formed from the first epoch on from which its
    projection at one fixed place in one fixed picture stays close to the last one's (cosine 0.9). `builder`, in Python
    any function that makes a module, is for snapshots of a network that is no architecture of ours.

    Raises DataError for a folder without snapshots or with those of several trainings, ArgumentError for an epoch that
    was not kept (unless `available`) and numbers out of range, LayerError and UnitError for maps that are not there,
    WeightsError where weights do not fit `builder`.
    """
    source = open_images(images)
    chosen = _chosen(_snapshots(run, builder), epochs, available)
    if isinstance(run, str | Path):
        require_one_training({epoch: file for epoch, file in kept(run).items() if epoch in chosen})
    subset = _subset(source, sample, seed)
    place = resolve(device)
    last = max(chosen)
    network = chosen[last]()
    followed = _units(network, layers, maps, units, seed)
    seen: dict[int, _Seen] = {}
    for epoch in sorted(chosen, reverse=True):  # the last one says which pictures similarity is measured on
        net = network if epoch == last else chosen[epoch]()
        _require_alike(net, network, epoch)
        seen[epoch] = _look(net, subset, followed, seen.get(last), batch_size, place)
    return _assembled(network, followed, dict(sorted(seen.items())), source, subset)


Opener = Callable[[], Network]


def _snapshots(run: Any, builder: Builder | None) -> dict[int, Opener]:
    """Epoch -> what opens its network."""
    if isinstance(run, str | Path):
        return {epoch: partial(opened, file, builder) for epoch, file in kept(run).items()}
    pairs = [tuple(pair) if isinstance(pair, tuple | list) else () for pair in run]
    if not pairs or not all(len(p) == 2 and isinstance(p[0], int) and isinstance(p[1], Network) for p in pairs):
        raise ArgumentError("run", type(run).__name__, "expected a folder, or pairs of epoch and Network")
    return {epoch: lambda network=network: network for epoch, network in pairs}  # type: ignore[misc]


def _chosen(there: Mapping[int, Opener], epochs: Sequence[int] | None, available: bool) -> dict[int, Opener]:
    """The snapshots to show: those asked for, or with `available` those of them that are there (of none, all)."""
    wanted = list(there) if available and epochs is None else list(epochs or SNAPSHOTS)
    missing = [epoch for epoch in wanted if epoch not in there]
    shown = [epoch for epoch in wanted if epoch in there]
    if not shown or (missing and not available):
        have = ", ".join(map(str, there))
        raise ArgumentError("epochs", missing[0], f"no such snapshot; there are {have} (see available)")
    return {epoch: there[epoch] for epoch in shown}


@dataclass(frozen=True)
class _Subset:
    """Some of the pictures of a source, and their places in it."""

    pictures: Pictures
    places: Tensor


def _subset(source: Pictures, sample: int | None, seed: int) -> _Subset:
    count = len(source)
    if sample is None:
        return _Subset(source, torch.arange(count))
    if not 1 <= sample <= count:
        raise ArgumentError("sample", sample, f"expected 1 to {count}, the number of pictures")
    places = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:sample].sort().values
    return _Subset(source.subset(places.tolist()), places)


def _units(
    network: Network, layers: Sequence[str] | None, maps: int, units: Sequence[str | Unit] | None, seed: int
) -> tuple[Unit, ...]:
    """The maps to follow, layer by layer in the order of the network."""
    if maps < 1:
        raise ArgumentError("maps", maps, "expected at least 1")
    graph = network.graph()
    if units is not None:
        given = [replace(parse(unit), position=None) for unit in ([units] if isinstance(units, str | Unit) else units)]
        for unit in given:
            unit.check(graph.node(unit.layer).shape)
        order = list(chosen_layers(network, list(dict.fromkeys(unit.layer for unit in given))))
        return tuple(sorted(given, key=lambda unit: order.index(unit.layer)))
    generator, found = torch.Generator().manual_seed(seed), []
    for layer, at in chosen_layers(network, layers).items():
        channels = torch.randperm(at.channels, generator=generator)[:maps].sort().values
        found += [Unit(layer, channel) for channel in channels.tolist()]
    return tuple(found)


def _require_alike(network: Network, last: Network, epoch: int) -> None:
    if network.input_size != last.input_size or not (
        torch.equal(network.mean, last.mean) and torch.equal(network.std, last.std)
    ):
        raise DataError(f"the snapshot of epoch {epoch} takes other pictures than the last one: not of one training")


@dataclass(frozen=True)
class _Seen:
    """What one snapshot shows of U maps: values (U,), pictures (U,) in the subset, positions (U, 2); tiles and patches
    as in `Evolution`, U of them; fixed (U, C, H, W): projections at what is strongest at the last.
    """

    values: Tensor
    pictures: Tensor
    positions: Tensor
    tiles: Sequence[Tensor]
    patches: Sequence[Tensor]
    fixed: Tensor


def _look(
    network: Network,
    subset: _Subset,
    units: Sequence[Unit],
    last: "_Seen | None",
    batch_size: int,
    device: torch.device,
) -> _Seen:
    layers = list(dict.fromkeys(unit.layer for unit in units))
    tops = scan(network, subset.pictures, layers, top=1, batch_size=batch_size, device=device)
    values, pictures, positions = (
        torch.stack([getattr(tops[unit.layer], part)[unit.channel, 0] for unit in units])
        for part in ("values", "images", "positions")
    )
    needed = sorted({*pictures.tolist(), *(pictures if last is None else last.pictures).tolist()})
    inputs = {
        index: x
        for batch in batches(subset.pictures, network.transform, batch_size, needed)
        for index, x in zip(batch.indices.tolist(), batch.inputs, strict=True)
    }
    strongest = torch.stack([inputs[index] for index in pictures.tolist()])
    projected = _project(network, units, strongest, positions, values, device)
    fixed = projected
    if last is not None:
        same = torch.stack([inputs[index] for index in last.pictures.tolist()])
        fixed = _project(network, units, same, last.positions, last.values, device)
    shown = [torch.from_numpy(network.transform.picture(x)).movedim(-1, 0) for x in strongest]
    table = chosen_layers(network, layers)
    size = (strongest.shape[1], strongest.shape[2], strongest.shape[3])
    boxes = [tile_box(table[unit.layer], size, *place) for unit, place in zip(units, positions.tolist(), strict=True)]
    tiles = [cut(x, CORNER, box, 0) for x, box in zip(projected, boxes, strict=True)]
    patches = [cut(x, CORNER, box, GREY).movedim(0, -1) for x, box in zip(shown, boxes, strict=True)]
    return _Seen(values, pictures, positions, tiles, patches, fixed)


def _rows(units: Sequence[Unit]) -> dict[str, Tensor]:
    """Layer -> which of the units are in it."""
    layers = dict.fromkeys(unit.layer for unit in units)
    return {layer: torch.tensor([k for k, unit in enumerate(units) if unit.layer == layer]) for layer in layers}


def _project(
    network: Network, units: Sequence[Unit], inputs: Tensor, positions: Tensor, values: Tensor, device: torch.device
) -> Tensor:
    """Projections of unit u at `positions[u]` on `inputs[u]`, (U, C, H, W); zero where `values[u]`, or what it is here,
    is not positive.
    """
    size = (inputs.shape[2], inputs.shape[3])
    layers = _rows(units)
    reverse = Reverse(network.working(device), network.graph(size), network.geometry(size), list(layers))
    alive = {layer: rows[values[rows] > 0] for layer, rows in layers.items()}
    wanted = {
        layer: Units(rows, torch.tensor([units[row].channel for row in rows.tolist()]), positions[rows])
        for layer, rows in alive.items()
        if len(rows)
    }
    full = torch.zeros(inputs.shape)
    for layer, found in reverse(inputs.to(device, network.dtype), wanted).items():
        for row, crop, corner in zip(alive[layer].tolist(), found.crops, found.top_left.tolist(), strict=True):
            full[row] = cut(crop.float().cpu(), corner, (0, 0, *size), 0)
    return full


def _assembled(
    network: Network, units: tuple[Unit, ...], seen: Mapping[int, _Seen], source: Pictures, subset: _Subset
) -> Evolution:
    def table(part: str) -> Tensor:
        return torch.stack([getattr(each, part) for each in seen.values()], 1)

    def tiles(part: str) -> dict[str, Tensor]:
        each = [getattr(snapshot, part) for snapshot in seen.values()]
        return {
            layer: torch.stack([torch.stack([of[row] for of in each]) for row in rows.tolist()])
            for layer, rows in _rows(units).items()
        }

    fixed = table("fixed").flatten(2).double()
    similarity = torch.cosine_similarity(fixed, fixed[:, -1:], dim=2, eps=0)  # 0 / 0 where a map does not fire
    pictures = subset.places[table("pictures")]
    source.skipped.update({int(subset.places[index]): why for index, why in subset.pictures.skipped.items()})
    found = Evolution(
        network,
        tuple(seen),
        units,
        table("values"),
        pictures,
        table("positions"),
        tiles("tiles"),
        tiles("patches"),
        similarity.nan_to_num(0),
        {index: source.paths[index] for index in sorted(set(pictures.flatten().tolist()))},
        len(subset.pictures),
        len(source),
    )
    return replace(found, notes=tuple(_notes(found)))


def _notes(found: Evolution) -> Iterator[str]:
    if found.looked < found.total:
        yield f"the strongest of {found.looked:,} of the {found.total:,} pictures, not of all"
    if found.epochs != SNAPSHOTS:
        yield f"the epochs are {', '.join(map(str, found.epochs))}"
    jumps, last = found.jumps.sum(1), found.epochs[-1]
    for layer, rows in _rows(found.units).items():
        settled = [found.converged[row] for row in rows.tolist()]
        alive = [epoch for epoch in settled if epoch is not None]
        dead = f", {len(settled) - len(alive)} dead at the last" if len(alive) < len(settled) else ""
        formed = f"formed by epoch {median(alive):g} of {last}, the median of {len(alive)} maps" if alive else "no map"
        yield f"{layer}: {formed}; {int(jumps[rows].sum())} jumps to another picture{dead}"
