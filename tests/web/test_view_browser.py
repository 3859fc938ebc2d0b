"""The web app in Chromium: every page, every control, by mouse, by keyboard and without a script, at both widths."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from PIL import Image

from convscope.atlases.store import Atlas

expect = pytest.importorskip("playwright.sync_api", reason="NO BROWSER TESTS: playwright is not installed").expect

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 375, "height": 812}
PAGES = (
    "/",
    "/glossary",
    "/layers/relu2/",
    "/layers/relu2/7",
    "/layers/relu2/3",
    "/pictures/",
    "/pictures/?label=cats",
    "/picture/IMAGE",
    "/picture/IMAGE?layer=relu1&channel=0&row=3&column=4&top=2&left=3&side=9",
)
UNIT = "layer=relu2&channel=7"

# WCAG's contrast of every text on the page against what is painted behind it, where that is a colour of the page
CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) weak.push(element.outerHTML.slice(0, 80));
  }
  return weak;
}"""


class Desk:
    """One tab, with what went wrong in it and what it asked for."""

    def __init__(self, context: Any, base: str, image: int) -> None:
        self.base, self.image, self.tab = base, image, context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: self.errors.append(message.text))
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))

    def open(self, page: str) -> Any:
        self.tab.goto(self.base + page.replace("IMAGE", str(self.image)))
        return self.tab

    def look(self, query: str = UNIT) -> Any:
        return self.open(f"/picture/IMAGE?{query}")


@pytest.fixture
def desk(browser: Any, served: str, atlas: Atlas) -> Iterator[Desk]:
    context = browser.new_context(viewport=DESK)
    desk = Desk(context, served, int(atlas["relu2", 7].images[0]))
    yield desk
    context.close()
    assert not desk.errors
    assert all(address.startswith((served, "data:")) for address in desk.requests)


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (60, 80, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_pages_fit_read_and_all_pictures_load(desk: Desk, page: str, size: dict[str, int]) -> None:
    desk.tab.set_viewport_size(size)
    tab = desk.open(page)
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert tab.evaluate(CONTRAST) == []
    unnamed = "[...document.querySelectorAll('img:not([alt]), img[alt=\"\"], svg:not([aria-label], [aria-hidden])')]"
    assert tab.evaluate(f"{unnamed}.length") == 0
    tab.wait_for_load_state("networkidle")
    broken = """async () => (await Promise.all([...document.querySelectorAll('image')].map(async (image) => {
      const copy = new Image(); copy.src = image.getAttribute('href');
      return copy.decode().then(() => null, () => copy.src);
    }))).filter(Boolean)"""
    assert tab.evaluate(broken) == []


@pytest.mark.parametrize(
    "page", ["/nowhere", "/layers/relu9/", "/layers/relu2/99", "/picture/99999", "/picture/IMAGE?layer=x", "/jobs/7"]
)
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_what_is_not_there_is_a_page_that_leads_back(desk: Desk, page: str, size: dict[str, int]) -> None:
    desk.tab.set_viewport_size(size)
    tab = desk.open(page)
    assert tab.get_by_role("heading", name="Nothing is here").is_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert tab.evaluate(CONTRAST) == []
    tab.get_by_role("link", name="Back to").click()
    tab.wait_for_url(desk.base + "/")
    desk.errors.clear()  # Chromium reports the 404 itself


@pytest.mark.parametrize("page", ["/pictures/", "/picture/IMAGE"])
def test_every_control_has_a_name_and_shows_its_focus(desk: Desk, page: str) -> None:
    tab = desk.open(page)
    names = (
        "[...document.querySelectorAll('input:not([type=hidden]), select, button')].filter(e => e.checkVisibility())"
    )
    assert tab.evaluate(f"{names}.every(e => e.labels?.length || e.textContent.trim())")
    for _ in range(25):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement === document.body"):  # around
            break
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_from_a_map_to_its_picture_and_back(desk: Desk) -> None:
    tab = desk.open("/layers/relu2/7")
    tab.get_by_role("link", name="Under the lens (picture 1)", exact=True).click()
    assert re.search(rf"/picture/{desk.image}\?layer=relu2&channel=7&row=\d+&column=\d+$", tab.url)
    assert tab.get_by_role("heading", name="relu2:7").is_visible()
    tab.get_by_role("link", name="relu2:7").click()
    tab.wait_for_url("**/layers/relu2/7")


def asked(tab: Any, **wanted: int) -> None:
    """Wait until the address says this."""
    tab.wait_for_url(
        lambda url: {(name, str(value)) for name, value in wanted.items()} <= {*parse_qsl(urlsplit(url).query)}
    )


def answer(tab: Any) -> str:
    return str(tab.locator("#answer").inner_text())


def test_dragging_over_the_picture_hides_a_part_and_everything_answers(desk: Desk) -> None:
    tab = desk.look()
    before, unit = answer(tab), tab.locator("#unit").inner_text()
    assert not tab.locator("#square").is_visible()
    box = tab.locator("#picture").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    tab.mouse.down()
    for share in (0.4, 0.5, 0.6):
        tab.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.5)
    tab.mouse.up()
    asked(tab, top=10, left=12, side=5)
    expect(tab.locator("#answer")).to_contain_text("with nothing hidden")
    assert tab.locator("#square").is_visible()
    assert tab.locator("#square").get_attribute("x") == "12"
    assert answer(tab) != before
    assert tab.locator("#unit").inner_text().startswith(unit.split("value")[0])
    shown = answer(tab)
    tab.reload()  # the address says all of it
    assert answer(tab) == shown
    tab.get_by_role("link", name="Show all").click()
    expect(tab.locator("#answer")).not_to_contain_text("hidden")
    assert answer(tab) == before
    assert not tab.locator("#square").is_visible()


