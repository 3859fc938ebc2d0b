"""A function on a sphere: its optimum, its second derivatives there, and what a quadratic form would predict.

    x = summit(f, start, steps=50)                       # on the sphere through `start`
    bend = Bend(f, x)
    ends = lanczos(bend, 64, generator)                  # curvatures and directions, from most negative up
    f(path(x, ends.directions, angles)), bend.predicted(ends.directions, angles)

Along a great circle x cos a + |x| w sin a, w a unit vector orthogonal to x, the second derivative by the length of the
path is wᵀHw − (∇f·x)/|x|² (METHODS A5; Berkes & Wiskott, "On the analysis and interpretation of inhomogeneous quadratic
forms as receptive fields", 2006). Points are vectors: f takes (N, d) and gives (N,). Knows nothing of networks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.progress import Advance

Function = Callable[[Tensor], Tensor]
FLAT = 1e-6  # of the largest product met so far: a direction that bends less is new to Lanczos


def path(x: Tensor, directions: Tensor, angles: Tensor) -> Tensor:
    """Points x cos a + |x| w sin a: x (d,), directions (K, d) of length 1, angles (A,) in radians -> (K, A, d)."""
    turned = torch.einsum("a,kd->kad", angles.sin() * x.norm(), directions)
    points: Tensor = turned + angles.cos()[:, None] * x
    return points


def summit(f: Function, start: Tensor, steps: int) -> Tensor:
    """A maximum of f on the sphere through `start` (d,), by L-BFGS with a line search from there.

    The best point met is returned: `start` itself where nothing is better.
    """
    radius, best = start.norm(), [start]
    scale = start.square().mean().sqrt()
    z = (start / scale).clone().requires_grad_()
    with torch.no_grad():
        highest = [float(f(start[None]))]
    unit = abs(highest[0]) or 1.0
    search = torch.optim.LBFGS([z], max_iter=steps, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        with torch.enable_grad():
            x = radius * z / z.norm()
            loss = -f(x[None]).sum() / unit
            loss.backward()  # type: ignore[no-untyped-call]
        value = -float(loss.detach()) * unit
        if value > highest[0]:
            highest[0], best[0] = value, x.detach().clone()
        return loss

    search.step(closure)  # type: ignore[no-untyped-call]
    return best[0]


class Bend:
    """The second derivatives of f at x (d,), along the sphere through it.

    value: f(x). gradient (d,). slope: ∇f·x / |x|². tilt: the length of the gradient's part along the sphere over that
    of all of it, 0 at an optimum. With `step` 0, Hessian-vector products differentiate twice; with another they are
    differences of gradients `step`·|x| to both sides (METHODS A5).
    """

    def __init__(self, f: Function, x: Tensor, step: float = 0.0) -> None:
        self.f, self.x, self.step = f, x, step
        self.radius, self.along = x.norm(), x / x.norm()
        self._z = x.clone()[None].requires_grad_()
        with torch.enable_grad():
            value = f(self._z)
            (self._gradient,) = torch.autograd.grad(value.sum(), self._z, create_graph=step == 0)
        self.value, self.gradient = float(value.detach()), self._gradient.detach()[0]
        self.slope = float(self.gradient @ x / self.radius.square())
        length = float(self.gradient.norm())
        self.tilt = float(self.tangent(self.gradient).norm()) / length if length else 0.0

    def tangent(self, v: Tensor) -> Tensor:
        """What of v (d,) is orthogonal to x."""
        part: Tensor = v - (v @ self.along) * self.along
        return part

    def product(self, v: Tensor) -> Tensor:
        """Hv of v (d,)."""
        if self.step:
            return self._difference(v)
        if not self._gradient.requires_grad:  # f is linear
            return torch.zeros_like(v)
        (found,) = torch.autograd.grad(self._gradient, self._z, v[None], retain_graph=True, allow_unused=True)
        return torch.zeros_like(v) if found is None else found[0]

    def _difference(self, v: Tensor) -> Tensor:
        length = v.norm()
        if not length:
            return torch.zeros_like(v)
        reach = self.step * self.radius
        ends = torch.stack([self.x + reach * v / length, self.x - reach * v / length]).requires_grad_()
        with torch.enable_grad():
            (there, back) = torch.autograd.grad(self.f(ends).sum(), ends)[0]
        found: Tensor = (there - back) * length / (2 * reach)
        return found

    def __call__(self, v: Tensor) -> Tensor:
        """The second derivative along the sphere as an operator, (d,) -> (d,); x itself is mapped to zero."""
        v = self.tangent(v)
        return self.tangent(self.product(v)) - self.slope * v

    def predicted(self, directions: Tensor, angles: Tensor) -> Tensor:
        """What the derivatives at x say of f along great circles, (K, A): up to the second order in the path's length.

        The first order is zero at an optimum.
        """
        lengths = angles * self.radius
        first, second = directions @ self.gradient, torch.stack([w @ self(w) for w in directions])
        found: Tensor = self.value + first[:, None] * lengths + second[:, None] * lengths.square() / 2
        return found


@dataclass(frozen=True)
class Ends:
    """What Lanczos found of an operator: values (K,), ascending, directions (K, d) of length 1, and how far each pair
    is from an eigenpair, residuals (K,), as |Tw − λw|. With as many steps as dimensions these are all there are.
    """

    values: Tensor
    directions: Tensor
    residuals: Tensor


def lanczos(
    bend: Bend, steps: int, generator: torch.Generator, advance: Advance = lambda n: None, flat: float = FLAT
) -> Ends:
    """Eigenvalues of a bend, those at both ends of its spectrum first, by Lanczos with full reorthogonalisation.

    At most d − 1 steps, the dimensions of the tangent space. Where the vectors met so far span a space that the
    operator keeps, a random vector outside it goes on, so that values that occur many times are found as often.
    """
    steps = min(steps, len(bend.x) - 1)
    basis = bend.x.new_zeros(steps + 1, len(bend.x))
    basis[0] = bend.along
    table = torch.zeros(steps, steps, dtype=torch.float64)
    v, off, largest = _fresh(basis[:1], generator), 0.0, 0.0
    for k in range(steps):
        basis[k + 1] = v
        w = bend(v)
        largest = max(largest, float(w.norm()))
        table[k, k] = float(w @ v)
        w = _orthogonal(w, basis[: k + 2])
        off = float(w.norm())
        advance(1)
        if k + 1 == steps:
            break
        kept = off <= flat * largest
        v = _fresh(basis[: k + 2], generator) if kept else w / off
        table[k, k + 1] = table[k + 1, k] = 0.0 if kept else off
    values, vectors = torch.linalg.eigh(table)
    directions = vectors.T.to(basis) @ basis[1:]
    complete = steps == len(bend.x) - 1
    return Ends(values, directions, (0.0 if complete else off) * vectors[-1].abs())


def _orthogonal(v: Tensor, basis: Tensor) -> Tensor:
    """v (d,) less its part in the span of the rows; twice, for rounding."""
    for _ in range(2):
        v = v - basis.T @ (basis @ v)
    return v


def _fresh(basis: Tensor, generator: torch.Generator) -> Tensor:
    """A random unit vector orthogonal to the rows."""
    v = _orthogonal(torch.randn(basis.shape[1], generator=generator, dtype=torch.float64).to(basis), basis)
    unit: Tensor = v / v.norm()
    return unit
