"""Receptive fields agree with brute force (which pixels move a unit?) and with the tables of METHODS M1 and M2."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn

from convscope.errors import NetworkError
from convscope.probe.trace.geometry import receptive_field, spatial_axes
from convscope.probe.trace.graph import Graph, trace
from tests.nets import Dag, dags
from tests.slow_twins import who_moves


def fields(module: nn.Module, size: tuple[int, int, int]) -> tuple[Graph, list[Any]]:
    graph, _ = trace(module.eval(), torch.zeros(1, *size, dtype=torch.float64))
    return graph, [receptive_field(spatial) for spatial in spatial_axes(graph)]


def agree(module: nn.Module, size: tuple[int, int, int]) -> None:
    graph, found = fields(module, size)
    field, shape = found[-1], graph.nodes[-1].shape
    assert field is not None
    for row, column in {(0, 0), (shape[2] // 2, shape[3] // 2), (shape[2] - 1, shape[3] - 1)}:
        top, left, bottom, right = field.box(row, column)
        clipped = max(top, 0), max(left, 0), min(bottom, size[1]), min(right, size[2])
        moved = who_moves(module, size, row, column)
        inside = clipped == (top, left, bottom, right)  # at the border a stride or dilation may skip the last pixels
        assert moved == clipped if inside else holds(clipped, moved), f"{module} at {row}, {column}"


def holds(box: tuple[int, ...], moved: tuple[int, ...]) -> bool:
    return box[0] <= moved[0] and box[1] <= moved[1] and moved[2] <= box[2] and moved[3] <= box[3]


@settings(max_examples=25, deadline=None)
@given(dags())
def test_random_dags_agree_with_brute_force(net: Dag) -> None:
    try:
        graph, found = fields(net, (3, 19, 17))
    except NetworkError:
        return  # drawn too deep for the picture
    field, shape = found[-1], graph.nodes[-1].shape
    assert field is not None
    row, column = shape[2] // 2, shape[3] // 2
    assert holds(field.box(row, column), who_moves(net, (3, 19, 17), row, column))


class Shuffles(nn.Module):
    """Channel shuffles, slices, permutations and layer norm over channels: rows and columns are followed through."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.norm, self.line = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        n, c, height, width = h.shape
        h = h.view(n, 2, c // 2, height, width).transpose(1, 2).reshape(n, c, height, width)
        left, right = h.chunk(2, 1)
        h = torch.cat([right[:, [0, 1, 2, 3]], F.gelu(left)], 1)
        h = self.line(self.norm(h.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return self.b(F.pad(h, (1, 0, 2, 0)))


def test_channel_shuffles_permutations_and_padding() -> None:
    torch.manual_seed(0)
    agree(Shuffles().double(), (3, 21, 23))


@pytest.mark.parametrize(
    "last",
    [
        nn.ConvTranspose2d(4, 2, 4, 2, 1),
        nn.ConvTranspose2d(4, 2, 3, 2, 0),
        nn.Upsample(scale_factor=2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
    ],
    ids=["transposed4", "transposed3", "nearest", "bilinear"],
)
def test_above_an_upsampling_the_box_holds_what_moves(last: nn.Module) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), last).double()
    _, found = fields(net, (3, 24, 24))
    for place in ((5, 7), (6, 8), (10, 11)):
        box, moved = found[-1].box(*place), who_moves(net, (3, 24, 24), *place)
        assert holds(box, moved)
        assert max(box[2] - box[0] - (moved[2] - moved[0]), 0) <= 8  # and not much more


def test_global_operations_see_the_whole_picture() -> None:
    class Squeeze(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = self.conv(x)
            return self.last(h * h.mean((2, 3), keepdim=True).sigmoid())

    for net in (
        Squeeze(),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(5)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 81, 2)),
    ):
        assert fields(net.double(), (3, 11, 11))[1][-1] is None


def test_pooling_that_divides_is_an_ordinary_window() -> None:
    agree(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(3)).double(), (3, 11, 14))
