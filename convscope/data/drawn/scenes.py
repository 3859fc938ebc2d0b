"""Pictures drawn by the package, every pixel of which is known: what colour, material, part and object it is of.

    drawing = draw(7)
    drawing.pixels, drawing.maps["object"], drawing.whole

Three in four are scenes with things in them, whose outlines are exact; the others are textures. A picture depends on
its number alone. They try methods out and stand for no data set of photographs (METHODS D7).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.data.drawn.canvas import FINE, FULL, Canvas, Labels, places
from convscope.data.drawn.materials import MATERIALS, TEXTURES, Colour, Field, mixed
from convscope.data.drawn.objects import (
    BRIGHT,
    DEEP,
    GREENS,
    THINGS,
    WALLS,
    WOODS,
    Thing,
    ball,
    balloon,
    boat,
    boulder,
    car,
    cloud,
    flower,
    house,
    lamp,
    picture,
    sun,
    table,
    tree,
)

KEPT = 128  # pictures in memory, some 200 KiB each

COLOURS = ("black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow")
HUES = ((16, "red"), (44, "orange"), (68, "yellow"), (168, "green"), (258, "blue"), (300, "purple"), (345, "pink"))
SCENES = ("beach", "desert", "meadow", "mountains", "room", "street")
NAMES: dict[str, tuple[str, ...]] = {
    "color": COLOURS,
    "texture": tuple(TEXTURES),
    "material": tuple(MATERIALS),
    "part": tuple(sorted({part for parts in THINGS.values() for part in parts})),
    "object": tuple(THINGS),
    "scene": SCENES,
}
SKIES: tuple[tuple[Colour, Colour], ...] = (  # above and at the horizon: by day, at dusk, at night
    ((92, 150, 214), (206, 226, 240)),
    ((236, 150, 96), (252, 222, 170)),
    ((24, 30, 62), (66, 74, 120)),
)
SIZES: Mapping[Thing, float] = {tree: 0.62, house: 0.56, flower: 0.3, ball: 0.16}  # near the viewer


@dataclass(frozen=True)
class Drawing:
    """`pixels` (SIDE, SIDE, 3) uint8. maps: category -> (SIDE, SIDE) uint8, places in NAMES[category] counted from 1,
    0: none of them. whole: category -> such a number that holds for the whole picture.
    """

    pixels: NDArray[np.uint8]
    maps: Mapping[str, Labels]
    whole: Mapping[str, int]


@lru_cache(KEPT)
def draw(number: int) -> Drawing:
    """Picture `number`."""
    random, (turn, which) = np.random.default_rng((7, number)), divmod(number, 4)
    if which == 3:
        place = turn % len(TEXTURES)
        pixels = _reduced(_pattern(random, NAMES["texture"][place]))
        return Drawing(pixels, {"color": named_colours(pixels)}, {"texture": place + 1})
    place = (number - turn) % len(SCENES)
    canvas = Canvas(random, NAMES)
    PAINTERS[SCENES[place]](canvas)
    pixels = _reduced(canvas.pixels)
    maps = {name: labels[FINE // 2 :: FINE, FINE // 2 :: FINE].copy() for name, labels in canvas.maps.items()}
    return Drawing(pixels, {"color": named_colours(pixels), **maps}, {"scene": place + 1})


def _pattern(random: np.random.Generator, name: str) -> Field:
    """A texture in two colours, the second darker."""
    pattern = TEXTURES[name](random, FULL, FULL)
    first, second = (BRIGHT[k] for k in random.choice(len(BRIGHT), 2, replace=False))
    red, green, blue = (value * float(random.uniform(0.3, 1)) for value in second)
    return mixed(first, (red, green, blue), pattern)


def _reduced(pixels: Field) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).reduce(FINE))


def named_colours(pixels: NDArray[np.uint8]) -> Labels:
    """The place in COLOURS, from 1, of every pixel's colour: (h, w) of (h, w, 3), to five bits a channel."""
    five = pixels >> 3
    return np.asarray(_named()[five[..., 0], five[..., 1], five[..., 2]])


