"""The style sheet's colours against WCAG 2.2, and what a page that opens from the disk may not load."""

import re
from importlib.resources import files

import pytest

STATIC = files("convscope.web").joinpath("static")
CSS = STATIC.joinpath("convscope.css").read_text(encoding="utf-8")
TOKENS = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", CSS))


def luminance(colour: str) -> float:
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_itself() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("ground", ["paper", "raised"])
@pytest.mark.parametrize("text", ["ink", "soft", "accent"])
def test_text_has_the_contrast_of_aa(text: str, ground: str) -> None:
    assert contrast(TOKENS[text], TOKENS[ground]) >= 4.5


def test_text_is_set_in_these_colours_only() -> None:
    assert set(re.findall(r"(?<![-\w])color: ([^;}]+)", CSS)) <= {
        "var(--ink)", "var(--soft)", "var(--accent)", "inherit",
    }  # fmt: skip
    grounds = set(re.findall(r"background(?:-color)?: ([^;}]+)", CSS))
    assert grounds <= {"var(--paper)", "var(--raised)", "var(--accent)", "none", "#808080"}


def test_nothing_is_fetched_and_nothing_needs_a_server() -> None:
    for file in ("convscope.css", "convscope.js"):
        text = STATIC.joinpath(file).read_text(encoding="utf-8")
        assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest|\bimport\b|\bexport\b", text), file


def test_motion_is_asked_for_only_where_it_is_welcome() -> None:
    calm, _, welcome = CSS.partition("@media (prefers-reduced-motion: no-preference)")
    assert not re.search(r"transition:|animation:|scroll-behavior:", calm)
    assert welcome
