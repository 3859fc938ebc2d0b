"""Accuracy over the number of training pictures, beside what was published (METHODS TB4, TB5, F9)."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from convscope.experiments.transfer import ALONE, BASELINE, Transfer
from convscope.figures.grid import FAINT, TEXT, canvas, chart, heading
from convscope.models.network import Network

OWN, PALE = ("#6fb3c8", "#f0a65a", "#b7d67a"), ("#e07a8b", "#b79be8", "#d9c25c", "#8b909c")
LEFT, TOP, WIDE, HIGH, BESIDE = 64, 96, 560, 400, 430  # the margin, above the chart, its size, room for the legend
LINE = 17  # pixels of a line of the legend


def transfer(network: Network, found: Transfer) -> Figure:
    """A curve for each classifier with the deviation between folds, published points hollow; where the network's
    features reach the best of the others.
    """
    if found.precision:
        return _precisions(network, found)
    figure = canvas(LEFT + WIDE + 56 + BESIDE, TOP + HIGH + 66)
    heading(figure, f"How good are the features of {network.name} for other classes?", LEFT, 36)
    data = found.data or f"{len(found.classes)} classes"
    words = f"{data}: per cent right, mean over the classes; bars: deviation between folds"
    heading(figure, words, LEFT, 58, 9, FAINT)
    axes = chart(figure, LEFT, TOP, WIDE, HIGH)
    left, line = LEFT + WIDE + 48, TOP + 12
    colours = {found.features: OWN[0], BASELINE: OWN[1], ALONE: OWN[2]}
    for who, curve in found.curves.items():
        _curve(axes, {n: (each.mean, each.std) for n, each in curve.items()}, colours[who])
        best = max(curve)
        heading(figure, "●", left, line, 10, colours[who])
        heading(figure, f"{who}: {curve[best].mean:.1f} % with {best}", left + 16, line, 9, TEXT)
        line += LINE
    for (who, known), colour in zip(found.published.items(), PALE, strict=False):
        _curve(axes, known, colour, hollow=True)
        best = max(known)
        heading(figure, "○", left, line, 10, colour)
        heading(figure, f"published: {who}, {known[best][0]:.1f} % with {best}", left + 16, line, 9, FAINT)
        line += LINE
    line += LINE
    if found.crossings:
        heading(figure, f"how few pictures of a class {found.features} needs to be", left, line, 8, FAINT)
        line += LINE - 3
    for one in found.crossings:
        words = "never" if one.train is None else f"with {one.train:.3g}" + (" or fewer" if one.already else "")
        for text in (f"as good as {one.other}", f"    at its best ({one.level:.1f} % with {one.at}): {words}"):
            heading(figure, text, left, line, 8, FAINT)
            line += LINE - 3
        if one.train is not None and not one.already:
            axes.plot([one.train, one.train], [0, one.level], color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
    _dress(axes, found)
    return figure


def _precisions(network: Network, found: Transfer) -> Figure:
    """A line for each class, a point for each classifier, the published ones hollow."""
    rows = [row for row in found.rows if row["kind"] == "precision"]
    figure = canvas(LEFT + 70 + WIDE + LEFT, TOP + 22 * len(found.classes) + 70)
    heading(figure, f"How good are the features of {network.name} for other classes?", LEFT, 36)
    heading(figure, f"{found.data or f'{len(found.classes)} classes'}: average precision, per cent", LEFT, 58, 9, FAINT)
    axes = chart(figure, LEFT + 70, TOP, WIDE, 22 * len(found.classes))
    left = float(LEFT)
    for (who, each), colour in zip(found.precision.items(), OWN, strict=False):
        own = [row for row in rows if row["who"] == who and row["value"] is not None]
        axes.plot([row["value"] for row in own], [found.classes.index(row["class"]) for row in own], "o", color=colour)
        known = [row for row in own if "reference" in row]
        places = [found.classes.index(row["class"]) for row in known]
        axes.plot([row["reference"] for row in known], places, "o", color=colour, fillstyle="none")
        words = f"{who}: mean {each.mean:.1f}" + ("; hollow: published, another network" if known else "")
        heading(figure, "●", left, 84, 10, colour)
        heading(figure, words, left + 16, 84, 8.5, TEXT)
        left += 50 + 6.2 * len(words)
    axes.set_yticks(range(len(found.classes)), found.classes)
    axes.set_ylim(len(found.classes) - 0.5, -0.5)
    axes.set_xlim(0, 101)
    axes.grid(axis="both", color=FAINT, alpha=0.15, linewidth=0.6)
    return figure


def _curve(axes: Axes, points: Mapping[int, tuple[float, float | None]], colour: str, hollow: bool = False) -> None:
    counts = sorted(points)
    values, bars = [points[n][0] for n in counts], [points[n][1] or 0 for n in counts]
    axes.errorbar(
        counts, values, bars, color=colour, linewidth=0.7 if hollow else 1.5, marker="o", markersize=5 if hollow else 4,
        linestyle=(0, (2, 2)) if hollow else "-", fillstyle="none" if hollow else "full", capsize=2,
    )  # fmt: skip


def _dress(axes: Axes, found: Transfer) -> None:
    """Numbers of pictures on a scale of ratios, from one's own curves and the published ones."""
    tables = [*found.curves.values(), *found.published.values()]
    counts = sorted({n for table in tables for n in table})
    axes.set_xscale("log")
    if counts[0] == counts[-1]:
        axes.set_xlim(counts[0] / 2, counts[0] * 2)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.axhline(100 / len(found.classes), color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))
    beside = axes.get_yaxis_transform()
    axes.text(1.01, 100 / len(found.classes), "chance", color=FAINT, fontsize=7.5, va="center", transform=beside)
    axes.set_ylim(0, min(100, axes.get_ylim()[1] * 1.05))
    axes.set_xlabel("pictures of a class to train on", color=FAINT, fontsize=8)
    axes.grid(axis="y", color=FAINT, alpha=0.15, linewidth=0.6)