def test_a_click_on_the_map_shows_that_unit(desk: Desk) -> None:
    tab = desk.look(f"{UNIT}&row=0&column=0")
    box = tab.locator("#map").bounding_box()
    tab.locator("#map").click(position={"x": box["width"] * 0.55, "y": box["height"] * 0.25})
    tab.get_by_role("heading", name="What excited it at row 2, column 5").wait_for()
    assert (tab.locator("#row").input_value(), tab.locator("#column").input_value()) == ("2", "5")
    frame = tab.locator("#frame .box")
    assert (frame.get_attribute("x"), frame.get_attribute("y")) == ("9", "3")  # sees 8 x 8 pixels, a step is 2
    assert tab.locator(".projections svg").count() == 4


def test_a_tile_puts_its_map_under_the_lens(desk: Desk) -> None:
    tab = desk.look()
    tile = tab.locator(".hits .tile:not([aria-current])").nth(9)
    channel = tile.locator(".number").inner_text()
    tile.click()
    tab.get_by_role("heading", name=f"relu2:{channel}").wait_for()
    current = tab.locator(".hits [aria-current] .number")
    assert current.inner_text() == channel
    assert f"channel={channel}" in tab.url


def test_all_of_it_by_keyboard(desk: Desk) -> None:
    tab = desk.look(f"{UNIT}&row=1&column=1")
    tab.locator("#row").focus()
    tab.keyboard.press("ArrowUp")
    tab.get_by_role("heading", name="What excited it at row 2, column 1").wait_for()
    assert tab.evaluate("document.activeElement.id") == "row"
    tab.get_by_label("top").focus()
    tab.keyboard.type("4")
    tab.keyboard.press("Enter")
    asked(tab, top=4, left=0, side=5)
    tab.get_by_label("side").focus()
    tab.keyboard.press("ArrowUp")
    asked(tab, side=6)
    tab.get_by_role("link", name="Show all").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url(lambda url: "top=" not in url)
    tab.locator(".hits .tile").first.focus()
    channel = tab.locator(".hits .tile .number").first.inner_text()
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name=f"relu1:{channel}").wait_for()


def test_a_number_out_of_range_is_said_and_nothing_breaks(desk: Desk) -> None:
    tab = desk.look()
    tab.locator("#row").fill("99")
    tab.keyboard.press("Tab")
    expect(tab.locator("#trouble")).to_contain_text("10 x 10")
    tab.locator("#row").fill("1")
    tab.keyboard.press("Tab")
    expect(tab.locator("#trouble")).to_be_empty()
    desk.errors.clear()  # Chromium reports the 404 itself


def test_a_picture_by_file_dialog(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "mine.jpg").write_bytes(jpeg())
    tab = desk.open("/pictures/")
    with tab.expect_file_chooser() as chooser:
        tab.get_by_label("Bring your own").click()
    chooser.value.set_files(tmp_path / "mine.jpg")
    tab.wait_for_url("**/picture/u*")
    assert tab.get_by_role("heading", level=1).inner_text() == "mine.jpg"


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_dropped_or_pasted(desk: Desk, way: str) -> None:
    tab = desk.open("/pictures/")
    tab.evaluate(
        """([way, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], `${way}.jpg`, {type: "image/jpeg"}));
          const event = way === "drop"
            ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})
            : new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
          document.body.dispatchEvent(event);
        }""",
        [way, list(jpeg())],
    )
    tab.wait_for_url("**/picture/u*")
    assert tab.get_by_role("heading", level=1).inner_text() == f"{way}.jpg"
    tab.get_by_role("link", name="Pictures").first.click()
    assert tab.get_by_role("link", name=f"{way}.jpg").first.is_visible()


def test_pictures_of_a_class(desk: Desk) -> None:
    tab = desk.open("/pictures/")
    tab.get_by_label("Class").select_option("cats")
    tab.wait_for_url("**label=cats")
    assert set(tab.locator("#theirs ~ .slides span").all_inner_texts()) == {"cats"}


def test_all_of_it_without_a_script(browser: Any, desk: Desk, tmp_path: Path) -> None:
    context = browser.new_context(viewport=PHONE, java_script_enabled=False)
    tab = context.new_page()
    (tmp_path / "mine.jpg").write_bytes(jpeg())
    tab.goto(desk.base)
    tab.get_by_role("link", name="Pictures").click()
    tab.get_by_label("Class").select_option("cats")
    tab.get_by_role("button", name="Show").click()
    tab.wait_for_url("**label=cats")
    tab.get_by_label("Bring your own").set_input_files(tmp_path / "mine.jpg")
    tab.get_by_role("button", name="Put it under the lens").click()
    tab.wait_for_url("**/picture/u*")
    tab.locator("#row").fill("3")
    tab.get_by_role("button", name="Look").click()
    assert tab.get_by_role("heading", name="What excited it at row 3").is_visible()
    tab.get_by_label("top").fill("4")
    tab.get_by_label("left").fill("5")
    tab.get_by_role("button", name="Hide it").click()
    assert "with nothing hidden" in answer(tab)
    assert tab.locator("#square").is_visible()
    tab.get_by_role("link", name="Show all").click()
    assert "hidden" not in answer(tab)
    tab.locator(".hits .tile").first.click()
    assert tab.get_by_role("heading", name="relu1:").is_visible()
    context.close()
