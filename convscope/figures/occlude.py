"""Pictures covered place by place, and what becomes of a map, the class and the label: the paper's Figure 7 (F7)."""

from collections import Counter

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from convscope.experiments.occlude import Occlusion, Seen
from convscope.figures.grid import COLOURS, EMPTY, FAINT, TEXT, canvas, cut, fitted, heading, place, rgb
from convscope.figures.svg import ACCENT
from convscope.models.network import Network
from convscope.pictures import display
from convscope.probe.windows.occluder_grid import spread, weights

Pixels = NDArray[np.uint8]

SIDE, GAP, LEFT, LEGEND = 196, 22, 32, 170  # pixels: a panel, between panels, the margin, names beside the label map
HEAD, ROW = 156, SIDE + 108  # the heading with the columns' names; a picture with its words
TILE = (SIDE - 4) // 2  # of four projections in a panel
SHOWN, CLASSES, NAMED = 12, 3, 7  # pictures, watched classes, and labels by name
SCALE = colormaps["RdYlBu_r"]  # blue is low
STEADY = 1e-5  # of a value: less than rounding may change it by


def occlude(network: Network, found: Occlusion) -> Figure:
    """A row for each picture: (a) with the occluder, (b) the strongest map's activity over its positions, (c) the
    map's projection beside those from other pictures, (d) the probability of the class, (e) the most probable label.
    """
    pictures, classes = min(SHOWN, len(found.names)), min(CLASSES, found.targets.shape[1])
    columns = 4 + classes + (classes > 0)
    figure = canvas(2 * LEFT + columns * (SIDE + GAP) + (LEGEND if classes else -GAP), HEAD + pictures * ROW)
    _head(figure, network, found, classes)
    for i in range(pictures):
        _row(figure, network, found, i, HEAD + i * ROW)
    return figure


def _left(column: int) -> int:
    return LEFT + column * (SIDE + GAP)


def _head(figure: Figure, network: Network, found: Occlusion, classes: int) -> None:
    """What is shown, what colours mean, and the columns' names."""
    heading(figure, f"Which part of the picture does {network.name} depend on?", LEFT, 36)
    (height, width), (rows, columns) = found.places.size, found.places.shape
    lines = (
        f"An occluder of {height} × {width} pixels at {rows} × {columns} positions. What the network then says is "
        "drawn where the occluder's centre was; nearer to the border it has none (the picture, dark).",
        "Blue is low, red is high; the tick below a scale is the value with nothing covered; ○: where it is least.",
    )
    for number, line in enumerate(lines):
        heading(figure, line, LEFT, 60 + 18 * number, 9, FAINT)
    titles = ["(a) the picture, covered", "(b) activity of the map", "(c) what excites the map", "in the pictures"]
    titles += ["(d) probability of the class", *[""] * (classes - 1), "(e) most probable label"] if classes else []
    for column, title in enumerate(titles):
        heading(figure, title, _left(column), HEAD - 36, 9.5, TEXT)


def _row(figure: Figure, network: Network, found: Occlusion, i: int, top: int) -> None:
    picture = fitted(network.transform.picture(found.inputs[i].float()), SIDE)
    labels, activity, probabilities = found.labels[i], found.activities[i], found.probabilities[i][:CLASSES]
    heading(figure, found.names[i], LEFT, top - 8, 9, FAINT)
    _covered(figure, network, found, i, top)
    uncovered = float(found.unoccluded[i])
    _heat(figure, found, activity, uncovered, picture, (_left(1), top), f"sum of {str(found.units[i]).split('@')[0]}")
    if np.isfinite(found.agreement[i]):
        words = f"drop and projection: rank corr. {found.agreement[i]:.2f}"
        heading(figure, words, _left(1), top + SIDE + 67, 8, FAINT)
    _projections(figure, network, found.seen[i], top)
    for k, values in enumerate(probabilities):
        name = found.name(int(found.targets[i, k]))
        _heat(figure, found, values, float(found.baselines[i, k]), picture, (_left(4 + k), top), f"P({name})")
    if len(probabilities):
        _labels(figure, found, labels, int(found.firsts[i]), picture, (_left(4 + len(probabilities)), top))


