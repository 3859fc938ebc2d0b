"""The schematics say what a live forward pass says (G1)."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import ArgumentError, NetworkError, UnitError
from convscope.figures.architecture import architecture
from convscope.figures.ascent import ascent
from convscope.figures.schematics import schematics
from convscope.figures.switch import switch
from convscope.models.network import Network
from convscope.models.variants import build
from convscope.models.zfnet import initialise
from convscope.probe.rectify import Rectified
from convscope.probe.trace.record import run

SMALL = {"maps": (8, 8, 12, 12, 8), "fc": (16, 16), "classes": 5}


def network(base: str = "zfnet", side: int = 224) -> Network:
    module = build({"base": base, "side": side, **SMALL})
    initialise(module, "he", 1)
    return Network(module, (3, side, side), name=f"small-{base}")


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        return self.head((x + self.branch(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("base", "sizes"),
    [("zfnet", (110, 55, 26, 13, 13, 13, 13, 6)), ("alexnet", (55, 27, 27, 13, 13, 13, 13, 6))],
)
def test_every_size_is_that_of_a_live_pass(base: str, sizes: tuple[int, ...]) -> None:
    net = network(base)
    steps = [step for stage in architecture(net).facts["stages"] for step in stage["steps"]]
    module = net.working("cpu")
    outputs = run(module, torch.zeros(1, *net.input_size), [step["layer"] for step in steps])
    for step in steps:
        assert outputs[step["layer"]][0].numel() == step["maps"] * step["height"] * step["width"]
    moved = [step for step in steps if "kernel" in step]
    assert tuple(step["height"] for step in moved) == sizes
    for step in moved:
        child = module.get_submodule(step["layer"])
        kernel = child.kernel_size if isinstance(child.kernel_size, tuple) else (child.kernel_size,) * 2
        assert tuple(step["kernel"]) == kernel


@pytest.mark.parametrize(
    ("base", "sizes", "parameters"),
    [("m5", [14, 7, 4, 2], 53_002), ("m6", [112, 56, 28, 14, 7, 3, 2, 1], 258_693)],
)
def test_the_student_convnets_are_drawn_from_a_live_pass(base: str, sizes: list[int], parameters: int) -> None:
    module = build({"base": base})
    net = Network(module, (module.architecture["channels"], *[module.architecture["side"]] * 2), 0.0, 1.0)
    drawn = architecture(net)
    steps = [step for stage in drawn.facts["stages"] for step in stage["steps"]]
    outputs = run(net.working("cpu"), torch.zeros(1, *net.input_size), [step["layer"] for step in steps])
    assert all(outputs[s["layer"]][0].numel() == s["maps"] * s["height"] * s["width"] for s in steps)
    assert [step["height"] for step in steps if "kernel" in step] == sizes
    assert drawn.facts["parameters"] == parameters
    ElementTree.fromstring(drawn.svg)


def test_the_architecture_is_named_by_its_layers_and_counts_parameters() -> None:
    net = network("alexnet")
    facts = architecture(net).facts
    assert [stage["name"] for stage in facts["stages"]] == [f"conv{n}" for n in range(1, 6)] + ["fc6", "fc7", "fc8"]
    assert facts["parameters"] == sum(p.numel() for p in net.module.parameters())
    assert facts["stages"][1]["steps"][0]["groups"] == 2
    assert [step["op"] for step in facts["stages"][0]["steps"]] == ["conv", "rectify", "contrast norm", "max pool"]


def test_a_network_that_branches_is_drawn_child_by_child() -> None:
    facts = architecture(Network(Branching(), (3, 32, 32))).facts
    assert [(s["name"], s["steps"][0]["maps"], s["steps"][0]["height"]) for s in facts["stages"]] == [
        ("stem", 4, 15),
        ("branch", 4, 15),
        ("head", 2, 1),
    ]


def test_a_switch_stands_where_the_maximum_was(picture: np.ndarray) -> None:
    net = network(side=96)
    facts = switch(net, picture).facts
    outputs = run(net.working("cpu"), net.transform(picture)[None], ["relu1", "pool1"])
    top, left, bottom, right = facts["window"]
    below = outputs["relu1"][0, facts["channel"]]
    np.testing.assert_allclose(facts["map"], below[top:bottom, left:right], rtol=1e-6)
    a, b, c, d = facts["cells"]
    np.testing.assert_allclose(facts["pooled"], outputs["pool1"][0, facts["channel"], a:c, b:d], rtol=1e-6)
    for i, j in np.ndindex(2, 2):
        assert float(below[tuple(facts["switches"][i][j])]) == pytest.approx(facts["pooled"][i][j])
    assert np.sum(facts["unpooled"]) == pytest.approx(np.sum(facts["pooled"]))


def test_the_unpooled_window_is_what_the_deconvnet_passes_down(picture: np.ndarray) -> None:
    net = network(side=96)
    facts = switch(net, picture).facts
    module: Any = net.working("cpu")
    x = net.transform(picture)[None].requires_grad_()
    with Rectified():
        below = module.relu1(module.conv1(x))
        above = module.pool1(below)
    a, b, c, d = facts["cells"]
    signal = torch.zeros_like(above)
    signal[0, facts["channel"], a:c, b:d] = torch.tensor(facts["pooled"])
    (down,) = torch.autograd.grad(above, below, signal)
    top, left, bottom, right = facts["window"]
    np.testing.assert_allclose(facts["unpooled"], down[0, facts["channel"], top:bottom, left:right], rtol=1e-5)


def test_without_max_pooling_there_is_no_switch(picture: np.ndarray) -> None:
    net = Network(Branching(), (3, 32, 32))
    with pytest.raises(NetworkError, match="no max-pooling"):
        switch(net, picture)
    assert [drawing.name for drawing in schematics(net, picture)] == ["architecture", "ascent"]


def test_the_ascent_climbs_and_is_the_same_every_time() -> None:
    net = network(side=96)
    first, second = ascent(net, "relu3:2", steps=6, seed=4), ascent(net, "relu3:2", steps=6, seed=4)
    assert first == second
    assert first.facts["values"][-1] > first.facts["values"][0]
    assert len(first.facts["values"]) == 7


def test_the_first_value_of_the_ascent_is_that_of_a_live_pass() -> None:
    net = network(side=96)
    facts = ascent(net, "relu2:3@1,2", steps=1, seed=4).facts
    torch.manual_seed(4)
    scale = 58 / 255 / float(torch.as_tensor(net.std).double().mean())
    noise = 0.2 * scale * torch.randn(1, 3, 96, 96)
    assert facts["values"][0] == pytest.approx(
        float(run(net.working(), noise, ["relu2"])["relu2"][0, 3, 1, 2]), rel=1e-4
    )


def test_bad_settings_of_the_ascent_are_named() -> None:
    net = network(side=96)
    with pytest.raises(ArgumentError, match="steps"):
        ascent(net, "relu1:0", steps=0)
    with pytest.raises(UnitError, match="channels 0 to 7"):
        ascent(net, "relu1:8")


def test_files_hold_the_drawing_and_its_numbers(picture: np.ndarray, tmp_path: Path) -> None:
    for drawing in schematics(network(side=96), picture):
        svg, numbers = drawing.write(tmp_path)
        root = ElementTree.parse(svg).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert json.loads(numbers.read_text()) == drawing.facts
    shown = " ".join(ElementTree.parse(tmp_path / "architecture.svg").getroot().itertext())
    assert "small-zfnet" in shown
    assert "7×7 conv / 2 → 46×46" in shown
