"""Things for drawn pictures, with their parts: trees, houses, cars. Each stands on its spot, about one unit tall."""

from collections.abc import Callable, Mapping

import numpy as np

from convscope.data.drawn.canvas import Spot, bounds, places
from convscope.data.drawn.materials import Colour

Thing = Callable[[Spot], None]

RED, ORANGE, YELLOW, GREEN, BLUE = (204, 52, 48), (232, 128, 40), (240, 200, 62), (70, 150, 80), (50, 110, 190)
PURPLE, PINK, WHITE = (128, 80, 170), (232, 130, 170), (240, 238, 230)
DEEP: tuple[Colour, ...] = (RED, ORANGE, YELLOW, GREEN, BLUE, PURPLE)
BRIGHT: tuple[Colour, ...] = (*DEEP, PINK, WHITE)
WALLS: tuple[Colour, ...] = ((228, 216, 188), (206, 178, 150), (240, 236, 226), (176, 196, 190), (214, 184, 120))
ROOFS: tuple[Colour, ...] = ((164, 74, 52), (120, 62, 50), (86, 84, 96), (186, 104, 60))
WOODS: tuple[Colour, ...] = ((140, 94, 56), (112, 72, 44), (170, 124, 80))
GREENS: tuple[Colour, ...] = ((62, 122, 54), (88, 138, 58), (46, 100, 66), (120, 140, 56))
PANE = (125, 164, 193)

THINGS: Mapping[str, tuple[str, ...]] = {  # what there is, with its parts; also what is no thing to stand somewhere
    "ball": (),
    "balloon": ("basket", "envelope"),
    "boat": ("hull", "mast", "sail"),
    "car": ("body", "headlight", "pane", "wheel"),
    "cloud": (),
    "flower": ("disc", "petal", "stem"),
    "house": ("chimney", "door", "roof", "wall", "window"),
    "lamp": ("shade", "stand"),
    "moon": (),
    "mountain": ("peak",),
    "picture": ("frame",),
    "sky": (),
    "sun": (),
    "table": ("leg", "top"),
    "tree": ("crown", "trunk"),
}


def tree(s: Spot) -> None:
    """A leafy one, or a fir."""
    c = s.canvas
    c.shadow(s.oval(0.08, 0, 0.3, 0.035))
    c.put(s.polygon((-0.05, 0), (0.05, 0), (0.03, 0.6), (-0.03, 0.6)), c.any(WOODS), "tree", "trunk", "wood")
    crown = np.zeros(c.pixels.shape[:2], np.bool_)
    if c.random.random() < 0.35:
        for half, foot in ((0.3, 0.18), (0.23, 0.4), (0.16, 0.62)):
            crown |= s.polygon((-half, foot), (half, foot), (0, foot + 0.42))
    else:
        for a in c.random.uniform(0, 2 * np.pi, 7):
            far = c.random.uniform(0.08, 0.17)
            crown |= s.oval(1.2 * far * np.cos(a), 0.7 + far * np.sin(a), c.random.uniform(0.13, 0.2))
    c.put(crown, c.any(GREENS), "tree", "crown", "foliage", s.round(0, 0.7, 0.36))


def house(s: Spot) -> None:
    """With a roof, a door, windows and, mostly, a chimney."""
    c = s.canvas
    c.shadow(s.polygon((-0.45, 0), (0.58, 0), (0.54, -0.05), (-0.45, -0.03)))
    material = str(c.random.choice(("brick", "plaster", "stone", "wood")))
    colours: dict[str, tuple[Colour, ...]] = {"brick": ((168, 84, 62),), "stone": ((160, 156, 148),), "wood": WOODS}
    if c.random.random() < 0.7:
        at = c.random.uniform(0.12, 0.3)
        c.put(s.box(at - 0.05, 0.7, at + 0.05, 1), (150, 76, 60), "house", "chimney", "brick")
    c.put(s.box(-0.45, 0, 0.45, 0.56), c.any(colours.get(material, WALLS)), "house", "wall", material)
    ridge = c.random.uniform(0, 0.25)
    roof = s.polygon((-0.52, 0.56), (0.52, 0.56), (ridge, 0.95), (-ridge, 0.95))
    c.put(roof, c.any(ROOFS), "house", "roof", "tiled")
    door = float(c.random.choice((-0.24, 0, 0.24)))
    c.put(s.box(door - 0.075, 0, door + 0.075, 0.3), c.any(DEEP, 4), "house", "door", "wood")
    for at in (at for at in (-0.24, 0, 0.24) if at != door):
        c.put(s.box(at - 0.085, 0.2, at + 0.085, 0.4), WHITE, "house", "wall")
        c.put(s.box(at - 0.07, 0.215, at + 0.07, 0.385), PANE, "house", "window", "glass")


