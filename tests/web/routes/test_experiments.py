"""Experiments over HTTP, without a browser: forms, what they refuse, the queue, and every part of a result."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from starlette.testclient import TestClient

from convscope.atlases.store import Atlas, open_atlas
from convscope.disk import results
from convscope.experiments import EXPERIMENTS
from convscope.models.catalog import load
from convscope.pictures import decode
from convscope.web.app import app
from convscope.web.jobs import WAITING, Jobs
from convscope.web.results_index import AGAIN, FOLDER
from convscope.web.site import report
from tests.web.conftest import SPEC, network
from tests.web.reading import Reader, assert_sound, read
from tests.web.test_app import HOME, picture
from tests.web.test_experiments_report import NASTY, Figure

TARGETS = [f"relu2:{channel}" for channel in (7, 8)]


@pytest.fixture(scope="module")
def kept(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas with results in it: optima of two maps, concepts of two."""
    folder = tmp_path_factory.mktemp("kept")
    shutil.copytree(atlas.path, folder / "atlas")
    shown = np.full((2, 6, 5, 3), 200, np.uint8)
    arrays = {"shown": shown, "maps": np.arange(2 * 3 * 1200.0).reshape(2, 3, 1200), "line": np.array([1.0, np.nan])}
    rows: list[results.Row] = [{"target": target, "layer": "relu2", "score": 3.5} for target in TARGETS]
    optima = results.Result("maximize", network={"name": "tiny"}, rows=rows, settings={"targets": TARGETS})
    results.write(folder / "atlas" / FOLDER / "maximize" / "001", optima, arrays=arrays, figure=Figure())
    rows = [
        {"layer": "relu2", "channel": channel, "concept": NASTY if channel == 8 else None, "label": NASTY, "iou": 0.1}
        for channel in (7, 8)
    ]
    results.write(folder / "atlas" / FOLDER / "x", results.Result("redundancy", network={"name": "tiny"}, rows=rows))
    return folder / "atlas"


