import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.atlases.channel_statistics import BINS, EMPTY, GRID, Leaders, Statistics, grid, keys, unkey

few = st.sampled_from([-2.0, -0.0, 0.0, 0.5, 1.0, 1e-40, 3e38])  # ties, denormals, extremes
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw: st.DrawFn, elements: st.SearchStrategy[float] = few) -> tuple[Tensor, Tensor]:
    """A table of scores (n, 3), and the pictures' places in a source, in any order."""
    n = draw(st.integers(1, 24))
    values = draw(st.lists(elements, min_size=3 * n, max_size=3 * n))
    images = draw(st.lists(st.integers(0, 10**6), min_size=n, max_size=n, unique=True))
    return torch.tensor(values, dtype=torch.float32).view(n, 3), torch.tensor(images)


def parts(draw: st.DataObject, n: int) -> list[Tensor]:
    """The rows of a table, in parts."""
    owner = torch.tensor(draw.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    return [rows for k in range(4) if len(rows := (owner == k).nonzero()[:, 0])]


def place(values: Tensor) -> Tensor:
    """Some place for every score."""
    return torch.arange(values.numel()).view(values.shape) % 35


@given(tables(floats))
def test_keys_order_by_value_then_by_lower_image_and_come_back(table: tuple[Tensor, Tensor]) -> None:
    values, images = table
    order = sorted(range(len(images)), key=lambda i: (-float(values[i, 0]), int(images[i])))
    found = keys(values[:, 0], images)
    assert found.argsort(descending=True).tolist() == order
    back, places = unkey(found)
    assert torch.equal(back, values[:, 0])
    assert torch.equal(places, images)


def test_an_empty_key_is_below_all() -> None:
    assert keys(torch.tensor([-torch.inf]), torch.tensor([2**32 - 1])).item() > EMPTY
    assert [part.item() for part in unkey(torch.tensor([EMPTY]))] == [-torch.inf, -1]


@given(tables(), st.integers(1, 10), st.data())
def test_leaders_merged_in_any_way_are_those_of_sorting_everything(
    table: tuple[Tensor, Tensor], top: int, data: st.DataObject
) -> None:
    values, images = table
    places = place(values)
    pieces = [Leaders.of(values[rows], places[rows], images[rows], top) for rows in parts(data, len(images))]
    while len(pieces) > 1:  # any two of them next, either way round
        first, second = (pieces.pop(data.draw(st.integers(0, len(pieces) - 1))) for _ in range(2))
        pieces.append(first.merge(second))
    found_values, found_images = unkey(pieces[0].keys)
    for channel in range(3):
        order = sorted(range(len(images)), key=lambda i: (-float(values[i, channel]), int(images[i])))[:top]
        fill = top - len(order)
        assert found_images[channel].tolist() == [int(images[i]) for i in order] + [-1] * fill
        assert found_values[channel].tolist() == [float(values[i, channel]) for i in order] + [-torch.inf] * fill
        assert pieces[0].places[channel].tolist() == [int(places[i, channel]) for i in order] + [-1] * fill


@given(tables(floats), st.data())
def test_counts_and_histograms_do_not_depend_on_how_pictures_are_split(
    table: tuple[Tensor, Tensor], data: st.DataObject
) -> None:
    values, _ = table
    size = (5, 7)
    whole = Statistics.of(values, place(values), size)
    pieces = [Statistics.of(values[rows], place(values)[rows], size) for rows in parts(data, len(values))]
    while len(pieces) > 1:
        first, second = (pieces.pop(data.draw(st.integers(0, len(pieces) - 1))) for _ in range(2))
        pieces.append(first.merge(second))
    for name in ("pictures", "low", "high", "histogram", "fires", "peaks"):
        assert torch.equal(getattr(pieces[0], name), getattr(whole, name)), name


@given(tables(floats))
def test_the_histogram_counts_what_numpy_counts_between_its_edges(table: tuple[Tensor, Tensor]) -> None:
    values, _ = table
    found = Statistics.of(values, place(values), (5, 7))
    low, high = found.edges()
    for channel in range(3):
        edges = float(low[channel]) + (float(high[channel]) - float(low[channel])) / BINS * np.arange(BINS + 1)
        bins = np.searchsorted(edges, values[:, channel].double().numpy(), side="right") - 1
        assert found.histogram[channel].tolist() == np.bincount(bins, minlength=BINS).tolist()


def test_half_of_the_bins_or_more_are_in_use() -> None:
    values = torch.linspace(3.001, 3.9, 500)[:, None]
    found = Statistics.of(values, torch.zeros_like(values).long(), (1, 1))
    low, high = found.edges()
    assert low.item() <= 3.001
    assert high.item() > 3.9
    assert high.item() - low.item() < 4 * (3.9 - 3.001)
    assert (found.histogram > 0).sum() > BINS // 4


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.data())
def test_means_and_correlations_are_numpys(seed: int, data: st.DataObject) -> None:
    values = 100 + torch.randn(60, 6, generator=torch.Generator().manual_seed(seed))
    values[:, 5] = 2.5  # never changes
    whole = None
    for rows in parts(data, len(values)):
        part = Statistics.of(values[rows], torch.zeros_like(values[rows]).long(), (1, 1))
        whole = part if whole is None else whole.merge(part)
    assert whole is not None
    np.testing.assert_allclose(whole.mean, values.double().mean(0), rtol=1e-12)
    np.testing.assert_allclose(whole.comoment / 60, np.cov(values.double().T, bias=True), atol=2e-5)
    channels, r = whole.similar(3)
    expected = np.corrcoef(values[:, :5].double().T) - 2 * np.eye(5)
    for channel in range(5):
        best = np.sort(np.append(expected[channel], 0))[::-1]
        np.testing.assert_allclose(r[channel], best[best > -1][:3], atol=1e-5)
        for other, value in zip(channels[channel].tolist(), r[channel].tolist(), strict=True):
            assert value == pytest.approx(0 if other == 5 else expected[channel, other], abs=1e-5)
    assert (r[5] == 0).all()


def test_only_pictures_in_which_a_map_fires_have_a_peak() -> None:
    values = torch.tensor([[1.0, 0.0], [2.0, -1.0]])
    found = Statistics.of(values, torch.tensor([[0, 3], [5, 3]]), (2, 3))
    assert found.peaks[0].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert found.peaks[1].sum() == 0
    assert found.fires.tolist() == [2, 0]


@pytest.mark.parametrize(("side", "cells"), [(1, 1), (32, 32), (33, 17), (55, 28), (110, 28), (224, 32)])
def test_large_maps_pool_to_a_small_grid(side: int, cells: int) -> None:
    (step, _), found = grid((side, side))
    assert found == (cells, cells)
    assert cells <= GRID
    assert (cells - 1) * step < side <= cells * step
    last = torch.tensor([[side * side - 1]])
    assert Statistics.of(torch.ones(1, 1), last, (side, side)).peaks[0, -1, -1] == 1


def test_very_wide_layers_keep_no_correlations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscope.atlases.channel_statistics.MOST_CHANNELS", 2)
    part = Statistics.of(torch.rand(4, 3), torch.zeros(4, 3).long(), (1, 1))
    whole = part.merge(part)
    assert whole.pictures == 8
    assert whole.similar()[0].shape == (3, 0)
