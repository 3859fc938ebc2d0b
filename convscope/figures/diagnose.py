"""A first layer on one sheet: its filters, their strength and frequencies, and what is wrong with them; or several
beside one another, as the paper's Figure 6 (METHODS F6).
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from convscope.experiments.diagnose import Diagnosis
from convscope.figures.filters import tiles
from convscope.figures.grid import FAINT, TEXT, canvas, chart, heading, mosaic, place
from convscope.models.network import Network
from convscope.pictures import display
from convscope.probe.filters import spectrum
from convscope.probe.filters.first_layer_checks import BROAD, CHECKS, DEAD, DOMINANT, FirstLayer

Pixels = NDArray[np.uint8]

LEFT, TOP, GAP, WIDE, CHART = 40, 84, 44, 340, 170  # pixels: the margins, between panels, a panel; a chart is lower
SHOWN = 256  # filters on a sheet
COLOURS = {"warning": "#e5735f", "hint": "#f0a65a", "ok": "#7fb069"}
BAR = "#6f9fc8"


def diagnose(network: Network, found: Diagnosis) -> Figure:
    """The sheet of one network, or, where it is compared with others, all of them side by side."""
    return _sheet(found.layers[0], found.notes) if len(found.layers) == 1 else _compared(found.layers)


def _sheet(layer: FirstLayer, notes: Sequence[str]) -> Figure:
    """Filters and charts to the left, two columns of them; to the right the findings."""
    second, right = LEFT + WIDE + GAP, LEFT + 2 * (WIDE + GAP)
    texts = _texts(layer, notes)
    charts, power = TOP + WIDE + 48, TOP + WIDE + 48 + CHART + 66
    figure = canvas(right + WIDE + LEFT, max(power + WIDE + 52, TOP + 12 + sum(line.height for line in texts)))
    heading(figure, layer.title, LEFT, 36)
    place(figure, _bank(layer.filters, WIDE, one_scale=True), LEFT, TOP, "all filters on one scale")
    place(figure, _bank(layer.filters, WIDE, one_scale=False), second, TOP, "each on its own")
    _strengths(chart(figure, LEFT, charts, WIDE, CHART, "strength: RMS over the median filter's"), layer)
    _frequencies(chart(figure, second, charts, WIDE, CHART, "mean frequency of each filter"), layer)
    _power(chart(figure, LEFT, power, WIDE, WIDE, "mean power of the filters"), layer)
    if layer.projections is not None:
        place(figure, _second(layer.projections, WIDE), second, power, "second layer, projected")
    baseline: float = TOP
    for line in texts:
        heading(figure, line.words, right, baseline, line.size, line.colour)
        baseline += line.height
    return figure


@dataclass(frozen=True)
class _Line:
    words: str
    colour: str = FAINT
    size: float = 8
    height: int = 15


def _texts(layer: FirstLayer, notes: Sequence[str]) -> list[_Line]:
    """The findings, alarms first, line by line."""
    alarms = [finding for finding in layer.findings if finding.severity != "ok"]
    count = f"{len(alarms)} of {len(layer.findings)} checks sound an alarm" if alarms else "No alarm"
    lines = [_Line(count, TEXT, 11, 28)]
    for finding in alarms:
        lines.append(_Line(f"{finding.severity}: {finding.code}", COLOURS[finding.severity], 9, 16))
        for part, colour in ((finding.what, TEXT), (finding.why, FAINT), (f"Try: {finding.remedy}", COLOURS["ok"])):
            lines += [_Line(line, colour) for line in textwrap.wrap(f"{part[0].upper()}{part[1:]}.", 58)]
        lines.append(_Line("", height=10))
    if len(alarms) < len(layer.findings):
        lines.append(_Line("In order", COLOURS["ok"], 9, 16))
    for check in CHECKS:
        for finding in layer.findings:
            if finding.code == check.code and finding.severity == "ok":
                lines.append(_Line(f"{check.code} {finding.value:.3g}, {check.bound}"))
    lines.append(_Line("", height=10))
    return lines + [_Line(line) for note in notes for line in textwrap.wrap(f"Note: {note}.", 58)]


def _bank(filters: Tensor, side: int, *, one_scale: bool) -> Pixels:
    """Filters in a square of at most `side` pixels."""
    shown = tiles(filters[:SHOWN], one_scale=one_scale)
    columns = math.ceil(math.sqrt(len(shown)))
    return mosaic(shown, columns, side=max(2, (side + 2) // columns - 2))


def _strengths(axes: Axes, layer: FirstLayer) -> None:
    """RMS of every filter, largest first, with the limits of dominance and death."""
    relative = layer.relative.sort(descending=True).values.numpy()
    floor, count = DEAD / 4, len(relative)
    colours = [COLOURS["warning"] if value > DOMINANT or value < DEAD else BAR for value in relative]
    axes.bar(range(count), np.maximum(relative, floor * 1.2) - floor, 1, floor, color=colours, antialiased=False)
    axes.set_yscale("log")
    axes.set_ylim(floor, max(12, 1.5 * float(relative.max())))
    axes.set_xlim(-0.5, 1.25 * count)  # the words stand beside the bars
    for limit, words in ((DOMINANT, "dominant"), (DEAD, "dead")):
        axes.axhline(limit, color=COLOURS["warning"], linewidth=0.8, linestyle=(0, (4, 3)))
        above = limit == DOMINANT
        axes.text(1.24 * count, limit * (1.1 if above else 0.9), words, color=COLOURS["warning"], fontsize=7,
                  ha="right", va="bottom" if above else "top")  # fmt: skip
    axes.set_yticks([0.1, 1, 5], ["0.1", "1", "5"])
    axes.minorticks_off()
    axes.set_xlabel("filters, strongest first", color=FAINT, fontsize=8)


def _frequencies(axes: Axes, layer: FirstLayer) -> None:
    """How many filters have which mean frequency, and what the stride can carry."""
    known = layer.frequency[layer.frequency.isfinite()].numpy()
    counts, edges = np.histogram(np.minimum(known, 0.5), spectrum.BINS, (0, 0.5))
    top = 1.5 * max(1, counts.max())  # the words stand above the bars
    axes.axvspan(*spectrum.BANDS, color="#2f3a33", zorder=0)
    axes.bar(edges[:-1], counts, np.diff(edges) * 0.92, align="edge", color=BAR)
    axes.text(sum(spectrum.BANDS) / 2, top * 0.72, "middle", color=COLOURS["ok"], fontsize=7, ha="center")
    carried = 1 / (2 * max(layer.stride))
    if carried < 0.5:
        axes.axvline(carried, color=COLOURS["hint"], linewidth=1)
        axes.text(carried - 0.006, top * 0.96, f"stride {max(layer.stride)} carries\nup to here", color=COLOURS["hint"],
                  fontsize=7, va="top", ha="right")  # fmt: skip
    if max(layer.filters.shape[2:]) < BROAD:
        axes.text(0.49, top * 0.96, f"filters below {BROAD} pixels\nhave broad spectra", color=FAINT, fontsize=7,
                  va="top", ha="right")  # fmt: skip
    axes.set_xlim(0, 0.5)
    axes.set_ylim(0, top)
    axes.set_xlabel("cycles a pixel", color=FAINT, fontsize=8)


def _power(axes: Axes, layer: FirstLayer) -> None:
    """Where in the plane of frequencies the filters' power lies, and the square that the stride can carry."""
    shifted = torch.fft.fftshift(layer.spectrum).numpy()
    axes.imshow(np.sqrt(shifted), cmap="magma", extent=(-0.5, 0.5, 0.5, -0.5), interpolation="bilinear")
    high, wide = (1 / (2 * s) for s in layer.stride)
    if max(layer.stride) > 1:
        axes.add_patch(Rectangle((-wide, -high), 2 * wide, 2 * high, fill=False, edgecolor="white", linewidth=1))
        axes.text(0, min(high + 0.02, 0.46), f"stride {max(layer.stride)} carries what is inside", color="white",
                  fontsize=7, ha="center", va="top")  # fmt: skip
    axes.set_xlabel("cycles a pixel, across and down", color=FAINT, fontsize=8)
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks([-0.5, -0.25, 0, 0.25, 0.5])


