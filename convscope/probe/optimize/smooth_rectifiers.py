"""A network without corners: rectifiers and max-pooling as softplus and log-sum-exp, so that second derivatives exist.

    smooth = Smoothed(beta=10)
    with smooth.learning():
        measure(x)                  # how large the inputs of each are
    with smooth:
        measure(y)                  # the same operations in the same order, without their corners

A network of rectifiers is linear between its corners: its second derivative is zero almost everywhere and says nothing
(METHODS A5). Nothing of the network is touched.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from convscope.errors import ArgumentError, NetworkError
from convscope.probe.rectify import RECTIFIERS, is_rectifier
from convscope.probe.trace.geometry import pair
from convscope.probe.trace.graph import is_inplace, op_name, out_of_place

Rounded = Callable[[Tensor], Tensor]  # max(x, 0) without its corner

SMOOTH_ALREADY = frozenset({"gelu", "silu", "softplus", "mish", "elu", "celu", "selu"})  # no corners of slope
POOLS = frozenset({"max_pool2d", "adaptive_max_pool2d", "amax", "fractional_max_pool2d"})


class Smoothed(TorchFunctionMode):
    """Inside this context max(x, 0) is softplus, log(1 + exp(s·x)) / s, and a maximum log-sum-exp, with s = `beta`
    divided by the root mean square of what the operation met while `learning`.

    `replaced` counts them; `left` names operations with corners that stay as they are. One forward pass a `with`.
    Raises ArgumentError for `beta` not above 0.
    """

    def __init__(self, beta: float) -> None:
        super().__init__()
        if not 0 < beta < float("inf"):
            raise ArgumentError("beta", beta, "expected above 0")
        self.beta, self.sizes = beta, list[float]()
        self.left: list[str] = []
        self._place, self._learns = 0, False

    @property
    def replaced(self) -> int:
        """How many operations stand smoothed."""
        return len(self.sizes)

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Inside, nothing is replaced: the sizes of what is to be replaced are noted."""
        self.sizes, self.left, self._learns = [], [], True
        try:
            with self:
                yield
        finally:
            self._learns = False

    def __enter__(self) -> "Smoothed":
        self._place = 0
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        op = op_name(func)
        if not args or not isinstance(args[0], Tensor) or not args[0].is_floating_point():
            return func(*args, **kwargs)
        rectifies = is_rectifier(op, args, kwargs) and op not in SMOOTH_ALREADY
        known = op == "max_pool2d" or (rectifies and (op in ROUNDED or op not in RECTIFIERS))
        if self._learns:
            if known:
                size = float(args[0].detach().square().mean().sqrt())
                self.sizes.append(size if size > 0 else 1.0)
            elif rectifies or op in POOLS:
                self.left.append(op)
        if self._learns or not known:
            return func(*args, **kwargs)
        sharpness = self._next()
        if op == "max_pool2d":
            return _pooled(sharpness, *args, **kwargs)
        overwrites = is_inplace(func, args, kwargs)
        _, args, kwargs = out_of_place(func, args, kwargs)
        source = args[0].clone() if overwrites else args[0]
        rounded: Callable[..., Tensor] = ROUNDED.get(op, _plain)
        value = rounded(lambda x: F.softplus(x, sharpness), source, *args[1:], **kwargs)
        return args[0].copy_(value) if overwrites else value

    def _next(self) -> float:
        if self._place == len(self.sizes):
            raise NetworkError("another pass met more rectifiers than the first: it cannot be smoothed")
        self._place += 1
        return self.beta / self.sizes[self._place - 1]


def _plain(up: Rounded, x: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
    return up(x)


def _leaky(up: Rounded, x: Tensor, negative_slope: float = 0.01, *rest: Any, **kwargs: Any) -> Tensor:
    return negative_slope * x + (1 - negative_slope) * up(x)


def _learned(up: Rounded, x: Tensor, weight: Tensor) -> Tensor:
    slope = weight.view(1, -1, *(1,) * (x.dim() - 2)) if weight.numel() > 1 else weight
    return slope * x + (1 - slope) * up(x)


def _between(up: Rounded, x: Tensor, min_val: float = -1.0, max_val: float = 1.0, *rest: Any, **kwargs: Any) -> Tensor:
    return min_val + up(x - min_val) - up(x - max_val)


ROUNDED: dict[str, Callable[..., Tensor]] = {
    "relu": _plain,
    "leaky_relu": _leaky,
    "prelu": _learned,
    "relu6": lambda up, x, *rest, **kwargs: _between(up, x, 0.0, 6.0),
    "hardtanh": _between,
}


def _pooled(
    sharpness: float,
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Log-sum-exp over the windows of a max-pooling: x (N, C, H, W) -> (N, C, h, w)."""
    if return_indices or x.dim() != 4:
        raise NetworkError("max-pooling that returns indices, or of one picture without a batch, cannot be smoothed")
    kernel, steps = pair(kernel_size), pair(kernel_size if stride in (None, []) else stride)
    pads, spreads = pair(padding), pair(dilation)
    sides, behind = [], []
    for length, k, s, p, d in zip(x.shape[2:], kernel, steps, pads, spreads, strict=True):
        span, room = d * (k - 1) + 1, length + 2 * p
        count = (room - span + (s - 1 if ceil_mode else 0)) // s + 1
        count -= int(ceil_mode and (count - 1) * s >= length + p)  # a window must begin inside
        sides.append(count)
        behind.append(max(0, (count - 1) * s + span - length - p))
    x = F.pad(x, (pads[1], behind[1], pads[0], behind[0]), value=-torch.inf)
    windows = F.unfold(x, kernel, spreads, 0, steps).view(*x.shape[:2], kernel[0] * kernel[1], *sides)
    return torch.logsumexp(windows * sharpness, 2) / sharpness
