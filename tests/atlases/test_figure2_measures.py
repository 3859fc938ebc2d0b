import numpy as np
import pytest

from convscope.atlases.figure2_measures import agreement, concentration, purity
from convscope.errors import ArgumentError

RNG = np.random.default_rng(0)


def noise(n: int) -> np.ndarray:
    return RNG.integers(0, 256, (n, 12, 12, 3), dtype=np.uint8)


def test_equal_pictures_agree_and_noise_does_not() -> None:
    one = noise(1)
    brighter = (one // 2 + 60).astype(np.uint8)
    assert agreement(np.concatenate([one, brighter, one])) == pytest.approx(1, abs=0.01)
    assert agreement(noise(9)) == pytest.approx(0, abs=0.05)


def test_agreement_is_the_mean_over_pairs() -> None:
    pictures = noise(3).astype(float)
    expected = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        a, b = (pictures[k] - pictures[k].mean((0, 1)) for k in (i, j))
        expected.append((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    assert agreement(pictures.astype(np.uint8)) == pytest.approx(np.mean(expected))


def test_pictures_of_one_colour_say_nothing() -> None:
    flat = np.full((3, 4, 4, 3), 128, np.uint8)
    assert agreement(flat) is None
    assert concentration(flat) is None
    assert agreement(np.concatenate([flat, noise(1).repeat(2, 0)[:, :4, :4]])) == pytest.approx(1)


def test_purity_is_the_share_of_the_commonest_label() -> None:
    assert purity(["dog", "dog", "cat"]) == pytest.approx(2 / 3)
    assert purity([None, "cat"]) == 1
    assert purity([None]) is None


def test_a_spot_is_more_concentrated_than_a_wave() -> None:
    spot = np.full((1, 20, 20, 3), 128, np.uint8)
    spot[0, 5:8, 5:8] = 255
    wave = (128 + 100 * np.sin(np.arange(20) * np.pi / 5))[None, :, None, None].repeat(20, 2).repeat(3, 3)
    spotted, waved = concentration(spot), concentration(wave.astype(np.uint8))
    assert spotted is not None
    assert waved is not None
    assert spotted > 0.9
    assert waved < 0.3


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"expected \(n, h, w, 3\)"):
        agreement(np.zeros((2, 4, 4), np.uint8))
