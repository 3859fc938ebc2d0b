"""A switch at work: one pooling window on its way up and, by its switches, down again (G1, V2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import NetworkError
from convscope.figures.schematic_file import Facts, Pixels, Schematic
from convscope.figures.svg import ACCENT, COOL, FAINT, PANEL, SHEET, TEXT, Sheet, blend
from convscope.models.network import Network
from convscope.pictures import Source, display
from convscope.probe.rectify import Rectified, unpooled
from convscope.probe.trace.geometry import argument, kernels, receptive_field
from convscope.probe.trace.graph import Graph, Node, trace


def switch(net: Network, picture: Source) -> Schematic:
    """One pooling window of the network's first max-pooling on its way up and, by its switches, down again (G1, V2).

    Two by two neighbouring cells of the pooled map, where some map is strongest. Raises NetworkError for a network
    without max-pooling on the way.
    """
    facts, seen, projected = switch_facts(net, picture)
    return Schematic("switch", facts, _draw_switch(facts, seen, projected))


def has_switches(net: Network) -> bool:
    """Whether a max-pooling with at least two rows and columns is on the network's way."""
    return _first_pool(net.graph()) is not None


def _first_pool(graph: Graph) -> Node | None:
    return next((node for node in graph.nodes if node.op == "max_pool2d" and min(node.shape[2:]) > 1), None)


def switch_facts(net: Network, picture: Source) -> tuple[Facts, Pixels, Pixels]:
    """The numbers of the drawing, the pixels the window sees, and what comes back of them (both (H, W, 3))."""
    module, inputs = net.working("cpu"), net.transform(picture)[None].to(net.dtype)
    graph, _ = trace(module, inputs)
    pool = _first_pool(graph)
    if pool is None:
        raise NetworkError(f"network {net.name}: it has no max-pooling, so no switches to draw")
    with Rectified() as _, torch.enable_grad():
        leaf = inputs.clone().requires_grad_()
        values: dict[int, Tensor] = {0: leaf}
        for index in graph.ancestors(pool.index)[1:]:
            values[index] = graph.nodes[index](values)
        below, above = values[pool.inputs[0]], values[pool.index]
        place = _telling_window(below.detach(), above.detach())
        cells = (0, place[0], slice(place[1], place[1] + 2), slice(place[2], place[2] + 2))
        signal = torch.zeros_like(above)
        signal[cells] = above.detach()[cells]
        (projected,) = torch.autograd.grad(above, leaf, signal)
    facts = _window_facts(net, graph, pool, below.detach(), signal, place)
    box = _clipped(facts["pixels"], inputs.shape[2:])
    seen = net.transform.picture(inputs[0].float())[box]
    return facts, seen, display(projected[0][(slice(None), *box)])


