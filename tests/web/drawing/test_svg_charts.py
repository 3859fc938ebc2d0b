from xml.etree import ElementTree

import pytest

from convscope.web.contexts.atlas import Excerpt, Histogram, Peaks
from convscope.web.drawing.svg_charts import breakable, count, frame, heat, histogram, number, percent


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (1.0, "1.00"),
        (34.56, "34.6"),
        (9.999, "10.0"),
        (1234.5, "1,230"),
        (0.00123456, "0.00123"),
        (-2.5, "−2.50"),
        (1.234e-7, "1.23 × 10⁻⁷"),
        (-6.02e23, "−6.02 × 10²³"),
        (float("inf"), "∞"),
    ],
)
def test_numbers_have_three_significant_digits(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0 %"), (1, "100 %"), (0.9999, ">99 %"), (0.0001, "<0.1 %"), (0.045, "4.5 %"), (0.37, "37 %")],
)
def test_a_share_is_rounded_to_nothing_or_all_only_if_it_is(share: float, shown: str) -> None:
    assert percent(share) == shown


def test_thousands_are_set_apart() -> None:
    assert count(25088) == "25,088"


def test_paths_are_escaped_and_may_wrap() -> None:
    assert breakable("a&b/<i>.png") == "a&amp;b/<wbr>&lt;i&gt;.png"


def svg(markup: str) -> ElementTree.Element:
    root = ElementTree.fromstring(markup)
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert "style" not in markup
    return root


def test_a_histogram_has_a_bar_for_every_filled_bin_and_a_tick_for_every_picture() -> None:
    bars, ticks = svg(histogram(Histogram((4, 0, 1, 0), 0.0, 8.0), [8.0, 4.0]))
    assert str(bars.get("d")).count("M") == 2
    assert str(bars.get("d")).startswith("M0 48v-46h")  # the highest
    assert str(ticks.get("d")) == "M4 50v5M2 50v5"


def test_a_histogram_of_equal_values_is_drawn() -> None:
    svg(histogram(Histogram((0, 0), 1.0, 1.0), [1.0]))


def test_heat_has_five_shades_and_names_the_fullest_cell() -> None:
    root = svg(heat(Peaks(((0, 1), (5, 10)), 4, 4)))
    assert [path.get("class") for path in root] == ["h1", "h3", "h5"]
    assert "10 times" in str(root.get("aria-label"))
    assert "row 2, column 2" in str(root.get("aria-label"))


def test_heat_without_a_peak_is_an_empty_grid() -> None:
    assert len(svg(heat(Peaks(((0, 0),), 1, 2)))) == 0


def test_the_frame_ends_at_the_border_of_the_picture() -> None:
    excerpt = Excerpt(0, 1.0, 0, 0, (-3, 10, 8, 40), 5, "jpg", "a.png", None)
    box = ElementTree.fromstring(f"<g>{frame(excerpt, (3, 32, 32))}</g>")[1]
    assert {name: box.get(name) for name in ("x", "y", "width", "height")} == {
        "x": "10", "y": "0", "width": "22", "height": "8",
    }  # fmt: skip