def _second(projections: Tensor, side: int, most: int = 36) -> Pixels:
    """Projections in a square of at most `side` pixels."""
    chosen = projections[:most]
    columns = math.ceil(math.sqrt(len(chosen)))
    return mosaic(list(display(chosen)), columns, side=(side + 2) // columns - 2)


def _compared(layers: Sequence[FirstLayer]) -> Figure:
    """A column a network: filters on one scale, projections of the second layer, and a table of all checks."""
    side = 280
    projected = any(layer.projections is not None for layer in layers)
    names = 230
    step = side + GAP
    table = 92 + (side + 46) * (1 + projected)
    codes = [check for check in CHECKS if any(f.code == check.code for layer in layers for f in layer.findings)]
    figure = canvas(2 * LEFT + names + step * len(layers), table + 26 * len(codes) + 30)
    heading(figure, "First layers compared", LEFT, 38)
    for number, layer in enumerate(layers):
        left = LEFT + names + number * step
        title, _, design = layer.title.partition(": ")
        heading(figure, title, left, 62, 10)
        heading(figure, design, left, 78, 8, FAINT)
        place(figure, _bank(layer.filters, side, one_scale=True), left, 92)
        if layer.projections is not None:
            place(figure, _second(layer.projections, side), left, 92 + side + 46)
    heading(figure, "filters, one scale", LEFT, 112, 9, FAINT)
    if projected:
        heading(figure, "second layer, projected", LEFT, 112 + side + 46, 9, FAINT)
    for row, check in enumerate(codes):
        baseline = table + 26 * row + 10
        heading(figure, check.code, LEFT, baseline, 9)
        heading(figure, check.bound, LEFT + 128, baseline, 8, FAINT)
        for number, layer in enumerate(layers):
            finding = next((f for f in layer.findings if f.code == check.code), None)
            shown = "–" if finding is None else f"{finding.value:.3g}"
            colour = FAINT if finding is None else COLOURS[finding.severity]
            heading(figure, shown, LEFT + names + number * step, baseline, 10, colour)
    return figure
