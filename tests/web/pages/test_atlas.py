"""From contexts to HTML. Contexts from atlases are tested with the report, in test_site.py."""

from dataclasses import replace

import pytest

from convscope.models.network import Layer
from convscope.probe.trace.geometry import ReceptiveField
from convscope.web.contexts.atlas import (
    Excerpt,
    FeatureMap,
    Glossary,
    Histogram,
    Kin,
    LayerPage,
    Neighbour,
    Overview,
    Page,
    Peaks,
    Sprite,
    Stage,
    Tile,
)
from convscope.web.drawing.tile_svg import cell
from convscope.web.pages.atlas import POLICY, parameters, render
from convscope.web.urls import Urls
from tests.web.reading import Reader, assert_sound

NASTY = '<script>alert("1")</script>&.png'
INPUT = (3, 32, 32)
RELU = Layer("relu1", "ReLU", 3, 8, 8, 0, ReceptiveField((7, 7), (4, 4), (-1, -1)), True)
CONV = replace(RELU, name="conv1", kind="Conv2d", parameters=444, rectified=False)
SPRITE = Sprite(7, 7, 3, 6)
SHEET = Sprite(7, 7, 8, 16)
TILES = (
    Tile("relu1", 2, 5.5, 0.004, False, 0, 0),
    Tile("relu1", 0, 3.0, 0.5, False, 1, 1),
    Tile("relu1", 1, 0.0, 0.0, True, 2, 2),
)


def excerpt(rank: int, label: str | None = "cat") -> Excerpt:
    return Excerpt(rank, 5.5 - rank, 3, 4, (11, 15, 18, 22), rank, "png", f"a/{rank}.png", label)


MAP = FeatureMap(
    network="tiny",
    layer=RELU,
    input_size=INPUT,
    channel=2,
    top=9,
    excerpts=tuple(excerpt(rank) for rank in range(9)),
    plate=SPRITE,
    pictures=20,
    mean=0.5,
    maximum=5.5,
    fires=0.5,
    dead=False,
    place=0,
    histogram=Histogram((18, 0, 2), 0.0, 6.0),
    peaks=Peaks(((1, 2), (3, 4)), 8, 8),
    labels=(("cat", 9),),
    similar=(Kin(TILES[1], 0.87), Kin(TILES[2], -0.2)),
    sheet=Sprite(7, 7, 8, 16),
    below=None,
    above=Neighbour("relu2", SPRITE, Kin(Tile("relu2", 7, 1.0, 1.0, False, 0, 0), 4)),
)
LAYER = LayerPage("tiny", RELU, INPUT, TILES, Sprite(7, 7, 8, 16), ("relu1", "relu2"), 20)
OVERVIEW = Overview(
    network="tiny",
    input_size=INPUT,
    classes=("cat", "dog"),
    parameters=444,
    stages=(Stage(RELU, (CONV,), 1, 1, TILES[:2], Sprite(7, 7, 1, 24)),),
    rest=(),
    samples=((4, "png", "cat"),),
    maps=3,
    pictures=20,
    data="pictures",
    top=9,
    made=(("Network", "tiny"),),
    skipped=(("bad.png", "truncated"),),
)


def shown(page: Page) -> Reader:
    return assert_sound(render(page, Urls("../../")))


@pytest.mark.parametrize("page", [OVERVIEW, LAYER, MAP, Glossary("tiny", 9)], ids=lambda page: type(page).__name__)
def test_every_page_is_sound_and_carries_the_policy(page: Page) -> None:
    html = render(page, Urls("../../"))
    assert_sound(html)
    policies = [meta["content"] for meta in shown(page).all("meta") if "http-equiv" in meta]
    assert policies == [POLICY]
    assert "unsafe" not in POLICY
    assert "http-equiv" not in render(page, Urls("/", files=False))  # a server sends it as a header


def test_a_map_shows_its_patches_beside_its_projections() -> None:
    page = shown(MAP)
    labels = [svg.get("aria-label", "") for svg in page.all("svg")]
    assert [label for label in labels if label.startswith("Projection")] == [
        f"Projection {rank} of relu1:2: cat" for rank in range(1, 10)
    ]
    assert [label for label in labels if label.startswith("Patch")] == [
        f"Patch {rank} of relu1:2: cat" for rank in range(1, 10)
    ]
    plate = [image for image in page.all("image") if image["href"].endswith("/2.png") and "plate" not in image]
    assert {(image["x"], image["y"]) for image in plate[:18]} == {
        (f"{-8 * column}" if column else "0", f"{-8 * row}" if row else "0") for row in range(3) for column in range(6)
    }
    assert "Fires in 50 % of 20 pictures, most strongly for cat (9 of its 9 strongest)." in page.text
    assert "position3, 4" in page.text


