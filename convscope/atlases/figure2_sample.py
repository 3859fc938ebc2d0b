"""Figure 2's random feature maps of an atlas, with F2's three measures of them.

chosen = sample(atlas, seed=0)
chosen.entries["relu5"]         # 16 entries
chosen.rows                     # flat records: a tile each, a map each, a layer each
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from convscope.atlases.figure2_measures import agreement, concentration, purity
from convscope.atlases.store import Atlas, Entry
from convscope.errors import ArgumentError, LayerError

COUNTS = (16, 12, 16, 16)  # maps of the last four layers, as in the paper's figure (F2); 16 of any before

MEASURES = (
    "agreement_projections",
    "agreement_patches",
    "purity",
    "concentration_projections",
    "concentration_patches",
)


@dataclass(frozen=True)
class Sample:
    """`entries`: layer -> the entries of its chosen maps, by channel; `rows`: flat records with a `scope`.

    scope "tile": layer, channel, rank, image, path, row, column, value. scope "map": layer, channel, pictures (how many
    fired, at most the atlas's `top`), dead, and the measures. scope "layer": layer, maps, dead, the measures' means.
    Agreement is the mean pairwise correlation, in [-1, 1]; purity and concentration are shares in [0, 1].
    """

    entries: Mapping[str, Sequence[Entry]]
    rows: Sequence[Mapping[str, Any]]


def sample(atlas: Atlas, layers: Sequence[str] | None = None, *, maps: int | None = None, seed: int = 0) -> Sample:
    """A seeded random subset of the maps of each layer (F2): 16, 12, 16, 16 of the last four, or `maps` of each.

    Raises LayerError for layers that the atlas does not have, ArgumentError for fewer than one map.
    """
    names = atlas.layers if layers is None else tuple(layers)
    if maps is not None and maps < 1:
        raise ArgumentError("maps", maps, "expected at least 1")
    entries, rows = {}, []
    for name, count in zip(names, _counts(len(names), maps), strict=True):
        if name not in atlas.layers:
            raise LayerError(name, atlas.layers)
        size = atlas.info.layer(name).channels
        # seeded by the layer's name too: leaving one layer out does not change the choice in another
        channels = sorted(random.Random(f"{seed} {name}").sample(range(size), min(count, size)))
        entries[name] = [atlas[name, channel] for channel in channels]
        rows += _rows(name, entries[name])
    return Sample(entries, rows)


def _counts(layers: int, maps: int | None) -> list[int]:
    if maps is not None:
        return [maps] * layers
    return ([16] * layers + list(COUNTS))[-layers:]


def _rows(layer: str, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    tiles = [tile for entry in entries for tile in _tiles(entry)]
    maps = [{"scope": "map", "layer": layer, **measures(entry)} for entry in entries]
    means = {name: _mean([row[name] for row in maps]) for name in MEASURES}
    dead = sum(row["dead"] for row in maps)
    return [*tiles, *maps, {"scope": "layer", "layer": layer, "maps": len(maps), "dead": dead, **means}]


def _tiles(entry: Entry) -> list[dict[str, Any]]:
    return [
        {
            "scope": "tile",
            "layer": entry.layer,
            "channel": entry.channel,
            "rank": rank,
            "image": int(entry.images[rank]),
            "path": entry.paths[rank],
            "row": int(entry.positions[rank][0]),
            "column": int(entry.positions[rank][1]),
            "value": float(entry.values[rank]),
        }
        for rank in range(len(entry))
    ]


def measures(entry: Entry) -> dict[str, Any]:
    """F2's three measures of one map; None where fewer than two pictures, or no label, are there to measure."""
    return {
        "channel": entry.channel,
        "pictures": len(entry),
        "dead": len(entry) == 0,
        "agreement_projections": agreement(entry.projections),
        "agreement_patches": agreement(entry.patches),
        "purity": purity(entry.labels),
        "concentration_projections": concentration(entry.projections),
        "concentration_patches": concentration(entry.patches),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
