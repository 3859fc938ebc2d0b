"""Sprites: many tiles on one picture, so that a feature map is one file and a layer a few dozen.

Knows arrays and the geometry of `contexts.Sprite`, nothing of atlases or pages.
"""

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.pictures import GREY
from convscope.web.contexts.atlas import Pair, Sprite

Pixels = NDArray[np.uint8]  # (height, width, 3)

QUALITY = 82  # tiles are compressed a second time here, and a large network has tens of thousands of them


def within(height: int, width: int, side: int) -> Pair:
    """The size at which a tile of `height` x `width` fits into `side` x `side`, its shape kept; never enlarged."""
    shrink = min(1.0, side / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def fit(tile: Pixels, height: int, width: int) -> Pixels:
    """The tile on `height` x `width` pixels: shrunk where too large, on grey where too small."""
    if tile.shape[:2] == (height, width):
        return tile
    scale = min(1.0, height / tile.shape[0], width / tile.shape[1])
    size = max(1, round(tile.shape[0] * scale)), max(1, round(tile.shape[1] * scale))
    if size != tile.shape[:2]:
        tile = np.asarray(Image.fromarray(tile).resize(size[::-1], Image.Resampling.BOX))
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    canvas = np.full((height, width, 3), GREY, np.uint8)
    canvas[top : top + size[0], left : left + size[1]] = tile
    return canvas


def compose(sprite: Sprite, tiles: Mapping[Pair, Pixels]) -> bytes:
    """The encoded sprite with `tiles` by (row, column); the others stay grey."""
    canvas = np.full((*sprite.size, 3), GREY, np.uint8)
    (down, across), bare = sprite.pitch, (sprite.height, sprite.width)
    beyond = ((0, down - bare[0]), (0, across - bare[1]), (0, 0))
    for place, tile in tiles.items():
        top, left = sprite.origin(*place)
        # the last row and column go on to the next tile, so that nothing shines in when a browser scales
        canvas[top : top + down, left : left + across] = np.pad(fit(tile, *bare), beyond, mode="edge")
    file = io.BytesIO()
    if sprite.suffix == "png":
        Image.fromarray(canvas).save(file, "PNG")
    else:
        Image.fromarray(canvas).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()
