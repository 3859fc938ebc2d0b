"""A picture in the making, and what every pixel of it is of: shapes, paint, light and shadow.

    names = {"object": ("tree",), "part": ("trunk",), "material": ("wood",)}
    canvas = Canvas(np.random.default_rng(0), names)
    spot = canvas.spot(0.3, 0.8, 0.5)
    canvas.put(spot.box(-0.1, 0, 0.1, 0.6), (140, 94, 56), "tree", "trunk", "wood")

Knows materials, and no things.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from convscope.data.drawn.materials import MATERIALS, Colour, Field, smooth

SIDE, FINE = 160, 2  # pixels of a picture; drawn this many times finer
FULL = SIDE * FINE
SOFT = 14  # pixels that a shadow reaches beyond its shape

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Point = tuple[float, float]
Piece = tuple[slice, slice]
Light = Callable[[Field, Field], Field]  # of x (1, w) and y (h, 1), shares of the side


@dataclass
class Canvas:
    """`pixels` (FULL, FULL, 3) in levels of 0 to 255; `maps`: "material", "part", "object" -> (FULL, FULL) uint8,
    places in `names` counted from 1, 0: none. Lengths are shares of the side, y grows downwards.
    """

    random: np.random.Generator
    names: dict[str, tuple[str, ...]]
    pixels: Field = field(default_factory=lambda: np.zeros((FULL, FULL, 3), np.float32))
    maps: dict[str, Labels] = field(init=False)

    def __post_init__(self) -> None:
        self.maps = {kind: np.zeros((FULL, FULL), np.uint8) for kind in ("material", "part", "object")}

    @property
    def dark(self) -> bool:
        """Whether it is night."""
        return float(self.pixels[:20].mean()) < 90

    def number(self, kind: str, name: str) -> int:
        """What stands for a name in a map."""
        return self.names[kind].index(name) + 1 if name else 0

    def any(self, colours: tuple[Colour, ...], spread: float = 10) -> Colour:
        """One of them, a little lighter or darker."""
        chosen, light = colours[self.random.integers(len(colours))], self.random.normal(0, spread)
        return chosen[0] + light, chosen[1] + light, chosen[2] + light

    def spot(self, x: float, y: float, size: float) -> "Spot":
        """A place to put a thing of this size, its foot at (x, y)."""
        return Spot(self, x, y, size)

    def put(
        self,
        shape: Mask,
        colour: Colour,
        thing: str = "",
        part: str = "",
        material: str = "",
        light: Light | None = None,
    ) -> None:
        """Paint a shape over what is there, and write down what it is. `light` multiplies the colour."""
        at = bounds(shape)
        if at is None:
            return
        inside = shape[at]
        height, width = inside.shape
        paint = MATERIALS.get(material, smooth)(self.random, height, width, colour)
        if light is not None:
            paint = paint * light(*places(at))[..., None]
        np.copyto(self.pixels[at], paint, where=inside[..., None])
        for kind, name in (("object", thing), ("part", part), ("material", material)):
            self.maps[kind][at][inside] = self.number(kind, name)

    def shadow(self, shape: Mask, dark: float = 0.45) -> None:
        """Darken softly where a shape throws its shadow."""
        at = bounds(shape, SOFT)
        if at is not None:
            coarse = Image.fromarray(shape[at].astype(np.uint8) * 255).reduce(2).filter(ImageFilter.GaussianBlur(2))
            soft = coarse.resize(shape[at].shape[::-1], Image.Resampling.BILINEAR)
            self.pixels[at] *= 1 - dark / 255 * np.asarray(soft, np.float32)[..., None]


@dataclass(frozen=True)
class Spot:
    """Where a thing stands: lengths in units of its size, from its foot at (x, y); v grows upwards."""

    canvas: Canvas
    x: float
    y: float
    size: float

    def polygon(self, *corners: Point) -> Mask:
        """Corners (u, v)."""
        return _mask(lambda pen: pen.polygon([(self._x(u), self._y(v)) for u, v in corners], fill=1))

    def box(self, left: float, bottom: float, right: float, top: float) -> Mask:
        """A rectangle."""
        return self.polygon((left, bottom), (right, bottom), (right, top), (left, top))

    def oval(self, u: float, v: float, across: float, up: float | None = None) -> Mask:
        """An ellipse about (u, v) with these half axes."""
        up = across if up is None else up
        corners = [self._x(u - across), self._y(v + up), self._x(u + across), self._y(v - up)]
        return _mask(lambda pen: pen.ellipse(corners, fill=1))

    def _x(self, u: float) -> float:
        return (self.x + u * self.size) * FULL

    def _y(self, v: float) -> float:
        return (self.y - v * self.size) * FULL

    def spot(self, u: float, v: float, size: float) -> "Spot":
        """A place on this thing for a smaller one."""
        return Spot(self.canvas, self.x + u * self.size, self.y - v * self.size, size * self.size)

    def round(self, u: float, v: float, radius: float) -> Light:
        """Light on a ball, from above on the left."""
        x, y, size = (
            self.x + (u - 0.35 * radius) * self.size,
            self.y - (v + 0.35 * radius) * self.size,
            radius * self.size,
        )

        def light(across: Field, down: Field) -> Field:
            return (1.22 - 0.42 * (((across - x) ** 2 + (down - y) ** 2) / size**2) ** 0.75).clip(0.45, 1.25)

        return light


def _mask(stroke: Callable[[ImageDraw.ImageDraw], object]) -> Mask:
    image = Image.new("1", (FULL, FULL))
    stroke(ImageDraw.Draw(image))
    return np.array(image)


def bounds(shape: Mask, more: int = 0) -> Piece | None:
    """The rows and columns that a shape takes, and `more` around; None for none."""
    rows, columns = (np.flatnonzero(shape.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    down, across = (slice(max(int(v[0]) - more, 0), int(v[-1]) + 1 + more) for v in (rows, columns))
    return down, across


def places(at: Piece = (slice(0, FULL), slice(0, FULL))) -> tuple[Field, Field]:
    """x (1, w) and y (h, 1) of a piece of the canvas, as shares of its side."""
    share = np.arange(FULL, dtype=np.float32) / np.float32(FULL)
    rows, columns = share[at[0]], share[at[1]]
    return columns[None], rows[:, None]
