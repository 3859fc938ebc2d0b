"""Surfaces for drawn pictures: materials such as brick and water, textures such as stripes and scales.

    brick(random, 80, 120, (150, 70, 50))     # (80, 120, 3) float32, levels of 0 to 255

Everything random comes from the generator given. Knows nothing of objects or scenes.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[Any]  # of float32
Colour = tuple[float, float, float]
Material = Callable[[np.random.Generator, int, int, Colour], Field]
Texture = Callable[[np.random.Generator, int, int], Field]

SHEET = 640  # pixels a side of the sheets that noise is cut from
UNIT = 320.0  # sizes of bricks, leaves and stripes are those of a picture of this side


@cache
def _sheet(cell: int) -> Field:
    """Smooth noise (SHEET, SHEET) of mean 0 and deviation 1, its largest blobs `cell` pixels wide."""
    random, total = np.random.default_rng(cell), np.zeros((SHEET, SHEET), np.float32)
    for octave in range(4):
        size = max(cell >> octave, 1)
        grid = random.standard_normal((SHEET // size + 2,) * 2).astype(np.float32)
        full = Image.fromarray(grid).resize((len(grid) * size,) * 2, Image.Resampling.BICUBIC)
        total += np.asarray(full)[:SHEET, :SHEET] / 2**octave
        if size == 1:
            break
    return np.asarray((total - total.mean()) / total.std(), np.float32)


def noise(random: np.random.Generator, height: int, width: int, cell: int) -> Field:
    """A piece of such a sheet, turned at random. Up to SHEET pixels a side."""
    sheet = np.rot90(_sheet(cell), int(random.integers(4)))
    top, left = random.integers(SHEET - height + 1), random.integers(SHEET - width + 1)
    return sheet[top : top + height, left : left + width]


def streaks(random: np.random.Generator, height: int, width: int, cell: int, longer: int, upright: bool) -> Field:
    """Noise drawn out along one axis, `longer` times as long as wide."""
    small = (-(-height // longer), width) if upright else (height, -(-width // longer))
    piece = Image.fromarray(np.ascontiguousarray(noise(random, *small, cell)))
    return np.asarray(piece.resize((width, height), Image.Resampling.BICUBIC))


def grid(height: int, width: int) -> tuple[Field, Field]:
    """Rows (h, 1) and columns (1, w) as numbers."""
    return np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]


def tinted(colour: Colour, light: Field) -> Field:
    """A colour, lighter and darker by `light` (h, w), in levels."""
    return np.asarray(colour, np.float32) + light[..., None]


def mixed(a: Colour, b: Colour, share: Field) -> Field:
    """Colour `a` where `share` (h, w) is 0, `b` where it is 1."""
    return np.asarray(a, np.float32) + (np.asarray(b, np.float32) - np.asarray(a, np.float32)) * share[..., None]


def _cells(random: np.random.Generator, height: int, width: int, size: float) -> tuple[Field, Field]:
    """Irregular cells about `size` wide: the distance to the border, 0 at it, and a number in [0, 1] for each."""
    y, x = grid(height, width)
    rows, columns = int(height / size) + 3, int(width / size) + 3
    points = random.uniform(0.1, 0.9, (rows, columns, 2)).astype(np.float32)
    numbers = random.uniform(0, 1, (rows, columns)).astype(np.float32)
    row, column = np.broadcast_arrays((y / size).astype(int) + 1, (x / size).astype(int) + 1)
    first = np.full((height, width), np.inf, np.float32)
    second, number = first.copy(), np.zeros((height, width), np.float32)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            at = (row + down).clip(0, rows - 1), (column + across).clip(0, columns - 1)
            py, px = at[0] - 1 + points[(*at, 0)], at[1] - 1 + points[(*at, 1)]
            far = np.hypot(y / size - py, x / size - px).astype(np.float32)
            nearer = far < first
            second = np.where(nearer, first, np.minimum(second, far))
            number, first = np.where(nearer, numbers[at], number), np.where(nearer, far, first)
    return second - first, number


# Materials ----------------------------------------------------------------------------------------------------------


def grass(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Upright blades in patches."""
    light = 15 * streaks(random, height, width, 4, 6, True) + 7 * noise(random, height, width, 64)
    return (
        tinted(colour, light)
        + np.asarray((0.25, 0.1, -0.1), np.float32) * noise(random, height, width, 32)[..., None] * 22
    )