def _covered(figure: Figure, network: Network, found: Occlusion, i: int, top: int) -> None:
    """The picture with the occluder where it takes most from the class, or from the map where there is no class."""
    several = found.probabilities[i]
    values, what = (several[0], "the class") if len(several) else (found.activities[i], "the map")
    t, l, b, r = found.places.boxes[int(values.argmin())].tolist()  # noqa: E741
    x = found.inputs[i].clone()
    x[:, t:b, l:r] = found.cover[i][:, t:b, l:r]
    axes = place(figure, fitted(network.transform.picture(x.float()), SIDE), LEFT, top)
    down, across = SIDE / x.shape[1], SIDE / x.shape[2]
    corner, size = (l * across - 0.5, t * down - 0.5), ((r - l) * across, (b - t) * down)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=ACCENT, linewidth=1))
    heading(figure, f"where it takes most from {what}", LEFT, top + SIDE + 16, 8, FAINT)


def _heat(
    figure: Figure,
    found: Occlusion,
    values: Tensor,
    uncovered: float,
    picture: Pixels,
    where: tuple[int, int],
    name: str,
) -> None:
    """A map (R, C) over the positions, bilinear, with its scale below it."""
    low, high = min(float(values.min()), uncovered), max(float(values.max()), uncovered)
    steady = high - low <= STEADY * max(abs(high), abs(low))
    shares = (_over(found, values, picture).numpy() - low) / (1 if steady else high - low)
    colours = (SCALE(np.full_like(shares, 0.5) if steady else shares)[..., :3] * 255).round().astype(np.uint8)
    left, top = where
    axes = place(figure, _framed(found, colours, picture), left, top)
    if steady:
        heading(figure, f"{name}: {uncovered:.3g} everywhere", left, top + SIDE + 16, 8, FAINT)
        return
    _ring(axes, found, int(values.argmin()))
    ramp = (SCALE(np.linspace(0, 1, SIDE))[None, :, :3] * 255).round().astype(np.uint8).repeat(7, 0)
    place(figure, ramp, left, top + SIDE + 8)
    tick = left + (uncovered - low) / (high - low) * SIDE
    bar = np.broadcast_to(np.array(rgb(TEXT), np.uint8), (5, 2, 3))
    place(figure, bar, tick - 1, top + SIDE + 16)
    heading(figure, f"{low:.3g}", left, top + SIDE + 33, 8, FAINT)
    heading(figure, f"{high:.3g}", left + SIDE - 7 * len(f"{high:.3g}"), top + SIDE + 33, 8, FAINT)
    heading(figure, f"{name}, uncovered {uncovered:.3g}", left, top + SIDE + 50, 8, TEXT)


def _ring(axes: Axes, found: Occlusion, place_: int) -> None:
    """Where a value is least."""
    row, column = divmod(place_, found.places.shape[1])
    height, width = found.inputs.shape[2:]
    x, y = float(found.places.columns[column]) / width * SIDE, float(found.places.rows[row]) / height * SIDE
    for colour, size in (("#131417", 2.6), ("white", 1.2)):
        axes.plot(x - 0.5, y - 0.5, "o", markersize=8, mfc="none", mec=colour, mew=size)


def _reach(centres: Tensor, length: int) -> tuple[float, float]:
    """From where to where positions have something to say: half a step beyond the outermost."""
    step = float(centres[1] - centres[0]) if len(centres) > 1 else 2.0 * length
    return float(centres[0]) - step / 2, float(centres[-1]) + step / 2


def _ticks(length: int) -> NDArray[np.float64]:
    """The places of a panel's pixels in a picture of this length."""
    return (np.arange(SIDE) + 0.5) * length / SIDE


