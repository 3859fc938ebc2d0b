"""The report in Chromium, from the disk: keys, hover and focus, both widths, no script, no error, nothing fetched."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convscope.atlases.store import Atlas, open_atlas
from convscope.disk import results
from convscope.web.results_index import FOLDER
from convscope.web.site import report
from tests.web.test_experiments_report import Figure

PAGES = (
    "index.html",
    "glossary.html",
    "layers/relu1/index.html",
    "layers/relu2/index.html",
    "layers/relu2/7.html",
    "layers/relu2/3.html",  # dead
    "layers/relu2/5.html",  # rare
)
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 375, "height": 812}


class Desk:
    """One tab, with what went wrong in it and what it asked for."""

    def __init__(self, context: Any, site: Path) -> None:
        self.site, self.tab = site, context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: self.errors.append(message.text))
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("requestfailed", self.failed)

    def failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that is left before all of it has come
            self.errors.append(f"{request.url}: {request.failure}")

    def open(self, page: str) -> Any:
        self.tab.goto((self.site / page).as_uri())
        return self.tab

    @property
    def here(self) -> str:
        return str(self.tab.url).partition(self.site.as_uri() + "/")[2]

    def press(self, key: str, there: str) -> None:
        self.tab.keyboard.press(key)
        self.tab.wait_for_url(f"{self.site.as_uri()}/{there}")


@pytest.fixture
def desk(browser: Any, site: Path) -> Iterator[Desk]:
    context = browser.new_context(viewport=DESK)
    desk = Desk(context, site)
    yield desk
    context.close()
    assert not desk.errors
    assert all(address.startswith(site.as_uri()) for address in desk.requests)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_pages_fit_and_all_pictures_load(desk: Desk, page: str, size: dict[str, int]) -> None:
    desk.tab.set_viewport_size(size)
    tab = desk.open(page)
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    boxes = tab.evaluate("[...document.querySelectorAll('svg, img')].map(p => [p.clientWidth, p.clientHeight])")
    assert all(width > 0 and height > 0 for width, height in boxes)
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth)")
    assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(237, 234, 228)"  # the style sheet is on


def test_the_keyboard_walks_from_map_to_map(desk: Desk) -> None:
    desk.open("layers/relu2/7.html")
    desk.press("ArrowRight", "layers/relu2/8.html")
    desk.press("ArrowLeft", "layers/relu2/7.html")
    desk.press("j", "layers/relu2/8.html")
    desk.press("k", "layers/relu2/7.html")
    desk.tab.keyboard.press("Shift+ArrowLeft")
    desk.tab.wait_for_url("**/layers/relu1/*.html")
    desk.press("u", "layers/relu1/index.html")
    desk.press("ArrowRight", "layers/relu2/index.html")
    desk.press("u", "index.html")


def test_keys_with_a_modifier_are_the_browsers(desk: Desk) -> None:
    tab = desk.open("layers/relu2/7.html")
    tab.keyboard.press("Control+ArrowRight")
    tab.keyboard.press("Control+u")
    tab.wait_for_timeout(100)
    assert desk.here == "layers/relu2/7.html"


def test_the_hints_are_visible_where_there_are_keys(desk: Desk) -> None:
    assert desk.open("layers/relu2/7.html").locator(".keys").is_visible()


def test_arrows_move_within_a_layer(desk: Desk) -> None:
    tab = desk.open("layers/relu2/index.html")
    focused = "document.activeElement.closest('li').dataset.strength"
    tab.locator(".sheet .tile").first.focus()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(focused) == "1"
    columns = tab.evaluate("getComputedStyle(document.querySelector('.sheet')).gridTemplateColumns.split(' ').length")
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate(focused) == str(1 + columns)
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowLeft")  # stays on the first
    assert tab.evaluate(focused) == "0"
    tab.keyboard.press("End")
    assert tab.evaluate(focused) == "71"
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/layers/relu2/3.html")  # the dead one is last


def order(tab: Any) -> list[int]:
    return [int(n) for n in tab.evaluate("[...document.querySelectorAll('.sheet li')].map(li => li.dataset.channel)")]


def test_a_layer_is_sorted_in_place_and_stays_so(desk: Desk) -> None:
    tab = desk.open("layers/relu2/index.html")
    by_strength = order(tab)
    tab.get_by_label("channel", exact=True).check()
    assert order(tab) == list(range(72))
    tab.get_by_label("rarity", exact=True).check()
    assert order(tab)[0] == 5
    assert order(tab)[-1] == 3
    assert tab.locator(".fires").first.is_visible()
    tab.locator(".sheet .tile").first.click()
    tab.wait_for_url("**/5.html")
    tab.go_back()
    assert order(tab)[0] == 5
    tab.get_by_label("strength", exact=True).check()
    assert order(tab) == by_strength


def every(tab: Any) -> list[dict[str, str]]:
    return list(tab.evaluate("[...document.querySelectorAll('.sheet li')].map(li => ({...li.dataset}))"))


def kept(tab: Any) -> list[int]:
    visible = "[...document.querySelectorAll('.sheet li:not([hidden])')].map(li => li.dataset.channel)"
    return [int(n) for n in tab.evaluate(visible)]


def test_a_layer_is_sifted_in_place_and_stays_so(desk: Desk) -> None:
    tab = desk.open("layers/relu2/index.html")
    found = lambda: " ".join(tab.locator(".found").inner_text().split())  # noqa: E731
    assert found() == "72 of 72"
    assert not tab.get_by_role("button", name="Show all").is_visible()
    tab.get_by_label("dead or not").select_option("dead")
    assert kept(tab) == [3]
    tab.get_by_label("dead or not").select_option("not dead")
    tab.get_by_label("that fire in at most").fill("10")
    assert kept(tab) == [5]
    tab.locator(".sheet .tile:visible").first.click()
    tab.wait_for_url("**/5.html")
    tab.go_back()
    assert kept(tab) == [5]
    assert found() == "1 of 72 Show all"
    tab.get_by_role("button", name="Show all").click()
    assert len(kept(tab)) == 72
    assert "#" not in desk.here
    strength = tab.get_by_label("as strong as the strongest")
    strength.focus()
    for _ in range(30):
        tab.keyboard.press("ArrowRight")
    shares = {item["channel"]: float(item["share"]) for item in every(tab)}
    assert {str(channel) for channel in kept(tab)} == {channel for channel, share in shares.items() if share >= 0.3}
    assert 0 < len(kept(tab)) < 72
    assert not tab.get_by_label("of the concept").count()


@pytest.fixture
def asked(browser: Any, atlas: Atlas, tmp_path: Path) -> Iterator[Desk]:
    """The report of an atlas with results in it."""
    copy = shutil.copytree(atlas.path, tmp_path / "atlas")
    rows: list[results.Row] = [{"layer": "relu2", "channel": 7, "concept": "sky", "iou": 0.5}]
    rows += [{"layer": "relu2", "channel": 8, "concept": "<b>", "iou": 0.1}]
    found = results.Result("dissect", network={"name": "tiny"}, rows=rows)
    shown = np.full((2, 6, 5, 3), 200, np.uint8)
    results.write(copy / FOLDER / "dissect", found, arrays={"shown": shown}, figure=Figure())
    site = report(open_atlas(copy), tmp_path / "a report").parent
    context = browser.new_context(viewport=DESK)
    desk = Desk(context, site)
    yield desk
    context.close()
    assert not desk.errors
    assert all(address.startswith(site.as_uri()) for address in desk.requests)


def test_maps_of_a_concept(asked: Desk) -> None:
    tab = asked.open("layers/relu2/index.html")
    tab.get_by_label("of the concept").select_option("sky")
    assert kept(tab) == [7]
    assert tab.locator(".sheet .concept:visible").all_inner_texts() == ["sky"]
    tab.get_by_label("of the concept").select_option("<b>")
    assert kept(tab) == [8]
    tab.get_by_role("button", name="Show all").click()
    assert len(kept(tab)) == 72


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_results_open_from_the_disk(asked: Desk, size: dict[str, int]) -> None:
    asked.tab.set_viewport_size(size)
    tab = asked.open("index.html")
    tab.get_by_role("link", name="Experiments").click()
    tab.wait_for_url("**/experiments/index.html")
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    tab.get_by_role("link", name="Which human concept").click()
    tab.wait_for_url("**/experiments/dissect.html")
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert tab.locator("tbody tr").count() == 2
    images = "[...document.images]"
    tab.evaluate(f"{images}.forEach(image => image.loading = 'eager')")
    tab.wait_for_function(f"{images}.every(image => image.complete && image.naturalWidth)")
    assert (asked.site / "results" / "dissect" / "result.json").is_file()
    tab.goto((asked.site / "layers/relu2/7.html").as_uri())
    assert tab.get_by_text("It matches the concept sky").is_visible()


def test_pointing_at_a_map_shows_its_patch(desk: Desk) -> None:
    tab = desk.open("layers/relu2/index.html")
    image = tab.locator(".sheet image").first
    moved = "image => getComputedStyle(image).transform"
    assert image.evaluate(moved) == "none"
    tab.locator(".sheet .tile").first.hover()
    width = float(image.get_attribute("width"))
    assert image.evaluate(moved) == f"matrix(1, 0, 0, 1, {-width / 2:g}, 0)"
    tab.mouse.move(0, 0)
    assert image.evaluate(moved) == "none"
    tab.keyboard.press("Tab")
    tab.locator(".sheet .tile").first.focus()
    assert image.evaluate(moved) != "none"
    tab.locator("h1").click()
    tab.get_by_label("patches").check()
    assert image.evaluate(moved) != "none"


def test_a_patch_and_its_projection_light_up_together(desk: Desk) -> None:
    tab = desk.open("layers/relu2/7.html")
    tab.locator(".cell.r3").first.hover()
    styles = tab.evaluate("[...document.querySelectorAll('.cell.r3')].map(cell => getComputedStyle(cell).outlineStyle)")
    assert styles == ["solid", "solid"]
    assert tab.evaluate("getComputedStyle(document.querySelector('.cell.r4')).outlineStyle") == "none"


def test_focus_is_always_visible(desk: Desk) -> None:
    tab = desk.open("layers/relu2/7.html")
    for _ in range(30):
        tab.keyboard.press("Tab")
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_pages_read_and_lead_on_without_a_script(browser: Any, site: Path) -> None:
    context = browser.new_context(viewport=DESK, java_script_enabled=False)
    tab = context.new_page()
    tab.goto((site / "index.html").as_uri())
    tab.locator("h2 a", has_text="relu2").click()
    tab.wait_for_url("**/layers/relu2/index.html")
    assert tab.get_by_label("patches").is_visible()
    assert not tab.get_by_label("rarity").is_visible()
    assert not tab.locator(".keys").is_visible()
    tab.locator(".sheet .tile").first.click()
    tab.get_by_role("link", name="Map", exact=False).first.click()
    tab.get_by_role("link", name="How to read this").click()
    tab.wait_for_url("**/glossary.html")
    context.close()


def test_still_where_motion_is_not_welcome(browser: Any, site: Path) -> None:
    context = browser.new_context(reduced_motion="reduce")
    tab = context.new_page()
    tab.goto((site / "layers/relu2/7.html").as_uri())
    assert tab.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert tab.evaluate("getComputedStyle(document.querySelector('a')).transitionDuration") == "0s"
    context.close()
