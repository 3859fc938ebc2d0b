import math
from itertools import pairwise

import pytest

from convscope.errors import ArgumentError, TrainingError
from convscope.training.recipe import PAPER, RECIPES, Plateau, Recipe, cosine, learning_rate, named


def test_the_default_is_the_papers() -> None:
    assert RECIPES["paper"] == PAPER == Recipe()
    assert (PAPER.batch_size, PAPER.momentum, PAPER.lr, PAPER.epochs) == (128, 0.9, 1e-2, 70)
    assert (PAPER.dropout, PAPER.radius, PAPER.init, PAPER.crops) == (0.5, 0.1, "gaussian", "ten")
    assert [named("paper", base).weight_decay for base in ("zfnet", "alexnet")] == [0, 5e-4]
    with pytest.raises(ArgumentError, match="paper, scaled"):
        named("best")


def test_cosine_starts_high_is_mean_in_the_middle_and_restarts() -> None:
    at = {t: cosine(t, lr=0.1, lr_min=0.02, cycle=4, cycle_mult=2) for t in (0, 2, 3.999999, 4, 8, 11.999999, 12)}
    assert at[0] == at[4] == at[12] == 0.1
    assert at[2] == at[8] == pytest.approx(0.06)
    assert [at[3.999999], at[11.999999]] == pytest.approx([0.02, 0.02])


@pytest.mark.parametrize("bad", [{"cycle": 0.0}, {"cycle": -1.0}, {"cycle": 1.0, "cycle_mult": 0.5}])
def test_cosine_refuses_cycles_that_cannot_be(bad: dict[str, float]) -> None:
    with pytest.raises(ArgumentError):
        cosine(0.5, lr=0.1, **bad)


def test_one_cycle_with_warmup_rises_then_falls_to_the_end() -> None:
    recipe = Recipe(schedule="cosine", epochs=10, warmup=2, lr=0.5, lr_min=0.1)
    rates = [learning_rate(recipe, step / 10) for step in range(100)]
    assert max(rates) == rates[20] == 0.5
    assert all(a < b for a, b in pairwise(rates[:21]))
    assert all(a > b for a, b in pairwise(rates[20:]))
    assert rates[0] > 0
    assert learning_rate(recipe, 10 - 1e-9) == pytest.approx(0.1)


def test_plateau_drops_after_three_epochs_without_progress_and_at_most_three_times() -> None:
    plateau, recipe = Plateau(), Recipe()
    errors = [50, 40, 39.95, 39.93, 39.92, *[39.91] * 12]
    dropped = [plateau.update(error, recipe) for error in errors]
    assert [epoch for epoch, drop in enumerate(dropped) if drop] == [4, 7, 10]
    rates = [learning_rate(recipe, 0.0, drops) for drops in range(4)]
    assert rates == pytest.approx([1e-2, 1e-3, 1e-4, 1e-5])


def test_plateau_counts_a_tenth_of_a_point_as_progress() -> None:
    plateau, recipe = Plateau(), Recipe()
    assert not any(plateau.update(50 - 0.125 * epoch, recipe) for epoch in range(20))


def test_plateau_stops_at_nan() -> None:
    with pytest.raises(TrainingError, match="NaN"):
        Plateau().update(math.nan, Recipe())


def test_replay_holds_the_given_rates() -> None:
    recipe = Recipe(schedule="replay", lr=1.0, replay=((4, 0.01), (2, 0.1)))
    assert [learning_rate(recipe, epoch) for epoch in (0, 1.9, 2, 3.5, 4, 60)] == [1, 1, 0.1, 0.1, 0.01, 0.01]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0), ("batch_size", 0), ("lr", 0.0), ("momentum", 1.0), ("weight_decay", -1.0),
        ("schedule", "linear"), ("patience", 0), ("drop", 1.0), ("warmup", 70.0), ("lr_min", 1.0), ("cycle", 0.0),
        ("cycle_mult", 0.9), ("clip", 0.0), ("dropout", 1.0), ("init", "zeros"), ("radius", 0.0), ("crops", "five"),
        ("area", 0.0),
        ("jitter", 1.0), ("label_smoothing", 1.0), ("optimizer", "lion"), ("enough", -1.0),
    ],
)  # fmt: skip
def test_values_out_of_range_are_named(name: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=name):
        PAPER.changed(**{name: value})


def test_pictures_have_one_scale() -> None:
    with pytest.raises(ArgumentError, match="zero_to_one is True: expected one of it and unit_scale"):
        PAPER.changed(zero_to_one=True, unit_scale=True)


def test_changes_leave_out_what_is_none_and_refuse_what_is_unknown() -> None:
    assert PAPER.changed(epochs=3, lr=None) == Recipe(epochs=3)
    with pytest.raises(ArgumentError, match="learning_rate"):
        PAPER.changed(learning_rate=1)
    with pytest.raises(ArgumentError, match="replay"):
        PAPER.changed(schedule="replay")


def test_none_turns_off_what_can_be_off() -> None:
    assert PAPER.changed(radius="none").radius is None
    for name, value, expected in (
        ("lr", "none", "a number"),
        ("radius", "small", "a number or none"),
        ("epochs", 2.5, "a whole number"),
        ("nesterov", "yes", "true or false"),
    ):
        with pytest.raises(ArgumentError, match=f"{name} is .*: expected {expected}"):
            PAPER.changed(**{name: value})
