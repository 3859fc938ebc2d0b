"""The tests that say which variants are told apart, against hand cases, scipy and their own promises."""

from itertools import permutations
from math import comb

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from convscope.training.significance import compared, holm, mcnemar, spread


def bools(text: str) -> torch.Tensor:
    return torch.tensor([each == "1" for each in text])


def test_mcnemar_by_hand() -> None:
    # One picture for the first, five for the other: P(at most 1 or at least 5 heads in 6 throws)
    expected = 2 * (comb(6, 0) + comb(6, 1)) / 2**6
    assert mcnemar(bools("1000001111"), bools("0111111111")) == pytest.approx(expected)
    assert mcnemar(bools("0110"), bools("0110")) == 1


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=5))
def test_holm_neither_lowers_a_p_nor_depends_on_the_order(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(p <= q <= 1 for p, q in zip(ps, adjusted, strict=True))
    for order in permutations(range(len(ps))):
        assert holm([ps[k] for k in order]) == [adjusted[k] for k in order]


def test_the_spread_is_pooled_over_variants() -> None:
    assert list(spread({"a": [1.0, 3.0], "b": [2.0, 2.0, 2.0], "c": [9.0]})) == pytest.approx([(2 / 3) ** 0.5, 3])
    assert spread({"a": [1.0], "b": [2.0]}) == (0.0, 0)


def rows(count: int, seed: int, *errors: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(count, generator=generator) >= round(error * count / 100) for error in errors]


def test_the_order_over_seeds_agrees_with_a_t_test() -> None:
    right = {"a": rows(1000, 0, 30, 32, 31), "b": rows(1000, 1, 33, 34, 36)}
    (pair,) = compared(right)
    assert pair.difference == pytest.approx(34.333333 - 31, abs=1e-4)
    assert pair.p_seeds == pytest.approx(ttest_ind([30, 32, 31], [33, 34, 36]).pvalue, rel=1e-5)


def test_one_seed_leaves_the_pictures_to_decide() -> None:
    right = {name: rows(1000, 3, error) for name, error in (("good", 20.0), ("alike", 20.5), ("bad", 40.0))}
    found = {(pair.a, pair.b): pair for pair in compared(right)}
    assert found["good", "bad"].separated
    assert found["alike", "bad"].separated
    assert not found["good", "alike"].separated
    assert all(pair.p_seeds is None for pair in found.values())


def test_seeds_that_disagree_take_back_what_pictures_say() -> None:
    one = {"a": rows(5000, 0, 30), "b": rows(5000, 1, 34)}
    (alone,) = compared(one)
    (pair,) = compared({"a": [*one["a"], *rows(5000, 2, 40)], "b": [*one["b"], *rows(5000, 3, 29)]})
    assert alone.separated
    assert not pair.separated


def test_seeds_without_any_spread() -> None:
    same = rows(10, 0, 30)
    (pair,) = compared({"a": same * 2, "b": same * 2})
    assert pair.p_seeds == 1
    assert not pair.separated
