"""The architecture diagram: the layers of a live network from picture to classes (G1, M1, M2).

A chain of layers is drawn operation by operation; a network that branches, child by child.
"""

import numpy as np

from convscope.errors import NetworkError
from convscope.figures.schematic_file import Facts, Pixels, Schematic, shown
from convscope.figures.svg import ACCENT, COOL, FAINT, TEXT, Sheet, blend
from convscope.models.network import Network
from convscope.pictures import Source
from convscope.probe.rectify import RECTIFIERS
from convscope.probe.trace.geometry import argument, kernels
from convscope.probe.trace.graph import Graph, Node


def architecture(net: Network, picture: "Source | None" = None) -> Schematic:
    """The layers of a network from picture to classes: kernels, strides, maps and sizes (G1, M1, M2).

    A chain of layers is drawn operation by operation; a network that branches, child by child. `picture` is shown
    as the input. Raises the network's own error when it cannot run.
    """
    facts = architecture_facts(net)
    return Schematic("architecture", facts, _draw_architecture(facts, shown(net, picture)))


def architecture_facts(net: Network) -> Facts:
    """{network, input, parameters, stages: [{name, steps: [{layer, op, kernel, stride, …, maps, height, width}]}]}."""
    graph = net.graph()
    return {
        "network": net.name,
        "input": list(net.input_size),
        "parameters": sum(p.numel() for p in net.module.parameters()),
        "stages": _chain(net, graph) if _is_chain(graph) else _children(net, graph),
    }


def _is_chain(graph: Graph) -> bool:
    read = [node for i in graph.nodes[1:] for node in set(i.inputs)]
    return len(read) == len(set(read)) and all(len(set(node.inputs)) <= 1 for node in graph.nodes)


SHOWN = {"conv2d": "conv", "linear": "full", "max_pool2d": "max pool", "avg_pool2d": "mean pool"}
SHOWN |= {"adaptive_avg_pool2d": "mean pool", "local_response_norm": "contrast norm", "batch_norm": "batch norm"}


def _chain(net: Network, graph: Graph) -> list[Facts]:
    """A stage for every convolution or fully connected layer, with what follows it."""
    names = {node: name for name, node in reversed(graph.taps.items())}
    stages: list[Facts] = []
    for node in graph.nodes[1:]:
        op = "rectify" if node.op in RECTIFIERS else SHOWN.get(node.op)
        if op in ("conv", "full"):
            stages.append({"name": names.get(node.index, node.op), "steps": []})
        if op and stages:
            stages[-1]["steps"].append(_step(graph, node, op, names.get(node.index, "")))
    return stages


def _step(graph: Graph, node: Node, op: str, layer: str) -> Facts:
    height, width = node.shape[2:] if len(node.shape) == 4 else (1, 1)
    step = {"layer": layer, "op": op, "maps": node.shape[1], "height": height, "width": width}
    before = graph.nodes[node.inputs[0]].shape
    sliding = kernels(node, (before[2], before[3])) if len(before) == 4 else None
    if sliding is not None:
        step["kernel"] = [k.size for k in sliding]
        step["stride"] = [k.stride for k in sliding]
        step["padding"] = [k.padding for k in sliding]
    if op == "conv" and (groups := argument(node, 6, "groups", 1)) > 1:
        step["groups"] = groups
    return step


def _children(net: Network, graph: Graph) -> list[Facts]:
    """A stage for every child of the network that gives maps or vectors."""
    stages = []
    for name, child in net.module.named_children():
        tap = graph.taps.get(name)
        if tap is None or len(graph.nodes[tap].shape) not in (2, 4) or not any(True for _ in child.parameters()):
            continue
        shape = graph.nodes[tap].shape
        height, width = shape[2:] if len(shape) == 4 else (1, 1)
        step = {"layer": name, "op": type(child).__name__, "maps": shape[1], "height": height, "width": width}
        stages.append({"name": name, "steps": [step]})
    if not stages:
        raise NetworkError(f"network {net.name}: it has no named children to draw")
    return stages


COLUMN, GROUND, TALL = 140.0, 232.0, 128.0  # a stage's width; the line of sizes; how tall the input is drawn
AXIS = GROUND - 26 - TALL / 2  # stacks are centred on this line


def _draw_architecture(facts: Facts, picture: Pixels) -> str:
    stages = facts["stages"]
    most = max(sum(len(_describe(step)) for step in stage["steps"]) for stage in stages)
    sheet = Sheet(COLUMN * (len(stages) + 1) + 40, GROUND + 66 + 16 * most, f"The architecture of {facts['network']}")
    sheet.write(30, 42, facts["network"], 17, TEXT, text_anchor="start", font_weight=600)
    sheet.write(sheet.width - 30, 42, f"{facts['parameters']:,} parameters", 13, FAINT, text_anchor="end")
    channels, height, width = facts["input"]
    middle = 20 + COLUMN / 2
    sheet.picture(middle - TALL / 2, AXIS - TALL / 2, TALL, picture)
    sheet.write(middle, GROUND, f"{channels} @ {height} × {width}", 12, TEXT)
    sheet.write(middle, GROUND + 28, "input", 13, ACCENT, font_weight=600)
    corner = (middle + TALL / 2, AXIS)  # where the last stack ends on the right
    for number, stage in enumerate(stages):
        middle = 20 + COLUMN * (number + 1.5)
        left, right = _draw_stack(sheet, middle, stage["steps"][-1], height)
        sheet.arrow((corner[0] + 8, AXIS), (left - 8, AXIS))
        corner = (right, AXIS)
        sheet.write(middle, GROUND + 28, stage["name"], 13, ACCENT, font_weight=600)
        sheet.lines(middle, GROUND + 48, [line for step in stage["steps"] for line in _describe(step)], 10.5)
    return str(sheet)


def _describe(step: Facts) -> list[str]:
    if step["op"] == "full":
        return [f"{step['maps']:,} units, full"]
    if "kernel" not in step:
        return [step["op"]]
    stride = f" / {step['stride'][0]}" if step["stride"][0] > 1 else ""
    size = f"{step['height']}×{step['width']}"
    line = f"{step['kernel'][0]}×{step['kernel'][1]} {step['op']}{stride} → {size}"
    return [line, f"in {step['groups']} groups"] if "groups" in step else [line]


def _draw_stack(sheet: Sheet, middle: float, step: Facts, input_height: int) -> tuple[float, float]:
    """The maps that leave a stage as a stack of sheets, or its units as a bar; returns its left and right end."""
    if step["height"] == step["width"] == 1:
        tall = min(TALL - 16, 10.5 * np.log2(step["maps"]))
        sheet.box(middle - 8, AXIS - tall / 2, 16, tall, "#2a3a42", stroke=COOL, rx=4)
        sheet.write(middle, GROUND, f"{step['maps']:,}", 12, TEXT)
        return middle - 8, middle + 8
    side = max(18.0, 116 * (step["height"] / input_height) ** 0.42)  # areas as they are would leave dots
    count = max(3, round(np.log2(step["maps"])) - 1)
    shift = 3.5
    half = (side + shift * (count - 1)) / 2
    for k in range(count):
        fill = blend("#20323a", "#41707f", k / (count - 1))
        x, y = middle + half - side - shift * k, AXIS - half + shift * k
        sheet.box(x, y, side, side, fill, stroke=COOL, stroke_width=0.8, rx=2)
    sheet.write(middle, GROUND, f"{step['maps']} @ {step['height']} × {step['width']}", 12, TEXT)
    return middle - half, middle + half
