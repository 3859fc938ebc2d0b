import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope.pictures import GREY, decode
from convscope.web.contexts.atlas import Sprite
from convscope.web.drawing.sprite_sheet import compose, fit, within


def flat(height: int, width: int, value: int) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_small_tiles_come_back_bit_for_bit() -> None:
    sprite = Sprite(7, 7, 2, 3)
    tile = np.random.default_rng(0).integers(0, 256, (7, 7, 3), np.uint8)
    sheet = decode(compose(sprite, {(1, 2): tile}))
    top, left = sprite.origin(1, 2)
    assert sprite.suffix == "png"
    assert sheet.shape == (*sprite.size, 3) == (16, 24, 3)
    np.testing.assert_array_equal(sheet[top : top + 7, left : left + 7], tile)
    assert (sheet[:8] == GREY).all()


def test_large_tiles_do_not_bleed_into_one_another() -> None:
    sprite = Sprite(75, 75, 1, 3)
    sheet = decode(compose(sprite, {(0, 0): flat(75, 75, 255), (0, 2): flat(75, 75, 0)}))
    assert sprite.suffix == "jpg"
    assert (sheet[:, :80] > 250).all()
    assert (abs(sheet[:, 80:160].astype(int) - GREY) <= 1).all()
    assert (sheet[:, 160:] < 5).all()


@given(height=st.integers(1, 60), width=st.integers(1, 60), side=st.integers(1, 40))
def test_tiles_fit_with_their_shape_kept(height: int, width: int, side: int) -> None:
    rows, columns = within(height, width, side)
    assert max(rows, columns) <= side
    assert (rows, columns) == (height, width) or max(rows, columns) == side
    assert fit(flat(height, width, 200), rows, columns).shape == (rows, columns, 3)


@pytest.mark.parametrize("shape", [(2, 2), (4, 2), (9, 9), (3, 12)])
def test_a_tile_of_another_shape_lies_on_grey(shape: tuple[int, int]) -> None:
    tile = fit(flat(*shape, 200), 6, 6)
    assert tile.shape == (6, 6, 3)
    assert set(np.unique(tile)) <= {GREY, 200}
    assert (tile == 200).any()