def test_a_map_leads_to_its_neighbours() -> None:
    links = {link["data-keys"]: link["href"] for link in shown(MAP).all("a") if "data-keys" in link}
    assert links == {
        "u": "../../layers/relu1/index.html",
        "ArrowLeft k": "../../layers/relu1/1.html",
        "Shift+ArrowRight": "../../layers/relu2/7.html",
    }


def test_a_map_that_hardly_fires_leaves_cells_empty() -> None:
    page = shown(replace(MAP, excerpts=(excerpt(0),), fires=0.004, labels=()))
    assert "Fires in 0.4 % of 20 pictures. That is rare. Only" in page.text
    assert "Only 1 picture makes it fire" in page.text
    assert sum("empty" in span.get("class", "") for span in page.all("span")) == 16


def test_a_dead_map_says_so() -> None:
    dead = replace(
        MAP, excerpts=(), dead=True, maximum=0.0, fires=0.0, histogram=None, peaks=None, labels=(), similar=()
    )
    page = shown(dead)
    assert "This map is dead: it stayed at zero in all 20 pictures" in page.text
    assert not [h2 for h2 in page.all("h2") if h2.get("id") == "projections"]


def test_pictures_without_labels_are_called_by_their_paths() -> None:
    page = shown(replace(MAP, excerpts=(excerpt(0, label=None),), labels=()))
    assert "Projection 1 of relu1:2: a/0.png" in [svg.get("aria-label") for svg in page.all("svg")]
    assert "Classes" not in page.text


def test_names_from_outside_are_text() -> None:
    nasty = replace(excerpt(0, label=NASTY), path=f"{NASTY}/{NASTY}")
    layer = replace(RELU, name=NASTY, kind=NASTY)
    tiles = tuple(replace(tile, layer=NASTY) for tile in TILES)
    pages: list[Page] = [
        replace(MAP, network=NASTY, layer=layer, excerpts=(nasty,), labels=((NASTY, 1),)),
        replace(LAYER, network=NASTY, layer=layer, tiles=tiles, layers=(NASTY, "relu2")),
        replace(
            OVERVIEW,
            network=NASTY,
            classes=(NASTY,),
            stages=(replace(OVERVIEW.stages[0], layer=layer, between=(layer,), strongest=tiles[:1]),),
            samples=((4, "png", NASTY),),
            data=NASTY,
            made=((NASTY, NASTY),),
            skipped=((NASTY, NASTY),),
        ),
        Glossary(NASTY, 9),
    ]
    for page in pages:
        assert len(shown(page).all("script")) == 1
        assert NASTY in shown(page).text


def test_a_layer_lists_every_map_with_its_places_in_every_order() -> None:
    page = shown(LAYER)
    places = [
        (int(li["data-channel"]), int(li["data-strength"]), int(li["data-rarity"]), li.get("class", ""))
        for li in page.all("li")
        if "data-strength" in li
    ]
    assert places == [(2, 0, 0, "rare"), (0, 1, 1, ""), (1, 2, 2, "dead")]
    assert "1 map is dead, 1 is rare." in page.text


def test_the_overview_leads_to_layers_and_maps() -> None:
    page = shown(OVERVIEW)
    links = [link["href"] for link in page.all("a")]
    assert {"../../layers/relu1/index.html", "../../layers/relu1/2.html", "../../layers/relu1/0.html"} <= {*links}
    assert "444 parameters" in page.text
    assert "1 dead" in page.text
    assert "bad.png truncated" in page.text


def test_terms_are_explained() -> None:
    words = {dt["id"] for dt in shown(Glossary("tiny", 9)).all("dt")}
    for page in (OVERVIEW, LAYER, MAP):
        used = {link["href"].partition("#")[2] for link in shown(page).all("a") if link.get("class") == "term"}
        assert used
        assert used <= words


def test_a_module_that_is_called_again_has_its_parameters_once() -> None:
    first, again = (replace(CONV, name=name) for name in ("conv", "conv#1"))
    assert parameters(Stage(RELU, (first, again), 0, 0, (), SPRITE)) == 444


def test_sheets_hold_64_maps() -> None:
    assert cell(SHEET, 0) == (0, 0, 0)
    assert cell(SHEET, 63) == (0, 7, 7)
    assert cell(SHEET, 64 + 9) == (1, 1, 1)
