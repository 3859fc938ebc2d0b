"""Atlases and results that somebody else made: links, JSON, arrays and names that mean no good."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from convscope.atlases.store import MANIFEST, TABLES, Atlas, open_atlas
from convscope.errors import AtlasError
from convscope.models.catalog import load
from convscope.web import results_index
from convscope.web.app import app
from convscope.web.results_index import FOLDER, Notebook
from convscope.web.site import report
from tests.web.conftest import SPEC
from tests.web.reading import assert_sound
from tests.web.test_app import HOME
from tests.web.test_experiments_report import note

SECRET = b"the owner's, and nobody else's"


@pytest.fixture
def sent(atlas: Atlas, tmp_path: Path) -> Path:
    """An atlas with a result in it, beside something that is not for others."""
    shutil.copytree(atlas.path, tmp_path / "sent")
    note(tmp_path / "sent" / FOLDER / "project")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "key").write_bytes(SECRET)
    note(tmp_path / "home" / "notes")
    return tmp_path / "sent"


def shows(folder: Path, tmp_path: Path) -> tuple[str, list[bytes]]:
    """The list of experiments in the app, and every file of the report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = open_atlas(folder)
        page = TestClient(app(made), base_url=HOME).get("/experiments/project").text
        site = report(made, tmp_path / "site").parent
    return page, [file.read_bytes() for file in site.rglob("*") if file.is_file()]


@pytest.mark.parametrize("name", [MANIFEST, *TABLES])
def test_an_atlas_of_links_is_refused(sent: Path, tmp_path: Path, name: str) -> None:
    (sent / name).rename(tmp_path / "home" / name)
    (sent / name).symlink_to(tmp_path / "home" / name)
    for attempt in (lambda: app(open_atlas(sent)), lambda: report(sent, tmp_path / "site")):
        with pytest.raises(AtlasError, match=rf"{name} is a link out of the atlas, and is not followed: copy it"):
            attempt()
    assert not (tmp_path / "site").exists()


LINKS: dict[str, Callable[[Path, Path], None]] = {
    "figure": lambda result, home: replace(result / "figure.png", home / "key"),
    "arrays": lambda result, home: replace(result / "arrays.npz", home / "key"),
    "result": lambda result, home: replace(result / "result.json", home / "notes" / "result.json"),
    "folder": lambda result, home: replace(result, home / "notes"),
    "all": lambda result, home: replace(result.parent, home),
    "relative": lambda result, home: replace(result / "figure.png", Path("../../../home/key")),
}