def car(s: Spot) -> None:
    """Seen from its side."""
    c = s.canvas
    colour = c.any(BRIGHT, 4)
    c.shadow(s.oval(0, 0, 0.92, 0.07), 0.6)
    cabin = s.polygon((-0.55, 0.5), (-0.36, 0.88), (0.2, 0.88), (0.5, 0.5))
    c.put(cabin, colour, "car", "body", "metal")
    c.put(s.box(-0.9, 0.14, 0.9, 0.52) & ~s.oval(-0.9, 0.55, 0.12), colour, "car", "body", "metal")
    for corners in (
        ((-0.44, 0.52), (-0.33, 0.81), (-0.1, 0.81), (-0.1, 0.52)),
        ((-0.04, 0.52), (-0.04, 0.81), (0.18, 0.81), (0.37, 0.52)),
    ):
        c.put(s.polygon(*corners), PANE, "car", "pane", "glass")
    c.put(s.oval(0.85, 0.42, 0.05, 0.07), (250, 240, 170), "car", "headlight")
    for at in (-0.52, 0.52):
        c.put(s.oval(at, 0.16, 0.19), (34, 34, 38), "car", "wheel")
        c.put(s.oval(at, 0.16, 0.09), (190, 192, 196), "car", "wheel", "metal")


def boat(s: Spot) -> None:
    """Under sail."""
    c = s.canvas
    c.shadow(s.oval(0, -0.02, 0.5, 0.045), 0.35)
    c.put(s.box(-0.014, 0.2, 0.014, 1), (120, 84, 52), "boat", "mast", "wood")
    sail = c.any((RED, ORANGE, YELLOW, WHITE, WHITE), 4)
    for corners in (((0.03, 0.97), (0.44, 0.27), (0.03, 0.25)), ((-0.03, 0.85), (-0.32, 0.27), (-0.03, 0.25))):
        c.put(s.polygon(*corners), sail, "boat", "sail", "fabric")
    hull = s.polygon((-0.46, 0.21), (0.54, 0.21), (0.36, 0), (-0.34, 0))
    c.put(hull, c.any((*WOODS, RED, BLUE), 6), "boat", "hull", "wood")


def balloon(s: Spot) -> None:
    """In the air, its basket lowest."""
    c = s.canvas
    first, second = c.any(BRIGHT[:7], 4), c.any(BRIGHT, 4)
    for side in (-1, 1):
        ropes = ((0.055 * side, 0.12), (0.11 * side, 0.4), (0.117 * side, 0.4), (0.066 * side, 0.12))
        c.put(s.polygon(*ropes), (90, 70, 50), "balloon", "basket")
    shape = s.oval(0, 0.66, 0.34) | s.polygon((-0.3, 0.5), (0.3, 0.5), (0.1, 0.22), (-0.1, 0.22))
    c.put(shape, first, "balloon", "envelope", "fabric", s.round(0, 0.66, 0.34))
    for outer, inner in ((0.3, 0.06), (0.78, 0.54)):  # gores, as shares of the half width
        stripe = s.oval(0, 0.66, 0.34 * outer, 0.34) & ~s.oval(0, 0.66, 0.34 * inner, 0.34)
        for side in (-1, 1):
            low = ((0.34 * outer, 0.66), (0.34 * inner, 0.66), (0.1 * inner, 0.22), (0.1 * outer, 0.22))
            stripe |= s.polygon(*((side * u, v) for u, v in low))
        c.put(stripe & shape, second, "balloon", "envelope", "fabric", s.round(0, 0.66, 0.34))
    c.put(s.box(-0.07, 0, 0.07, 0.13), (134, 92, 54), "balloon", "basket", "wood")


def flower(s: Spot) -> None:
    """On a stem with two leaves."""
    c = s.canvas
    petals, colour = int(c.random.integers(5, 9)), c.any((RED, ORANGE, YELLOW, PURPLE, PINK, WHITE), 6)
    c.put(s.box(-0.022, 0, 0.022, 0.78), (64, 128, 56), "flower", "stem")
    for side in (-1, 1):
        c.put(s.polygon((0, 0.1), (0.22 * side, 0.36), (0.05 * side, 0.28)), (76, 142, 62), "flower", "stem")
    for a in 2 * np.pi * (np.arange(petals) + c.random.uniform(0, 1)) / petals:
        c.put(s.oval(0.15 * np.cos(a), 0.78 + 0.15 * np.sin(a), 0.1), colour, "flower", "petal")
    yellow = colour[2] > 90 or colour[1] < 100
    c.put(s.oval(0, 0.78, 0.085), (240, 190, 60) if yellow else (110, 70, 40), "flower", "disc")


