"""The same part hidden in different pictures, and how alike that changes them (METHODS F8, TB1)."""

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convscope.experiments.correspondence import RANDOM, SAME, Correspondence
from convscope.figures.grid import FAINT, TEXT, canvas, chart, fitted, heading, place
from convscope.figures.svg import ACCENT, COOL
from convscope.models.network import Network
from convscope.probe.windows.occluder_grid import hide

TILE, GAP = 104, 4  # pixels of a picture, between pictures
LEFT, HEAD, NAMES, WIDE, VALUES = 40, 128, 130, 320, 150  # margin, heading; a chart with the words at its two sides
SHOWN, DRAWN = 5, 2  # pictures, and random boxes in each
LINE = 40  # pixels of a location in a chart


def correspondence(network: Network, found: Correspondence) -> Figure:
    """A line for each picture: as it is, each part hidden, random boxes (Figure 8); beside them the scores."""
    count, shown = min(SHOWN, len(found.images)), [k for own in found.columns.values() for k in own[:DRAWN]]
    across = (1 + len(shown)) * (TILE + GAP)
    tall = LINE * len(found.columns)  # a chart
    height = max(count * (TILE + GAP), len(found.layers) * (tall + 90) - 60)
    figure = canvas(2 * LEFT + across + NAMES + WIDE + VALUES, HEAD + height + 40)
    _head(figure, network, found)
    titles = ["as it is", *(found.locations[k] for k in shown)]
    for column, title in enumerate(titles):
        heading(figure, title, LEFT + column * (TILE + GAP), HEAD - 10, 9, FAINT)
    for row in range(count):
        boxes = found.boxes[row, shown].tolist()
        hidden = [found.inputs[row], *(hide(found.inputs[row], box, found.filled) for box in boxes)]
        for column, x in enumerate(hidden):
            tile = fitted(network.transform.picture(x.float()), TILE)
            place(figure, tile, LEFT + column * (TILE + GAP), HEAD + row * (TILE + GAP))
    for number, layer in enumerate(found.layers):
        top = HEAD + number * (tall + 90)
        _scores(chart(figure, LEFT + across + NAMES, top, WIDE, tall, layer), found, layer)
    return figure


def _head(figure: Figure, network: Network, found: Correspondence) -> None:
    heading(figure, f"Does hiding the same part change different pictures alike? {network.name}", LEFT, 36)
    lines = (
        "Score: the share of a layer's values that hiding the box changes in different directions in two pictures; "
        "0: all alike. Random: anywhere beside the parts; same place: likewise, but at one place in all pictures.",
        f"Dots: the mean over {len(found.pairs)} pairs of {len(found.images)} pictures (and over draws), bars one "
        "standard deviation" + ("; hollow: published, of another network and dogs." if _published(found) else "."),
    )
    for number, line in enumerate(lines):
        heading(figure, line, LEFT, 60 + 18 * number, 9, FAINT)


def _published(found: Correspondence) -> bool:
    return any("reference" in row for row in found.rows)


def _scores(axes: Axes, found: Correspondence, layer: str) -> None:
    """A line for each location: the score with its spread, the published one below it, both in words at the right."""
    rows = [row for row in found.rows if row["layer"] == layer]
    beside = partial(axes.text, transform=axes.get_yaxis_transform())
    for place_, row in enumerate(rows):
        colour = COOL if row["location"] in (RANDOM, SAME) else ACCENT
        spread = row["std"] or 0
        axes.errorbar(row["value"], place_ - 0.14, xerr=spread, fmt="o", color=colour, markersize=6, linewidth=1.6)
        words = f"{row['value']:.3f}" + ("" if row["std"] is None else f" ± {row['std']:.3f}")
        if "reference" in row:
            old, width = row["reference"], row["reference std"]
            axes.errorbar(old, place_ + 0.24, xerr=width, fmt="D", color=FAINT, mfc="none", markersize=4, linewidth=0.9)
            beside(1.03, place_ + 0.24, f"published {old:.3f} ± {width:.3f}", color=FAINT, fontsize=7.5, va="center")
        beside(1.03, place_ - 0.14, words, color=TEXT, fontsize=8.5, va="center")
    axes.set_yticks(range(len(rows)), [row["location"] for row in rows])
    axes.tick_params(axis="y", labelsize=9, colors=TEXT, length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, max(0.05, 1.1 * max(row["value"] + (row["std"] or 0) for r in [found.rows] for row in r)))
    axes.grid(axis="x", color=FAINT, alpha=0.2, linewidth=0.6)
