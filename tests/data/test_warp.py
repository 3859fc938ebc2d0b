"""Pictures moved about their centre (METHODS F5), against a loop over pixels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convscope.data.preprocess import Preprocess
from convscope.data.warp import IDENTITY, Transform, moved
from convscope.errors import ArgumentError


def picture(height: int = 30, width: int = 36, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slow(square: np.ndarray, transform: str, amount: float, side: int, mean: float) -> np.ndarray:
    """Pixel by pixel: where in the square (R, R, 3) does each pixel of the crop come from? Beyond it: the mean."""
    size = square.shape[0]
    centre, offset = (size - 1) / 2, (size - side) // 2
    out = np.zeros((side, side, 3))

    def at(r: int, c: int) -> np.ndarray:
        return square[r, c] / 255 if 0 <= r < size and 0 <= c < size else np.full(3, mean)

    for i in range(side):
        for j in range(side):
            y, x = i + offset - centre, j + offset - centre
            if transform == "translation":
                y -= amount
            elif transform == "scale":
                y, x = y / amount, x / amount
            else:
                angle = math.atan2(y, x) + math.radians(amount)  # counter-clockwise, y downwards
                y, x = math.hypot(y, x) * math.sin(angle), math.hypot(y, x) * math.cos(angle)
            y, x = y + centre, x + centre
            r, c = math.floor(y), math.floor(x)
            for a in (0, 1):
                for b in (0, 1):
                    weight = abs(1 - a - (y - r)) * abs(1 - b - (x - c))
                    out[i, j] += weight * at(r + a, c + b)
    return out


@given(st.sampled_from(["translation", "scale", "rotation"]), st.floats(0.1, 40), st.integers(0, 99))
def test_equal_to_the_slow_twin(transform: Transform, amount: float, seed: int) -> None:
    net = Preprocess((3, 8, 8), mean=0.4, std=0.5, resize=10)
    pixels = picture(10, 10, seed)
    found = moved(net, pixels, transform, [amount])[0].permute(1, 2, 0).numpy() * 0.5 + 0.4
    np.testing.assert_allclose(found, slow(pixels, transform, amount, 8, 0.4), atol=1e-5)


@pytest.mark.parametrize("mean", [0.4, np.linspace(0, 1, 3 * 14 * 14, dtype=np.float32).reshape(3, 14, 14)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_identity_is_the_networks_own_transform(mean: object, channels: int) -> None:
    if channels == 1 and isinstance(mean, np.ndarray):
        mean = mean[:1]
    net = Preprocess((channels, 14, 14), mean=mean, std=0.2)  # type: ignore[arg-type]
    for transform, amount in IDENTITY.items():
        torch.testing.assert_close(moved(net, picture(), transform, [amount])[0], net(picture()), atol=1e-6, rtol=0)
    torch.testing.assert_close(moved(net, picture(), "rotation", [360])[0], net(picture()), atol=1e-5, rtol=0)


def test_directions() -> None:
    net = Preprocess((3, 16, 16), resize=16)
    dot = np.zeros((16, 16, 3), np.uint8)
    dot[3, 10] = 255
    assert place(moved(net, dot, "translation", [4])) == (7, 10)
    assert place(moved(net, dot, "rotation", [90])) == (5, 3)  # counter-clockwise: up on the right goes up on the left
    assert place(moved(net, dot, "scale", [5 / 3])) == (0, 12)


def place(found: torch.Tensor) -> tuple[int, int]:
    row, column = divmod(int(found[0, 0].argmax()), found.shape[3])
    return row, column


def test_what_lies_outside_is_the_mean_picture() -> None:
    table = np.random.default_rng(0).random((3, 14, 14), dtype=np.float32)
    found = moved(Preprocess((3, 14, 14), mean=table, std=0.3), picture(), "translation", [100, -100])
    assert not found.any()
    corner = moved(Preprocess((3, 14, 14), mean=table, std=0.3), picture(), "rotation", [45])
    assert corner[0, :, 7, 7].all()


def test_a_tensor_moves_in_network_space() -> None:
    net, x = Preprocess((3, 8, 8)), torch.randn(3, 8, 8)
    found = moved(net, x, "translation", [0, 2])
    torch.testing.assert_close(found[0], x)
    torch.testing.assert_close(found[1, :, 2:], x[:, :-2])
    assert found[1, :, :2].abs().max() < 1e-12


@pytest.mark.parametrize("amount", [0, -1, float("nan")])
def test_scales_are_positive(amount: float) -> None:
    with pytest.raises(ArgumentError, match=r"scale is .*expected a finite number above 0"):
        moved(Preprocess((3, 8, 8)), picture(), "scale", [1, amount])
    with pytest.raises(ArgumentError, match="rotation is inf"):
        moved(Preprocess((3, 8, 8)), picture(), "rotation", [math.inf])
