"""Rectification rules: how the deconvnet, guided and gradient passes differ, by intercepting operations.

The deconvnet (Zeiler & Fergus 2013, METHODS V1-V3) is back-propagation with one rule replaced: what a rectifier does to
the signal coming down. Inside `with Rectified("deconvnet") as caught:` every rectifier keeps its forward value and
gets that rule, whether it is a module, `F.relu`, a method, in place, reused or built inside `forward`; contrast
normalisation and max-pooling get the rules of `lrn` and `unpool`. Nothing of the network is touched.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from convscope.errors import ArgumentError, NetworkError
from convscope.probe.trace.graph import is_inplace, op_name, out_of_place

Rule = Literal["deconvnet", "guided", "gradient", "none"]
LRN = Literal["identity", "scale", "gradient"]
Unpool = Literal["switch", "max", "overwrite", "nearest", "nails"]

RECTIFIERS = frozenset(
    """relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish hardtanh softplus threshold""".split()
)
# The same as autograd calls them: what is left of these after interception was not caught.
_UNCAUGHT = (
    "Relu",
    "Threshold",
    "Hardtanh",
    "Elu",
    "Gelu",
    "Silu",
    "Mish",
    "Hardswish",
    "Prelu",
    "Rrelu",
    "Softplus",
    "DifferentiableGraph",
)


def is_rectifier(op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an operation is a rectifier: the named ones, and clamping or taking the maximum at zero from below."""
    if op in RECTIFIERS:
        return True
    if op in {"clamp", "clamp_min"}:
        low = args[1] if len(args) > 1 else kwargs.get("min")
        high = args[2] if len(args) > 2 else kwargs.get("max")
        return isinstance(low, (int, float)) and low == 0 and high is None
    return False