def ball(s: Spot) -> None:
    """With a band."""
    c = s.canvas
    c.shadow(s.oval(0.1, 0, 0.5, 0.09))
    shape, light = s.oval(0, 0.5, 0.5), s.round(0, 0.5, 0.5)
    c.put(shape, c.any(DEEP, 4), "ball", light=light)
    for outer, inner in ((0.15, 0.0), (0.44, 0.3)):
        band = shape & s.oval(0, 0.5, outer, 0.5)
        if inner:
            band &= ~s.oval(0, 0.5, inner, 0.5)
        c.put(band, c.any((PINK, WHITE, WHITE), 0) if outer < 0.2 else WHITE, "ball", light=light)


def cloud(s: Spot) -> None:
    """A heap of five, flat below."""
    c = s.canvas
    shape = np.zeros(c.pixels.shape[:2], np.bool_)
    for k in range(5):
        height, across, up = (c.random.uniform(*span) for span in ((0, 0.08), (0.11, 0.19), (0.08, 0.14)))
        shape |= s.oval(0.17 * (k - 2), height, across, up)
    c.put(shape & s.box(-2, -0.07, 2, 2), (96, 102, 136) if c.dark else (246, 247, 250), "cloud")


def sun(s: Spot) -> None:
    """Or, at night, the moon; with a glow."""
    c, night = s.canvas, s.canvas.dark
    at = bounds(s.oval(0, 0, 3))
    if at is not None:
        across, down = places(at)
        glow = np.exp(-np.sqrt((across - s.x) ** 2 + (down - s.y) ** 2) / s.size) - 0.05
        colour = np.asarray((40, 44, 60) if night else (70, 56, 10), np.float32)
        c.pixels[at] += glow.clip(0).astype(np.float32)[..., None] * colour
    c.put(s.oval(0, 0, 0.5), (236, 236, 222) if night else (255, 226, 120), "moon" if night else "sun")


def table(s: Spot) -> None:
    """A wooden one with something on it."""
    c = s.canvas
    colour = c.any(WOODS)
    c.shadow(s.oval(0, 0, 0.7, 0.05))
    for at in (-0.6, 0.52):
        c.put(s.box(at, 0, at + 0.08, 0.62), colour, "table", "leg", "wood")
    c.put(s.box(-0.7, 0.58, 0.7, 0.7), colour, "table", "top", "wood")
    (ball, flower, lamp)[int(c.random.integers(3))](s.spot(c.random.uniform(-0.4, 0.4), 0.7, 0.5))


def lamp(s: Spot) -> None:
    """A stand and a lit shade."""
    c = s.canvas
    c.put(s.box(-0.02, 0, 0.02, 0.7), (90, 84, 80), "lamp", "stand", "metal")
    c.put(s.oval(0, 0, 0.16, 0.035), (84, 78, 74), "lamp", "stand", "metal")
    shade = s.polygon((-0.12, 1), (0.12, 1), (0.25, 0.62), (-0.25, 0.62))
    c.put(shade, c.any((YELLOW, WHITE, ORANGE), 4), "lamp", "shade", "fabric")


def picture(s: Spot) -> None:
    """On a wall, framed: hills under a sky."""
    c = s.canvas
    c.shadow(s.box(-0.6, -0.06, 0.65, 1))
    c.put(s.box(-0.6, 0, 0.6, 1), c.any(WOODS), "picture", "frame", "wood")
    inner = s.box(-0.5, 0.1, 0.5, 0.9)
    c.put(inner, c.any(BRIGHT[2:], 6), "picture")
    c.put(inner & s.oval(0.1, 0, 0.7, 0.45), c.any(DEEP, 6), "picture")


def boulder(s: Spot) -> None:
    """A rock that lies about; no object of its own, as sand and grass are none."""
    c = s.canvas
    c.shadow(s.oval(0.3, 0, 1, 0.12))
    shape = s.polygon((-1, 0), (-0.7, 0.5), (-0.1, 0.8), (0.6, 0.55), (1, 0))
    c.put(shape, c.any(((150, 104, 80), (128, 112, 104))), material="rock", light=s.round(0, 0.4, 1))
