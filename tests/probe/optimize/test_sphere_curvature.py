"""Optima and second derivatives on a sphere where both are known (METHODS A5)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.probe.optimize.sphere_curvature import Bend, Function, lanczos, path, summit

D = 12


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def matrix(values: list[float], seed: int = 0) -> Tensor:
    """A symmetric matrix with these eigenvalues."""
    count = len(values)
    random = torch.randn(count, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    basis = torch.linalg.qr(random)[0]
    return basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T


def quadratic(a: Tensor) -> Function:
    return lambda z: ((z @ a) * z).sum(1) / 2


def start(count: int = D) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 4


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=4, max_size=9), st.integers(0, 5))
def test_a_quadratic_forms_spectrum(values: list[float], seed: int) -> None:
    values = sorted([round(v, 2) for v in values] + [7.0])
    a = matrix(values, seed)
    x = summit(quadratic(a), start(len(values)), 200)
    bend = Bend(quadratic(a), x)
    assert bend.tilt < 1e-4
    assert bend.value == pytest.approx(7.0 * float(x.norm()) ** 2 / 2, rel=1e-6)
    for step in (0.0, 1e-3):
        found = lanczos(Bend(quadratic(a), x, step), 99, generator())
        expected = torch.tensor(values[:-1], dtype=torch.float64)
        torch.testing.assert_close(found.values + bend.slope, expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(found.values, expected - 7, rtol=0, atol=1e-4)
        assert float((found.directions @ x).abs().max()) < 1e-6
        torch.testing.assert_close(found.directions @ found.directions.T, torch.eye(len(expected)).double())


def test_both_ends_come_first() -> None:
    values = [-9.0, -6.0, *torch.linspace(-1, 1, 197).tolist(), 3.0, 5.0]
    a = matrix(values)
    x = 4 * torch.linalg.eigh(a)[1][:, -1]
    bend = Bend(quadratic(a), x)
    found = lanczos(bend, 24, generator())
    assert found.values.shape == (24,)
    assert (found.values[[0, 1, -1]] + 5).tolist() == pytest.approx([-9, -6, 3], abs=1e-6)
    assert float(found.residuals[[0, 1, -1]].max()) < 1e-4
    off = torch.stack([(bend(w) - value * w).norm() for w, value in zip(found.directions, found.values, strict=True)])
    torch.testing.assert_close(off, found.residuals, rtol=1e-5, atol=1e-8)


def test_a_ridge_is_flat_in_all_other_directions() -> None:
    u = torch.nn.functional.normalize(start(), dim=0)

    def ridge(z: Tensor) -> Tensor:
        return torch.tanh(0.1 * (z @ u))

    x = summit(ridge, start() + 3 * u, 200)
    assert float(torch.cosine_similarity(x, u, 0)) > 0.99999
    bend = Bend(ridge, x)
    found = lanczos(bend, 99, generator())
    assert len(found.values) == D - 1
    torch.testing.assert_close(found.values + bend.slope, torch.zeros(D - 1).double(), rtol=0, atol=1e-6)


def test_a_linear_unit_is_a_cosine() -> None:
    w = start()

    def linear(z: Tensor) -> Tensor:
        return z @ w

    x = summit(linear, torch.ones(D).double(), 100)
    assert float(torch.cosine_similarity(x, w, 0)) > 0.999
    bend = Bend(linear, x)
    found = lanczos(bend, 4, generator())
    unit = float(x.norm()) ** 2 / bend.value
    assert (found.values * unit).tolist() == pytest.approx([-1] * 4)
    angles = torch.linspace(-math.pi / 4, math.pi / 4, 7).double()
    seen = linear(path(x, found.directions[:1], angles)[0])
    torch.testing.assert_close(seen, angles.cos() * bend.value, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        bend.predicted(found.directions[:1], angles)[0], (1 - angles.square() / 2) * bend.value, rtol=1e-4, atol=1e-4
    )


def test_a_path_stays_on_its_sphere() -> None:
    x = start()
    w = torch.linalg.qr(torch.stack([x, *torch.randn(2, D, generator=generator()).double()]).T)[0].T[1:]
    points = path(x, w, torch.linspace(-2, 2, 5).double())
    assert points.shape == (2, 5, D)
    torch.testing.assert_close(points.norm(dim=2), x.norm().expand(2, 5))
    torch.testing.assert_close(points[:, 2], x.expand(2, D))


def test_the_prediction_is_the_taylor_series_where_nothing_is_stationary() -> None:
    a, x = matrix([float(k) for k in range(D)]), start()

    def f(z: Tensor) -> Tensor:
        return torch.sin(((z @ a) * z).sum(1) / 40)

    bend = Bend(f, x)
    assert bend.tilt > 0.1
    w = torch.nn.functional.normalize(bend.tangent(torch.ones(D).double()), dim=0)[None]
    errors = []
    for size in (0.02, 0.01):
        angles = torch.tensor([size]).double()
        errors.append(float((bend.predicted(w, angles)[0] - f(path(x, w, angles)[0])).abs()))
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.15)  # what is left is of the third order


def test_nowhere_to_go() -> None:
    def nothing(z: Tensor) -> Tensor:
        return (z * 0).sum(1)

    assert torch.equal(summit(nothing, start(), 10), start())
    bend = Bend(nothing, start())
    assert (bend.value, bend.tilt, bend.slope) == (0, 0, 0)
    assert not lanczos(bend, 5, generator()).values.any()