def _telling_window(below: Tensor, above: Tensor) -> tuple[int, int, int]:
    """(channel, row, column) of the 2 x 2 pooled cells that stand out most from the mean of their map, all positive.

    Where there are some, cells of which two share their maximum, so that the drawing shows what becomes of overlap.
    """
    least = -F.max_pool2d(-above, 2, stride=1)[0]
    contrast = least - below.mean((2, 3))[0][:, None, None]
    order = contrast.flatten().argsort(descending=True, stable=True)[:256].tolist()
    places = [(i // least[0].numel(), *divmod(i % least[0].numel(), least.shape[2])) for i in order]
    distinct = (len(set(above[0, c, i : i + 2, j : j + 2].flatten().tolist())) for c, i, j in places)
    return next((place for place, count in zip(places, distinct, strict=True) if count == 3), places[0])


def _window_facts(
    net: Network, graph: Graph, pool: Node, below: Tensor, signal: Tensor, place: tuple[int, int, int]
) -> Facts:
    channel, row, column = place
    sliding = kernels(pool, (below.shape[2], below.shape[3]))
    assert sliding is not None  # every max_pool2d slides
    rows, columns = sliding
    top, left = row * rows.stride - rows.padding, column * columns.stride - columns.padding
    bottom, right = top + rows.stride + rows.size, left + columns.stride + columns.size
    window = (slice(max(top, 0), min(bottom, below.shape[2])), slice(max(left, 0), min(right, below.shape[3])))
    args = {"kernel_size": (rows.size, columns.size), "stride": (rows.stride, columns.stride)}
    ceil = bool(argument(pool, 5, "ceil_mode", False))
    pooled, where = F.max_pool2d(
        below, **args, padding=(rows.padding, columns.padding), ceil_mode=ceil, return_indices=True
    )
    down = unpooled(signal, where, (below.shape[2], below.shape[3]), "switch")
    corner = (0, channel, slice(row, row + 2), slice(column, column + 2))
    names = {node: name for name, node in reversed(graph.taps.items())}
    field = receptive_field(net.geometry()[pool.index])
    boxes = [field.box(row, column), field.box(row + 1, column + 1)] if field else []
    return {
        "network": net.name,
        "layer": names.get(pool.index, "max_pool2d"),
        "below": names.get(pool.inputs[0], graph.nodes[pool.inputs[0]].op),
        "channel": channel,
        "kernel": [rows.size, columns.size],
        "stride": [rows.stride, columns.stride],
        "window": [window[0].start, window[1].start, window[0].stop, window[1].stop],
        "cells": [row, column, row + 2, column + 2],
        "pixels": [*boxes[0][:2], *boxes[1][2:]] if boxes else [0, 0, *net.input_size[1:]],
        "map": below[0, channel][window].tolist(),
        "pooled": pooled[corner].tolist(),
        "switches": [[list(divmod(int(w), below.shape[3])) for w in line] for line in where[corner]],
        "unpooled": down[0, channel][window].tolist(),
    }


def _clipped(box: list[int], size: torch.Size) -> tuple[slice, slice]:
    return slice(max(box[0], 0), min(box[2], size[0])), slice(max(box[1], 0), min(box[3], size[1]))


CELL = 40.0


def _draw_switch(facts: Facts, seen: Pixels, projected: Pixels) -> str:
    high, wide = len(facts["map"]) * CELL, len(facts["map"][0]) * CELL
    sheet = Sheet(440 + wide + 2 * CELL, 2 * high + 260, "A pooling switch at work")
    title = f"A switch at work: {facts['layer']} of {facts['network']}, map {facts['channel']}"
    sheet.write(30, 42, title, 17, TEXT, text_anchor="start", font_weight=600)
    first, second = 104.0, 104 + high + 116
    maps, cells = 250.0, 250 + wide + 150
    largest = max(max(line) for line in facts["pooled"])
    for y, label, colour in ((first, "convnet, upward", COOL), (second, "deconvnet, downward", ACCENT)):
        sheet.write(30, y - 22, label, 13, colour, text_anchor="start", font_weight=600)
    side = min(high, 150.0)
    sheet.picture(40, first + (high - side) / 2, side, seen, smooth=False)
    sheet.picture(40, second + (high - side) / 2, side, projected, smooth=False)
    _draw_cells(sheet, maps, first, facts["map"], largest, COOL)
    _draw_cells(sheet, maps, second, facts["unpooled"], largest, ACCENT)
    middle = high / 2
    _draw_cells(sheet, cells, first + middle - CELL, facts["pooled"], largest, COOL)
    _draw_cells(sheet, cells, second + middle - CELL, facts["pooled"], largest, ACCENT)
    _draw_marks(sheet, facts, maps, first, second)
    kernel, stride = facts["kernel"], facts["stride"]
    pool = f"max pool {kernel[0]} × {kernel[1]} / {stride[0]}"
    for y, tail, tip, colour, above, below in (
        (first, 40 + side + 12, maps - 12, COOL, "filter,", "rectify"),
        (first, maps + wide + 14, cells - 14, COOL, pool, ""),
        (second, cells - 14, maps + wide + 14, ACCENT, "unpool", ""),
        (second, maps - 12, 40 + side + 12, ACCENT, "rectify,", "filterᵀ"),
    ):
        sheet.arrow((tail, y + middle), (tip, y + middle), colour=colour)
        sheet.write((tail + tip) / 2, y + middle - 9, above, 11, FAINT)
        sheet.write((tail + tip) / 2, y + middle + 18, below, 11, FAINT)
    _caption_switch(sheet, facts, (maps, cells), (first, second), (high, wide), side)
    return str(sheet)


def _caption_switch(
    sheet: Sheet,
    facts: Facts,
    columns: tuple[float, float],
    rows: tuple[float, float],
    size: tuple[float, float],
    side: float,
) -> None:
    (maps, cells), (first, second), (high, wide) = columns, rows, size
    top, left, bottom, right = facts["window"]
    between = (first + high + second) / 2
    sheet.write(
        maps + wide / 2, first - 10, f"{facts['below']}, rows {top}–{bottom - 1}, columns {left}–{right - 1}", 11, FAINT
    )
    sheet.write(cells + CELL, first + high / 2 - CELL - 10, "pooled", 11, FAINT)
    sheet.write(cells + CELL, second + high / 2 - CELL - 10, "from above", 11, FAINT)
    sheet.write(
        maps + wide / 2, second + high + 22, "each value back where it came from, sums where windows agree", 11, FAINT
    )
    sheet.write(40 + side / 2, first + (high + side) / 2 + 18, "what the window sees", 11, FAINT)
    sheet.write(40 + side / 2, second + (high + side) / 2 + 18, "what excited it", 11, FAINT)
    sheet.arrow(
        (maps + wide / 2, first + high + 12), (maps + wide / 2, second - 30), colour=FAINT, stroke_dasharray="3 4"
    )
    sheet.write(maps + wide / 2 + 12, between, "switches: where each maximum was", 12, TEXT, text_anchor="start")


def _draw_cells(sheet: Sheet, x: float, y: float, values: list[list[float]], largest: float, hot: str) -> None:
    """A grid of numbers on colours from the background (0) to `hot` (`largest`)."""
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            share = value / largest if largest > 0 else 0.0
            left, top = x + j * CELL, y + i * CELL
            sheet.box(left, top, CELL, CELL, blend(PANEL, hot, 0.85 * share), stroke=SHEET, stroke_width=1.5)
            if value:
                ink = SHEET if share > 0.6 else TEXT
                sheet.write(
                    left + CELL / 2, top + CELL / 2 + 4, f"{value:.2f}", 11, ink, font_variant_numeric="tabular-nums"
                )


def _draw_marks(sheet: Sheet, facts: Facts, x: float, first: float, second: float) -> None:
    """The four pooling windows as outlines, and a ring around every switch, above and below."""
    top, left, bottom, right = facts["window"]
    kernel, stride = facts["kernel"], facts["stride"]
    for i in range(2):
        for j in range(2):
            inset = 2.0 + 2.0 * (i + j)
            a, b = max(i * stride[0], 0), max(j * stride[1], 0)
            high, wide = min(kernel[0], bottom - top - a) * CELL, min(kernel[1], right - left - b) * CELL
            sheet.box(
                x + b * CELL + inset, first + a * CELL + inset, wide - 2 * inset, high - 2 * inset, "none",
                stroke="#ffffff", stroke_opacity=0.45, stroke_width=1.2, rx=5,
            )  # fmt: skip
    for row, column in {tuple(place) for line in facts["switches"] for place in line}:
        for y in (first, second):
            centre = {"cx": x + (column - left + 0.5) * CELL, "cy": y + (row - top + 0.5) * CELL}
            sheet.add("circle", **centre, r=CELL * 0.44, fill="none", stroke=TEXT, stroke_width=1.8)
