"""What inversion minimises: its plans, its error, and how it stops (METHODS I1, I4)."""

import math

import pytest
import torch
from torch import Tensor

from convscope.errors import ArgumentError
from convscope.probe.optimize.ascent import ascend
from convscope.probe.optimize.inversion import TYPICAL, Discrepancy, plan
from convscope.probe.optimize.parameterizations import Pixels

SIZE = (3, 8, 8)


def pixels() -> Pixels:
    return Pixels((8, 8), torch.full((3, 1, 1), 0.5).double(), torch.full((3, 1, 1), 0.2).double())


def pictures(count: int = 2) -> Tensor:
    return torch.randn(count, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("preset", ["adam", "mahendran"])
def test_identity_without_priors_gives_the_picture_back(preset: str) -> None:
    x, paint = pictures(), pixels()
    how = plan(preset, "layer", size=SIZE, tv=0.0, alpha=0.0)
    climb = ascend(Discrepancy("identity", lambda v: v, x, how.step), paint, torch.zeros_like(x), how)
    assert float(climb.history["score"][:, -1].min()) > -1e-4
    torch.testing.assert_close(climb.pictures, x, atol=0.1, rtol=0)


def test_the_weights_are_those_of_the_published_energy() -> None:
    norm = TYPICAL**2 * math.prod(SIZE)
    how = plan("mahendran", "layer", size=SIZE, depth=0.5)
    assert how.tv == pytest.approx(10 / 2 / norm)
    assert how.alpha == pytest.approx(8e-10 / 2 / norm)
    assert how.step == pytest.approx(4e-3 * norm)
    assert [plan("mahendran", "layer", size=SIZE, depth=d).tv * 2 * norm for d in (0, 0.3, 0.6, 0.61, 1)] == [
        pytest.approx(weight) for weight in (1, 1, 10, 100, 100)
    ]
    assert how.rates == ((0, 1.0), (100, 0.1), (300, 0.01))
    assert plan("mahendran", "layer", size=SIZE, steps=40).rates == ((0, 1.0), (10, 0.1), (30, 0.01))
    assert plan("mahendran", "descriptor", size=SIZE).steps == 800


def test_momentum_is_that_of_a_loop_and_starts_anew_with_the_rate() -> None:
    x, paint = pictures(1), pixels()
    how = plan("mahendran", "layer", size=SIZE, steps=8)
    error = Discrepancy("identity", lambda v: v, x, how.step)
    start = paint.variables(torch.zeros_like(x))
    found = paint.variables(ascend(error, paint, start, how).pictures)
    z, velocity, rates = start, torch.zeros_like(start), dict(how.rates)
    rate = 1.0
    for number in range(8):
        if number in rates:
            rate, velocity = rates[number], torch.zeros_like(start)
        leaf = z.clone().requires_grad_()
        down = torch.nn.functional.pad(leaf.diff(dim=2), (0, 0, 0, 1))
        across = torch.nn.functional.pad(leaf.diff(dim=3), (0, 1))
        smooth = (down.square() + across.square()).sum()
        energy = error.error(leaf / (255 * 0.2)).sum() + how.tv * smooth + how.alpha * leaf.pow(6).sum()
        (gradient,) = torch.autograd.grad(energy, leaf)
        velocity = 0.9 * velocity - gradient
        z = z + how.step * rate * velocity
    torch.testing.assert_close(found, z)


def test_a_descent_that_diverges_stops_and_says_so() -> None:
    x, paint = pictures(), pixels()
    how = plan("mahendran", "layer", size=SIZE, step=4.0, tv=0.0, alpha=0.0)
    error = Discrepancy("relu1", lambda v: v, x, 4.0)
    with pytest.raises(ArgumentError, match=r"step is 4.0: relu1's error of picture \d grew .* expected a shorter one"):
        ascend(error, paint, torch.zeros_like(x), how)


def test_what_says_nothing_cannot_be_inverted() -> None:
    with pytest.raises(ArgumentError, match="picture is 1: relu1 says nothing of it, all is 0"):
        Discrepancy("relu1", lambda v: v * torch.tensor([1.0, 0.0])[:, None, None, None], pictures(), 1.0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"preset": "sgd"}, "expected one of adam, mahendran"),
        ({"tv": -1.0}, "tv is -1.0"),
        ({"alpha": math.inf}, "alpha is inf"),
        ({"step": 0.0}, "step is 0.0"),
        ({"beta": 0.0}, "beta is 0.0"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_mistakes(values: dict[str, float], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        plan(**{"preset": "adam", "kind": "layer", "size": SIZE, **values})  # type: ignore[arg-type]
