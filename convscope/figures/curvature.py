"""How a unit changes around its optimum: pictures along great circles, the response, the spectrum (METHODS A5)."""

from typing import Annotated

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from convscope.experiments.curvature import ANGLES, KINDS, REPORTED, Curvature, Peak
from convscope.figures.grid import FAINT, TEXT, Pixels, canvas, chart, fitted, heading, place
from convscope.figures.maximize import pixels
from convscope.models.network import Network
from convscope.probe.optimize.sphere_curvature import path

TILE, GAP = 84, 4  # pixels: a picture of a strip, between them
STRIP = torch.arange(-45.0, 46.0, 15.0, dtype=torch.float64)  # degrees shown
LEFT, HEAD, BLOCK, WIDE, HIGH = 40, 74, 286, 260, 190  # the margin, the heading, a target's height, a chart
CHARTS = LEFT + len(STRIP) * (TILE + GAP) + 64
COLOURS = {"sensitive": "#f0a65a", "invariant": "#6fb3c8", "random": "#9aa08f"}
ERRORS = 200  # height of the chart of errors


def curvature(
    network: Network,
    found: Curvature,
    *,
    shown: Annotated[int, "at most so many targets"] = 8,
) -> Figure:
    """For each target: strips along its most sensitive and its most invariant direction, responses against what the
    quadratic form predicts, the spectrum; below, where there are several layers, the prediction's error by layer.
    """
    peaks, layers = found.peaks[:shown], list(found.by_layer)
    below = (ERRORS + 96) if len(layers) > 1 else 0
    figure = canvas(CHARTS + 2 * WIDE + 64 + LEFT, HEAD + len(peaks) * BLOCK + below)
    heading(figure, f"Along which directions do units of {network.name} not care?", LEFT, 30)
    words = "Great circles through the optimum (0°). Dashed: what second derivatives at the optimum predict."
    heading(figure, words, LEFT, 52, 9, FAINT)
    for number, peak in enumerate(peaks):
        top = HEAD + number * BLOCK
        _head(figure, peak, top)
        for row, kind in enumerate(("sensitive", "invariant")):
            _strip(figure, network, peak, kind, top + 46 + row * (TILE + 26))
        _responses(chart(figure, CHARTS, top + 46, WIDE, HIGH, "response / response at the optimum"), peak)
        _spectrum(chart(figure, CHARTS + WIDE + 64, top + 46, WIDE, HIGH, "curvatures found"), peak)
    if below:
        top = HEAD + len(peaks) * BLOCK + 24
        title = "error of the prediction / value at the optimum"
        _errors(chart(figure, LEFT + 24, top, CHARTS + WIDE - LEFT - 24, ERRORS, title), found, layers)
    return figure


def _head(figure: Figure, peak: Peak, top: float) -> None:
    height, width = peak.picture.shape[1:]
    heading(figure, peak.target.name, LEFT, top + 14, 11)
    words = f"{height} × {width} pixels, response {peak.own:.3g}"
    if abs(peak.value - peak.own) > 1e-3 * abs(peak.own):
        words += f", smoothed {peak.value:.3g}"
    heading(figure, words, LEFT + 9 * len(peak.target.name) + 16, top + 14, 8.5, FAINT)


def _strip(figure: Figure, network: Network, peak: Peak, kind: str, top: float) -> None:
    """The pictures at `STRIP` along the first direction of a kind, its name and curvature above."""
    place_of = peak.kinds.index(kind)
    x, w = peak.picture.flatten(), peak.directions[place_of].flatten()
    points = path(x, w[None], STRIP.deg2rad().to(x))[0].view(-1, *peak.picture.shape)
    heading(figure, f"most {kind}", LEFT, top - 7, 9, COLOURS[kind])
    heading(figure, f"curvature {float(peak.curvatures[place_of]):.3g}", LEFT + 104, top - 7, 8.5, FAINT)
    for column, (levels, angle) in enumerate(zip(points, STRIP.tolist(), strict=True)):
        axes = place(figure, fitted(_tile(network, peak, levels), TILE), LEFT + column * (TILE + GAP), top)
        if kind == "invariant":
            axes.text(TILE / 2, TILE + 11, f"{angle:g}°", color=FAINT, fontsize=7.5, ha="center")


