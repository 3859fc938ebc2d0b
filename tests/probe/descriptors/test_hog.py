"""HOG against scikit-image, against loops, and where the answer is known by hand (METHODS I3)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import hog as reference
from torch import Tensor

from convscope.errors import ArgumentError
from convscope.probe.descriptors.hog import cell_means, glyphs, hog, oriented_hog, uoctti


def pictures(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def ramp(height: int = 32, width: int = 32) -> Tensor:
    return (torch.arange(width, dtype=torch.float64) / width).expand(1, 1, height, width)


@settings(deadline=None, max_examples=8)
@given(
    channels=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(17, 41), st.integers(17, 41)),
    cell=st.integers(4, 8),
    block=st.integers(1, 2),
    bins=st.sampled_from([7, 9, 12]),
    root=st.booleans(),
    seed=st.integers(0, 99),
)
def test_hard_votes_are_scikit_images(
    channels: int, size: tuple[int, int], cell: int, block: int, bins: int, root: bool, seed: int
) -> None:
    x = pictures(2, channels, *size, seed=seed)
    found = hog(x, cell=cell, block=block, bins=bins, soft=False, root=root)
    for picture, row in zip(x, found, strict=True):
        wanted = reference(
            picture.permute(1, 2, 0).numpy(),
            orientations=bins,
            pixels_per_cell=(cell, cell),
            cells_per_block=(block, block),
            transform_sqrt=root,
            feature_vector=False,
            channel_axis=2,
        )
        torch.testing.assert_close(row, torch.from_numpy(wanted), rtol=1e-6, atol=1e-7)  # its sums are float32


def loops(picture: Tensor, cell: int, block: int, bins: int) -> list[float]:
    """The first block, vote by vote."""
    width, found = cell * block, [[[0.0] * bins for _ in range(block)] for _ in range(block)]
    for row in range(width):
        for column in range(width):
            down = float(picture[row + 1, column] - picture[row - 1, column]) if row else 0.0
            across = float(picture[row, column + 1] - picture[row, column - 1]) if column else 0.0
            angle = math.degrees(math.atan2(down, across)) % 180 / (180 / bins) - 0.5
            middle = math.exp(
                -((row + 0.5 - width / 2) ** 2 + (column + 0.5 - width / 2) ** 2) / (2 * (width / 2) ** 2)
            )
            for i in range(block):
                for j in range(block):
                    near = [1 - abs(place + 0.5 - (k + 0.5) * cell) / cell for place, k in ((row, i), (column, j))]
                    vote = math.hypot(down, across) * middle * max(near[0], 0) * max(near[1], 0) / cell**2
                    low = math.floor(angle)
                    found[i][j][low % bins] += vote * (1 - (angle - low))
                    found[i][j][(low + 1) % bins] += vote * (angle - low)
    flat = [vote for line in found for each in line for vote in each]
    for clip in (0.2, math.inf):
        norm = math.sqrt(sum(v * v for v in flat) + 1e-10)
        flat = [min(v / norm, clip) for v in flat]
    return flat


@pytest.mark.parametrize(("cell", "block", "bins"), [(8, 2, 9), (5, 3, 8)])
def test_soft_votes_are_those_counted_one_by_one(cell: int, block: int, bins: int) -> None:
    x = pictures(1, 1, 24, 24)
    found = hog(x, cell=cell, block=block, bins=bins)[0, 0, 0].flatten()
    torch.testing.assert_close(
        found, torch.tensor(loops(x[0, 0], cell, block, bins), dtype=torch.float64), rtol=1e-6, atol=1e-8
    )


def test_sizes() -> None:
    assert hog(pictures(2, 3, 128, 64)).flatten(1).shape == (2, 3780)
    assert uoctti(pictures(2, 3, 40, 48)).shape == (2, 31, 5, 6)


@pytest.mark.parametrize("describe", [hog, uoctti])
def test_a_constant_picture_has_no_gradients(describe) -> None:  # type: ignore[no-untyped-def]
    x = torch.full((1, 3, 32, 32), 0.4, requires_grad=True)
    found = describe(x)
    (slope,) = torch.autograd.grad(found.sum(), x)
    assert not found.any()
    assert bool(slope.isfinite().all())
    assert not glyphs(uoctti(x.detach())[:, 18:27]).any()
    assert oriented_hog(x.detach())[0][1].shape == (0, 36)


def test_a_ramp_votes_for_one_direction() -> None:
    hard = hog(ramp(), soft=False)
    assert bool((hard[..., 0] > 0).all())
    assert not hard[..., 1:].any()
    soft = hog(ramp())  # its angle, 0, lies between the first bin and the last
    torch.testing.assert_close(soft[..., 0], soft[..., 8])
    assert not soft[..., 1:8].any()
    signed = uoctti(ramp())
    assert bool((signed[:, 0] > 0).all())
    assert not signed[:, 9].any()  # the opposite direction


@pytest.mark.parametrize("describe", [hog, uoctti])
def test_brightness_and_contrast_do_not_count(describe) -> None:  # type: ignore[no-untyped-def]
    x = pictures(1, 3, 32, 32)
    torch.testing.assert_close(describe(x + 0.3), describe(x))
    torch.testing.assert_close(describe(x * 0.5), describe(x), rtol=1e-5, atol=1e-6)


def test_the_unsigned_bins_are_blind_to_polarity_and_the_signed_ones_are_not() -> None:
    x = pictures(1, 1, 32, 32)
    torch.testing.assert_close(hog(1 - x), hog(x))
    found, turned = uoctti(x), uoctti(1 - x)
    torch.testing.assert_close(turned[:, 18:], found[:, 18:])
    torch.testing.assert_close(turned[:, :9], found[:, 9:18])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turning_shifts_the_oriented_histogram_away(turns: int) -> None:
    x = pictures(1, 1, 24, 24)
    (angles, found), (others, turned) = oriented_hog(x)[0], oriented_hog(x.rot90(turns, (2, 3)))[0]
    assert len(angles) >= 1
    torch.testing.assert_close(turned, found)
    torch.testing.assert_close(others, (angles - 90 * turns) % 360)  # rot90 turns against the sense of angles
    assert bool((found[:, 0] >= found.amax(1) * 0.8).all())


@pytest.mark.parametrize("describe", [hog, uoctti])
def test_gradients_are_those_of_finite_differences(describe) -> None:  # type: ignore[no-untyped-def]
    x = pictures(1, 1, 9, 9).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: describe(v, cell=4), x, fast_mode=True)


def test_glyphs_draw_strokes_along_the_edges() -> None:
    strengths = torch.zeros(1, 9, 2, 3)
    strengths[0, 4, 1, 2] = 2.0  # a gradient downwards, so a horizontal edge
    drawn = glyphs(strengths, 9)
    assert drawn.shape == (1, 18, 27)
    assert not drawn[0, :9].any()
    assert not drawn[0, :, :18].any()
    assert bool((drawn[0, 13, 18:] == 1).all())
    assert not drawn[0, 9:11].any()


def test_cells_are_the_means_over_their_blocks() -> None:
    blocks = hog(pictures(1, 1, 24, 32))
    cells = cell_means(blocks)
    assert cells.shape == (1, 9, 3, 4)
    torch.testing.assert_close(cells[0, :, 0, 0], blocks[0, 0, 0, 0, 0])
    around = torch.stack([blocks[0, 0, 0, 1, 1], blocks[0, 1, 0, 0, 1], blocks[0, 0, 1, 1, 0], blocks[0, 1, 1, 0, 0]])
    torch.testing.assert_close(cells[0, :, 1, 1], around.mean(0))


def test_mistakes() -> None:
    x = pictures(1, 1, 15, 32)
    with pytest.raises(ArgumentError, match="needs at least 16 x 16"):
        hog(x)
    with pytest.raises(ArgumentError, match="bins is 0"):
        hog(x, bins=0)
    with pytest.raises(ArgumentError, match="expected pictures of 0 to 1"):
        hog(pictures(1, 1, 32, 32) - 0.5, root=True)
    with pytest.raises(ArgumentError, match="expected an even number"):
        uoctti(x, cell=3)
    with pytest.raises(ArgumentError, match="expected \\(N, C, height, width\\)"):
        uoctti(x[0])
    with pytest.raises(ArgumentError, match="threshold is 0"):
        oriented_hog(x, threshold=0)
