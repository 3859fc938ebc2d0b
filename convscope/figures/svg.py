"""Just enough SVG for schematics: shapes, text and embedded pictures on one dark sheet. Knows nothing of networks."""

import base64
from collections.abc import Iterable
from html import escape

import numpy as np
from numpy.typing import NDArray

from convscope.pictures import encode
from convscope.printable import printable

Point = tuple[float, float]

SHEET, PANEL, LINE, FAINT, TEXT, ACCENT, COOL = (
    "#131417",
    "#1c1e23",
    "#4a4e58",
    "#8b909c",
    "#e8e6e1",
    "#f0a65a",
    "#6fb3c8",
)
FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
MARKERS = "".join(
    f'<marker id="tip-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    f'<path d="M0 0.8 L7.4 4 L0 7.2 z" fill="{colour}"/></marker>'
    for name, colour in (("faint", FAINT), ("accent", ACCENT), ("cool", COOL))
)
TIPS = {FAINT: "tip-faint", ACCENT: "tip-accent", COOL: "tip-cool"}


class Sheet:
    """A drawing of `width` x `height` units; elements appear in the order they are added."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self.elements: list[str] = []

    def add(self, tag: str, text: str = "", /, **attributes: object) -> None:
        """An element; attribute names are spelled with underscores for hyphens."""
        spelled = " ".join(f'{key.replace("_", "-")}="{_spell(value)}"' for key, value in attributes.items())
        self.elements.append(f"<{tag} {spelled}>{escape(text)}</{tag}>" if text else f"<{tag} {spelled}/>")

    def box(self, x: float, y: float, width: float, height: float, fill: str = PANEL, **style: object) -> None:
        """A rectangle."""
        self.add("rect", x=x, y=y, width=width, height=height, fill=fill, **style)

    def write(self, x: float, y: float, text: str, size: float = 12, fill: str = TEXT, **style: object) -> None:
        """A line of text, centred on x unless `text_anchor` says otherwise."""
        self.add("text", text, x=x, y=y, font_size=size, fill=fill, **{"text_anchor": "middle", **style})

    def lines(
        self, x: float, y: float, lines: Iterable[str], size: float = 11, fill: str = FAINT, **style: object
    ) -> None:
        """Lines of text below one another; y is the first baseline."""
        for number, line in enumerate(lines):
            self.write(x, y + number * size * 1.45, line, size, fill, **style)

    def arrow(self, *points: Point, colour: str = FAINT, **style: object) -> None:
        """A line through `points` with a tip at its end."""
        path = " L".join(f"{_spell(x)} {_spell(y)}" for x, y in points)
        style = {"stroke_width": 1.5, "stroke_linejoin": "round", **style}
        self.add("path", d=f"M{path}", fill="none", stroke=colour, marker_end=f"url(#{TIPS[colour]})", **style)

    def picture(self, x: float, y: float, side: float, pixels: NDArray[np.uint8], smooth: bool = True) -> None:
        """A picture (H, W, 3) in a square of `side`."""
        data = encode(pixels)
        kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
        rendering = {} if smooth else {"image_rendering": "pixelated"}
        self.add(
            "image",
            x=x,
            y=y,
            width=side,
            height=side,
            href=f"data:image/{kind};base64,{base64.b64encode(data).decode()}",
            **rendering,
        )

    def __str__(self) -> str:
        size = f"{_spell(self.width)} {_spell(self.height)}"
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="{FONT}" role="img">'
        body = "\n".join(self.elements)
        sheet = f'<rect width="100%" height="100%" rx="10" fill="{SHEET}"/>'
        drawn = f"{head}\n<title>{escape(self.title)}</title><defs>{MARKERS}</defs>\n{sheet}\n{body}\n</svg>\n"
        return printable(drawn, lines=True)  # XML has no control characters


def _spell(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else escape(str(value), quote=True)


def blend(low: str, high: str, share: float) -> str:
    """The colour between two hex colours, `share` of the way up."""
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (low, high)]
    mixed = [round(a + (b - a) * min(max(share, 0.0), 1.0)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed)
