"""How a layer's filters together encode concepts: against one filter, by their number, side by side (METHODS N2-N4)."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from convscope.experiments.net2vec import SHARES, Example, Net2Vec
from convscope.figures.dissect import outlined
from convscope.figures.grid import COLOURS, FAINT, TEXT, canvas, chart, heading, place
from convscope.models.network import Network

LEFT, HEAD, WIDE, BETWEEN = 56, 122, 350, 78  # pixels: the margin, the heading, a chart's side, between charts
TILE, GAP, PAIR = 116, 4, 34  # of an example, between its pictures, between examples
PER_ROW, LISTED, LABELS = 3, 14, 12  # examples in a row; concepts in the list; points with a name
LINE = 25  # pixels of a line of the list


def net2vec(network: Network, found: Net2Vec) -> Figure:
    """IoU of the combination over that of the best single filter, IoU over the number of filters, the nearest concepts;
    then held-out pictures with what was marked, what the combination sees, and what the single filter does.
    """
    rows = -(-len(found.examples) // PER_ROW)
    width = 2 * LEFT + 2 * WIDE + 2 * BETWEEN + 360
    figure = canvas(width, HEAD + WIDE + 74 + rows * (TILE + 46) + 6)
    heading(figure, f"Which combination of {found.layer}'s filters of {network.name} encodes a concept?", LEFT, 36)
    line = f"Concepts: {found.name}; {len(found.concepts)} of them, measured on pictures that were held out."
    heading(figure, line, LEFT, 60, 9, FAINT)
    colour = _colours(found)
    left = float(LEFT)
    for category in dict.fromkeys(concept.category for concept in found.concepts):
        heading(figure, "■", left, 88, 10, colour[category])
        heading(figure, category, left + 15, 88, 9, TEXT)
        left += 32 + 7 * len(category)
    _against(chart(figure, LEFT, HEAD, WIDE, WIDE, "intersection over union"), found, colour)
    _curves(chart(figure, LEFT + WIDE + BETWEEN, HEAD, WIDE, WIDE, "with only so many filters"), found, colour)
    _neighbours(figure, found, colour, LEFT + 2 * (WIDE + BETWEEN))
    top = HEAD + WIDE + 74
    for number, example in enumerate(found.examples):
        row, column = divmod(number, PER_ROW)
        _example(figure, found, example, LEFT + column * (3 * (TILE + GAP) + PAIR), top + row * (TILE + 46))
    return figure


def _colours(found: Net2Vec) -> dict[str, str]:
    kinds = dict.fromkeys(concept.category for concept in found.concepts)
    return {kind: COLOURS[number % len(COLOURS)] for number, kind in enumerate(kinds)}


def _against(axes: Axes, found: Net2Vec, colour: dict[str, str]) -> None:
    """A point a concept: above the line the combination is better."""
    most = 1.08 * max(float(found.iou.max()), float(found.iou_single.max()), 0.05)
    axes.plot([0, most], [0, most], color=FAINT, linewidth=0.9, linestyle=(0, (3, 3)))
    points = torch.stack([found.iou_single, found.iou], 1)
    named: list[Tensor] = []
    for k in (found.iou - found.iou_single).abs().argsort(descending=True).tolist():
        x, y = points[k].tolist()
        axes.plot(x, y, "o", color=colour[found.concepts[k].category], markersize=5, alpha=0.9)
        clear = all(bool(((points[k] - other).abs() > most * torch.tensor([0.2, 0.04])).any()) for other in named)
        if clear and len(named) < LABELS:  # names that do not run into one another
            axes.annotate(found.concepts[k].name, (x, y), (6, -3), textcoords="offset points", color=TEXT, fontsize=8)
            named.append(points[k])
    axes.set_xlim(-0.02 * most, most)
    axes.set_ylim(-0.02 * most, most)
    axes.set_xlabel("the best single filter", color=FAINT, fontsize=8)
    axes.set_ylabel("all filters together", color=FAINT, fontsize=8)


def _curves(axes: Axes, found: Net2Vec, colour: dict[str, str]) -> None:
    """IoU and accuracy as shares of what all filters reach, over the number of filters."""
    counts = np.array(found.counts)
    for concept, row in zip(found.concepts, found.curve, strict=True):
        if float(row[-1]) > 0:
            axes.plot(counts, row / row[-1], color=colour[concept.category], alpha=0.28, linewidth=0.9)
    gain = (found.accuracy_curve - 0.5)[found.accuracy.isfinite()]
    for curves, style, label in (
        (found.curve, "-", "mean IoU"),
        (gain, (0, (2, 2)), "mean accuracy above one half"),
    ):
        if len(curves) and float(curves.mean(0)[-1]) > 0:  # of the means, as single ones may be next to nothing
            share_of = curves.mean(0) / curves.mean(0)[-1]
            axes.plot(counts, share_of, color=TEXT, linewidth=2, linestyle=style, label=label)
    for share in SHARES:
        axes.axhline(share, color=FAINT, linewidth=0.7, alpha=0.6)
        axes.text(counts[-1], share + 0.01, f"{share:.0%}", color=FAINT, fontsize=7, ha="right")
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_ylim(0, 1.3)
    axes.set_xlabel("filters of the largest weights", color=FAINT, fontsize=8)
    axes.set_ylabel("share of the full score", color=FAINT, fontsize=8)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", fontsize=7.5, frameon=False, labelcolor=FAINT)


def _neighbours(figure: Figure, found: Net2Vec, colour: dict[str, str], left: float) -> None:
    """The concepts with the nearest neighbours, and those with their cosines."""
    heading(figure, "built alike: the nearest weights, by cosine", left, HEAD - 6, 9, FAINT)
    near = found.cosine.clone().fill_diagonal_(-torch.inf)
    for line, k in enumerate(near.max(1).values.argsort(descending=True, stable=True)[:LISTED].tolist()):
        top = HEAD + 22 + line * LINE
        heading(figure, "■", left, top, 8, colour[found.concepts[k].category])
        heading(figure, found.concepts[k].name, left + 14, top, 9, TEXT)
        words = "   ".join(f"{concept.name} {cosine:.2f}" for concept, cosine in found.neighbours(k, 3))
        heading(figure, words, left + 110, top, 8, FAINT)


def _example(figure: Figure, found: Net2Vec, example: Example, left: float, top: float) -> None:
    k = found.concepts.index(example.concept)
    words = (
        f"IoU {float(found.iou[k]):.2f}, of {found.layer}:{int(found.single[k])} alone {float(found.iou_single[k]):.2f}"
    )
    heading(figure, str(example.concept), left, top - 20, 10, TEXT)
    for column, (name, mask) in enumerate(
        (("marked", example.marked), ("all filters", example.combination), ("one filter", example.single))
    ):
        tile = outlined(example.picture.numpy(), mask.numpy(), TILE)
        place(figure, tile, left + column * (TILE + GAP), top)
        heading(figure, name, left + column * (TILE + GAP), top - 6, 7.5, FAINT)
    heading(figure, words, left + 3 * (TILE + GAP) - 5.1 * len(words), top - 20, 8, FAINT)
