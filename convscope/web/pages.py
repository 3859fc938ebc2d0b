"""Pages: from an atlas to a context, and from a context to HTML.

Both are pure: nothing here writes a file, and the same page comes out for the report and for a server.
"""

from functools import cache
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined

from convscope.web.contexts import FeatureMap, Glossary, Layer, LayerPage, Overview, Page, Sprite, Stage
from convscope.web.drawings import FILTERS
from convscope.web.urls import Urls

SHEET = 8  # tiles a side of a sheet: 64 maps to a file
# `file:` beside 'self' for browsers that count every file on the disk as an origin of its own
POLICY = (
    "default-src 'none'; img-src 'self' file:; style-src 'self' file:; script-src 'self' file:; "
    "base-uri 'none'; form-action 'none'"
)
TEMPLATES: dict[type[Page], str] = {
    Overview: "overview.html",
    LayerPage: "layer.html",
    FeatureMap: "feature_map.html",
    Glossary: "glossary.html",
}


def render(page: Page, urls: Urls) -> str:
    """The page as HTML, everything in it escaped."""
    return _environment().get_template(TEMPLATES[type(page)]).render(page=page, urls=urls)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("convscope.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {**FILTERS, "cell": sheet_cell, "parameters": parameters}
    environment.globals |= {"version": version("convscope"), "policy": POLICY}
    return environment


def sheet_cell(sheet: Sprite, channel: int) -> tuple[int, int, int]:
    """Where a map's projection is: number of the sheet, row, column."""
    number, place = divmod(channel, SHEET * SHEET)
    return number, *divmod(place, SHEET)


def parameters(stage: Stage) -> int:
    """Of a stage: its layer and those between; containers and repeated calls count once, with what they hold."""
    steps: dict[str, Layer] = {}
    for step in (*stage.between, stage.layer):
        steps.setdefault(step.name.partition("#")[0], step)
    return sum(
        step.parameters or 0 for name, step in steps.items() if not any(other.startswith(name + ".") for other in steps)
    )
