"""Reads pages the way tests need them: every element with its attributes, and the text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

Attributes = dict[str, str]


@dataclass
class Reader(HTMLParser):
    elements: list[tuple[str, Attributes]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, *tags: str) -> list[Attributes]:
        """The attributes of every element of these kinds."""
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


def assert_sound(html: str) -> Reader:
    """What holds for every page: pictures described, nothing inline or foreign, one h1, a title, a policy."""
    page = read(html)
    for tag, attributes in page.elements:
        assert "style" not in attributes, f"{tag} has a style attribute"
        assert not any(name.startswith("on") for name in attributes), f"{tag} has an inline handler"
        for name in ("href", "src"):
            assert ":" not in attributes.get(name, "").partition("/")[0], f"{tag} leaves the report"
            assert not attributes.get(name, "").startswith("//")
    for picture in page.all("img"):
        assert picture.get("alt")
    for picture in page.all("svg"):
        hidden = picture.get("aria-hidden") == "true"
        assert hidden or (picture.get("role") == "img" and picture.get("aria-label"))
    assert all(script.get("src") and "defer" in script for script in page.all("script"))
    assert not page.all("style")
    assert len(page.all("h1")) == 1
    assert len(page.all("title")) == 1
    assert page.all("html") == [{"lang": "en"}]
    identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    return page
