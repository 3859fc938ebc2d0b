"""Incremental inference equals running the whole network on occluded pictures (METHODS F7b)."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from convscope.errors import NetworkError
from convscope.models.catalog import load
from convscope.probe.trace.geometry import spatial_axes
from convscope.probe.trace.graph import trace
from convscope.probe.windows.incremental import Incremental
from tests.nets import Dag, PreActivation, dags

SIDE = 24


def occluders(height: int, width: int, size: int, stride: int) -> Tensor:
    rows, columns = range(0, height - size + 1, stride), range(0, width - size + 1, stride)
    return torch.tensor([[r, c, r + size, c + size] for r in rows for c in columns])


def brute(net: nn.Module, x: Tensor, cover: Tensor, boxes: Tensor) -> Tensor:
    out = []
    for t, l, b, r in boxes.tolist():  # noqa: E741
        covered = x.clone()
        covered[0, :, t:b, l:r] = cover[:, t:b, l:r]
        with torch.no_grad():
            out.append(net(covered))
    return torch.cat(out)


def compare(
    net: nn.Module, x: Tensor, boxes: Tensor, tolerance: float, layers: dict[str, int] | None = None
) -> Incremental:
    net = net.eval().requires_grad_(False)
    graph, _ = trace(net, x)
    cover = torch.randn(x.shape[1:], dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    incremental = Incremental(net, graph, spatial_axes(graph), x, layers or {})
    found, expected = incremental(cover, boxes), brute(net, x, cover, boxes)
    assert found.outputs is not None
    torch.testing.assert_close(found.outputs, expected, rtol=0, atol=tolerance * float(expected.abs().max()))
    for layer, maps in found.maps.items():
        for row in (0, len(boxes) - 1):
            t, l, b, r = boxes[row].tolist()  # noqa: E741
            covered = x.clone()
            covered[0, :, t:b, l:r] = cover[:, t:b, l:r]
            node = graph.node(layer).index
            whole = trace(net, covered, {node})[1][node][0, incremental.channels[layer]]
            torch.testing.assert_close(maps[row], whole, rtol=0, atol=tolerance * float(whole.abs().max() + 1))
    return incremental


class Padded(nn.Module):
    """Padding of another width on each side, groups, dilation, averages that leave padding out, channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, (3, 5), stride=(2, 1), padding=(1, 0), dilation=(1, 2))
        self.second, self.norm = nn.Conv2d(6, 6, (3, 1), groups=3, padding="same"), nn.LayerNorm(6)
        self.last = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(F.pad(x, (2, 0, 1, 3), value=0.5)))
        x = F.max_pool2d(self.second(x), 3, 2, 1, ceil_mode=True)
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = F.avg_pool2d(x * torch.sigmoid(x), 2, 1, ceil_mode=True)
        return self.last(x.mean((2, 3)))


class Squeezed(nn.Module):
    """A global operation between local ones, and a reshape that names its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), nn.Linear(6 * 18 * 18, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        x = F.max_pool2d(self.b(x * x.mean((2, 3), keepdim=True)), 3, 1)
        return self.c(x.reshape(x.size(0), -1))


class Batched(nn.Module):
    """Global, and not to be evaluated on another batch node by node."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 8, 8)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.a(x).flatten(2)
        return torch.cat([torch.ones(len(x), 4, 1, dtype=x.dtype), tokens], 2).sum(2)


@settings(max_examples=25)
@given(dags(), st.integers(1, 24), st.integers(1, 9), st.booleans())
def test_random_graphs(net: Dag, size: int, stride: int, flat: bool) -> None:
    x = torch.randn(1, 3, SIDE, SIDE - 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    size = min(size, SIDE - 3)
    module = nn.Sequential(net, nn.Flatten()) if flat else net
    try:
        graph, _ = trace(module, x)
    except NetworkError:
        return  # drawn too deep for the picture
    assert graph.output is not None
    compare(module, x, occluders(SIDE, SIDE - 3, size, stride), 1e-12, {"0.out" if flat else "out": 0})


@pytest.mark.parametrize("net", [Padded(), Squeezed(), Batched(), PreActivation(), PreActivation(True)], ids=repr)
def test_what_graphs_hold(net: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64)
    compare(net.double(), x, occluders(SIDE, SIDE, 5, 3), 1e-12)


def test_boxes_of_any_size_in_one_call() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64)
    boxes = torch.tensor([[0, 0, 24, 24], [3, 4, 4, 5], [20, 0, 24, 9], [7, 7, 7, 9], [0, 23, 24, 24]])
    compare(PreActivation().double(), x, boxes, 1e-12)


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "squeezenet1_1", "googlenet", "resnet18", "zfnet128"])
def test_real_architectures(name: str) -> None:
    torch.manual_seed(0)
    side, layer = {"zfnet128": 128, "vgg16": 64, "googlenet": 128}.get(name, 160), {}
    if name == "zfnet128":
        network = load(name)
        net, layer = network.working("cpu"), {"relu5": 3}
    else:
        with torch.device("meta"):  # the classifiers' initialisation would take longer than the test
            options = {"init_weights": False} if name in ("googlenet", "vgg16") else {}
            net = torchvision.models.get_model(name, weights=None, **options)
        net = net.to_empty(device="cpu")
        for parameter in net.state_dict().values():
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter)
            else:
                parameter.fill_(0.5)
    x = torch.randn(1, 3, side, side)
    incremental = compare(net, x, occluders(side, side, 24, 40), 1e-5, layer)
    assert incremental.replays
    assert len(incremental.reads) > len(incremental.globals), "most of it is local"


def test_the_plan_saves_multiplications_and_a_cap_saves_more() -> None:
    net = load("zfnet128")
    incremental = Incremental(net.working("cpu"), net.graph(), net.geometry(), torch.zeros(1, 3, 128, 128), {})
    boxes = occluders(128, 128, 16, 16)
    exact, capped = (incremental.boxes(boxes, cap).multiplications for cap in (1.0, 0.5))
    whole = incremental.boxes(torch.tensor([[0, 0, 128, 128]])).multiplications
    assert capped < exact < 0.6 * whole


def test_the_module_and_the_picture_are_left_alone() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64)
    before = x.clone()
    incremental = compare(PreActivation(True).double(), x, occluders(SIDE, SIDE, 4, 6), 1e-12)
    assert torch.equal(x, before)
    again = incremental(torch.zeros_like(x[0]), torch.tensor([[0, 0, 0, 0]])).outputs  # covers nothing
    assert incremental.outputs is not None
    assert again is not None
    torch.testing.assert_close(again, incremental.outputs)