def _tile(network: Network, peak: Peak, levels: torch.Tensor) -> Pixels:
    """Levels in a peak's box as (h, w, 3)."""
    top, left, bottom, right = peak.box
    full = levels.new_zeros(1, *network.input_size)
    full[0, :, top:bottom, left:right] = levels
    std = network.transform.cropped(network.std)
    return pixels(network, full[0] / (255 * std).to(full))[top:bottom, left:right]


def _responses(axes: Axes, peak: Peak) -> None:
    angles = ANGLES.numpy()
    for kind in KINDS:
        k = peak.kinds.index(kind)
        axes.plot(angles, peak.responses[k] / abs(peak.own), color=COLOURS[kind], lw=0.8, alpha=0.45)
        axes.plot(angles, peak.smoothed[k] / abs(peak.value), color=COLOURS[kind], lw=1.5, label=kind)
        axes.plot(angles, peak.predicted[k] / abs(peak.value), color=COLOURS[kind], lw=1.1, ls=(0, (3, 2)))
    seen = torch.stack([peak.smoothed / abs(peak.value), peak.responses / abs(peak.own)])
    low, high = min(0.0, float(seen.min())), max(float(seen.max()), 1.0)
    axes.set_ylim(low - 0.2 * (high - low), high + 0.12 * (high - low))  # room for the legend
    axes.set_xticks(STRIP.tolist(), [f"{angle:g}°" for angle in STRIP.tolist()])
    axes.grid(axis="y", color=FAINT, alpha=0.15, linewidth=0.6)
    axes.legend(loc="lower center", fontsize=7.5, frameon=False, labelcolor=FAINT, handlelength=1.2, ncols=3)


def _spectrum(axes: Axes, peak: Peak) -> None:
    """Curvatures ascending, signed and on a logarithmic scale beyond ±1; a linear unit's is -1 throughout."""
    values = peak.spectrum.numpy()
    axes.plot(range(1, len(values) + 1), values, "o", ms=2.2, color=TEXT, mew=0)
    axes.axhline(-1, color=FAINT, lw=0.8, ls=(0, (3, 3)))
    axes.text(0.98, 0.04, "dashed: a linear unit", color=FAINT, fontsize=7.5, ha="right", transform=axes.transAxes)
    axes.set_yscale("symlog", linthresh=1, linscale=0.6)
    low, high = min(float(values.min()) * 1.6, -3.0), max(float(values.max()) * 1.6, 0.5)
    axes.set_ylim(low, high)
    ticks = [t for t in (-1000, -300, -100, -30, -10, -3, -1, 0, 1, 3, 10, 30) if low <= t <= high]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel(f"of {peak.picture.numel() - 1:,} dimensions", color=FAINT, fontsize=8)
    axes.grid(axis="y", color=FAINT, alpha=0.15, linewidth=0.6)


def _errors(axes: Axes, found: Curvature, layers: list[str]) -> None:
    """Mean error at the angles that rows report, over layers."""
    styles = dict(zip(REPORTED, ("-", (0, (4, 2)), (0, (1, 2))), strict=True))
    for kind in KINDS:
        for angle, style in styles.items():
            place_of = int((ANGLES - angle).abs().argmin())
            values = [float(found.by_layer[layer][kind][place_of]) for layer in layers]
            label = f"{kind}, {angle:g}°"
            axes.plot(range(len(layers)), values, "o", color=COLOURS[kind], ls=style, lw=1.3, ms=3, label=label)
    axes.set_yscale("log")
    axes.set_xticks(range(len(layers)), layers)
    axes.margins(x=0.04)
    axes.grid(axis="y", color=FAINT, alpha=0.15, linewidth=0.6)
    legend = axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=7.5, frameon=False, handlelength=2.4)
    for text in legend.get_texts():
        text.set_color(FAINT)
