"""Small inline drawings (SVG) and number formats for the templates. No styles inside: the style sheet has them."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from convscope.web.contexts.atlas import Excerpt, Histogram, Peaks
from convscope.web.urls import slug

LEVELS = 5  # shades of the grid of peaks


def number(value: float) -> str:
    """Three significant digits: 0.00123, 1.23, 1,230; far from 1 as 1.23 × 10⁻⁵."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "not a number"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -4 <= exponent < 7:
        digits, _, power = f"{value:.2e}".partition("e")
        superscript = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{digits} × 10{superscript}".replace("-", "−")
    rounded = float(f"{value:.2e}")
    exponent = math.floor(math.log10(abs(rounded)))  # 9.999 is 10.0
    return f"{rounded:,.{max(0, 2 - exponent)}f}".replace("-", "−")


def count(value: int) -> str:
    """A whole number, thousands apart."""
    return f"{value:,}"


def percent(share: float) -> str:
    """A share of 1 as per cent; never rounded to 0 % or 100 % unless it is."""
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{100 * share:.{1 if 0 < share < 0.0995 else 0}f} %"


def written(value: str | int | float | bool | None) -> str:
    """A cell of a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value).replace("-", "−")
    return number(value) if isinstance(value, float) else str(value)


def size(bytes_: int) -> str:
    """Of a file, in the unit that fits."""
    for unit, step in (("MB", 1e6), ("kB", 1e3)):
        if bytes_ >= step:
            return f"{bytes_ / step:.{1 if bytes_ < 10 * step else 0}f} {unit}"
    return f"{bytes_} bytes"


def breakable(path: str) -> Markup:
    """A path that may wrap after its slashes."""
    return Markup("/<wbr>").join(path.split("/"))


def histogram(chart: Histogram, strongest: Sequence[float]) -> Markup:
    """Bars as high as the square root of the counts, and a tick below for each of the strongest pictures."""
    bins, most = len(chart.counts), max(max(chart.counts), 1)
    bars = "".join(
        f"M{place} 48v{-max(1, 46 * math.sqrt(n / most)):.3g}h.84V48z" for place, n in enumerate(chart.counts) if n
    )
    span = chart.high - chart.low or 1.0
    ticks = "".join(f"M{(value - chart.low) / span * bins:.4g} 50v5" for value in strongest)
    label = (
        f"Histogram of the strongest activation in each picture, from {number(chart.low)} to {number(chart.high)}; "
        f"ticks mark the {len(strongest)} strongest"
    )
    return Markup(
        '<svg class="histogram" viewBox="0 0 {} 56" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="bars" d="{}"/><path class="ticks" d="{}"/></svg>'
    ).format(bins, label, bars, ticks)


def heat(peaks: Peaks) -> Markup:
    """A grid of cells, each in one of five shades by its share of the fullest cell."""
    rows, columns = len(peaks.counts), len(peaks.counts[0])
    most = max(max(row) for row in peaks.counts)
    cells: list[list[str]] = [[] for _ in range(LEVELS + 1)]
    best = (0, 0)
    for y, row in enumerate(peaks.counts):
        for x, n in enumerate(row):
            if n:
                cells[math.ceil(LEVELS * n / most)].append(f"M{x} {y}h1v1h-1z")
            if n == most > 0:
                best = best if peaks.counts[best[0]][best[1]] == most else (y, x)
    down, across = -(-peaks.height // rows), -(-peaks.width // columns)
    label = (
        f"Grid of {rows} × {columns} cells; most often, {most} times, "
        f"the map peaks near row {best[0] * down}, column {best[1] * across}"
    )
    paths = Markup("").join(
        Markup('<path class="h{}" d="{}"/>').format(level, "".join(drawn)) for level, drawn in enumerate(cells) if drawn
    )
    return Markup('<svg class="heat" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        columns, rows, label, paths
    )


def frame(excerpt: Excerpt, input_size: tuple[int, int, int]) -> Markup:
    """The receptive field's box on the thumbnail, cut where it leaves the picture."""
    top, left, bottom, right = excerpt.box
    top, left = max(top, 0), max(left, 0)
    bottom, right = min(bottom, input_size[1]), min(right, input_size[2])
    rect = '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>'
    return Markup("").join(
        Markup(rect).format(name, left, top, max(right - left, 1), max(bottom - top, 1)) for name in ("halo", "box")
    )


SHARED = (number, count, percent, written, size, breakable, histogram, heat, frame)
FILTERS = {function.__name__: function for function in SHARED} | {"slug": slug}
