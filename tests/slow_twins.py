"""Each method re-stated the slow, obvious way. The package must agree with these; they import nothing from it."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Stage = tuple[Any, ...]  # ("conv", weight, bias, stride, padding) | ("relu",) | ("pool", size, stride, padding, ceil)


def convolve(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    """(C, H, W) -> (K, h, w), one multiplication at a time over positions."""
    _, H, W = x.shape
    K, _, k, _ = weight.shape
    h, w = (H + 2 * padding - k) // stride + 1, (W + 2 * padding - k) // stride + 1
    out = torch.zeros(K, h, w, dtype=x.dtype)
    for i in range(h):
        for j in range(w):
            for a in range(k):
                for b in range(k):
                    r, c = i * stride - padding + a, j * stride - padding + b
                    if 0 <= r < H and 0 <= c < W:
                        out[:, i, j] += weight[:, :, a, b] @ x[:, r, c]
            out[:, i, j] += bias
    return out


def filter_back(R: Tensor, weight: Tensor, stride: int, padding: int, size: tuple[int, int]) -> Tensor:
    """Transposed filtering: every output hands its signal back to the inputs it was made of."""
    out = torch.zeros(weight.shape[1], *size, dtype=R.dtype)
    for i in range(R.shape[1]):
        for j in range(R.shape[2]):
            for a in range(weight.shape[2]):
                for b in range(weight.shape[3]):
                    r, c = i * stride - padding + a, j * stride - padding + b
                    if 0 <= r < size[0] and 0 <= c < size[1]:
                        out[:, r, c] += weight[:, :, a, b].T @ R[:, i, j]
    return out


def pool(x: Tensor, k: int, s: int, p: int, ceil: bool) -> tuple[Tensor, list[list[list[tuple[int, int]]]]]:
    """Max-pooling with its switches: the first maximum of each window in row-major order, never padding."""
    C, H, W = x.shape
    up = math.ceil if ceil else math.floor
    sizes = [up((n + 2 * p - k) / s) + 1 for n in (H, W)]
    h, w = (m - 1 if ceil and (m - 1) * s >= n + p else m for m, n in zip(sizes, (H, W), strict=True))
    out, switches = torch.zeros(C, h, w, dtype=x.dtype), []
    for c in range(C):
        rows = []
        for i in range(h):
            row = []
            for j in range(w):
                cells = [
                    (r, q)
                    for r in range(i * s - p, i * s - p + k)
                    for q in range(j * s - p, j * s - p + k)
                    if 0 <= r < H and 0 <= q < W
                ]
                best = max(cells, key=lambda cell: (x[c][cell].item(), [-v for v in cell]))
                out[c, i, j] = x[c][best]
                row.append(best)
            rows.append(row)
        switches.append(rows)
    return out, switches


def deconvnet(stages: list[Stage], x: Tensor, channel: int, position: tuple[int, int], rule: str) -> Tensor:
    """Project one unit of the last stage of a chain on (C, H, W), as METHODS V1 says it, under any rule of V3."""
    seen, switches = [x], {}
    for n, (kind, *rest) in enumerate(stages):
        if kind == "conv":
            x = convolve(x, *rest)
        elif kind == "relu":
            x = x.clamp(min=0)
        else:
            x, switches[n] = pool(x, *rest)
        seen.append(x)
    R = torch.zeros_like(x)
    R[channel][position] = x[channel][position]
    if rule == "deconvnet":
        R = R.clamp(min=0)
    for n in reversed(range(len(stages))):
        kind, *rest = stages[n]
        below = seen[n]
        if kind == "conv":
            R = filter_back(R, rest[0], rest[2], rest[3], (below.shape[1], below.shape[2]))
        elif kind == "relu":
            R = rectify(R, below, rule)
        else:
            unpooled = torch.zeros_like(below)
            for c, rows in enumerate(switches[n]):
                for i, row in enumerate(rows):
                    for j, cell in enumerate(row):
                        unpooled[c][cell] += R[c, i, j]
            R = unpooled
    return R


def rectify(R: Tensor, x: Tensor, rule: str) -> Tensor:
    """METHODS V3, all four rules."""
    masks = {
        "deconvnet": R > 0,
        "gradient": x > 0,
        "guided": (x > 0) & (R > 0),
        "none": torch.ones_like(R, dtype=torch.bool),
    }
    return R * masks[rule]


class RuleRelu(torch.autograd.Function):
    """A rectifier with a backward rule built in, for nets that are handed their rectifier."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rule: str) -> Tensor:
        ctx.save_for_backward(x)
        ctx.rule = rule
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *signal: Any) -> Any:
        (x,) = ctx.saved_tensors
        return rectify(signal[0], x, ctx.rule), None


def who_moves(module: Callable[[Tensor], Tensor], size: tuple[int, int, int], row: int, column: int) -> tuple[int, ...]:
    """Top, left, bottom, right (exclusive) of the pixels that move position (row, column) of any map of a module."""
    generator = torch.Generator().manual_seed(0)
    moved = torch.zeros(size[1:], dtype=torch.bool)
    for _ in range(3):  # a rectifier or a maximum may hide a pixel once
        x = torch.randn(1, *size, dtype=torch.float64, generator=generator, requires_grad=True)
        output = module(x)[0, :, row, column]
        for value in output:
            (g,) = torch.autograd.grad(value, x, retain_graph=True)
            moved |= (g[0] != 0).any(0)
    rows, columns = moved.any(1).nonzero().flatten(), moved.any(0).nonzero().flatten()
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def plain_copy(module: nn.Module) -> dict[str, Tensor]:
    """A module's state, to compare with later."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}
