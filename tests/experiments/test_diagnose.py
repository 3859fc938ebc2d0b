"""Faults planted in a first layer are found, and a sound one raises no alarm (METHODS F6)."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convscope
from convscope import Network
from convscope.errors import ArgumentError, DataError, LayerError, NetworkError, WeightsError
from convscope.experiments.diagnose import Diagnosis, diagnose, shift_inconsistency
from convscope.figures.diagnose import diagnose as draw
from convscope.probe.filters.filters import convolution
from convscope.probe.filters.first_layer_checks import CHECKS

PICTURES = torch.randn(12, 3, 48, 48, generator=torch.Generator().manual_seed(3)).cumsum(2).cumsum(3) / 30


def plane(side: int, angle: float) -> tuple[Tensor, Tensor]:
    line = torch.arange(side).double() - (side - 1) / 2
    down, across = torch.meshgrid(line, line, indexing="ij")
    return across * math.cos(angle) + down * math.sin(angle), torch.exp(-(across**2 + down**2) / (side / 2) ** 2 * 2)


def gabors(side: int = 7) -> Tensor:
    angles, phases, frequencies = [k * math.pi / 8 for k in range(8)], (0, math.pi / 2), (0.05, 0.1, 0.15, 0.2)
    waves = [
        torch.cos(2 * math.pi * f * plane(side, a)[0] + phase) * plane(side, a)[1]
        for f in frequencies
        for a in angles
        for phase in phases
    ]
    return torch.stack(waves)


def sinusoids(frequency: float, side: int = 11) -> Tensor:
    return torch.stack([torch.cos(2 * math.pi * frequency * plane(side, k * math.pi / 8)[0]) for k in range(8)])


def chirps(side: int = 11) -> Tensor:
    """From 0.05 to 0.4 cycles a pixel across the filter."""
    along = [plane(side, k * math.pi / 8)[0] + side / 2 for k in range(8)]
    return torch.stack([torch.cos(2 * math.pi * (0.05 * u + 0.35 * u * u / (2 * side))) for u in along])


def network(filters: Tensor, stride: int | tuple[int, int] = 2, channels: int = 3) -> Network:
    torch.manual_seed(0)
    first = nn.Conv2d(channels, len(filters), filters.shape[-1], stride, bias=False)
    first.weight.data = filters[:, None].expand(-1, channels, -1, -1).float().contiguous()
    second = nn.Conv2d(len(filters), 6, 3)
    module = nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU())
    return Network(module, (channels, 48, 48), 0.0, 1.0, name="planted")


def alarms(found: Diagnosis) -> dict[str, str]:
    return {finding.code: finding.place for finding in found.alarms}


@pytest.mark.parametrize("side", [7, 11])
def test_gabors_of_middle_frequencies_raise_no_alarm(side: int) -> None:
    assert alarms(diagnose(network(gabors(side)), PICTURES)) == {}
    assert alarms(diagnose(network(gabors(side)), "gallery", limit=12)) == {}


def test_planted_filters_are_found_where_they_are() -> None:
    bank = gabors()
    bank[5] *= 20
    bank[9] = 0
    found = alarms(diagnose(network(bank), PICTURES))
    assert found == {"dominant": "0:5", "dead-weight": "0:9", "dead-activity": "0:9"}
    before, after = (diagnose(network(each)).layers[0].relative for each in (gabors(), bank))
    assert float(after[5]) == pytest.approx(20 * float(before[5]), rel=0.1)


def test_sinusoids_of_one_frequency_and_too_high_ones() -> None:
    assert list(alarms(diagnose(network(sinusoids(0.12))))) == ["coverage"]
    high = alarms(diagnose(network(sinusoids(0.4))))
    assert {"mid-frequencies", "high-frequencies", "coverage", "aliasing"} <= set(high)
    measured = diagnose(network(sinusoids(0.3))).layers[0].frequency
    assert measured.tolist() == pytest.approx([0.3] * 8, abs=0.03)


def test_a_chirp_is_aliased_at_stride_four_and_less_at_two() -> None:
    coarse, fine = (diagnose(network(chirps(), stride), PICTURES).layers[0] for stride in (4, 2))
    assert coarse.shift is not None
    assert fine.shift is not None
    assert coarse.grid is not None
    assert fine.grid is not None
    assert {"aliasing", "grid"} <= {f.code for f in coarse.findings if f.severity != "ok"}
    assert float(coarse.aliasing.mean()) > 1.5 * float(fine.aliasing.mean())
    assert coarse.shift > 1.5 * fine.shift
    assert coarse.grid > 1.5 * fine.grid


def test_a_filter_that_never_responds() -> None:
    net = network(gabors())
    bias = torch.zeros(64)
    bias[3] = -1e6
    net.module.get_submodule("0").register_parameter("bias", nn.Parameter(bias))
    found = diagnose(net, PICTURES)
    assert alarms(found) == {"dead-activity": "0:3"}
    fires = found.layers[0].fires
    assert fires is not None
    assert float(fires[3]) == 0
    assert "dead-activity" not in {finding.code for finding in diagnose(net).findings}
    assert "without pictures" in diagnose(net).notes[0]


def test_copies_are_no_distinct_filters() -> None:
    one = gabors()[:1].expand(6, -1, -1) * torch.arange(1, 7)[:, None, None]
    assert "distinctiveness" in alarms(diagnose(network(one)))


def test_random_filters_are_not_selective_and_gratings_among_them_count() -> None:
    net = network(gabors())
    noise = torch.randn(64, 3, 7, 7, generator=torch.Generator().manual_seed(5))
    shares = []
    for gratings in (0, 32):
        net.module[0].weight.data[gratings:] = noise[gratings:]  # type: ignore[index]
        found = diagnose(net)
        shares.append({finding.code: finding.value for finding in found.findings})
        if not gratings:
            assert {"oriented", "frequency-selective"} <= set(alarms(found))
        net = network(gabors())
    assert shares[0]["oriented"] < 0.2
    assert shares[1]["oriented"] > 0.3


def test_small_filters_are_not_compared_with_noise() -> None:
    codes = {finding.code for finding in diagnose(network(torch.randn(6, 3, 3))).findings}
    assert not codes & {"oriented", "frequency-selective"}


def test_shift_inconsistency_against_the_obvious_way() -> None:
    net = network(gabors(5)[:3], (3, 2))
    bank, x = convolution(net.graph()), PICTURES[:2].double()
    ratios = []
    for axis, stride in ((2, 3), (3, 2)):
        for d in range(1, stride):
            moved = torch.zeros_like(x)
            moved.narrow(axis, d, 48 - d).copy_(x.narrow(axis, 0, 48 - d))
            plain, shifted = (F.conv2d(each, bank.filters, stride=bank.stride).relu() for each in (x, moved))
            count = (48 - stride + 1 - 5) // stride  # units whose window holds no border
            for y, z in zip(plain, shifted, strict=True):
                y, z = y.transpose(axis - 1, -1), z.transpose(axis - 1, -1)
                ratios.append((y, z, d, stride, count))
    values = []
    for y, z, d, stride, _ in ratios:
        interpolated = (1 - d / stride) * y[..., 1:] + d / stride * y[..., :-1]
        values.append(float((z[..., 1:] - interpolated).norm() / y[..., 1:].norm()))
    assert shift_inconsistency(bank, x) == pytest.approx(np.mean(values), rel=0.15)  # other units at the border


def test_a_chirp_picture_moves_inconsistently_at_stride_four() -> None:
    u = torch.arange(96).double()
    picture = torch.cos(2 * math.pi * 0.45 * u * u / (2 * 96)).expand(1, 3, 96, 96)
    fine, coarse = (shift_inconsistency(convolution(network(gabors(), stride).graph()), picture) for stride in (2, 4))
    assert fine is not None
    assert coarse is not None
    assert coarse > 1.5 * fine
    assert shift_inconsistency(convolution(network(gabors(), 1).graph()), picture) is None


@pytest.mark.parametrize(
    "first",
    [
        nn.Conv2d(3, 6, 5, 2, groups=3),
        nn.Conv2d(3, 5, (3, 7), (1, 2)),
        nn.Conv2d(3, 1, 11, 4),
        nn.Conv2d(3, 7, 1),
        nn.Conv2d(3, 4, 16, 16),
        nn.Sequential(nn.Conv2d(3, 4, 3, 2, dilation=2, bias=False), nn.BatchNorm2d(4)),
    ],
)
def test_any_first_convolution_is_measured_and_drawn(first: nn.Module) -> None:
    torch.manual_seed(0)
    net = Network(nn.Sequential(first, nn.ReLU(), nn.AdaptiveAvgPool2d(1)), (3, 48, 48), 0.0, 1.0)
    for images in (None, PICTURES):
        found = diagnose(net, images)
        assert found.rows
        assert all(math.isfinite(row["value"]) for row in found.rows)
        draw(net, found)


def test_grey_networks_and_layers_of_many_channels() -> None:
    net = network(gabors(), channels=1)
    assert alarms(diagnose(net, PICTURES[:, :1])) == {}
    deeper = diagnose(net, layer="3")
    assert deeper.layers[0].filters.shape == (6, 64, 3, 3)
    draw(net, deeper)


def test_several_networks_are_compared_on_the_same_pictures() -> None:
    good, bad = network(gabors()), network(chirps(), 4)
    found = diagnose(good, PICTURES, versus=[bad])
    assert [layer.stride for layer in found.layers] == [(2, 2), (4, 4)]
    assert alarms(found) == alarms(diagnose(bad, PICTURES))
    assert {"filters", "filters_1"} <= set(found.arrays)
    draw(good, found)
    with pytest.raises(ArgumentError, match="zfnet12'"):
        diagnose(good, versus=["zfnet12"])


def test_the_text_reads_like_a_linter() -> None:
    bank = gabors()
    bank[5] *= 20
    text = diagnose(network(bank)).text.splitlines()
    assert text[0] == "planted 0: 64 filters, 7 x 7, stride 2"
    assert text[1].startswith("  warning: dominant: ")
    assert [line.strip()[:4] for line in text[2:4]] == ["why:", "try:"]
    assert text[-1].startswith("  ok: dead-weight")


def test_rows_hold_every_check_with_its_limit() -> None:
    rows = diagnose(network(gabors()), PICTURES).rows
    assert [row["code"] for row in rows] == [check.code for check in CHECKS]
    assert {row["severity"] for row in rows} == {"ok"}
    assert all(set(row) == {"network", "place", "code", "severity", "value", "threshold", "words"} for row in rows)


def test_the_bundled_network() -> None:
    found = diagnose(convscope.load("zfnet128"), "gallery", limit=16)
    values = {finding.code: finding.value for finding in found.findings}
    assert values["dominant"] < 5
    assert values["oriented"] > 0.5
    assert values["frequency-selective"] == 1
    assert values["dead-weight"] == values["dead-activity"] == 0


def test_bad_networks_and_settings(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="every filter of 0 is zero"):
        diagnose(network(torch.zeros(4, 7, 7)))
    with pytest.raises(NetworkError, match="no two-dimensional convolution"):
        diagnose(Network(nn.Sequential(nn.Flatten(), nn.Linear(27, 2)), (3, 3, 3)))
    with pytest.raises(LayerError):
        diagnose(network(gabors()), layer="conv1")
    with pytest.raises(ArgumentError, match="limit is 0"):
        diagnose(network(gabors()), PICTURES, limit=0)
    (tmp_path / "broken.png").write_text("words")
    with pytest.raises(DataError, match="none of the 1 pictures"):
        diagnose(network(gabors()), tmp_path)


def test_most_filters_zero_leaves_a_median() -> None:
    bank = gabors()
    bank[10:] = 0
    layer = diagnose(network(bank)).layers[0]
    assert float(layer.relative[:10].median()) == pytest.approx(1, rel=0.2)
    assert int((layer.relative < 0.1).sum()) == 54