def _over(found: Occlusion, values: Tensor, picture: Pixels, nearest: bool = False) -> Tensor:
    """Values (R, C) at the occluders' centres, for each pixel of a panel."""
    sides = zip((found.places.rows, found.places.columns), found.inputs.shape[2:], strict=True)
    down, across = (weights(centres.tolist(), _ticks(length).tolist()) for centres, length in sides)
    return spread(values, down, across, nearest)


def _framed(found: Occlusion, colours: Pixels, picture: Pixels) -> Pixels:
    """A panel where there are positions, the picture, dark and grey, where there are none."""
    inside = []
    for centres, length in zip((found.places.rows, found.places.columns), found.inputs.shape[2:], strict=True):
        low, high = _reach(centres, length)
        inside.append((_ticks(length) >= low) & (_ticks(length) <= high))
    dark = (picture.mean(2, keepdims=True) * 0.35).astype(np.uint8)
    return np.where((inside[0][:, None] & inside[1][None])[..., None], colours, dark)


def _projections(figure: Figure, network: Network, seen: tuple[Seen, ...], top: int) -> None:
    """The map's projection for this picture, framed, and for others; beside them what the unit sees there."""
    side = SIDE if len(seen) == 1 else TILE
    for k, one in enumerate(seen):
        down, across = divmod(k, 2)
        blank = not one.projection.any()
        shown = np.full((1, 1, 3), 128, np.uint8) if blank else display(one.projection, contrast="percentile")
        patch = cut(network.transform.picture(one.inputs.float()), one.box)
        for column, tile in ((2, shown), (3, patch)):
            left = _left(column) + across * (TILE + 4)
            axes = place(figure, fitted(tile, side), left, top + down * (TILE + 4))
            if k == 0:
                axes.add_patch(Rectangle((0, 0), side - 1, side - 1, fill=False, edgecolor=ACCENT, linewidth=2))
    words = "in the frame: this picture" if len(seen) > 1 else "only this picture: no gallery given"
    heading(figure, words, _left(2), top + SIDE + 16, 8, FAINT)
    heading(figure, "what the unit sees there", _left(3), top + SIDE + 16, 8, FAINT)


def _labels(
    figure: Figure, found: Occlusion, labels: Tensor, first: int, picture: Pixels, where: tuple[int, int]
) -> None:
    """The most probable label at each position, the nearest, and a legend: the label of the whole picture first."""
    left, top = where
    counts = Counter(labels.flatten().tolist())
    named = sorted(counts, key=lambda label: (label != first, -counts[label], label))[:NAMED]
    panel = _over(found, labels, picture, nearest=True).numpy()
    colours = np.broadcast_to(np.array(rgb(EMPTY), np.uint8), (*panel.shape, 3)).copy()
    for label, colour in zip(named, COLOURS, strict=False):
        colours[panel == label] = rgb(colour)
    place(figure, _framed(found, colours, picture), left, top)
    lines = [(found.name(label), counts[label], COLOURS[k]) for k, label in enumerate(named)]
    if rest := labels.numel() - sum(counts[label] for label in named):
        lines.append((f"{len(counts) - len(named)} others", rest, EMPTY))
    for k, (name, count, colour) in enumerate(lines):
        baseline = top + 12 + 22 * k
        swatch = np.broadcast_to(np.array(rgb(colour), np.uint8), (11, 11, 3))
        place(figure, swatch, left + SIDE + 12, baseline - 10)
        share = f"{count / labels.numel():.0%}" if 200 * count >= labels.numel() else "< 1%"
        heading(figure, f"{name[:20]}, {share}", left + SIDE + 30, baseline, 8.5, TEXT)
    words = f"uncovered: {found.name(first)}; shares of positions"
    heading(figure, words, left, top + SIDE + 16, 8, FAINT)
