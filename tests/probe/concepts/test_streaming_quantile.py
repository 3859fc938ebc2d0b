"""The value that a share of a stream exceeds: exact while it fits, within the stated error beyond (METHODS N1)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convscope.errors import ArgumentError
from convscope.probe.concepts.streaming_quantile import Tail


def fed(values: torch.Tensor, share: float, batch: int, **options: int) -> Tail:
    tail = Tail(len(values), values.shape[1], share, **options)
    for piece in values.split(batch, 1):
        tail.add(piece)
    return tail


@given(st.integers(1, 400), st.integers(1, 90), st.floats(0.01, 0.9), st.booleans(), st.integers(0, 99))
def test_while_it_fits_it_is_the_order_statistic(n: int, batch: int, share: float, ties: bool, seed: int) -> None:
    values = torch.randn(3, n, generator=torch.Generator().manual_seed(seed))
    values = values.round() if ties else values
    above = math.floor(share * n + 1e-6)
    if above < 1:
        with pytest.raises(ArgumentError, match="none lies in so small a share"):
            fed(values, share, batch).threshold()
        return
    tail = fed(values, share, batch)
    assert tail.error() == 0
    found = tail.threshold()
    assert torch.equal(found, values.sort(1, descending=True).values[:, above])
    assert ((values > found[:, None]).sum(1) <= above).all()


@pytest.mark.parametrize("order", ["shuffled", "rising", "falling", "in blocks"])
def test_beyond_that_the_error_is_kept_whatever_the_order(order: str) -> None:
    values = torch.randn(8, 60_000, generator=torch.Generator().manual_seed(1)).exp()
    if order == "rising":
        values = values.sort(1).values
    elif order == "falling":
        values = values.sort(1, descending=True).values
    elif order == "in blocks":
        values = values.sort(1).values.view(8, 60, 1000).transpose(1, 2).flatten(1)
    for share in (0.005, 0.05):
        tail = fed(values, share, 777, capacity=50)
        assert tail.stride > 1
        assert tail._kept.shape[1] <= 52
        above = (values > tail.threshold()[:, None]).float().mean(1)
        assert (above - share).abs().max() <= tail.error()
        assert tail.error() < share


def test_skipped_pictures_make_the_stream_shorter() -> None:
    values = torch.arange(1000.0)[None]
    tail = Tail(1, 4000, 0.1)
    tail.add(values)
    assert tail.threshold().item() == 899


def test_shares_out_of_range() -> None:
    for share in (0.0, 1.0, -0.1, 2.0):
        with pytest.raises(ArgumentError, match="quantile is"):
            Tail(1, 10, share)