def foliage(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Clumps of leaves in four lights."""
    lumps = noise(random, height, width, 16)
    return tinted(colour, 20 * np.digitize(lumps, (-0.7, 0.1, 0.9)).astype(np.float32) - 30 + 5 * lumps)


def water(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Ripples that lie."""
    wave = streaks(random, height, width, 8, 7, False)
    return tinted(colour, 13 * wave + 34 * (wave > 1.25))


def sand(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Grains, and long shallow dunes."""
    return tinted(colour, 9 * noise(random, height, width, 2) + 9 * streaks(random, height, width, 32, 4, False))


def wood(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Grain along the longer side."""
    upright = height > width
    y, x = grid(height, width)
    across = (x if upright else y) / 9 + 0.9 * streaks(random, height, width, 32, 8, upright)
    return tinted(colour, 13 * np.sin(2 * np.pi * across) + 7 * streaks(random, height, width, 4, 12, upright))


def brick(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Courses of bricks, each of its own shade, in light mortar."""
    high, wide = 11, 26
    y, x = grid(height, width)
    row = (y // high).astype(int)
    along = x + wide / 2 * (row % 2)
    shade = random.normal(0, 14, (height // high + 1, width // wide + 2)).astype(np.float32)
    face = tinted(colour, shade[row, (along // wide).astype(int)] + 5 * noise(random, height, width, 4))
    mortar = (y % high < 2) | (along % wide < 2)
    return np.where(mortar[..., None], np.asarray((196, 190, 180), np.float32), face)


def stone(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Rounded cobbles with dark joints."""
    border, number = _cells(random, height, width, 26)
    round_ = np.minimum(border * 3, 1)
    return tinted(colour, 46 * (number - 0.5) + 42 * round_ - 42 + 6 * noise(random, height, width, 8))


def rock(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Rough slopes."""
    ridge = np.abs(noise(random, height, width, 64))
    return tinted(colour, 30 * ridge - 22 + 7 * noise(random, height, width, 4))


def metal(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Varnish: a bright band above, dark below."""
    y, _ = grid(height, width)
    band = np.exp(-(((y / max(height, 1) - 0.25) / 0.13) ** 2))
    return tinted(colour, 75 * band - 40 * y / max(height, 1) + 2 * noise(random, height, width, 4))


def fabric(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """A weave, in soft folds."""
    y, x = grid(height, width)
    weave = np.sin(2 * np.pi * x / 4) * np.sin(2 * np.pi * y / 4)
    return tinted(colour, 13 * weave + 9 * streaks(random, height, width, 32, 3, True))


def glass(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Reflections that run aslant."""
    y, x = grid(height, width)
    slant = ((x + y) / max(height + width, 1) + random.uniform(0, 1)) * 2 % 1
    return tinted(colour, 46 * (slant > 0.62) * (slant < 0.82) + 20 * (1 - y / max(height, 1)))


def plaster(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """A wall that was painted by hand."""
    return tinted(colour, 2.5 * noise(random, height, width, 2) + 4 * noise(random, height, width, 64))


def snow(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Drifts, blue in their shadows."""
    drift = noise(random, height, width, 64)
    return tinted(colour, 7 * drift) - np.asarray((9, 5, 0), np.float32) * (drift < 0)[..., None]


def asphalt(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Grit."""
    return tinted(colour, 9 * noise(random, height, width, 2) + 4 * noise(random, height, width, 32))


def tiled(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Rows of round roof tiles, each over the next."""
    step = 13
    y, x = grid(height, width)
    row = (y // step).astype(int)
    along = (x + step / 2 * (row % 2)) % step / step - 0.5
    shade = random.normal(0, 9, (height // step + 1, width // step + 2)).astype(np.float32)
    own = shade[row, ((x + step / 2 * (row % 2)) // step).astype(int)]
    below = np.sqrt(np.maximum(0.25 - along**2, 0)) * 2  # where the tile's lower edge is
    return tinted(colour, own + 20 * (y % step / step - 0.5) - 38 * (y % step / step > 0.2 + 0.8 * below))


def smooth(random: np.random.Generator, height: int, width: int, colour: Colour) -> Field:
    """Nothing to see: petals, lamps, the sun."""
    y, _ = grid(height, width)
    return tinted(colour, np.broadcast_to(10 - 22 * y / max(height, 1), (height, width)).astype(np.float32))


MATERIALS: Mapping[str, Material] = {
    "asphalt": asphalt,
    "brick": brick,
    "fabric": fabric,
    "foliage": foliage,
    "glass": glass,
    "grass": grass,
    "metal": metal,
    "plaster": plaster,
    "rock": rock,
    "sand": sand,
    "snow": snow,
    "stone": stone,
    "tiled": tiled,
    "water": water,
    "wood": wood,
}

# Textures: patterns in [0, 1] that fill a picture -------------------------------------------------------------------


def _turned(random: np.random.Generator, height: int, width: int, most: float = np.pi) -> tuple[Field, Field]:
    """Coordinates turned by a random angle, slightly bent, in pixels."""
    y, x = grid(height, width)
    angle = float(random.uniform(-most, most))
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    bend = float(random.uniform(0, 4))
    return u + bend * noise(random, height, width, 128), v + bend * noise(random, height, width, 128)


def _period(random: np.random.Generator, least: float = 16, most: float = 44) -> float:
    return float(random.uniform(least, most))


def striped(random: np.random.Generator, height: int, width: int) -> Field:
    """Parallel stripes."""
    u, _ = _turned(random, height, width)
    return np.asarray(u / _period(random) % 1 < random.uniform(0.4, 0.6), np.float32)


def chequered(random: np.random.Generator, height: int, width: int) -> Field:
    """Squares of two colours by turns."""
    u, v = _turned(random, height, width, 0.8)
    step = _period(random, 18, 40)
    return np.asarray((u // step + v // step) % 2, np.float32)


def dotted(random: np.random.Generator, height: int, width: int) -> Field:
    """Dots in rows."""
    u, v = _turned(random, height, width, 0.8)
    step, size = _period(random, 20, 44), float(random.uniform(0.24, 0.38))
    row = v // step
    far = np.hypot((u / step + 0.5 * (row % 2)) % 1 - 0.5, v / step % 1 - 0.5)
    return np.asarray(far < size, np.float32)


def zigzagged(random: np.random.Generator, height: int, width: int) -> Field:
    """Lines that turn back and forth."""
    u, v = _turned(random, height, width, 0.5)
    step = _period(random, 26, 48)
    return np.asarray((v + step * np.abs(u / step % 1 - 0.5)) / step * 1.4 % 1 < 0.5, np.float32)


def gridded(random: np.random.Generator, height: int, width: int) -> Field:
    """Thin lines that cross."""
    u, v = _turned(random, height, width, 0.8)
    step = _period(random, 20, 44)
    return np.asarray((u / step % 1 < 0.16) | (v / step % 1 < 0.16), np.float32)


def honeycombed(random: np.random.Generator, height: int, width: int) -> Field:
    """Hexagons with walls between."""
    u, v = _turned(random, height, width)
    step = _period(random, 22, 44)
    a, b = u / step, v / step / np.float32(np.sqrt(3))
    near = [
        np.maximum(np.abs(x % 1 - 0.5), 0.5 * np.abs(x % 1 - 0.5) + 1.5 * np.abs(y % 1 - 0.5))
        for x, y in ((a, b), (a + 0.5, b + 0.5))
    ]
    return np.asarray(np.minimum(*near) > 0.42, np.float32)


def marbled(random: np.random.Generator, height: int, width: int) -> Field:
    """Veins."""
    u, _ = _turned(random, height, width)
    vein = np.sin(u / _period(random, 12, 22) + 2.6 * noise(random, height, width, 128))
    return np.asarray(1 - np.abs(vein) ** 0.45, np.float32)


def scaly(random: np.random.Generator, height: int, width: int) -> Field:
    """Round scales, each over the next."""
    u, v = _turned(random, height, width, 0.4)
    step = _period(random, 22, 44)
    row = v // step
    along, down = (u / step + 0.5 * (row % 2)) % 1 - 0.5, v / step % 1
    arc = down - np.sqrt(np.maximum(0.25 - along**2, 0)) * 1.6
    return np.where(arc < 0, 0.15 + 0.6 * down, 1.0).astype(np.float32)


def spiralled(random: np.random.Generator, height: int, width: int) -> Field:
    """One arm that winds out of the middle."""
    y, x = grid(height, width)
    y, x = y - height * random.uniform(0.35, 0.65), x - width * random.uniform(0.35, 0.65)
    turn = np.arctan2(y, x) / (2 * np.pi) * int(random.integers(1, 3)) * random.choice((-1, 1))
    return np.asarray((np.hypot(y, x) / _period(random, 24, 44) + turn) % 1 < 0.5, np.float32)


def woven(random: np.random.Generator, height: int, width: int) -> Field:
    """Bands that run over and under one another."""
    u, v = _turned(random, height, width, 0.8)
    step = _period(random, 18, 34)
    over = (u // step + v // step) % 2 > 0
    along = np.where(over, u, v) / step % 1 - 0.5
    return np.where(over, 0.95, 0.35) * (1 - 2.6 * along**2).astype(np.float32)


def cracked(random: np.random.Generator, height: int, width: int) -> Field:
    """Dry ground."""
    border, number = _cells(random, height, width, _period(random, 34, 62))
    return np.where(border < 0.07, 0.0, 0.7 + 0.3 * number).astype(np.float32)


TEXTURES: Mapping[str, Texture] = {
    "chequered": chequered,
    "cracked": cracked,
    "dotted": dotted,
    "gridded": gridded,
    "honeycombed": honeycombed,
    "marbled": marbled,
    "scaly": scaly,
    "spiralled": spiralled,
    "striped": striped,
    "woven": woven,
    "zigzagged": zigzagged,
}
