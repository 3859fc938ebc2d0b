"""Which filters repeat one another, and what would the network lose without the repetitions?

    r = redundancy(network, "pictures/")
    r.redundancy, r.clusters, r.accuracy

Filters count as the same when one becomes the other by a change of colour, a rotation, a shift of a pixel or of sign:
METHODS P6.
"""

import copy
import warnings
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from convscope.data.sources import images as open_images
from convscope.device import seeded
from convscope.disk.results import read_arrays
from convscope.errors import ArgumentError, NetworkError, WeightsError
from convscope.models.network import Network
from convscope.parameters import File, Images
from convscope.probe.filters.filter_similarity import Colour, clusters, similarity, varied
from convscope.probe.filters.filters import Bank, convolution
from convscope.probe.rectify import check
from convscope.training.evaluate import evaluate

SCALED = 1e-4  # relative difference up to which one filter is a multiple of another


@dataclass(frozen=True)
class Compression:
    """What taking repeated filters out does. kept: the strongest filter of every cluster. merged: multiples of one that
    is kept, which then answers for them; pruned: the others, silenced. Per cent of pictures right, before and after.
    """

    kept: tuple[int, ...]
    merged: tuple[int, ...]
    pruned: tuple[int, ...]
    before: float
    after: float


@dataclass(frozen=True)
class Redundancy:
    """N pictures (filters) and how they repeat one another, on the CPU.

    name: what they are. pictures (N, C, h, w). similarity (N, N) in [0, 1]. clusters: groups linked by pairs of at
    least `threshold`, largest first; excluded: pictures that are the same everywhere, in no cluster. redundancy: 1 -
    clusters over pictures; chance: the same of as many pictures of noise. compression: None without labelled images.
    """

    name: str
    pictures: Tensor
    similarity: Tensor
    clusters: tuple[tuple[int, ...], ...]
    excluded: tuple[int, ...]
    threshold: float
    redundancy: float
    chance: float
    compression: Compression | None = None
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record a measure: its name, value, and the filters concerned, if any."""
        repeated = [cluster for cluster in self.clusters if len(cluster) > 1]
        rows = [_row("redundancy", self.redundancy), _row("chance", self.chance)]
        rows += [_row("filters", sum(map(len, self.clusters))), _row("clusters", len(self.clusters))]
        if self.compression is not None:
            rows += [_row("accuracy before", self.compression.before), _row("accuracy after", self.compression.after)]
            for name in ("merged", "pruned"):
                members = getattr(self.compression, name)
                rows.append(_row(name, len(members), members))
        return rows + [_row("cluster", len(cluster), cluster) for cluster in repeated]

    @property
    def arrays(self) -> dict[str, Tensor]:
        """The similarity, and the cluster of every picture (-1: excluded)."""
        number = torch.full((len(self.pictures),), -1)
        for k, cluster in enumerate(self.clusters):
            number[list(cluster)] = k
        return {"similarity": self.similarity, "cluster": number}

    @property
    def text(self) -> str:
        """The result in a few lines."""
        count = sum(map(len, self.clusters))
        lines = [f"{self.name}: {count} filters in {len(self.clusters)} clusters at {self.threshold:g}"]
        lines.append(f"  redundancy {self.redundancy:.1%} (noise of this size: {self.chance:.1%})")
        lines += [f"  the same: {', '.join(map(str, cluster))}" for cluster in self.clusters if len(cluster) > 1]
        if (tried := self.compression) is not None:
            gone = f"{len(tried.merged)} merged, {len(tried.pruned)} pruned"
            lines.append(f"  accuracy {tried.before:.1f} % before, {tried.after:.1f} % after ({gone})")
        return "\n".join(lines)


def _row(measure: str, value: float, members: tuple[int, ...] | None = None) -> dict[str, Any]:
    return {"measure": measure, "value": value, "members": None if members is None else " ".join(map(str, members))}


def redundancy(
    network: Network,
    images: Images | None = None,
    *,
    layer: Annotated[str | None, "the convolution whose filters to compare [default: the first]"] = None,
    pictures: Annotated[File | None, "compare these: an array (N, C, h, w), .npy, .npz or a result folder"] = None,
    threshold: Annotated[float, "similarity from which on two are the same"] = 0.9,
    colour: Annotated[Colour, "how colour is ignored: all orders of the channels, or their mean"] = "permutations",
    batch_size: int = 64,
    seed: int = 0,
    device: str | None = None,
) -> Redundancy:
    """Group the filters of a network's first convolution by what they see (METHODS P6), or any pictures.

    Two filters are the same where the largest |normalised correlation| over rotations by multiples of 15 degrees,
    shifts of up to a pixel and orders of the channels is at least `threshold`; `chance` says how many would be that by
    accident, as very small filters are. `pictures`, such as those that maximise deeper units, stand in for filters: an
    array, a tensor, or a file.
    With labelled `images` the network is also run on them without the repeated filters, on a copy: of each cluster the
    strongest stays; multiples of it are merged into it (what reads them reads it, scaled: nothing changes but across
    normalisation), the others are silenced.

    Raises ArgumentError for a threshold outside (0, 1] or pictures of another rank, WeightsError where every filter is
    zero, LayerError, NetworkError, DataError where the images have no labels.
    """
    check("colour", colour, Colour)
    if not 0 < threshold <= 1:
        raise ArgumentError("threshold", threshold, "expected a similarity above 0, at most 1")
    if pictures is not None and images is not None:
        raise ArgumentError("pictures", "given with images", "expected one of them: only filters can be taken out")
    bank = convolution(network.graph(), layer) if pictures is None else None
    shown, name = (_read(pictures), "pictures") if bank is None else (bank.filters, f"{network.name} {bank.layer}")
    known = varied(shown, colour)
    if not bool(known.any()):
        raise WeightsError(f"{name}: every one is the same everywhere; expected filters or pictures that vary")
    alike = similarity(shown, colour)
    groups = _groups(alike, threshold, known)
    with seeded(seed) as generator:
        noise = torch.randn(int(known.sum()), *shown.shape[1:], generator=generator, dtype=torch.float64)
    chance = len(clusters(similarity(noise, colour), threshold))
    tried = None
    if bank is not None and images is not None:
        tried = _compressed(network, bank, groups, open_images(images), batch_size, device)
    excluded = tuple((~known).nonzero()[:, 0].tolist())
    notes = tuple(f"filter {k} is the same everywhere: left out" for k in excluded)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    count = int(known.sum())
    shares = 1 - len(groups) / count, 1 - chance / count
    return Redundancy(name, shown, alike, groups, excluded, threshold, *shares, tried, notes)


def _read(pictures: Any) -> Tensor:
    """An array (N, C, h, w), in memory or in a file."""
    if isinstance(pictures, Tensor) or hasattr(pictures, "__array__"):
        return torch.as_tensor(pictures).detach().cpu().double()
    arrays = read_arrays(pictures)
    found = next((array for array in arrays.values() if array.ndim == 4 and array.dtype.kind in "fiu"), None)
    if found is None:
        raise ArgumentError("pictures", str(pictures), "holds no array (N, C, height, width)")
    return torch.from_numpy(found).double()


def _groups(alike: Tensor, threshold: float, known: Tensor) -> tuple[tuple[int, ...], ...]:
    """The clusters of what varies, largest first."""
    found = [tuple(cluster) for cluster in clusters(alike, threshold) if bool(known[cluster[0]])]
    return tuple(sorted(found, key=lambda cluster: (-len(cluster), cluster)))


def _compressed(
    network: Network,
    bank: Bank,
    groups: tuple[tuple[int, ...], ...],
    pictures: Any,
    batch_size: int,
    device: str | None,
) -> Compression:
    """The network's accuracy with all filters, and with one a cluster."""
    source, factor = torch.arange(len(bank.filters)), torch.ones(len(bank.filters)).double()
    kept: list[int] = []
    merged: list[int] = []
    pruned: list[int] = []
    for group in groups:
        best = max(group, key=lambda f: float(bank.rms[f]))
        kept.append(best)
        for other in group:
            if other == best:
                continue
            scale = _multiple(bank, other, best)
            source[other], factor[other] = best, scale or 0.0
            (merged if scale else pruned).append(other)
    without = _rewired(network, bank, source, factor)
    settings: dict[str, Any] = {"batch_size": batch_size, "device": device}
    before, after = (100 - evaluate(net, pictures, **settings).errors[1] for net in (network, without))
    return Compression(tuple(sorted(kept)), tuple(sorted(merged)), tuple(sorted(pruned)), before, after)


def _multiple(bank: Bank, filter_: int, of: int) -> float | None:
    """a > 0 where a filter and its offset are a times those of another; None where they are not."""
    here, there = (torch.cat([bank.filters[k].flatten(), bank.offsets[k : k + 1]]) for k in (filter_, of))
    scale = float(here @ there / there.square().sum())
    return scale if scale > 0 and float((here - scale * there).norm() / here.norm()) < SCALED else None


def _rewired(network: Network, bank: Bank, source: Tensor, factor: Tensor) -> Network:
    """A copy of the network in which unit f of the bank's layer answers factor[f] times what unit source[f] does.

    For what reads the units linearly this is the same as adding up its weights.
    """
    module = copy.deepcopy(network.module)
    layers = dict(module.named_modules())
    if bank.output not in layers:
        raise NetworkError(f"the responses of {bank.layer} are no module's output: its filters cannot be taken out")

    def rewire(layer: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        scaled = factor.to(output.device, output.dtype)[:, None, None]
        return output[:, source.to(output.device)] * scaled

    layers[bank.output].register_forward_hook(rewire)
    return Network(module, network.input_size, network.mean, network.std, network.classes, network.name, network.resize)
