"""Positions of occluders and arithmetic over them, against the obvious way and outside references (METHODS F7)."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from convscope.probe.windows.occluder_grid import box_means, coarse, grid, hide, rank_correlation, spread, weights


def test_the_papers_grid() -> None:
    places = grid((224, 224), (50, 50), (5, 5))
    assert places.shape == (35, 35)
    assert places.boxes[0].tolist() == [0, 0, 50, 50]
    assert places.boxes[-1].tolist() == [170, 170, 220, 220]
    assert places.boxes[1].tolist() == [0, 5, 50, 55], "row by row"
    assert (int(places.rows[0]), int(places.columns[-1])) == (25, 195)


@given(st.tuples(*[st.integers(1, 40)] * 2), st.tuples(*[st.integers(0, 50)] * 2), st.tuples(*[st.integers(1, 9)] * 2))
def test_as_many_as_fit_inside(picture: tuple[int, int], size: tuple[int, int], stride: tuple[int, int]) -> None:
    places = grid(picture, size, stride, allow_full=True, allow_empty=True)
    assert places.shape == tuple(max(0, n - k) // s + 1 for n, k, s in zip(picture, size, stride, strict=True))
    for box, (row, column) in zip(places.boxes.tolist(), np.ndindex(*places.shape), strict=True):
        for axis, at, centre in ((0, row, places.rows[row]), (1, column, places.columns[column])):
            begin, end = box[axis], box[axis + 2]
            assert 0 <= begin <= end <= picture[axis]
            assert end - begin == min(size[axis], picture[axis])
            assert begin == at * stride[axis]
            assert float(centre) == (begin + end) / 2


@given(st.integers(1, 40), st.integers(0, 50), st.integers(1, 9))
def test_centred_ones_are_clipped(length: int, size: int, stride: int) -> None:
    places = grid((length, length), (size, size), (stride, stride), "centre", allow_full=True, allow_empty=True)
    assert places.rows.tolist() == list(range(0, length, stride))
    for centre, (top, _, bottom, _) in zip(places.rows.tolist(), places.boxes[:: len(places.columns)], strict=True):
        covered = [k for k in range(length) if centre - size // 2 <= k < centre - size // 2 + size]
        assert [*range(int(top), int(bottom))] == covered


@given(st.integers(0, 99))
def test_means_in_boxes(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = torch.from_numpy(random.normal(size=(7, 9)))
    top, left = (random.integers(0, n, 6) for n in (7, 9))
    boxes = torch.from_numpy(np.stack([top, left, random.integers(top, 8), random.integers(left, 10)], 1))
    for mean, (t, l, b, r) in zip(box_means(values, boxes).tolist(), boxes.tolist(), strict=True):  # noqa: E741
        part = values[t:b, l:r]
        assert mean == pytest.approx(float(part.mean()) if part.numel() else 0, abs=1e-12)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5))
def test_interpolation_is_exact_for_planes_and_keeps_what_is_known(height: int, width: int, step: int) -> None:
    plane = 2.0 * torch.arange(height)[:, None] - 3.0 * torch.arange(width)[None]
    rows, columns = coarse((height, width), step)
    assert {0, height - 1} <= set(rows)
    assert all(b - a <= step for a, b in pairwise(rows))
    known = plane[rows][:, columns]
    down, across = weights(rows, range(height)), weights(columns, range(width))
    torch.testing.assert_close(spread(known, down, across), plane)
    nearest = spread(known, down, across, nearest=True)
    assert torch.equal(nearest[rows][:, columns], known)
    for r, c in np.ndindex(height, width):
        row, column = round(float(nearest[r, 0]) / 2), round(float(nearest[0, c]) / -3)
        assert (row in rows, column in columns) == (True, True)
        assert abs(row - r) == min(abs(row - r) for row in rows)
        assert abs(column - c) == min(abs(column - c) for column in columns)


def test_beyond_the_outermost_values_go_on() -> None:
    assert (weights([2.0, 4.0], [0, 3, 9]) @ torch.tensor([10.0, 20.0]).double()).tolist() == [10, 15, 20]


@given(st.lists(st.integers(0, 5), min_size=3, max_size=20), st.integers(0, 9))
def test_rank_correlation_is_spearmans(values: list[int], seed: int) -> None:
    a = torch.tensor(values, dtype=torch.float64)
    b = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, len(values)).astype(float))
    found = rank_correlation(a, b)
    if len(set(values)) == 1 or len(set(b.tolist())) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_hiding_leaves_the_picture() -> None:
    x, blank = torch.ones(3, 5, 5), torch.zeros(3, 5, 5)
    covered = hide(x, (1, 2, 3, 5), blank)
    assert float(covered.sum()) == 75 - 3 * 6
    assert bool(x.all())
    assert float(hide(x[None], (-3, 4, 2, 99), blank).sum()) == 75 - 3 * 2
