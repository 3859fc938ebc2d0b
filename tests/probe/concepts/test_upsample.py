"""Maps at the pixels of the input, anchored at the centres of receptive fields (METHODS N1)."""

import torch
from torch.nn import functional as F

from convscope.probe.concepts.upsample import anchored, spread
from convscope.probe.trace.geometry import ReceptiveField


def places(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(n), torch.arange(n)


def test_values_stand_at_the_centres_and_change_linearly_between() -> None:
    field = ReceptiveField((5, 5), (4, 4), (-2, 0))  # centres at rows 0, 4, 8 and columns 2, 6, 10
    rows, columns = anchored(field, (3, 3), places(12), (12, 12))
    maps = torch.tensor([[[0.0, 4, 8], [4, 8, 12], [8, 12, 16]]])
    found = spread(maps, rows, columns)
    assert found.shape == (1, 12, 12)
    assert torch.equal(found[0, :9, 2], torch.arange(9.0))
    assert torch.equal(found[0, 0, 2:11], torch.arange(9.0))
    assert (found[0, 9:] == found[0, 8]).all()  # beyond the outermost centre it stays
    assert (found[0, :, :2] == found[0, :, 2:3]).all()


def test_a_map_of_every_pixel_comes_back_bit_for_bit() -> None:
    maps = torch.randn(2, 9, 9)
    rows, columns = anchored(ReceptiveField((3, 3), (1, 1), (-1, -1)), (9, 9), places(9), (9, 9))
    assert torch.equal(spread(maps, rows, columns), maps)


def test_without_a_field_it_is_the_usual_interpolation() -> None:
    maps = torch.randn(1, 3, 5, 4)
    rows, columns = anchored(None, (5, 4), (torch.arange(20), torch.arange(12)), (20, 12))
    usual = F.interpolate(maps, (20, 12), mode="bilinear", align_corners=False)
    assert torch.allclose(spread(maps, rows, columns), usual, atol=1e-6)


def test_one_unit_covers_all() -> None:
    rows, columns = anchored(None, (1, 1), places(6), (6, 6))
    assert (spread(torch.full((1, 1, 1), 2.5), rows, columns) == 2.5).all()
