"""Pictures as pixels and as decorrelated colours of spatial frequencies, and how they are shaken (METHODS A1)."""

import numpy as np
import pytest
import torch

from convscope.data.sources import images
from convscope.probe.optimize.parameterizations import COLOURS, Fourier, Paint, Pixels, shaken, sized
from convscope.probe.optimize.picture_stats import colourfulness, resemblance

MEAN, STD = torch.tensor([0.48, 0.45, 0.4])[:, None, None].double(), torch.full((3, 1, 1), 0.2).double()


def inside(size: tuple[int, int] = (9, 12)) -> torch.Tensor:
    """Pictures in network space whose pixels lie between black and white."""
    pixels = 0.1 + 0.8 * torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (pixels - MEAN) / STD


@pytest.mark.parametrize("kind", [Pixels, Fourier])
@pytest.mark.parametrize("size", [(9, 12), (12, 9), (8, 8), (7, 7)])
def test_variables_stand_for_their_picture(kind: type[Paint], size: tuple[int, int]) -> None:
    paint, x = kind(size, MEAN, STD), inside(size)
    torch.testing.assert_close(paint.picture(paint.variables(x)), x)


def test_levels_are_those_of_0_to_255() -> None:
    paint = Pixels((9, 12), MEAN, STD)
    black = -MEAN / STD
    torch.testing.assert_close(paint.levels(black.expand(1, 3, 9, 12)), (-255 * MEAN).expand(1, 3, 9, 12))
    assert bool((paint.clipped(torch.full((1, 3, 9, 12), -99.0)) == black).all())


def test_a_spectrum_of_noise_has_natural_amplitudes_inside_what_a_picture_can_hold() -> None:
    paint = Fourier((64, 64), MEAN, STD)
    z = torch.randn(8, 3, 64, 33, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pixels = paint.picture(z) * STD + MEAN
    assert 0 < float(pixels.min()) < float(pixels.max()) < 1
    values = torch.einsum("dc,nchw->ndhw", torch.linalg.inv(paint.colours), pixels.logit())
    assert float(values.var()) == pytest.approx(1, rel=0.2)
    power = torch.fft.rfft2(values).abs().square().mean((0, 1))[0]
    assert float(power[4] / power[16]) == pytest.approx(16, rel=0.7)  # falls as 1/frequency squared


def test_one_channel_is_grey() -> None:
    paint = Fourier((8, 8), MEAN[:1], STD[:1])
    assert paint.picture(torch.zeros(1, 1, 8, 5, 2, dtype=torch.float64)).shape == (1, 1, 8, 8)


def test_the_colours_are_those_of_the_gallery() -> None:
    gallery = images("gallery")
    pixels = np.concatenate(
        [np.asarray(gallery.picture(i), np.float64)[::8, ::8].reshape(-1, 3) / 255 for i in range(0, len(gallery), 3)]
    )
    table = np.array(COLOURS)
    shape = table @ table.T
    found = np.cov(pixels.T)
    assert np.allclose(shape / np.trace(shape), found / np.trace(found), atol=0.02)


def test_shaking() -> None:
    x = torch.rand(2, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(3)
    assert shaken(x, generator) is x
    rolled = shaken(x, generator, jitter=4)
    assert rolled.flatten(2).sort().values.equal(x.flatten(2).sort().values)
    turned = shaken(x, torch.Generator().manual_seed(3), rotate=30.0, scale=0.2)
    again = shaken(x, torch.Generator().manual_seed(3), rotate=30.0, scale=0.2)
    assert torch.equal(turned, again)
    torch.testing.assert_close(shaken(x[:1], torch.Generator().manual_seed(3), rotate=30.0, scale=0.2), turned[:1])
    flat = torch.full((1, 3, 16, 20), 0.4)
    torch.testing.assert_close(shaken(flat, generator, rotate=30.0, scale=0.2), flat)


def test_a_turn_is_a_turn_in_pictures_that_are_not_square() -> None:
    x = torch.zeros(1, 1, 41, 81)
    x[0, 0, 20, 40:] = 1  # from the centre to the right
    generator = torch.Generator().manual_seed(0)
    _, turn = (2 * torch.rand(2, generator=generator) - 1).tolist()
    angle = torch.tensor(40 * turn).deg2rad()
    found = shaken(x, torch.Generator().manual_seed(0), rotate=40.0)
    down, across = 20 + 15 * float(angle.sin()), 40 + 15 * float(angle.cos())
    up = 20 - 15 * float(angle.sin())
    assert max(float(found[0, 0, round(down), round(across)]), float(found[0, 0, round(up), round(across)])) > 0.4


def test_tables_follow_the_size() -> None:
    table = torch.arange(16.0).reshape(1, 4, 4)
    assert sized(table, (4, 4)) is table
    assert sized(table, (2, 2)).shape == (1, 2, 2)
    assert sized(MEAN, (5, 5)) is MEAN


def test_looks() -> None:
    grey = torch.rand(1, 1, 6, 6).expand(1, 3, 6, 6) * 255
    assert float(colourfulness(grey)) == pytest.approx(0, abs=1e-4)
    assert float(colourfulness(torch.rand(1, 3, 6, 6) * 255)) > 20
    x = torch.rand(3, 8, 8, dtype=torch.float64)
    assert float(resemblance(x, torch.stack([x, 2 * x + 1]), 1.0)) == pytest.approx(1)
    assert float(resemblance(x, -x[None], 0)) == pytest.approx(-1)
