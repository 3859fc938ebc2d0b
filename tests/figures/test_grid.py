import numpy as np
import pytest

from convscope.errors import ArgumentError
from convscope.figures import grid


def tile(value: int, height: int = 4, width: int = 4) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_tiles_fill_the_sheet_row_by_row() -> None:
    sheet = grid.mosaic([tile(10), tile(20), tile(30)], 2, side=4, gap=1)
    assert sheet.shape == (9, 9, 3)
    assert (sheet[:4, :4] == 10).all()
    assert (sheet[:4, 5:] == 20).all()
    assert (sheet[5:, :4] == 30).all()
    assert tuple(sheet[4, 0]) == grid.rgb(grid.SHEET)


def test_empty_cells_are_not_mid_grey() -> None:
    sheet = grid.mosaic([None], 1, side=4)
    assert tuple(sheet[0, 0]) == grid.rgb(grid.EMPTY)


def test_small_tiles_grow_pixel_by_pixel() -> None:
    small = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert set(grid.fitted(small, 8).ravel()) == {0, 255}
    assert grid.fitted(tile(7, 100, 50), 8).shape == (8, 8, 3)


def test_sheets_stand_beside_one_another() -> None:
    assert grid.beside(tile(1), tile(2), gap=3).shape == (4, 11, 3)


def test_pixels_come_out_one_to_one(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from PIL import Image

    figure = grid.canvas(40, 30)
    picture = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    grid.place(figure, picture, 5, 8)
    figure.savefig(tmp_path / "figure.png", format="png")
    shown = np.asarray(Image.open(tmp_path / "figure.png").convert("RGB"))
    assert shown.shape == (30, 40, 3)
    np.testing.assert_array_equal(shown[8:18, 5:17], picture)


def test_nothing_to_show_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="at least one"):
        grid.mosaic([], 3, side=4)
    with pytest.raises(ArgumentError, match=r"\(h, w, 3\)"):
        grid.fitted(np.zeros((3, 3), np.uint8), 4)


def test_a_box_beyond_the_border_is_filled() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    tile_ = grid.cut(pixels, (-1, 0, 3, 1), fill=9)
    assert tile_.shape == (4, 1, 3)
    np.testing.assert_array_equal(tile_[1:3, 0], pixels[:, 0])
    assert (tile_[[0, 3]] == 9).all()
