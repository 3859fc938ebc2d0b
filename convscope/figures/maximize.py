"""The pictures that excite targets most, with how the score rose (METHODS A1-A4, P2-P5)."""

import math
from typing import Annotated, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from convscope.errors import ArgumentError
from convscope.experiments.maximize import Optima
from convscope.figures.grid import DPI, EMPTY, FAINT, canvas, fitted, heading, place, rgb
from convscope.figures.svg import COOL
from convscope.models.network import Network
from convscope.pictures import levels_of, standardised
from convscope.probe.optimize.parameterizations import sized

Pixels = NDArray[np.uint8]
Display = Literal["auto", "pixels", "standardised"]

LEFT, GAP, HEAD = 28, 16, 46  # pixels: the margin, between tiles, above them
CURVE, UNDER = 34, 84  # the height of a history, what stands below a tile
SMALLEST, LARGEST = 128, 224  # sides of a tile
BEST = 64  # channels of the preset channel (METHODS P2)


def maximize(
    network: Network,
    found: Optima,
    *,
    display: Annotated[Display, "how values become colours [default: standardised from noise, else pixels]"] = "auto",
    curves: Annotated[bool, "draw how the score rose"] = True,
    best: Annotated[
        int | None, "only so many targets, highest score first [default: all; with the preset channel 64]"
    ] = None,
) -> Figure:
    """A tile for every optimum, its score over the steps below it; with several starts or seeds, or something to
    compare with, a row for every target, the original first (METHODS P3). What was skipped stays blank, or is left out
    where only the best are shown.

    "standardised" is (x - mean) / std · 0.1 + 0.5 of each picture's own mean and deviation (V5); "pixels" shows what a
    picture of these values would look like.
    """
    each = len(set(zip(found.starts, found.seeds, strict=True)))
    shown = _chosen(found, each, best)
    compared = found.originals is not None
    columns = each + compared if each + compared > 1 else min(math.ceil(math.sqrt(len(shown))), 8)
    side = min(max(max(found.pictures.shape[2:]), SMALLEST), LARGEST)
    lines = math.ceil(len(shown) * (1 + compared / each) / columns)
    across, down = side + GAP, side + UNDER - (0 if curves else CURVE)
    figure = canvas(max(2 * LEFT + columns * across - GAP, 420), HEAD + lines * down)
    heading(figure, f"What excites {network.name} most{_left_out(found, shown, each)}", LEFT, 26)
    for number, row in enumerate(shown):
        line, column = divmod(number, each) if compared or each > 1 else divmod(number, columns)
        left, top = LEFT + (column + compared) * across, HEAD + 18 + line * down
        if compared and column == 0 and found.originals is not None:
            original = pixels(network, found.originals[row])
            place(figure, fitted(original, side), LEFT, top, title=f"{found.targets[row].name}: a picture")
        tile = _tile(network, found, row, display)
        place(figure, fitted(tile, side), left, top, title=_title(found, row, each == 1 or column == 0, compared))
        if curves:
            _curve(figure, found, row, (left, top + side + 4, side))
    return figure


def _chosen(found: Optima, each: int, best: int | None) -> list[int]:
    """The rows to show, `each` a target: all in order, or those of the `best` targets that were not skipped, highest
    score first; of the preset channel (it skips), the best 64 (METHODS P2).
    """
    if best is None and not found.how.skip:
        return list(range(len(found.targets)))
    best = BEST if best is None else best
    if best < 1:
        raise ArgumentError("best", best, "expected at least 1")
    skipped = torch.tensor([status == "skipped" for status in found.status]).view(-1, each).all(1)
    highest = found.history["score"][:, -1].view(-1, each).amax(1)
    order = highest.masked_fill(skipped, -torch.inf).argsort(descending=True, stable=True)
    kept = order[: min(best, int((~skipped).sum()))].tolist()
    return [target * each + k for target in kept for k in range(each)]


def _left_out(found: Optima, shown: list[int], each: int) -> str:
    """What the heading says of targets that are not shown."""
    if len(shown) == len(found.targets):
        return ""
    skipped = sum(found.status[k] == "skipped" for k in set(range(len(found.targets))) - set(shown)) // each
    words = f": {len(shown) // each} of {len(found.targets) // each}"
    return f"{words}, {skipped} skipped" if skipped else words


def _title(found: Optima, row: int, first: bool, compared: bool) -> str:
    """What a tile is that the `first` of its line, or the picture to compare with, has not said."""
    parts = [found.targets[row].name] if first and not compared else []
    if compared or len(set(found.starts)) > 1:
        parts.append(f"from {found.starts[row].replace('-', ' ')}")
    if len(set(found.seeds)) > 1:
        parts.append(f"seed {found.seeds[row]}")
    if found.status[row] in ("stuck", "skipped"):
        parts.append(found.status[row])
    return ", ".join(parts)


def _tile(network: Network, found: Optima, row: int, display: Display) -> Pixels:
    picture = found.pictures[row]
    if found.status[row] == "skipped":
        return np.full((1, 1, 3), rgb(EMPTY), np.uint8)
    if display == "auto":
        return found.shown[row].numpy()
    return standardised(picture) if display == "standardised" else pixels(network, picture)


def pixels(network: Network, picture: Tensor) -> Pixels:
    """A picture (C, H, W) in network space, of any size, as (H, W, 3)."""
    size = (picture.shape[1], picture.shape[2])
    mean, std = (sized(network.transform.cropped(t), size) for t in (network.mean, network.std))
    return levels_of(picture.float() * std + mean)


def _curve(figure: Figure, found: Optima, row: int, where: tuple[float, float, float]) -> None:
    """The score over the steps, with its first and last value."""
    left, top, side = where
    width, height = figure.get_size_inches() * DPI
    scores = found.history["score"][row].numpy()
    axes = figure.add_axes((left / width, 1 - (top + CURVE) / height, side / width, CURVE / height))
    axes.plot(scores, color=COOL, lw=1.2)
    axes.set_axis_off()
    axes.margins(0.01, 0.15)
    words = f"{scores[0]:.3g} → {scores[-1]:.3g}"
    if "probability" in found.history and torch.isfinite(found.history["probability"][row, -1]):
        chance = float(found.history["probability"][row, -1])
        words += f", P = {chance:{'.2g' if chance > 0.01 else '.1g'}}"
    heading(figure, words, left, top + CURVE + 14, size=8.5, colour=FAINT)