@cache
def _named() -> Labels:
    """The colour's name for (32, 32, 32) levels of red, green and blue, by lightness, saturation and hue."""
    red, green, blue = (np.indices((32, 32, 32)) + 0.5) / 32
    high = np.maximum(np.maximum(red, green), blue)
    chroma = high - np.minimum(np.minimum(red, green), blue)
    size = np.maximum(chroma, 1e-6)
    sectors = [(green - blue) / size % 6, (blue - red) / size + 2]
    hue = 60 * np.select([high == red, high == green], sectors, (red - green) / size + 4)
    found = np.full(hue.shape, _colour("red"))
    for edge, name in reversed(HUES):
        found[hue < edge] = _colour(name)
    found[((hue < 50) | (hue > 345)) & (high < 0.68)] = _colour("brown")
    found[(hue > 345) & (chroma < 0.45) & (high >= 0.68)] = _colour("pink")
    found[chroma < 0.13] = _colour("grey")
    found[(chroma < 0.13) & (high > 0.8)] = _colour("white")
    found[high < 0.2] = _colour("black")
    return found.astype(np.uint8)


def _colour(name: str) -> int:
    return COLOURS.index(name) + 1


# Scenes -------------------------------------------------------------------------------------------------------------


def _sky(c: Canvas, horizon: float) -> None:
    """By day, at dusk or at night; with the sun or moon, clouds, a balloon."""
    above, low = SKIES[int(c.random.choice(3, p=(0.66, 0.17, 0.17)))]
    c.pixels[:] = mixed(above, low, np.repeat((places()[1] / max(horizon, 0.1)).clip(0, 1), FULL, 1))
    c.maps["object"][:] = c.number("object", "sky")
    if c.random.random() < 0.5:
        sun(c.spot(c.random.uniform(0.1, 0.9), c.random.uniform(0.14, 0.63) * horizon, 0.13))
    for _ in range(int(c.random.integers(0, 4))):
        cloud(c.spot(c.random.uniform(0, 1), c.random.uniform(0.08, 0.9) * horizon, c.random.uniform(0.2, 0.4)))
    if c.random.random() < 0.3:
        size = c.random.uniform(0.25, 0.45)
        balloon(c.spot(c.random.uniform(0.15, 0.85), max(size, c.random.uniform(0.3, 0.9) * horizon + 0.2), size))


def _ground(c: Canvas, horizon: float, colour: Colour, material: str, waves: float = 0.0) -> None:
    """From a wavy horizon down, darker towards the viewer."""
    x, y = places()
    edge = horizon + waves * np.sin(2 * np.pi * x * c.random.uniform(0.5, 1.5) + c.random.uniform(0, 6))
    c.put(y > edge, colour, material=material, light=lambda _, down: 1.12 - 0.26 * down)


def _scattered(c: Canvas, horizon: float, things: tuple[Thing, ...], most: int) -> None:
    """Things on the ground, the farther the smaller, the nearest last."""
    depths = np.sort(c.random.uniform(0.08, 0.92, int(c.random.integers(2, most + 1))))
    for depth, place in zip(depths, c.random.permutation(len(depths)), strict=True):
        thing = things[int(c.random.integers(len(things)))]
        x = (place + c.random.uniform(0.2, 0.8)) / len(depths)
        thing(c.spot(x, horizon + (1 - horizon) * (0.08 + 0.86 * depth), SIZES[thing] * (0.45 + 0.65 * depth)))


def meadow(c: Canvas) -> None:
    """Grass, trees, flowers, a house."""
    horizon = c.random.uniform(0.4, 0.6)
    _sky(c, horizon)
    _ground(c, horizon, c.any(((104, 150, 66), (128, 156, 70), (84, 134, 62))), "grass", 0.03)
    _scattered(c, horizon, (tree, house, flower, flower, ball), 5)


def beach(c: Canvas) -> None:
    """Water, boats on it, sand before it."""
    horizon, shore = c.random.uniform(0.3, 0.45), c.random.uniform(0.66, 0.82)
    _sky(c, horizon)
    _ground(c, horizon, c.any(((48, 112, 168), (60, 140, 160), (40, 90, 150))), "water")
    for k in range(int(c.random.integers(1, 3))):
        size = c.random.uniform(0.25, 0.4) + 0.1 * k
        boat(c.spot(c.random.uniform(0.1, 0.9), horizon + (shore - horizon) * (0.25 + 0.3 * k), size))
    _ground(c, shore, c.any(((222, 198, 150), (232, 212, 170))), "sand", 0.03)
    _scattered(c, shore, (ball, ball, flower), 2)


def desert(c: Canvas) -> None:
    """Dunes and rocks."""
    horizon = c.random.uniform(0.42, 0.6)
    _sky(c, horizon)
    _ground(c, horizon, c.any(((214, 172, 110), (206, 150, 92))), "sand", 0.05)
    for _ in range(int(c.random.integers(1, 4))):
        boulder(c.spot(c.random.uniform(0, 1), c.random.uniform(horizon + 0.08, 0.95), c.random.uniform(0.08, 0.2)))
    _ground(c, c.random.uniform(0.8, 0.95), c.any(((222, 182, 120),)), "sand", 0.06)


