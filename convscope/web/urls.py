"""Where every page and picture is: the one place that spells an address, for files and for a server alike."""

import re
from dataclasses import dataclass

from convscope.web.contexts import FeatureMap, LayerPage, Overview, Page


def slug(layer: str) -> str:
    """A layer's name as part of an address and a folder, reversibly: `layer1.0.relu#1` is `layer1.0.relu~231`."""
    return re.sub(r"[^A-Za-z0-9._-]|^\.|^$", lambda found: "~" + found.group().encode().hex("~"), layer)


@dataclass(frozen=True)
class Urls:
    """Addresses below `root`; with `files` each page is an .html file that opens from the disk.

    For a file, `root` leads from the page to the top of the site ("", "../../"); on a server it is "/". A `stamp` in
    the addresses of pictures and scripts changes with what is behind them, so that browsers may keep them for good.
    """

    root: str = ""
    files: bool = True
    stamp: str = ""

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
            case _:
                return self.glossary()

    @property
    def _stamp(self) -> str:
        return f"?{self.stamp}" if self.stamp else ""

    @property
    def _html(self) -> str:
        return ".html" if self.files else ""
