"""Every route with anything at all: no failure of the server's, and always the headers. Schemathesis on the app."""

import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from starlette.testclient import TestClient

from convscope.atlases.store import Atlas, open_atlas
from convscope.disk import results
from convscope.models.catalog import load
from convscope.web.app import app
from convscope.web.jobs import Jobs
from convscope.web.results_index import FOLDER
from convscope.web.security import HEADERS
from tests.web.conftest import SPEC

HOME = "http://127.0.0.1:8128"
EASY = settings(max_examples=40, deadline=None, suppress_health_check=[*HealthCheck])


@pytest.fixture(scope="module")
def made(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The app over an atlas of its own; no experiment that it takes is ever begun."""
    copy = shutil.copytree(atlas.path, tmp_path_factory.mktemp("fuzz") / "atlas")
    row = {"unit": "relu2:7", "value": 1.0}
    arrays = {"maps": np.zeros((2, 3, 4)), "shown": np.zeros((1, 3, 3, 3), np.uint8)}
    results.write(copy / FOLDER / "project", results.Result("project", {"name": "tiny"}, [row]), arrays=arrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Jobs, "_attend", lambda self: None)
        run = copy.parent / "trained" / "snapshots"
        run.mkdir(parents=True)
        (run / "epoch-001.safetensors").write_bytes(b"")
        made = app(open_atlas(copy), load(SPEC), offers=[str(run.parent)])
        with TestClient(made):
            yield made


@pytest.fixture(scope="module")
def client(made: Any) -> TestClient:
    return TestClient(made, base_url=HOME, raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture(scope="module")
def operations(made: Any) -> list[Any]:
    """Every route as its schema describes it, which strings of any kind then fill."""
    schema = schemathesis.openapi.from_dict(made.openapi())
    schema.app = made
    return [operation.ok() for operation in schema.get_all_operations() if isinstance(operation, Ok)]


@settings(EASY, max_examples=15)  # each of which asks every route
@given(data=st.data())
def test_no_route_fails(operations: list[Any], data: st.DataObject) -> None:
    for operation in operations:
        case = data.draw(operation.as_strategy())
        answer = case.call(base_url=HOME, headers={"host": "127.0.0.1"})
        assert answer.status_code < 500, f"{operation.label}: {answer.text}"
        assert {name.lower(): value for name, value in HEADERS.items()}.items() <= {
            name.lower(): value[0] if isinstance(value, list) else value for name, value in answer.headers.items()
        }.items()


PARTS = [
    "picture", "layers", "pictures", "static", "relu2", "0", "experiments", "project", "maximize", "command", "jobs",
    "1", "events", "cancel", "results", "chart", "rows.json", "array.json", "shown-0.png", "result.json", "plotly.js",
]  # fmt: skip
NAMES = [
    "layer", "channel", "row", "column", "top", "left", "side", "part", "label", "page", "token",
    "pictures", "units", "targets", "steps", "images", "name", "at", "run", "concepts",
]  # fmt: skip

texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    [
        "..",
        "%00",
        "9" * 400,
        "-1",
        "relu2",
        "relu2:7",
        "1e9",
        "NaN",
        "u" + "0" * 16,
        "<b>",
        "\x00",
        "0",
        "7",
        "seen.png",
        "trained",
        "digits",
        "drawn",
    ]
)


@EASY
@given(
    path=st.lists(st.sampled_from(PARTS) | texts, max_size=4),
    query=st.dictionaries(
        st.sampled_from(NAMES),
        texts,
    ),
)  # fmt: skip
def test_no_address_fails(client: TestClient, path: list[str], query: dict[str, str]) -> None:
    answer = client.get("/" + "/".join(quote(part, safe="%") for part in path), params=query)
    assert answer.status_code < 500, answer.text


@EASY
@given(layer=st.sampled_from(["relu1", "relu2"]), numbers=st.lists(st.integers(-30, 80), min_size=6, max_size=6))
def test_no_question_fails(client: TestClient, layer: str, numbers: list[int]) -> None:
    names = ("channel", "row", "column", "top", "left", "side")
    query = {"layer": layer, **dict(zip(names, map(str, numbers), strict=True))}
    for address in ("/picture/0", "/picture/0/map.png", "/picture/0/deconvnet.png", "/picture/0/patch.png"):
        assert client.get(address, params=query).status_code in (200, 404)


@EASY
@given(data=st.binary(max_size=300), name=st.text(max_size=20), kind=st.sampled_from(["image/png", "text/html", ""]))
def test_no_upload_fails(client: TestClient, data: bytes, name: str, kind: str) -> None:
    try:
        answer = client.post("/pictures/", files={"picture": (name, data, kind)})
    except UnicodeEncodeError:
        return
    assert answer.status_code in (303, 400, 404, 422), answer.text


@EASY
@given(
    name=st.sampled_from(["project", "maximize", "correspondence", "activations", "evolution", "dissect"]),
    asked=st.dictionaries(st.sampled_from([*NAMES, "picture", "boxes", "layers", "seed"]), texts, max_size=5),
    files=st.dictionaries(
        st.sampled_from(["file:boxes", "picture:picture", "picture:pictures", "picture:", ":", "units"]),
        st.tuples(texts, st.binary(max_size=60)),
        max_size=2,
    ),
)
def test_no_form_fails(
    client: TestClient, name: str, asked: dict[str, str], files: dict[str, tuple[str, bytes]]
) -> None:
    try:
        answer = client.post(f"/experiments/{name}", data=asked, files=files)
    except UnicodeEncodeError:
        return
    assert answer.status_code in (303, 400, 422, 429), answer.text


@EASY
@given(
    body=st.binary(max_size=300), kind=st.sampled_from(["multipart/form-data", "multipart/form-data; boundary=x", "x"])
)
def test_no_body_fails(client: TestClient, body: bytes, kind: str) -> None:
    for address in ("/pictures/", "/experiments/project"):
        answer = client.post(address, content=b"--x\r\n" + body, headers={"content-type": kind})
        assert answer.status_code < 500, answer.text
