"""The web app without a browser: its routes, what they refuse, and failures that are said in one line."""

import io
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from convscope.atlases.store import Atlas, open_atlas
from convscope.pictures import decode
from convscope.web.app import app
from convscope.web.routes.picture import _glow
from convscope.web.security import HEADERS
from tests.web.conftest import DEAD, ODD, network
from tests.web.reading import assert_sound, read

HOME = "http://127.0.0.1:8128"


@pytest.fixture(scope="module")
def client(atlas: Atlas) -> TestClient:
    return TestClient(app(atlas, network()), base_url=HOME)


@pytest.fixture(scope="module")
def still(atlas: Atlas) -> TestClient:
    return TestClient(app(atlas, reason="tiny only lived in memory"), base_url=HOME)


def picture(size: tuple[int, int] = (40, 30)) -> dict[str, tuple[str, bytes, str]]:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).save(file, "PNG")
    return {"picture": ("<b>dog</b>.png", file.getvalue(), "image/png")}


def walk(client: TestClient, start: str) -> dict[str, str]:
    """Every page that can be reached by links, with its HTML; every address on them answers."""
    pages: dict[str, str] = {}
    checked: dict[str, str] = {}
    waiting = [start]
    while waiting:
        address = waiting.pop()
        if address in checked:
            continue
        answer = client.get(address)
        checked[address] = kind = answer.headers["content-type"].partition(";")[0]
        assert answer.status_code == 200, f"{address}: {answer.status_code}"
        if kind != "text/html":
            continue
        pages[address] = answer.text
        for _, attributes in assert_sound(answer.text).elements:
            for name in ("href", "src"):
                if name in attributes and not attributes[name].startswith("#"):
                    link = attributes[name].partition("#")[0]
                    # a look at one unit is as good as another: one of each layer
                    unit = re.search(r"channel=(\d+)|units?=[^&]*%3A(\d+)|targets=[^&]*%3A(\d+)", link)
                    if not unit or {"0", "7"} & {*unit.groups()}:
                        waiting.append(link)
    return pages


@pytest.mark.parametrize("live", [True, False], ids=["live", "still"])
def test_every_link_of_every_page_answers_and_every_page_is_sound(atlas: Atlas, live: bool) -> None:
    reason = "tiny only lived in memory"
    pages = walk(TestClient(app(atlas, network() if live else None, reason=reason), base_url=HOME), "/")
    addresses = {urlsplit(address).path for address in pages}
    assert {"/", "/glossary", "/pictures/", "/layers/relu1/", "/layers/relu2/", "/layers/relu2/71"} <= addresses
    assert {f"/picture/{image}" for image in atlas.columns("pictures", ["image"])["image"]} <= addresses
    assert ODD not in "".join(pages.values())
    assert (reason in pages["/pictures/"]) is not live


def test_pages_are_those_of_the_report(client: TestClient, site: Path) -> None:
    for address, file in (("/layers/relu2/7", "layers/relu2/7.html"), ("/glossary", "glossary.html")):
        theirs = read((site / file).read_text(encoding="utf-8")).text
        assert set(theirs.split()) <= set(read(client.get(address).text).text.split())
    for address in ("/layers/relu2/7.png", "/layers/relu2/sheet-1.png", "/layers/relu1/strongest.png"):
        assert client.get(address).content == (site / address[1:]).read_bytes()