def signal_rule(rule: str, rectifier: Callable[[Tensor], Tensor], source: Tensor) -> Callable[[Tensor], Tensor]:
    """What `rule` makes of the signal R coming down to a rectifier that saw `source` (METHODS V3)."""

    def gradient(R: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = source.detach().requires_grad_()
            return torch.autograd.grad(rectifier(leaf), leaf, R)[0]

    rules: dict[str, Callable[[Tensor], Tensor]] = {
        "deconvnet": lambda R: R.clamp(min=0),
        "guided": lambda R: gradient(R.clamp(min=0)),
        "gradient": gradient,
        "none": lambda R: R,
    }
    return rules[rule]


class _Replace(torch.autograd.Function):
    """Forward: a value computed elsewhere. Backward: any function of the signal, for the input it stands in for."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, value: Tensor, backward: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.rule = backward
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *signal: Any) -> Any:
        return ctx.rule(signal[0]), None, None


class _ReplaceInPlace(torch.autograd.Function):
    """The same for an operation that overwrites its input."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, value: Tensor, backward: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.rule = backward
        ctx.mark_dirty(source)
        return source.copy_(value)

    @staticmethod
    def backward(ctx: Any, *signal: Any) -> Any:
        return ctx.rule(signal[0]), None, None


def check(argument: str, value: str, choices: Any) -> None:
    """Raise ArgumentError unless `value` is one of a Literal's choices."""
    if value not in get_args(choices):
        raise ArgumentError(argument, value, f"expected one of {', '.join(get_args(choices))}")


class Rectified(TorchFunctionMode):
    """Inside this context the backward pass follows `rule`, `lrn` and `unpool`; `caught` lists what was replaced.

    rule: "deconvnet" R·1[R>0], "guided" the gradient of R·1[R>0], "gradient" plain, "none" R unchanged.
    lrn: local response normalisation as "identity" (the deconvnet says nothing of it), "scale" (its denominators held
    constant) or "gradient". unpool: "switch" (where the maximum was; overlapping windows add up), "max" or "overwrite"
    on overlap, "nearest", "nails" (bed of nails); METHODS V2. Raises ArgumentError for other names.
    """

    def __init__(self, rule: Rule = "deconvnet", lrn: LRN = "identity", unpool: Unpool = "switch") -> None:
        super().__init__()
        for argument, value, choices in (("rule", rule, Rule), ("lrn", lrn, LRN), ("unpool", unpool, Unpool)):
            check(argument, value, choices)
        self.rule, self.lrn, self.unpool = rule, lrn, unpool
        self.caught: list[str] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        op = op_name(func)
        if not args or not isinstance(args[0], Tensor) or not args[0].requires_grad or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if is_rectifier(op, args, kwargs):
            self.caught.append(op)
            return self._rectify(func, args, kwargs)
        if op == "local_response_norm" and self.lrn != "gradient":
            return self._normalise(func, args, kwargs)
        if op == "max_pool2d" and self.unpool != "switch":
            return self._pool(args, kwargs)
        return func(*args, **kwargs)

    def _rectify(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        if self.rule == "gradient":
            return func(*args, **kwargs)  # type: ignore[no-any-return]
        overwrites = is_inplace(func, args, kwargs)
        plain, args, kwargs = out_of_place(func, args, kwargs)
        source = args[0].detach()
        if overwrites and self.rule == "guided":
            source = source.clone()
        rule = signal_rule(self.rule, lambda x: plain(x, *args[1:], **kwargs), source)
        with torch.no_grad():
            value = plain(source, *args[1:], **kwargs)
        return (_ReplaceInPlace if overwrites else _Replace).apply(args[0], value, rule)  # type: ignore[no-any-return]

    def _normalise(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        with torch.no_grad():
            value = func(*args, **kwargs)
        return _Replace.apply(args[0], value, normaliser(self.lrn, args[0].detach(), value))  # type: ignore[no-any-return]

    def _pool(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kwargs.pop("return_indices", False) or (len(args) > 6 and args[6]):
            raise NetworkError('unpool works on max-pooling that returns no indices; use unpool="switch"')
        with torch.no_grad():
            value, switches = F.max_pool2d(*args, **kwargs, return_indices=True)
        size = tuple(args[0].shape[2:])
        return _Replace.apply(args[0], value, lambda R: unpooled(R, switches, size, self.unpool))


def normaliser(lrn: str, source: Tensor, value: Tensor) -> Callable[[Tensor], Tensor]:
    """What "identity" and "scale" do to the signal below a local response normalisation (METHODS V1 step 3)."""
    if lrn == "identity":
        return lambda R: R
    scale = torch.where(source == 0, torch.ones_like(value), value / torch.where(source == 0, 1.0, source))
    return lambda R: R * scale


def unpooled(signal: Tensor, switches: Tensor, size: tuple[int, int], how: str) -> Tensor:
    """Undo a max-pooling (METHODS V2): `signal` and `switches` (N, C, h, w) -> (N, C, *size).

    `switches` are places in the flattened map of `size`, as `max_pool2d` returns them. "switch" adds up where windows
    overlap (the adjoint of selection), "max" keeps the largest value, "overwrite" the last in row-major
    order; "nearest" repeats each value over its cell, "nails" puts it at the cell's top left.
    Raises ArgumentError when a switch lies outside the map or shapes differ.
    """
    if signal.shape != switches.shape:
        raise ArgumentError(
            "switches", tuple(switches.shape), f"expected the shape of the signal, {tuple(signal.shape)}"
        )
    places = size[0] * size[1]
    if switches.numel() and (int(switches.min()) < 0 or int(switches.max()) >= places):
        raise ArgumentError("switches", int(switches.max()), f"expected places from 0 to {places - 1}")
    if how == "nearest":
        return F.interpolate(signal, size=size, mode="nearest")
    flat = signal.new_zeros(*signal.shape[:2], places)
    index, values = switches.flatten(2), signal.flatten(2)
    if how == "nails":
        rows, columns = (
            torch.arange(n, device=signal.device) * m // n for n, m in zip(signal.shape[2:], size, strict=True)
        )
        index = (rows[:, None] * size[1] + columns).flatten().expand_as(values)
    if how == "max":
        flat.scatter_reduce_(2, index, values, "amax", include_self=False)
    elif how == "overwrite":
        order = torch.arange(index.shape[2], device=signal.device).expand_as(index)
        last = torch.full_like(flat, -1, dtype=torch.long).scatter_reduce_(2, index, order, "amax")
        flat = torch.where(last >= 0, values.gather(2, last.clamp(min=0)), flat)
    else:
        flat.scatter_add_(2, index, values)
    return flat.view(*signal.shape[:2], *size)


def uncaught(output: Tensor) -> list[str]:
    """Rectifiers that autograd recorded below `output` on their own: those the interception missed."""
    missed, seen, stack = [], set(), [output.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = type(node).__name__ if not hasattr(node, "name") else node.name()
        missed += [
            name for part in _UNCAUGHT if name.rpartition("::")[2].startswith(part) or part in name.split("Backward")[0]
        ][:1]
        stack += [parent for parent, _ in node.next_functions]
    return missed
