"""Experiments in Chromium: forms, work under way, results and charts, by mouse, by keyboard, without a script."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convscope.atlases.store import Atlas
from convscope.experiments import EXPERIMENTS
from tests.web.test_view_browser import CONTRAST, DESK, PHONE, Desk, jpeg

expect = pytest.importorskip("playwright.sync_api", reason="NO BROWSER TESTS: playwright is not installed").expect

LONG = 120_000  # milliseconds: a process starts, and imports torch
ENDLESS = "9000000"  # steps of an ascent that nobody waits for


@pytest.fixture
def desk(browser: Any, laboratory: str, atlas: Atlas) -> Iterator[Desk]:
    context = browser.new_context(viewport=DESK, permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(LONG)
    desk = Desk(context, laboratory, int(atlas["relu2", 7].images[0]))
    yield desk
    context.close()
    assert not desk.errors
    assert all(address.startswith((laboratory, "data:", "blob:")) for address in desk.requests)


def fits(tab: Any) -> None:
    """At both widths: nothing to scroll sideways, enough contrast, a word for every picture."""
    for size in (DESK, PHONE):
        tab.set_viewport_size(size)
        assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"], tab.url
        assert tab.evaluate(CONTRAST) == [], tab.url
        unnamed = "[...document.querySelectorAll('main img:not([alt]), main img[alt=\"\"]')].length"
        assert tab.evaluate(unnamed) == 0, tab.url
        controls = "[...document.querySelectorAll('main :is(input:not([type=hidden]), select, textarea, button)')]"
        named = "e => !e.checkVisibility() || e.ariaLabel || e.labels?.length || e.textContent.trim()"
        assert tab.evaluate(f"{controls}.every({named})"), tab.url
    tab.set_viewport_size(DESK)


def finished(tab: Any, name: str) -> None:
    """Wait until a job has ended in a result on the page of its experiment."""
    tab.wait_for_url(f"**/experiments/{name}#*", timeout=LONG)


def test_a_page_for_every_experiment(desk: Desk) -> None:
    fits(desk.open("/experiments/"))
    for name in EXPERIMENTS:
        tab = desk.open(f"/experiments/{name}")
        tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        fits(tab)


def test_from_the_picture_to_a_result_its_table_its_files_and_its_chart(desk: Desk) -> None:
    tab = desk.look()
    tab.get_by_role("button", name="Run project").click()
    tab.wait_for_url("**/jobs/*")
    finished(tab, "project")
    result = tab.locator("article").last
    assert "relu2:7@" in result.get_by_role("heading").inner_text()
    expect(result.get_by_role("img")).to_have_js_property("complete", True)
    assert result.locator("tbody tr").count() == 1
    with tab.expect_download() as download:
        result.get_by_role("link", name="result.json").click()
    assert '"experiment": "project"' in Path(download.value.path()).read_text(encoding="utf-8")
    fits(tab)
    result.get_by_role("link", name="Look into it").click()
    tab.wait_for_url("**/chart")
    for plot in range(2):
        tab.locator(".plot").nth(plot).locator(".main-svg").first.wait_for()
    fits(tab)
    tab.get_by_label("up").focus()  # by keyboard
    before = tab.locator(".plot .ytitle").first.text_content()
    tab.keyboard.press("ArrowDown")
    expect(tab.locator(".plot .ytitle").first).not_to_have_text(before)
    tab.get_by_label("axis 1").fill("2")
    tab.keyboard.press("Tab")
    tab.wait_for_load_state("networkidle")
    assert any("at=0%2C2" in address for address in desk.requests)


def test_a_form_by_keyboard_and_the_command_beside_it(desk: Desk) -> None:
    tab = desk.open("/experiments/activations")
    tab.locator("#content").focus()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")  # the first picture
    assert tab.evaluate("getComputedStyle(document.activeElement.nextElementSibling).outlineStyle") == "solid"
    expect(tab.locator(".command code")).not_to_contain_text("PICTURE")
    tab.locator("summary", has_text="options").focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")  # the first layer
    expect(tab.locator(".command code")).to_contain_text("--layers relu1")
    tab.get_by_role("button", name="Copy").focus()
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("button", name="Copied")).to_be_visible()
    assert tab.evaluate("navigator.clipboard.readText()") == tab.locator(".command code").inner_text()
    tab.get_by_role("button", name="Run").focus()
    tab.keyboard.press("Enter")
    finished(tab, "activations")
    assert "layers relu1" in tab.locator("article h3").last.inner_text()


def test_a_mistake_stands_beside_its_control(desk: Desk) -> None:
    tab = desk.open("/experiments/maximize")
    tab.locator("summary", has_text="options").click()
    tab.get_by_label("steps", exact=True).fill("many")
    tab.get_by_role("button", name="Run").click()
    expect(tab.locator("#f-steps-error")).to_contain_text("expected a whole number")
    assert tab.get_by_label("steps", exact=True).input_value() == "many"
    fits(tab)
    tab.get_by_role("alert").get_by_role("link", name="targets").click()
    assert tab.url.endswith("#f-targets")
    desk.errors.clear()  # Chromium reports the 422 itself


def test_all_of_it_without_a_script_with_a_picture_of_ones_own(browser: Any, desk: Desk, tmp_path: Path) -> None:
    context = browser.new_context(viewport=PHONE, java_script_enabled=False)
    context.set_default_timeout(LONG)
    tab = context.new_page()
    (tmp_path / "mine.jpg").write_bytes(jpeg())
    tab.goto(desk.base)
    tab.get_by_role("link", name="Experiments").click()
    tab.get_by_role("link", name="What do the maps of a layer look like").click()
    tab.get_by_label("Bring one of yours").set_input_files(tmp_path / "mine.jpg")
    tab.get_by_role("button", name="Run").click()
    finished(tab, "activations")  # the page of the job is loaded anew by itself
    assert "Not kept: this result goes when the app ends" in tab.locator("article").last.inner_text()
    tab.get_by_role("link", name="Look into it").last.click()
    assert tab.get_by_text("Charts that answer need JavaScript").is_visible()
    context.close()


def test_what_an_experiment_cannot_do_is_one_line(desk: Desk) -> None:
    tab = desk.open("/experiments/maximize?targets=relu2:99")
    tab.get_by_role("button", name="Run").click()
    expect(tab.locator(".error")).to_contain_text("channels 0 to 71", timeout=LONG)
    assert tab.get_by_role("link", name="Change it and try again").is_visible()


def test_work_survives_a_reload_shows_its_progress_and_can_be_cancelled(desk: Desk) -> None:
    tab = desk.open("/layers/relu2/7")
    tab.get_by_role("link", name="Which picture would excite").click()
    assert tab.get_by_label("targets").input_value() == "relu2:7"
    tab.locator("summary", has_text="options").click()
    tab.get_by_label("steps", exact=True).fill(ENDLESS)
    tab.get_by_role("button", name="Run").click()
    tab.wait_for_url("**/jobs/*")
    expect(tab.locator(".state")).to_contain_text(" of 9,000,000", timeout=LONG)
    shown = tab.locator(".state").inner_text()
    expect(tab.locator(".state")).not_to_have_text(shown)  # it moves
    fits(tab)
    tab.reload()
    expect(tab.locator(".state")).to_contain_text(" of 9,000,000")
    assert int(tab.locator("progress").get_attribute("value")) > 0
    job = tab.url
    tab.get_by_role("link", name="Experiments").first.click()
    tab.get_by_role("link", name="maximize: relu2:7").click()
    tab.wait_for_url(job)
    tab.get_by_role("button", name="Cancel").focus()
    tab.keyboard.press("Enter")
    expect(tab.locator(".job")).to_contain_text("cancelled")
    fits(tab)
    tab.get_by_role("link", name="Change it and try again").click()
    assert tab.get_by_label("targets").input_value() == "relu2:7"
    assert tab.get_by_label("steps", exact=True).input_value() == ENDLESS
    assert not tab.locator("article", has_text="relu2:7").count()
