"""Receptive-field crops equal full-size projection: random graphs, real architectures, borders, both routes."""

import pytest
import torch
import torchvision
from hypothesis import given, settings
from torch import Tensor, nn

from convscope.errors import NetworkError
from convscope.probe.projection import Projected, Reverse, Units, whole
from convscope.probe.rectify import Rule
from convscope.probe.trace.geometry import spatial_axes
from convscope.probe.trace.graph import trace
from tests.nets import Dag, PreActivation, Spelled, dags


def assembled(found: Projected, like: Tensor) -> Tensor:
    pixels, (height, width) = torch.zeros_like(like), like.shape[2:]
    for row, (top, left) in enumerate(found.top_left.tolist()):
        crop = found.crops[row]
        t, l = max(top, 0), max(left, 0)  # noqa: E741
        b, r = max(t, min(top + crop.shape[1], height)), max(l, min(left + crop.shape[2], width))
        pixels[row, :, t:b, l:r] = crop[:, t - top : b - top, l - left : r - left]
        outside = crop.clone()
        outside[:, t - top : b - top, l - left : r - left] = 0
        assert not outside.any(), "a projection lies outside the picture"
    return pixels


def compare(
    net: nn.Module, layer: str, x: Tensor, rules: tuple[Rule, ...] = ("deconvnet",), tolerance: float = 1e-12
) -> bool:
    """Both windowed routes against autograd over the full picture; False where the layer has no windowed form."""
    net = net.eval().requires_grad_(False)
    graph, _ = trace(net, x[:1])
    shape = graph.node(layer).shape
    corners = [(0, 0), (shape[2] - 1, shape[3] - 1), (shape[2] // 2, 0), (shape[2] // 2, shape[3] // 2)]
    rows = torch.arange(len(corners) * 2)
    units = Units(rows % len(x), rows % shape[1], torch.tensor(corners).repeat(2, 1))
    selection = x.new_zeros(len(rows), *shape[1:])
    selection[rows, units.channel, units.position[:, 0], units.position[:, 1]] = 1
    for rule in rules:
        reverse = Reverse(net, graph, spatial_axes(graph), [layer], rule)
        if reverse.cones[layer] is None:
            return False
        values, pixels, _ = whole(net, x[units.picture], layer, selection, rule)
        scale = float(pixels.abs().max()) or 1.0
        for shared in (torch.tensor(False), torch.tensor(True)):
            found = reverse._windowed(x, {layer: units}, shared.expand(len(x)))[layer]
            torch.testing.assert_close(found.values, values, rtol=0, atol=tolerance * max(1, float(values.abs().max())))
            torch.testing.assert_close(assembled(found, pixels), pixels, rtol=0, atol=tolerance * scale)
    return True


@settings(max_examples=30, deadline=None)
@given(dags())
def test_random_graphs(net: Dag) -> None:
    x = torch.randn(3, 3, 22, 19, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    try:
        trace(net, x[:1])
    except NetworkError:
        return  # drawn too deep for the picture
    assert compare(net, "out", x, ("deconvnet", "guided", "gradient", "none"))


@pytest.mark.parametrize("net", [*map(Spelled, Spelled.HOWS), PreActivation(), PreActivation(True)], ids=repr)
def test_every_spelling(net: nn.Module) -> None:
    x = torch.randn(2, 3, 15, 15, dtype=torch.float64)
    layer = "c" if isinstance(net, Spelled) else "body"
    assert compare(net.double(), layer, x, ("deconvnet", "guided", "gradient", "none"))


@pytest.mark.parametrize(
    ("name", "layer", "side"),
    [
        ("alexnet", "features.11", 224),
        ("alexnet", "features.12", 224),
        ("vgg16", "features.13", 48),
        ("squeezenet1_1", "features.7", 224),
        ("resnet18", "layer2.1.relu", 96),
        ("densenet121", "features.denseblock2.denselayer1.relu2", 64),
        ("googlenet", "inception3b", 96),
        ("shufflenet_v2_x0_5", "stage2.1", 96),
        ("convnext_tiny", "features.1.1", 64),
    ],
)
def test_real_architectures(name: str, layer: str, side: int) -> None:
    torch.manual_seed(0)
    with torch.device("meta"):  # the classifiers' initialisation would take longer than the test
        options = {"init_weights": False} if name in ("googlenet", "vgg16") else {}
        net = torchvision.models.get_model(name, weights=None, **options)
    net = net.to_empty(device="cpu").double()
    for parameter in net.state_dict().values():
        if parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter)
        else:
            parameter.fill_(0.5)
    x = torch.randn(2, 3, side, side, dtype=torch.float64)
    assert compare(net.to(memory_format=torch.channels_last), layer, x, ("deconvnet", "gradient"), 1e-10)


def test_padding_wider_than_the_kernel_and_pools_that_reach_beyond_the_map() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 23, 20, dtype=torch.float64)
    only_padding = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 5, 1, padding=2), nn.ReLU())
    uneven = nn.Sequential(nn.Conv2d(3, 4, (5, 7), 3, (2, 3)), nn.ReLU(), nn.MaxPool2d(3, 2, 1, ceil_mode=True))
    strided = nn.Sequential(nn.Conv2d(3, 4, 4, 3, 1, dilation=2), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, groups=2))
    for net, layer in ((only_padding, "3"), (uneven, "2"), (strided, "2")):
        assert compare(net.double(), layer, x, ("deconvnet", "guided", "gradient", "none"))


def test_float32_agrees_to_rounding() -> None:
    torch.manual_seed(0)
    net = torchvision.models.alexnet(weights=None)
    assert compare(net, "features.7", torch.randn(2, 3, 224, 224), ("deconvnet",), 1e-5)


def test_squeeze_excitation_has_no_windowed_form_but_projects() -> None:
    net = torchvision.models.mobilenet_v3_small(weights=None).eval().double().requires_grad_(False)
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    assert not compare(net, "features.4", x)
    graph, _ = trace(net, x)
    reverse = Reverse(net, graph, spatial_axes(graph), ["features.4"])
    found = reverse(x, {"features.4": Units(torch.tensor([0]), torch.tensor([3]), torch.tensor([[1, 2]]))})
    assert found["features.4"].crops.shape == (1, 3, 64, 64)


def test_rows_keep_their_order_and_do_not_see_one_another() -> None:
    torch.manual_seed(0)
    net = torchvision.models.squeezenet1_1(weights=None).eval().double().requires_grad_(False)
    x = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    graph, _ = trace(net, x[:1])
    reverse = Reverse(net, graph, spatial_axes(graph), ["features.3", "features.4"])
    picture, channel = torch.tensor([2, 0, 1, 0]), torch.tensor([5, 6, 7, 8])
    position = torch.tensor([[0, 0], [3, 4], [14, 14], [7, 0]])
    together = reverse(x, {n: Units(picture, channel, position) for n in reverse.cones})
    for layer, found in together.items():
        for row in range(4):
            pick = slice(row, row + 1)
            one = reverse(x, {layer: Units(picture[pick], channel[pick], position[pick])})[layer]
            torch.testing.assert_close(found.crops[pick], one.crops, rtol=0, atol=1e-12)
