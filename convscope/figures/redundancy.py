"""Filters that repeat one another, side by side, and how alike all of them are (METHODS P6)."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from convscope.experiments.redundancy import Redundancy
from convscope.figures.filters import tiles
from convscope.figures.grid import FAINT, TEXT, beside, canvas, chart, heading, mosaic, place
from convscope.models.network import Network

Pixels = NDArray[np.uint8]

LEFT, TOP, SIDE, GAP = 40, 92, 460, 64  # pixels: the margin, above the panels, the matrix, between the panels
TILE, COLUMNS = 34, 16  # pixels of a filter; filters to a row
PAIRS, SHOWN = 7, 256  # most alike pairs, and filters on their own, on one sheet
EDGE = "#7fd1c7"


def redundancy(network: Network, found: Redundancy) -> Figure:
    """The similarity of all filters, sorted by cluster, beside the clusters; then the filters that are alone."""
    shown = tiles(found.pictures)
    blocks = list(_blocks(found, shown))
    right = LEFT + SIDE + GAP
    height = max(TOP + SIDE + 60, TOP + sum(sheet.shape[0] + 40 for _, sheet in blocks))
    figure = canvas(right + COLUMNS * (TILE + 2) + LEFT, height)
    heading(figure, f"{found.name}: {_headline(found)}", LEFT, 36)
    heading(figure, _second_line(found), LEFT, 58, 9, FAINT)
    _matrix(figure, found)
    top = TOP
    for words, sheet in blocks:
        heading(figure, words, right, top - 6, 9, TEXT)
        place(figure, sheet, right, top)
        top += sheet.shape[0] + 40
    return figure


def _headline(found: Redundancy) -> str:
    count = sum(map(len, found.clusters))
    return f"{count} filters, {len(found.clusters)} when those alike at {found.threshold:g} count once"


def _second_line(found: Redundancy) -> str:
    words = f"redundancy {found.redundancy:.1%}, of noise of this size {found.chance:.1%}"
    if (tried := found.compression) is not None:
        words += f"; accuracy {tried.before:.1f} %, without the repetitions {tried.after:.1f} % "
        words += f"({len(tried.merged)} merged, {len(tried.pruned)} pruned)"
    return words


def _blocks(found: Redundancy, shown: Sequence[Pixels]) -> Iterator[tuple[str, Pixels]]:
    """What stands to the right: a strip for each cluster, or the most alike pairs where there is none; the others."""
    repeated = [cluster for cluster in found.clusters if len(cluster) > 1]
    for cluster in repeated:
        words = f"{len(cluster)} alike: {_numbers(cluster)}"
        yield words, _strip(shown, cluster)
    if not repeated and len(found.pictures) > 1:
        pairs = _nearest(found.similarity)
        least, most = (float(found.similarity[pairs[k]]) for k in (-1, 0))
        yield f"none alike; the {len(pairs)} nearest pairs, {most:.2f} to {least:.2f}", _paired(shown, pairs)
    alone = [cluster[0] for cluster in found.clusters if len(cluster) == 1]
    if alone:
        yield f"{len(alone)} on their own", _strip(shown, alone[:SHOWN])
    if found.excluded:
        yield f"{len(found.excluded)} the same everywhere, left out", _strip(shown, found.excluded[:SHOWN])


def _nearest(alike: Tensor) -> list[tuple[int, ...]]:
    """The most alike pairs, most alike first."""
    rows, columns = torch.triu_indices(len(alike), len(alike), 1)
    order = alike[rows, columns].argsort(descending=True, stable=True)[:PAIRS]
    return [(int(rows[k]), int(columns[k])) for k in order]


def _numbers(cluster: Sequence[int], most: int = 14) -> str:
    words = ", ".join(map(str, cluster[:most]))
    return words if len(cluster) <= most else f"{words} and {len(cluster) - most} more"


def _strip(shown: Sequence[Pixels], chosen: Sequence[int]) -> Pixels:
    return mosaic([shown[k] for k in chosen], min(COLUMNS, len(chosen)), side=TILE)


def _paired(shown: Sequence[Pixels], pairs: Sequence[tuple[int, ...]]) -> Pixels:
    return beside(*(_strip(shown, pair) for pair in pairs), gap=10)


def _matrix(figure: Figure, found: Redundancy) -> None:
    """Similarities with the members of a cluster beside one another, and a frame around each cluster."""
    axes = chart(figure, LEFT, TOP, SIDE, SIDE)
    order = [k for cluster in found.clusters for k in cluster]
    image = axes.imshow(
        found.similarity[order][:, order].numpy(), vmin=0, vmax=1, cmap="magma", interpolation="nearest"
    )
    start = 0
    for cluster in found.clusters:
        if len(cluster) > 1:
            corner = (start - 0.5, start - 0.5)
            axes.add_patch(Rectangle(corner, len(cluster), len(cluster), fill=False, edgecolor=EDGE, linewidth=1.2))
        start += len(cluster)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("filters, those of a cluster together", color=FAINT, fontsize=8)
    bar = figure.colorbar(image, cax=chart(figure, LEFT + SIDE + 10, TOP, 8, SIDE))
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=FAINT, labelsize=7, length=2)
    bar.ax.set_title("alike", color=FAINT, fontsize=8, pad=6)