def replace(path: Path, target: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize("kind", LINKS)
def test_a_result_of_links_is_left_out_and_said(sent: Path, tmp_path: Path, kind: str) -> None:
    before, _ = shows(sent, tmp_path)
    LINKS[kind](sent / FOLDER / "project", tmp_path / "home")
    page, files = shows(sent, tmp_path)
    assert "result.json" in before
    assert "result.json" not in page
    assert not any(SECRET in file for file in files)
    if kind not in ("folder", "all"):  # which are not even looked into
        with pytest.warns(UserWarning, match="is a link out of .*: the result is left out"):
            Notebook(sent / FOLDER).contents()


def test_a_file_that_becomes_a_link_is_not_served(sent: Path, tmp_path: Path) -> None:
    client = TestClient(app(open_atlas(sent)), base_url=HOME)
    assert client.get("/results/project/figure.png").status_code == 200
    replace(sent / FOLDER / "project" / "figure.png", tmp_path / "home" / "key")
    assert client.get("/results/project/figure.png").status_code == 404


def test_links_within_an_atlas_are_followed(sent: Path, tmp_path: Path) -> None:
    (sent / "figure.png").write_bytes(b"a figure")
    replace(sent / FOLDER / "project" / "figure.png", Path("../../figure.png"))
    page, files = shows(sent, tmp_path)
    assert "result.json" in page
    assert b"a figure" in files
    (tmp_path / "link").symlink_to(sent)  # and so is one to all of it
    assert "result.json" in shows(tmp_path / "link", tmp_path)[0]


def test_json_that_is_too_deep_or_too_large_is_one_line(
    sent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.loads((sent / MANIFEST).read_text())
    for key, value in (("network", "x"), ("skipped", "[" * 5000 + "]" * 5000)):
        text = json.dumps(record | {key: "HERE"}).replace('"HERE"', value if key == "skipped" else '"x"')
        (sent / MANIFEST).write_text(text + " " * (2**21 if key == "network" else 0))
        with monkeypatch.context() as patch:
            patch.setattr("convscope.disk.bounded_json.SIZE", 2**20)
            with pytest.raises(AtlasError, match=r"is no description of an atlas: it is (larger|nested) [^\n]*$"):
                open_atlas(sent)


def test_results_that_are_too_deep_are_left_out(sent: Path, tmp_path: Path) -> None:
    file = sent / FOLDER / "project" / "result.json"
    record = json.loads(file.read_text())
    for depth, there in ((20, True), (100, False), (100_000, False)):
        settings_ = '{"a":' * depth + "1" + "}" * depth
        file.write_text(json.dumps(record | {"settings": "HERE"}).replace('"HERE"', settings_))
        assert ("result.json" in shows(sent, tmp_path)[0]) is there


def test_arrays_larger_than_memory_are_not_opened(sent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sent / FOLDER / "project"
    np.savez_compressed(folder / "arrays.npz", shown=np.zeros((1, 600, 600, 3), np.uint8))  # a hundred times smaller
    monkeypatch.setattr(results_index, "ARRAY", 2**20)
    monkeypatch.setattr("convscope.web.routes.experiments.ARRAY", 2**20)
    client = TestClient(app(open_atlas(sent)), base_url=HOME)
    assert client.get("/layers/relu2/7").status_code == 200
    assert client.get("/results/project/shown-0.png").status_code == 404
    answer = client.get("/results/project/array.json?name=shown")
    assert answer.status_code == 422
    assert "larger than 1 MiB" in answer.text


MARKUP = "<img src=x onerror=probe()>\x1b[31m\u202e'\"&{{ 7*7 }}</script>"
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from([MARKUP, "", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
flat = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([MARKUP, "relu2:7", "relu2", 10**400])
names = st.sampled_from(["unit", "target", "layer", "channel", "value", "concept", "label", MARKUP])


@settings(max_examples=30, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    rows=st.lists(st.dictionaries(names, flat, max_size=4), max_size=3),
    asked=st.dictionaries(st.sampled_from(["pictures", "units", "rule", MARKUP]), values, max_size=3),
    network=st.dictionaries(st.sampled_from(["name", "weights", MARKUP]), values, max_size=2),
    data=st.dictionaries(st.sampled_from(["name", "pictures", "fingerprint"]), values, max_size=3),
    notes=st.lists(values, max_size=2),
    tier=st.integers(),
)
def test_whatever_a_result_says_its_pages_are_sound(
    atlas: Atlas, tmp_path_factory: pytest.TempPathFactory, rows: object, asked: object, network: object, data: object,
    notes: object, tier: int,
) -> None:  # fmt: skip
    folder = shutil.copytree(atlas.path, tmp_path_factory.mktemp("sent") / "atlas")
    note(folder / FOLDER / "project")
    file = folder / FOLDER / "project" / "result.json"
    record = json.loads(file.read_text())
    said = {"rows": rows, "settings": asked, "network": network, "data": data, "warnings": notes, "tier": tier}
    file.write_text(json.dumps(record | said))
    client = TestClient(app(open_atlas(folder), load(SPEC)), base_url=HOME)
    for address in ("/", "/experiments/", "/experiments/project", "/layers/relu2/7", "/results/project/chart"):
        answer = client.get(address)
        assert answer.status_code in (200, 404), answer.text
        assert_sound(answer.text)
        assert "<img src=x" not in answer.text
        assert "\x1b" not in answer.text
    assert client.get("/results/project/rows.json").status_code in (200, 404)