def mountains(c: Canvas) -> None:
    """Peaks with snow, and firs or snow before them."""
    horizon = c.random.uniform(0.52, 0.7)
    _sky(c, horizon * 0.8)
    for _ in range(int(c.random.integers(2, 5))):
        x, high, half = c.random.uniform(0, 1), c.random.uniform(0.26, horizon - 0.1), c.random.uniform(0.25, 0.5)
        s, light = c.spot(x, horizon + 0.06, high), partial(_slopes, x)
        whole = s.polygon((-half / high, 0), (0, 1), (half / high, 0))
        c.put(whole, c.any(((112, 116, 130), (124, 112, 104))), "mountain", "", "rock", light)
        jagged = [(half / high * (k / 4 - 1), 0.66 - 0.07 * (-1) ** k) for k in range(9)]
        snow = whole & s.polygon((-half / high, 2), *jagged, (half / high, 2))
        c.put(snow, (240, 244, 250), "mountain", "peak", "snow", light)
    winter = c.random.random() < 0.4
    _ground(c, horizon, (232, 238, 246) if winter else c.any(GREENS), "snow" if winter else "grass", 0.03)
    _scattered(c, horizon, (tree, tree, house), 4)


def _slopes(x: float, across: Field, down: Field) -> Field:
    """A mountain's right side lies in the shade."""
    return np.asarray(np.where(across > x, 0.74, 1.1) + 0 * down, np.float32)


def street(c: Canvas) -> None:
    """A row of houses, pavement, a road with cars."""
    kerb = c.random.uniform(0.56, 0.66)
    _sky(c, kerb)
    _ground(c, kerb, (166, 160, 152), "stone")
    count = int(c.random.integers(2, 4))
    for k in range(count):
        thing = house if k == 0 or c.random.random() < 0.7 else tree
        thing(c.spot((k + 0.5) / count + c.random.uniform(-0.04, 0.04), kerb + 0.03, c.random.uniform(0.4, 0.54)))
    road = kerb + 0.12
    _ground(c, road, c.any(((84, 84, 90), (100, 98, 96))), "asphalt")
    marks = c.spot(c.random.uniform(-0.1, 0), road + 0.18, 1)
    for left in np.arange(0, 1.2, 0.22):
        c.put(marks.box(left, 0, left + 0.11, 0.014), (226, 224, 214), material="asphalt")
    for k in range(int(c.random.integers(1, 3))):
        car(c.spot(0.25 + 0.5 * k + c.random.uniform(-0.12, 0.12), road + 0.1 + 0.1 * k, 0.21))


def room(c: Canvas) -> None:
    """A wall, a floor, furniture, a picture on the wall."""
    line, all_of_it = c.random.uniform(0.62, 0.74), c.spot(0, 1, 1)
    paper, boards = str(c.random.choice(("plaster", "brick", "fabric", "wood"))), c.random.random() < 0.6
    c.put(all_of_it.box(0, 0, 1, 1), (176, 104, 84) if paper == "brick" else c.any(WALLS), material=paper)
    floor = all_of_it.box(0, 0, 1, 1 - line)
    c.put(floor, c.any(WOODS if boards else DEEP), material="wood" if boards else "fabric")
    c.put(all_of_it.box(0, 1 - line, 1, 1.025 - line), (236, 230, 220), material="wood")
    x, y = places()
    c.pixels *= (1.1 - 0.4 * np.hypot(y - 0.3, x - np.float32(c.random.uniform(0.2, 0.8))))[..., None]
    if c.random.random() < 0.75:
        picture(c.spot(c.random.uniform(0.25, 0.75), c.random.uniform(0.36, 0.42), c.random.uniform(0.24, 0.34)))
    side = 0.34 if c.random.random() < 0.5 else 0.66
    table(c.spot(side, line + 0.16, c.random.uniform(0.34, 0.42)))
    if c.random.random() < 0.6:
        lamp(c.spot(1.2 - side if side < 0.5 else 0.14, line + 0.2, c.random.uniform(0.4, 0.6)))
    else:
        ball(c.spot(1.18 - side if side < 0.5 else 0.16, line + 0.24, c.random.uniform(0.16, 0.26)))


PAINTERS: Mapping[str, Callable[[Canvas], None]] = {
    "beach": beach,
    "desert": desert,
    "meadow": meadow,
    "mountains": mountains,
    "room": room,
    "street": street,
}