@pytest.mark.parametrize(
    "address",
    [
        "/nothing", "/layers/relu9/", "/layers/relu2/72", "/layers/relu2/-1", "/layers/relu2/x", "/layers/relu2/7.jpg",
        "/layers/relu2/" + "9" * 5000, "/layers/relu2/sheet-2.png", "/layers/relu2/sheet-x.png", "/layers/relu2/3.png/",
        "/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/nothing.css", "/pictures/0/99999.png",
        "/pictures/1/5.png", "/picture/99999", "/picture/u0123456789abcdef", "/picture/..%2f..%2fetc%2fpasswd",
        "/picture/0?layer=relu9", "/picture/0?layer=relu2&channel=72", "/picture/0?channel=-1", "/picture/0?row=99",
        "/picture/0?top=x", "/picture/0/map.png", "/picture/0/map.png?layer=relu2&channel=99",
        "/picture/0/none.png?layer=relu2&channel=0&row=0&column=0", "/pictures/?page=-1",
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_in_a_page(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    page = assert_sound(answer.text)
    assert "Nothing is here" in page.text
    assert HEADERS.items() <= {name.title(): value for name, value in answer.headers.items()}.items()


def test_a_dead_map_has_a_page(client: TestClient) -> None:
    assert "This map is dead" in read(client.get(f"/layers/relu2/{DEAD}").text).text


def test_pictures_may_be_kept_and_pages_may_not(client: TestClient) -> None:
    page = client.get("/layers/relu2/7")
    assert page.headers["cache-control"] == "no-cache"
    plate = next(image["href"] for image in read(page.text).all("image") if "/layers/relu2/7.png" in image["href"])
    assert "?" in plate
    assert "immutable" in client.get(plate).headers["cache-control"]


def test_a_brought_picture_is_put_under_the_lens(client: TestClient) -> None:
    answer = client.post("/pictures/", files=picture(), headers={"origin": HOME})
    assert answer.status_code == 200
    assert re.fullmatch(r"/picture/u[0-9a-f]{16}", answer.url.path)
    page = assert_sound(answer.text)
    assert "<b>dog</b>.png" in page.text
    assert "<b>dog" not in answer.text
    assert "<b>dog</b>.png" in read(client.get("/pictures/").text).text


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"picture": ("a.png", b"no picture", "image/png")}, "no JPEG, PNG"),
        ({"other": ("a.png", b"", "image/png")}, "picture: "),
        ({"picture": ("a.png", b"", "image/png")}, "0 bytes"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(
    client: TestClient, files: dict[str, tuple[str, bytes, str]], line: str
) -> None:
    answer = client.post("/pictures/", files=files)
    assert answer.status_code == 422
    assert line in read(answer.text).text


def test_nothing_is_taken_from_another_site(client: TestClient) -> None:
    assert client.post("/pictures/", files=picture(), headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421


def test_without_a_network_pictures_show_what_the_atlas_knows(still: TestClient, atlas: Atlas) -> None:
    image = int(atlas["relu2", 5].images[0])  # the only picture that the rare map fires for
    page = assert_sound(still.get(f"/picture/{image}").text)
    assert "There is no network to look through: tiny only lived in memory." in page.text
    assert "/layers/relu2/5" in [link["href"] for link in page.all("a")]
    assert still.post("/pictures/", files=picture()).status_code == 404
    assert still.get("/picture/0/seen.png").status_code == 404


def test_a_page_chooses_what_is_not_asked_and_keeps_what_is(client: TestClient) -> None:
    html = client.get("/picture/0?layer=relu2&channel=7&row=2&column=3&top=4&left=&side=").text
    page = assert_sound(html)
    assert "What excited it at row 2, column 3" in page.text
    squares = [rect for rect in page.all("rect") if rect.get("id") == "square"]
    assert squares[0]["width"] == "0"  # no corner, no square
    hidden = assert_sound(client.get("/picture/0?top=4&left=5").text)
    (square,) = [rect for rect in hidden.all("rect") if rect.get("id") == "square"]
    assert (square["x"], square["y"], square["width"]) == ("5", "4", "5")
    assert "with nothing hidden" in hidden.text


def test_the_answer_alone(client: TestClient) -> None:
    part = client.get("/picture/0?layer=relu2&channel=7&top=4&left=5&side=6&part=answer").text
    whole = client.get("/picture/0?layer=relu2&channel=7&top=4&left=5&side=6").text
    assert part.strip().startswith('<div id="answer"')
    assert part.strip() in whole
    assert client.get("/picture/0?part=base").status_code == 404


def test_pictures_by_class_and_by_page(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = read(client.get("/pictures/").text)
    cats = read(client.get("/pictures/?label=cats").text)
    links = [{link["href"] for link in page.all("a") if "/picture/" in link["href"]} for page in (everything, cats)]
    assert 0 < len(links[1]) < len(links[0])
    monkeypatch.setattr("convscope.web.pages.picture.SHELF", 4)
    seen = set()
    for number in range(4):
        page = read(client.get(f"/pictures/?page={number}").text)
        seen |= {link["href"] for link in page.all("a") if "/picture/" in link["href"]}
    assert seen == links[0]
    assert "no picture" in read(client.get("/pictures/?label=none").text).text


def test_a_map_glows_where_it_fires(client: TestClient) -> None:
    shown = decode(client.get("/picture/0/map.png?layer=relu2&channel=7").content)
    assert shown.shape == (10, 10, 3)
    assert (_glow(np.zeros((2, 2), np.float32), 0.0) == _glow(np.full((2, 2), -1, np.float32), 3.0)).all()


def test_a_network_that_fails_is_said_in_one_line_and_the_server_lives_on(atlas: Atlas) -> None:
    net = network()
    working = net.working()
    with TestClient(app(atlas, net), base_url=HOME, raise_server_exceptions=False) as client:
        assert client.get("/picture/0").status_code == 200
        whole, working.fc = working.fc, torch.nn.Linear(3, 2)
        images = atlas.columns("pictures", ["image"])["image"]
        answer = client.get(f"/picture/{images[-1]}")
        assert answer.status_code == 422
        assert "the network fails on this picture: " in read(answer.text).text
        working.fc = whole
        assert client.get(f"/picture/{images[-1]}").status_code == 200


def test_an_atlas_that_breaks_under_us_is_said_in_one_line(atlas: Atlas, tmp_path: Path) -> None:
    broken = open_atlas(shutil.copytree(atlas.path, tmp_path / "atlas"))
    client = TestClient(app(broken), base_url=HOME, raise_server_exceptions=False)
    (tmp_path / "atlas/top.parquet").write_bytes(b"PAR1" * 9)
    answer = client.get("/layers/relu2/7")
    assert answer.status_code == 503
    assert "top.parquet cannot be read" in read(answer.text).text
    assert client.get("/glossary").status_code == 200


def test_a_surprise_is_a_page_too(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(app(atlas), base_url=HOME, raise_server_exceptions=False)
    monkeypatch.setattr("convscope.web.pages.atlas.overview", lambda _: 1 // 0)
    answer = client.get("/")
    assert answer.status_code == 500
    assert "ZeroDivisionError" in read(answer.text).text
    assert client.get("/glossary").status_code == 200


def test_addresses_are_spelled_by_urls(client: TestClient) -> None:
    """Every static file that a page names is there, and nothing else of the package is."""
    for link in read(client.get("/picture/0").text).all("link", "script"):
        address = link.get("href") or link.get("src") or ""
        assert client.get(unquote(address)).status_code == 200
