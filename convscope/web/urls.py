"""Where every page and picture is: the one place that spells an address, for files and for a server alike."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlencode

from convscope.web.contexts.atlas import FeatureMap, LayerPage, Library, Overview, Page, Pair, PicturePage
from convscope.web.contexts.experiments import ChartPage, ExperimentPage, Laboratory, StepPage


@cache
def slug(layer: str) -> str:
    """A layer's name as part of an address and a folder, reversibly: `layer1.0.relu#1` is `layer1.0.relu~231`."""
    return re.sub(r"[^A-Za-z0-9._-]|^\.|^$", lambda found: "~" + found.group().encode().hex("~"), layer)


def _query(given: Mapping[str, object]) -> str:
    kept = {name: value for name, value in given.items() if value is not None}
    return f"?{urlencode(kept)}" if kept else ""


def _unit(
    layer: str | None, channel: int | None, place: Pair | None, square: tuple[int, int, int] | None
) -> dict[str, object]:
    row, column = place or (None, None)
    top, left, side = square or (None, None, None)
    return {
        "layer": layer, "channel": channel, "row": row, "column": column, "top": top, "left": left, "side": side
    }  # fmt: skip


@dataclass(frozen=True)
class Urls:
    """Addresses below `root`; with `files` each page is an .html file that opens from the disk.

    For a file, `root` leads from the page to the top of the site ("", "../../"); on a server it is "/". A `stamp` in
    the addresses of pictures and scripts changes with what is behind them, so that browsers may keep them for good.
    With `experiments` there are pages of them.
    """

    root: str = ""
    files: bool = True
    stamp: str = ""
    experiments: bool = False

    def overview(self) -> str:
        """The first page."""
        return f"{self.root}index.html" if self.files else self.root

    def glossary(self) -> str:
        """What the words mean."""
        return f"{self.root}glossary{self._html}"

    def layer(self, name: str) -> str:
        """All maps of a layer."""
        return f"{self.root}layers/{slug(name)}/{'index.html' if self.files else ''}"

    def feature_map(self, layer: str, channel: int) -> str:
        """One map."""
        return f"{self.root}layers/{slug(layer)}/{channel}{self._html}"

    def plate(self, layer: str, channel: int, suffix: str) -> str:
        """A map's projections and patches."""
        return f"{self.root}layers/{slug(layer)}/{channel}.{suffix}{self._stamp}"

    def sheet(self, layer: str, number: int, suffix: str) -> str:
        """The tiles of 64 maps of a layer."""
        return f"{self.root}layers/{slug(layer)}/sheet-{number}.{suffix}{self._stamp}"

    def strip(self, layer: str, suffix: str) -> str:
        """The tiles of a layer's strongest maps."""
        return f"{self.root}layers/{slug(layer)}/strongest.{suffix}{self._stamp}"

    def picture(self, image: int, suffix: str) -> str:
        """The thumbnail of a picture; a thousand to a folder."""
        return f"{self.root}pictures/{image // 1000}/{image}.{suffix}{self._stamp}"

    def library(self, label: str | None = None, page: int = 0) -> str:
        """The pictures to choose from."""
        given = {"label": label, "page": page or None}
        return f"{self.root}pictures/{_query(given)}"

    def look(
        self,
        key: int | str,
        layer: str | None = None,
        channel: int | None = None,
        place: Pair | None = None,
        square: tuple[int, int, int] | None = None,
    ) -> str:
        """A picture under the lens: one of the atlas' by its number, one that was brought by its key."""
        return f"{self.root}picture/{key}{_query(_unit(layer, channel, place, square))}"

    def seen(self, key: str) -> str:
        """The picture as the network sees it."""
        return f"{self.root}picture/{key}/seen.png"

    def map(self, key: str, layer: str, channel: int, square: tuple[int, int, int] | None = None) -> str:
        """A feature map of a picture, with a part of it hidden."""
        return f"{self.root}picture/{key}/map.png{_query(_unit(layer, channel, None, square))}"

    def projection(self, key: str, layer: str, channel: int, place: Pair, rule: str) -> str:
        """The projection of a unit by a rule, or its "patch"."""
        return f"{self.root}picture/{key}/{rule}.png{_query(_unit(layer, channel, place, None))}"

    def experiment(self, name: str, given: Iterable[tuple[str, str]] = ()) -> str:
        """The page of an experiment: its results and, on a server, its form, with what is `given` in it."""
        return f"{self.root}experiments/{name}{self._html}{_query(dict(given))}"

    def laboratory(self) -> str:
        """The experiments."""
        return f"{self.root}experiments/{'index.html' if self.files else ''}"

    def finding(self, experiment: str, key: str) -> str:
        """A result on the page of its experiment."""
        return f"{self.experiment(experiment)}#{slug(key)}"

    def result(self, key: str, file: str) -> str:
        """A file of a result."""
        return f"{self.root}results/{slug(key)}/{file}"

    def shown(self, key: str, row: int) -> str:
        """The picture of a row of a result."""
        return f"{self.root}results/{slug(key)}/shown-{row}.png"

    def chart(self, key: str) -> str:
        """A result to look into."""
        return f"{self.root}results/{slug(key)}/chart"

    def plotly(self) -> str:
        """The script that draws charts."""
        return f"{self.root}plotly.js{self._stamp}"

    def job(self, number: int, what: str = "") -> str:
        """A job's page, its "events", or where to "cancel" it."""
        return f"{self.root}jobs/{number}{'/' if what else ''}{what}"

    def static(self, file: str) -> str:
        """A style sheet, script or icon."""
        return f"{self.root}static/{file}{self._stamp}"

    def page(self, page: Page) -> str:
        """The address of the page that shows this context."""
        match page:
            case Overview():
                return self.overview()
            case LayerPage():
                return self.layer(page.layer.name)
            case FeatureMap():
                return self.feature_map(page.layer.name, page.channel)
            case Library():
                return self.library(page.label, page.page)
            case PicturePage():
                return self.look(page.key)
            case Laboratory():
                return self.laboratory()
            case ExperimentPage():
                return self.experiment(page.name)
            case StepPage():
                return self.job(page.step.number)
            case ChartPage():
                return self.chart(page.finding.key)
            case _:
                return self.glossary()

    @property
    def _stamp(self) -> str:
        return f"?{self.stamp}" if self.stamp else ""

    @property
    def _html(self) -> str:
        return ".html" if self.files else ""
