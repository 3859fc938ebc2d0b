"""Pictures that differ by colour, rotation, shift or sign only are alike; noise is not (METHODS P6)."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from convscope.errors import ArgumentError
from convscope.probe.filters.filter_similarity import clusters, similarity, varied


def smooth(count: int, side: int, channels: int = 3, seed: int = 0) -> Tensor:
    """Pictures of a few pixels' grain, so that turning them loses little."""
    values = torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(seed)).double()
    return torch.from_numpy(ndimage.gaussian_filter(values.numpy(), (0, 0, 1.2, 1.2)))


def turned(picture: Tensor, degrees: float) -> Tensor:
    return torch.from_numpy(ndimage.rotate(picture.numpy(), degrees, (1, 2), reshape=False, order=1))


@pytest.mark.parametrize("degrees", [0, 15, 45, 90, 120, 255, 345])
def test_rotated_and_recoloured_copies_are_alike(degrees: int) -> None:
    picture = smooth(1, 11)[0]
    order = list(itertools.permutations(range(3)))[degrees // 15 % 6]
    alike = similarity(torch.stack([picture, -2.5 * turned(picture[list(order)], degrees) + 1]))
    assert float(alike[0, 1]) > (0.9 if degrees % 90 else 1 - 1e-9)


def test_shifts_of_a_pixel_are_alike() -> None:
    wide = smooth(1, 16)[0]
    pairs = torch.stack([wide[:, 2:13, 2:13], wide[:, 3:14, 1:12]])
    assert float(similarity(pairs)[0, 1]) > 0.9


def test_noise_is_not() -> None:
    noise = torch.randn(40, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    assert [len(cluster) for cluster in clusters(similarity(noise), 0.9)] == [1] * 40


def test_against_the_obvious_way() -> None:
    """Pairs at right angles, where there is nothing to interpolate: every variant of one against the other."""
    pictures = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(1)).double().numpy()
    line = np.arange(4) - 1.5
    mask = line[:, None] ** 2 + line[None] ** 2 <= 4

    def normal(picture: np.ndarray) -> np.ndarray:
        inside = picture[:, mask]
        inside = inside - inside.mean()
        return inside / np.linalg.norm(inside)

    def variants(picture: np.ndarray) -> list[np.ndarray]:
        found = []
        for order in itertools.permutations(range(3)):
            for quarters in range(4):
                for down, across in itertools.product((-1, 0, 1), repeat=2):
                    moved = np.roll(np.pad(np.rot90(picture[list(order)], quarters, (1, 2)), ((0, 0), (1, 1), (1, 1))),
                                    (down, across), (1, 2))  # fmt: skip
                    found.append(normal(moved[:, 1:-1, 1:-1]))
        return found

    alike = similarity(torch.from_numpy(pictures))
    for a, b in itertools.combinations(range(3), 2):
        least = max(abs(float((normal(pictures[a]) * other).sum())) for other in variants(pictures[b]))
        assert float(alike[a, b]) >= least - 1e-12  # the rotations between may be nearer still


def test_the_matrix_is_symmetric_and_bounded() -> None:
    alike = similarity(smooth(5, 7, seed=2))
    torch.testing.assert_close(alike, alike.T)
    assert float(alike.max()) == 1
    assert float(alike.min()) >= 0
    assert alike.diagonal().tolist() == [1] * 5


def test_grey_forgets_colour_and_constants_have_no_likeness() -> None:
    grey = smooth(1, 9, 1)[0]
    tinted = torch.stack(
        [grey.expand(3, 9, 9) * torch.tensor(c)[:, None, None] for c in ([1.0, 0.2, 0.1], [0, 1, 1.0])]
    )
    assert float(similarity(tinted, "grey")[0, 1]) == pytest.approx(1)
    flat = torch.cat([tinted, torch.full((1, 3, 9, 9), 0.3)])
    assert varied(flat, "grey").tolist() == [True, True, False]
    assert similarity(flat, "grey")[2].tolist() == [0, 0, 0]


@pytest.mark.parametrize("shape", [(3, 1, 5, 5), (3, 3, 3, 7), (3, 12, 6, 2), (3, 3, 90, 60), (2, 3, 1, 1)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    pictures = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    pictures[-1] = -3 * pictures[0]
    assert float(similarity(pictures)[0, -1]) == pytest.approx(1)


def test_single_link_clusters_by_hand() -> None:
    alike = torch.eye(5)
    for a, b in ((0, 3), (3, 4), (1, 2)):
        alike[a, b] = alike[b, a] = 0.9
    assert clusters(alike, 0.9) == [[0, 3, 4], [1, 2]]
    assert clusters(alike, 0.95) == [[0], [1], [2], [3], [4]]


def test_bad_pictures() -> None:
    with pytest.raises(ArgumentError, match="pictures"):
        similarity(torch.zeros(3, 5, 5))
    with pytest.raises(ArgumentError, match="finite"):
        similarity(torch.full((2, 3, 5, 5), float("nan")))
