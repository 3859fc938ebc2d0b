"""A line for each variant: its errors here, those published, and from which variants it is told apart (TB3)."""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean, stdev

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convscope.experiments.ablate import MEASURES, Ablation, Variant
from convscope.figures.grid import FAINT, TEXT, canvas, chart, heading
from convscope.figures.svg import ACCENT, COOL
from convscope.models.network import Network
from convscope.training.published import TABLE3

LEFT, HEAD, LINE, GAP = 40, 148, 30, 44  # pixels: margin, above the charts, of a variant, between charts
NAMES, WIDE, NARROW = 320, 400, 260  # the names and sizes; errors here; errors published
CELL = 34  # of a pair


def ablate(network: Network, found: Ablation) -> Figure:
    """Train and validation errors of every variant, the published ones beside them, and all pairs."""
    count = len(found.variants)
    published = {v.name: TABLE3[v.name] for v in found.variants if v.name in TABLE3}
    right = LEFT + NAMES + WIDE + GAP + (NARROW + GAP if published else 0)
    pairs = count * CELL if count > 1 else 0
    width = max(right + pairs + LEFT, 1080)
    figure = canvas(width, HEAD + count * LINE + 76 + 18 * len(found.failed))
    _head(figure, found, bool(published))
    _names(figure, found.variants)
    ours = {v.name: {measure: fmean(values) for measure, values in v.errors.items()} for v in found.variants}
    spread = {v.name: stdev(v.errors["val top-1"]) for v in found.variants if len(v.seeds) > 1}
    panel = partial(_panel, figure, count * LINE)
    _errors(panel(LEFT + NAMES, WIDE, "errors here, %"), found, ours, spread)
    if published:
        theirs = {name: dict(zip(MEASURES, row, strict=True)) for name, row in published.items()}
        _errors(panel(LEFT + NAMES + WIDE + GAP, NARROW, "published (ImageNet), %"), found, theirs, {})
    if pairs:
        _pairs(panel(right, pairs, "row less column, points"), found)
    for number, (name, reason) in enumerate(found.failed.items()):
        heading(figure, f"{name} failed: {reason}", LEFT, HEAD + count * LINE + 62 + 18 * number, 9, ACCENT)
    return figure


def _head(figure: Figure, found: Ablation, published: bool) -> None:
    heading(figure, "What does the architecture lose without these layers?", LEFT, 36)
    spread = f"; bars: one standard deviation over seeds ({found.deviation:.2f} pooled)" if found.freedom else ""
    tests = (
        "McNemar's test on the pictures and a t-test over seeds" if found.freedom else "McNemar's test on the pictures"
    )
    lines = [
        f"Trained alike on {found.trained_on:,} pictures, measured on {found.measured_on:,} others. "
        f"Filled: validation, hollow: training; short marks: validation top-5{spread}.",
        "Squares: how many points more validation errors the variant of the row makes than that of the column;",
        f"faint where that may be chance, by {tests}, corrected over all pairs.",
    ]
    if published:
        lines[-1] += " Published errors are of the full networks on 224-pixel ImageNet: compare orders."
    for number, line in enumerate(lines):
        heading(figure, line, LEFT, 60 + 18 * number, 9, FAINT)


def _names(figure: Figure, variants: Sequence[Variant]) -> None:
    heading(figure, "parameters", LEFT + NAMES - 90, HEAD - 10, 8, FAINT)
    for number, variant in enumerate(variants):
        base = HEAD + (number + 0.5) * LINE + 4
        words = variant.name if len(variant.seeds) == 1 else f"{variant.name}  ({len(variant.seeds)} seeds)"
        heading(figure, words, LEFT, base, 8.5, TEXT)
        size = f"{variant.parameters / 1e6:.2f} M" if variant.parameters >= 1e5 else f"{variant.parameters:,}"
        heading(figure, size, LEFT + NAMES - 90, base, 8.5, FAINT)


def _panel(figure: Figure, height: float, left: float, width: float, title: str) -> Axes:
    heading(figure, title, left, HEAD - 10, 9, FAINT)
    return chart(figure, left, HEAD, width, height)


def _errors(
    axes: Axes, found: Ablation, errors: Mapping[str, Mapping[str, float]], spread: Mapping[str, float]
) -> None:
    """Training and validation error of a variant joined by a line, whose length is the over-fitting."""
    for place, variant in enumerate(found.variants):
        own = errors.get(variant.name)
        if own is None:
            continue
        train, val = own["train top-1"], own["val top-1"]
        axes.plot([train, val], [place, place], color=FAINT, linewidth=1.2, zorder=1)
        axes.plot(train, place, "o", color=ACCENT, markerfacecolor="none", markersize=6)
        axes.errorbar(
            val, place, xerr=spread.get(variant.name), fmt="o", color=ACCENT, ecolor=TEXT, markersize=6, linewidth=1.6
        )
        if "val top-5" in own:
            axes.plot(own["val top-5"], place, "|", color=COOL, markersize=9, markeredgewidth=1.8)
    axes.set_yticks([])
    axes.set_ylim(len(found.variants) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(axis="x", color=FAINT, alpha=0.2, linewidth=0.6)


def _pairs(axes: Axes, found: Ablation) -> None:
    """Row less column, faint where the two are not told apart."""
    place = {variant.name: k for k, variant in enumerate(found.variants)}
    table = np.full((len(place), len(place)), np.nan)
    sure = np.zeros_like(table, bool)
    for pair in found.pairs:
        a, b = place[pair.a], place[pair.b]
        table[b, a], table[a, b] = pair.difference, -pair.difference
        sure[a, b] = sure[b, a] = pair.separated
    most = max(1.0, float(np.nanmax(np.abs(table))))
    shown = np.ma.masked_invalid(table)
    axes.imshow(shown, cmap="RdBu_r", vmin=-most, vmax=most, alpha=np.where(sure, 1.0, 0.12), aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        if not np.isnan(value):
            dark = sure[row, column] and abs(value) < most / 2
            colour = "#131417" if dark else TEXT if sure[row, column] else FAINT
            axes.text(column, row, f"{value:+.1f}", color=colour, fontsize=6.5, ha="center", va="center")
    names = [name.replace("-without-", " −").replace("-fc-", " fc ") for name in place]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=7)
    axes.set_yticks([])
