"""The floors and rooms of the package as a drawing, made from its imports. `make docs` writes it.

A package's floor is one above the highest that it imports from. An arrow is an import that no other arrow implies.
"""

import ast
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from convscope.figures.svg import ACCENT, COOL, FAINT, LINE, TEXT, Sheet

PACKAGE = Path(__file__).parents[1] / "convscope"
FILES = {
    file.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): file
    for file in sorted(PACKAGE.rglob("*.py"))
    if file.parent != PACKAGE or file.stem != "__init__"
}

WIDTH, MARGIN, GAP, LANE, ABOVE = 780, 44, 12, 16, 30  # of the sheet; between boxes; of a passing arrow; between floors
PAD, LINE_HEIGHT, SIZE, LETTER = 9, 14, 10.5, 5.5  # within a box; of its small print, and a letter of that


def package(module: str) -> str:
    """Return the package of a module, by its dotted name without "convscope."."""
    return module.split(".")[0]


def imported(file: Path) -> Iterator[str]:
    """Every module of convscope that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("convscope."):
            yield str(node.module).removeprefix("convscope.")
        elif isinstance(node, ast.ImportFrom) and node.module == "convscope":
            yield from (alias.name for alias in node.names if alias.name in FILES)


def needs() -> Mapping[str, frozenset[str]]:
    """Return {package: the packages it imports from}."""
    found: dict[str, set[str]] = {package(module): set() for module in FILES}
    for module, file in FILES.items():
        found[package(module)] |= {package(name) for name in imported(file)} - {package(module)}
    return {name: frozenset(others) for name, others in found.items()}


NEEDS = needs()


@cache
def floor(name: str) -> int:
    """Return a package's floor, counted from 0."""
    return 1 + max(map(floor, NEEDS[name]), default=-1)


@cache
def below(name: str) -> frozenset[str]:
    """Return all that a package needs, directly or through others."""
    return NEEDS[name].union(*map(below, NEEDS[name]))


def arrows() -> list[tuple[str, str]]:
    """Return the pairs (package, needed) that no chain of others implies."""
    return [
        (name, other)
        for name, others in NEEDS.items()
        for other in sorted(others)
        if not any(other in below(between) for between in others)
    ]


@dataclass
class Box:
    """A package on its floor or, without a `title`, the lane in which an arrow passes it. Lengths in the sheet's."""

    title: str
    above: list["Box"]
    x: float = 0
    y: float = 0
    width: float = LANE
    height: float = 0
    lines: tuple[tuple[str, str], ...] = ()

    def nearest(self, x: float) -> float:
        """Return the place on its edge that is nearest to x, off the corners."""
        return min(max(x, self.x + LANE / 2), self.x + self.width - LANE / 2)


def caption(name: str) -> str:
    """Return the first sentence of a package's docstring."""
    text = ast.get_docstring(ast.parse(FILES[name].read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0].split(". ")[0].rstrip(".")


def rooms(name: str) -> Mapping[str, list[str]]:
    """Return {folder within a package, or "": its modules}."""
    found: dict[str, list[str]] = {}
    for module in FILES:
        if package(module) == name and module != name and not FILES[module].stem.startswith("__"):
            *path, last = module.split(".")[1:]
            found.setdefault("/".join(path), []).append(last)
    return found


def small_print(name: str, width: float) -> tuple[tuple[str, str], ...]:
    """Return a package's caption and its modules, room by room, as (line, colour) that fit."""
    letters = int((width - 2 * PAD) / LETTER)
    lines = [(line, TEXT) for line in textwrap.wrap(caption(name).replace("`", ""), letters)]
    for room, modules in rooms(name).items():
        words = " ".join([f"{room}/" * bool(room), *modules]).strip()
        lines += [(line, COOL if room else FAINT) for line in textwrap.wrap(words, letters, break_on_hyphens=False)]
    return tuple(lines)


def storeys() -> list[list[Box]]:
    """Return the boxes and lanes of every floor from the top down, each in its place."""
    boxes = {name: Box(name, []) for name in NEEDS}
    rows = [[box for name, box in boxes.items() if floor(name) == level] for level in range(max(map(floor, NEEDS)) + 1)]
    for name, other in arrows():
        last = boxes[name]
        for level in range(floor(name) - 1, floor(other), -1):
            last = Box("", [last])
            rows[level].append(last)
        boxes[other].above.append(last)
    rows.reverse()
    y = float(ABOVE)
    for row in rows:
        row.sort(key=lambda box: sum(b.x + b.width / 2 for b in box.above) / max(1, len(box.above)))
        place(row, y)
        y += row[0].height + ABOVE
    return rows


def place(row: list[Box], y: float) -> None:
    """Give the boxes of a floor their places, as wide as they need and as high as the highest."""
    weight = {box.title: 4 + sum(map(len, rooms(box.title).values())) ** 0.8 for box in row if box.title}
    lanes = LANE * (len(row) - len(weight))
    space = WIDTH - 2 * MARGIN - lanes - GAP * (len(row) - 1)
    x = float(MARGIN)
    for box in row:
        if box.title:
            box.width = space * weight[box.title] / sum(weight.values())
            box.lines = small_print(box.title, box.width)
        box.x, box.y, x = x, y, x + box.width + GAP
    height = 2 * PAD + LINE_HEIGHT * (1 + max(len(box.lines) for box in row))
    for box in row:
        box.height = height


def way(box: Box, upper: Box) -> list[tuple[float, float]]:
    """Return the points of the arrow that reaches `box` from `upper`, through the lanes between."""
    x = upper.nearest(box.x + box.width / 2)
    end = (box.nearest(x), box.y)
    if upper.title:
        return [(x, upper.y + upper.height), end]
    return [*way(upper, upper.above[0]), (x, upper.y + upper.height), end]


def draw() -> Sheet:
    """Return the drawing."""
    rows = storeys()
    sheet = Sheet(WIDTH, rows[-1][0].y + rows[-1][0].height + ABOVE, "The floors and rooms of convscope")
    for level, row in enumerate(reversed(rows)):
        sheet.write(MARGIN / 2, row[0].y + row[0].height / 2 + 4, str(level), 13, FAINT)
        for box in filter(lambda box: box.title, row):
            _draw_box(sheet, box)
            for upper in box.above:
                sheet.arrow(*way(box, upper))
    return sheet


def _draw_box(sheet: Sheet, box: Box) -> None:
    x, y = box.x + PAD, box.y + PAD + SIZE
    sheet.box(box.x, box.y, box.width, box.height, rx=5, stroke=LINE)
    sheet.write(x, y, box.title, 13, ACCENT, text_anchor="start", font_weight=600)
    for number, (line, colour) in enumerate(box.lines, 1):
        sheet.write(x, y + number * LINE_HEIGHT, line, SIZE, colour, text_anchor="start")
