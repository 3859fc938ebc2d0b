"""Frequencies of pictures whose frequencies are known (METHODS F6)."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from convscope.probe.filters import spectrum


def sinusoid(frequency: float, angle: float, side: int = 64) -> Tensor:
    down, across = torch.meshgrid(torch.arange(side).double(), torch.arange(side).double(), indexing="ij")
    along = across * math.cos(angle) + down * math.sin(angle)
    return torch.cos(2 * math.pi * frequency * along)[None]


@pytest.mark.parametrize("frequency", [0.05, 0.12, 0.2, 0.3, 0.45])
def test_pure_sinusoids_have_their_own_frequency(frequency: float) -> None:
    bank = torch.stack([sinusoid(round(64 * frequency) / 64, angle) for angle in (0, math.pi / 2)])
    assert spectrum.centroid(spectrum.power(bank)).tolist() == pytest.approx([round(64 * frequency) / 64] * 2, abs=1e-9)
    windowed = torch.stack([sinusoid(frequency, angle, 21) for angle in (0, 0.4, 1.2)])
    assert spectrum.centroid(spectrum.power(windowed)).tolist() == pytest.approx([frequency] * 3, abs=0.04)


def test_power_against_the_sum_it_stands_for() -> None:
    picture = np.random.default_rng(0).normal(size=(2, 3, 4))
    size, expected = 8, np.zeros((8, 8))
    for row in range(size):
        for column in range(size):
            for channel in picture:
                total = sum(
                    channel[y, x] * np.exp(-2j * np.pi * (row * y + column * x) / size)
                    for y in range(3)
                    for x in range(4)
                )
                expected[row, column] += abs(total) ** 2
    found = spectrum.power(torch.from_numpy(picture)[None], size)[0]
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-12)
    line = np.fft.fftfreq(size)
    beyond = [(r, c) for r in range(size) for c in range(size) if abs(line[r]) > 0.25 or abs(line[c]) > 0.125]
    folded = spectrum.folded(found[None], (2, 4))
    assert float(folded) == pytest.approx(sum(expected[place] for place in beyond) / expected.sum())
    shares = spectrum.bands(found[None])[0]
    low = sum(expected[r, c] for r in range(size) for c in range(size) if math.hypot(line[r], line[c]) < 0.10)
    assert float(shares[0]) == pytest.approx(low / expected.sum())
    assert float(shares.sum()) == pytest.approx(1)


def test_nothing_is_folded_at_stride_one_and_zeros_have_no_frequency() -> None:
    shares = spectrum.power(torch.stack([torch.randn(3, 7, 7), torch.zeros(3, 7, 7)]))
    assert spectrum.folded(shares, (1, 1)).tolist() == [0, 0]
    assert spectrum.centroid(shares).isnan().tolist() == [False, True]


def test_spread() -> None:
    assert spectrum.spread(torch.full((9,), 0.2).double()) == 0
    assert spectrum.spread((torch.arange(8).double() + 0.5) / 16) == pytest.approx(1)
    assert spectrum.spread(torch.tensor([0.1, 0.4, math.nan]).double()) == pytest.approx(1 / 3)


def test_a_grid_is_seen_where_there_is_one() -> None:
    rough = torch.randn(64, 3, 40, 40, generator=torch.Generator().manual_seed(0)).cumsum(2).cumsum(3)
    every_fourth = 1 + 0.3 * (torch.arange(40) % 4 == 0)
    without, both, along = (
        spectrum.grid(maps, stride)
        for maps, stride in (
            (rough, (4, 4)),
            (rough * every_fourth, (4, 4)),
            (rough * every_fourth[:, None], (4, 1)),
        )
    )
    assert without is not None
    assert both is not None
    assert along is not None
    assert without < 2
    assert both > 4
    assert along > 4
    assert spectrum.grid(rough * every_fourth, (1, 1)) is None
    assert spectrum.grid(torch.zeros(2, 3, 9, 9), (4, 4)) is None


def gratings(side: int = 7) -> Tensor:
    """Gratings of eight orientations under a Gaussian, (8, 3, side, side), grey."""
    line = torch.arange(side).double() - (side - 1) / 2
    down, across = torch.meshgrid(line, line, indexing="ij")
    near = torch.exp(-(across**2 + down**2) / (side / 2) ** 2)
    angles = [k * math.pi / 8 for k in range(8)]
    waves = [torch.sin(2 * math.pi * 0.15 * (across * math.cos(a) + down * math.sin(a))) * near for a in angles]
    return torch.stack(waves)[:, None].repeat(1, 3, 1, 1)


def above_noise(filters: Tensor) -> tuple[float, float]:
    """Shares of the filters above the floors of orientation and frequency."""
    shares, floors = spectrum.power(filters), spectrum.noise_floors(*filters.shape[1:])
    measured = spectrum.orientation_selectivity(shares), spectrum.frequency_selectivity(shares)
    orientation, frequency = (float((m > floor).double().mean()) for m, floor in zip(measured, floors, strict=True))
    return orientation, frequency


def test_gratings_are_selective_noise_is_not_and_blots_only_for_frequency() -> None:
    assert above_noise(gratings()) == (1, 1)
    blots = torch.tensor([[1.0, 0, 0], [0, 1, -1], [0.2, 0.3, 0.9]])[:, :, None, None].expand(-1, -1, 7, 7)
    assert above_noise(blots) == (0, 1)
    noise = torch.randn(1000, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    assert above_noise(noise) == (pytest.approx(0.05, abs=0.025), pytest.approx(0.05, abs=0.025))  # type: ignore[comparison-overlap]
    assert above_noise(torch.zeros(2, 3, 7, 7)) == (0, 0)


def test_selectivities_against_the_sums_they_stand_for() -> None:
    filters = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(2)).double()
    shares = spectrum.power(filters, 16)
    line = np.fft.fftfreq(16)
    for k, share in enumerate(shares.numpy()):
        resultant, total, rings, area = 0j, 0.0, np.zeros(9), np.zeros(9)
        for r, v in enumerate(line):
            for c, u in enumerate(line):
                ring = min(8, int(math.hypot(u, v) * 16))
                rings[ring] += share[r, c]
                area[ring] += 1 / 256
                if u or v:
                    resultant += share[r, c] * np.exp(2j * math.atan2(v, u))
                    total += share[r, c]
        assert float(spectrum.orientation_selectivity(shares)[k]) == pytest.approx(abs(resultant) / total)
        divergence = sum(p * math.log(p / a) for p, a in zip(rings, area, strict=True))
        assert float(spectrum.frequency_selectivity(shares)[k]) == pytest.approx(divergence)