@pytest.fixture
def client(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The app on it; its jobs wait for ever."""
    monkeypatch.setattr(Jobs, "_attend", lambda self: None)
    with TestClient(app(open_atlas(kept), load(SPEC)), base_url=HOME, follow_redirects=False) as client:
        yield client


def page(client: TestClient, address: str, status: int = 200) -> Reader:
    answer = client.get(address)
    assert answer.status_code == status
    return assert_sound(answer.text)


def test_there_is_a_page_for_every_experiment(client: TestClient) -> None:
    links = {link["href"] for link in page(client, "/experiments/").all("a")}
    assert {f"/experiments/{name}" for name in EXPERIMENTS} <= links
    for name in EXPERIMENTS:
        found = page(client, f"/experiments/{name}")
        assert found.all("form")
        names = {one["name"] for one in found.all("input", "select", "textarea")}
        assert "network" not in names
    page(client, "/experiments/nothing", 404)


def test_a_form_starts_a_job_which_can_be_cancelled(client: TestClient) -> None:
    asked = {"targets": "relu2:7\nrelu2:8", "steps": "9", "curves": "no"}
    answer = client.post("/experiments/maximize", data=asked, headers={"origin": HOME})
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/1")
    shown = page(client, "/jobs/1")
    assert "relu2:7, relu2:8" in shown.text
    assert shown.all("progress")
    assert "relu2:7, relu2:8" in page(client, "/experiments/").text
    with client.stream("GET", "/jobs/1/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        told = json.loads(next(line for line in events.iter_lines() if line.startswith("data: "))[6:])
        assert (told["state"], told["over"], told["before"]) == ("waiting", False, 0)
    assert client.post("/jobs/1/cancel", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post("/jobs/1/cancel", headers={"origin": HOME}).headers["location"] == "/jobs/1"
    over = page(client, "/jobs/1")
    assert "cancelled" in over.text
    (again,) = [link["href"] for link in over.all("a") if "?" in link["href"]]
    assert parse_qs(urlsplit(again).query)["targets"] == ["relu2:7\r\nrelu2:8".replace("\r", "")]
    boxes = [one for one in page(client, again).all("input") if one.get("id") == "f-curves"]
    assert "checked" not in boxes[0]
    page(client, "/jobs/2", 404)
    assert client.post("/jobs/2/cancel").status_code == 404


def test_nothing_is_started_from_another_site(client: TestClient) -> None:
    answer = client.post(
        "/experiments/maximize", data={"targets": "relu2:7"}, headers={"origin": "http://evil.example"}
    )
    assert answer.status_code == 403
    page(client, "/jobs/1", 404)


@pytest.mark.parametrize(
    ("name", "asked", "lines"),
    [
        ("maximize", {"steps": "many"}, ["targets is ''", "expected a whole number"]),
        ("project", {"pictures": "0", "units": "/etc/passwd"}, ["files and code are for the command line"]),
        ("project", {"pictures": "99999", "units": "relu2:7"}, ["99999"]),
        ("diagnose", {"images": "/etc", "versus": "py:os:system"}, ["expected one of", "for the command line"]),
    ],
)
def test_mistakes_stand_in_the_form(client: TestClient, name: str, asked: dict[str, str], lines: list[str]) -> None:
    answer = client.post(f"/experiments/{name}", data=asked)
    assert answer.status_code == 422
    found = assert_sound(answer.text)
    for line in lines:
        assert line in found.text
    wrong = [one for _, one in found.elements if one.get("aria-invalid") == "true"]
    assert len(wrong) == len(lines)
    named = {one["id"] for _, one in found.elements if "id" in one}
    assert all(word in named for one in wrong for word in one["aria-describedby"].split())
    page(client, "/jobs/1", 404)


def test_what_is_brought_goes_with_the_server_and_so_does_its_result(client: TestClient, kept: Path) -> None:
    file = picture()["picture"]
    answer = client.post("/experiments/activations", files={"picture:picture": file})
    assert answer.status_code == 303
    assert "<b>dog</b>.png" in page(client, "/jobs/1").text
    answer = client.post("/experiments/activations", files={"picture:picture": ("a.png", b"no picture", "image/png")})
    assert answer.status_code == 422
    assert "no JPEG, PNG" in read(answer.text).text
    answer = client.post(
        "/experiments/redundancy", data={"limit": "x"}, files={"file:pictures": ("large.npy", bytes(2**22 + 1), "x")}
    )
    assert "at most 4 MiB" in read(answer.text).text
    assert not [*kept.rglob("*.png")] or all(FOLDER in path.parts for path in kept.rglob("*.png"))


def test_the_queue_is_bounded(client: TestClient) -> None:
    for _ in range(WAITING):
        assert client.post("/experiments/maximize", data={"targets": "relu2:7"}).status_code == 303
    answer = client.post("/experiments/maximize", data={"targets": "relu2:7"})
    assert answer.status_code == 429
    assert "are waiting already" in read(answer.text).text


def test_the_command_follows_the_form(client: TestClient, kept: Path) -> None:
    answer = client.get("/experiments/maximize/command", params={"targets": "a b", "steps": "3"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == f"convscope maximize {SPEC} 'a b' --steps 3 -o {kept / FOLDER / 'maximize'}"


def test_a_result_and_all_its_parts(client: TestClient) -> None:
    found = page(client, "/experiments/maximize")
    assert "1 result" in found.text
    assert "/results/maximize~2f001/figure.png" in [image["src"] for image in found.all("img")]
    assert client.get("/results/maximize~2f001/figure.png").headers["content-type"] == "image/png"
    assert json.loads(client.get("/results/maximize~2f001/result.json").text)["experiment"] == "maximize"
    rows = client.get("/results/maximize~2f001/rows.json").json()
    assert rows["columns"] == ["target", "layer", "score"]
    assert rows["rows"][0] == ["relu2:7", "relu2", 3.5]
    chart = client.get("/results/maximize~2f001/chart")
    assert_sound(chart.text)
    assert "script-src 'self'" in chart.headers["content-security-policy"]
    assert "shown" not in [option["value"] for option in read(chart.text).all("option")]
    assert client.get("/plotly.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("at", ["1", "1,0,0", "", "9999", "-1", "x,y"])
def test_an_array_plane_by_plane_and_thinned(client: TestClient, at: str) -> None:
    found = client.get("/results/maximize~2f001/array.json", params={"name": "maps", "at": at}).json()
    place = {"1": 1, "1,0,0": 1, "9999": 1}.get(at, 0)
    assert (found["at"], found["step"]) == ([place], [1, 3])
    assert np.array(found["z"]).shape == (3, 400)
    assert found["z"][1][2] == place * 3600 + 1200 + 6
    line = client.get("/results/maximize~2f001/array.json", params={"name": "line"}).json()
    assert line["z"] == [[1.0, None]]


@pytest.mark.parametrize(
    "address",
    [
        "maximize~2f002/chart", "maximize~2f001/arrays", "maximize~2f001/..%2f..%2fatlas.json", "..~2f/result.json",
        "maximize~2f001/array.json?name=none", "maximize~2f001/array.json?name=shown", "maximize~2f001/shown-2.png",
        "x/shown-0.png", "x/figure.png", "maximize/001/result.json",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_found(client: TestClient, address: str) -> None:
    page(client, f"/results/{address}", 404)


def test_a_map_shows_its_optimum_and_its_concept(client: TestClient) -> None:
    seven, eight = (page(client, f"/layers/relu2/{channel}") for channel in (7, 8))
    optimum = next(image["src"] for image in eight.all("img") if "shown" in image["src"])
    assert optimum == "/results/maximize~2f001/shown-1.png"
    assert decode(client.get(optimum).content).shape == (6, 5, 3)
    assert f"matches the concept {NASTY}" in eight.text
    assert "matches the concept" not in seven.text  # no detector
    assert NASTY in seven.text
    tiles = [one for _, one in page(client, "/layers/relu2/").elements if one.get("data-concept")]
    assert [(tile["data-channel"], tile["data-concept"]) for tile in tiles] == [("8", NASTY)]
    assert "In experiments" not in page(client, "/layers/relu1/0").text


def test_the_report_shows_them_too(kept: Path, tmp_path: Path) -> None:
    site = report(kept, tmp_path / "report").parent
    found = assert_sound((site / "layers/relu2/8.html").read_text(encoding="utf-8"))
    optimum = next(image["src"] for image in found.all("img") if "shown" in image["src"])
    assert decode((site / "layers/relu2" / optimum).read_bytes()).shape == (6, 5, 3)
    assert f"matches the concept {NASTY}" in found.text
    assert not posts(found)


def posts(found: Reader) -> set[str]:
    return {form["action"].rpartition("/")[2] for form in found.all("form") if form.get("method") == "post"}


def test_experiments_are_put_to_the_picture_and_the_map_in_view(client: TestClient) -> None:
    under = page(client, "/picture/0?layer=relu2&channel=7&row=1&column=2")
    ready = {"activations", "invariance", "maximize", "occlude", "project"}
    assert ready <= posts(under)
    hidden = {(one["name"], one["value"]) for one in under.all("input") if one.get("type") == "hidden"}
    assert {("pictures", "0"), ("units", "relu2:7@1,2")} <= hidden
    of_map = page(client, "/layers/relu2/7")
    assert {"maximize", "project"} <= posts(of_map)
    assert "invariance" not in posts(of_map)
    link = next(link["href"] for link in under.all("a") if link["href"].startswith("/experiments/project?"))
    (units,) = [words for tag, words in page(client, link).elements if tag == "textarea"]
    assert units["name"] == "units"


def test_without_a_network_to_open_experiments_are_only_read(atlas: Atlas, kept: Path) -> None:
    for under, reason in ((network(), "only lives in memory"), (None, "there is none")):
        still = TestClient(app(open_atlas(kept), under, reason="there is none"), base_url=HOME)
        found = page(still, "/experiments/maximize")
        assert reason in found.text
        assert "1 result" in found.text
        assert not posts(found)
        answer = still.post("/experiments/maximize", data={"targets": "relu2:7"})
        assert answer.status_code == 422
        assert not posts(page(still, "/layers/relu2/7"))
        assert not posts(page(still, f"/picture/{atlas['relu2', 7].images[0]}"))


def test_a_result_that_breaks_is_said_in_one_line(client: TestClient, kept: Path) -> None:
    folder = shutil.copytree(kept / FOLDER / "maximize" / "001", kept / FOLDER / "maximize" / "009")
    try:
        (folder / "arrays.npz").write_bytes(b"PK\x03\x04 no arrays")
        page(client, "/experiments/maximize")
        sleep(2 * AGAIN)  # until the notebook looks again
        answer = client.get("/results/maximize~2f009/array.json?name=maps")
        assert answer.status_code == 422
        assert "holds no arrays" in assert_sound(answer.text).text
        (folder / "result.json").write_text("{")
        assert client.get("/results/maximize~2f009/rows.json").status_code in (404, 422)
        page(client, "/experiments/maximize")
    finally:
        shutil.rmtree(folder)
