"""Penalties against finite differences, and what is done to pictures between steps (METHODS A1, A3, I1, P3)."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from convscope.errors import ArgumentError
from convscope.probe.optimize.priors import alpha_norm, blurred, l1, l2, on_sphere, total_variation, without_small

PRIORS: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("l1", l1),
    ("l2", l2),
    ("alpha 6", alpha_norm),
    ("alpha 3", lambda x: alpha_norm(x, 3)),
    ("tv 2", total_variation),
    ("tv 1", lambda x: total_variation(x, 1)),
    ("tv 3", lambda x: total_variation(x, 3)),
]


def pictures(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "prior"), PRIORS)
def test_gradients_are_those_of_finite_differences(name: str, prior: Callable[[Tensor], Tensor]) -> None:
    assert torch.autograd.gradcheck(prior, pictures().requires_grad_())


def test_total_variation_by_hand() -> None:
    x = torch.tensor([[1.0, 3.0], [4.0, 8.0]])[None, None]
    assert float(total_variation(x)) == (3**2 + 2**2) + 5**2 + 4**2  # the last row and column have one difference each
    assert float(total_variation(x, 1)) == pytest.approx(13**0.5 + 5 + 4)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_a_constant_picture_has_no_variation_and_no_gradient(beta: float) -> None:
    x = torch.full((1, 3, 4, 4), 0.3, requires_grad=True)
    found = total_variation(x, beta)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert float(found.detach()) == 0
    assert not gradient.any()


def test_l1_has_no_gradient_at_zero() -> None:
    x = torch.tensor([-2.0, 0.0, 3.0]).reshape(1, 1, 1, 3).requires_grad_()
    assert torch.autograd.grad(l1(x).sum(), x)[0].flatten().tolist() == [-1, 0, 1]


def test_blurring_keeps_the_mean_inside_and_constants_everywhere() -> None:
    point = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    point[..., 10, 10] = 1
    spread = blurred(point, 2.0)
    assert float(spread.sum()) == pytest.approx(1)
    place = torch.arange(21.0, dtype=torch.float64) - 10
    assert float((spread[0, 0].sum(0) * place.square()).sum()) == pytest.approx(4, rel=0.05)  # cut at three deviations
    torch.testing.assert_close(blurred(torch.full((1, 3, 4, 4), 0.7), 1.5), torch.full((1, 3, 4, 4), 0.7))
    assert blurred(point, 0) is point


def test_the_smallest_pixels_go() -> None:
    x = torch.arange(1.0, 11).reshape(1, 1, 2, 5)
    assert without_small(x, x[:, 0], 50).flatten().tolist() == [0, 0, 0, 0, 0, 6, 7, 8, 9, 10]
    assert torch.equal(without_small(x, x[:, 0], 0), x)


def test_on_the_sphere() -> None:
    x = pictures()
    x[1] = 0
    found = on_sphere(x, 7)
    assert float(found[0].norm()) == pytest.approx(7)
    assert not found[1].any()


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda x: total_variation(x, 0), "beta is 0"),
        (lambda x: alpha_norm(x, 0.5), "alpha is 0.5"),
        (lambda x: blurred(x, -1), "sigma is -1"),
        (lambda x: without_small(x, x[:, 0], 101), "percentile is 101"),
        (lambda x: on_sphere(x, 0), "norm is 0"),
    ],
)
def test_out_of_range(call: Callable[[Tensor], Tensor], word: str) -> None:
    with pytest.raises(ArgumentError, match=word):
        call(pictures())
