"""Whom the server answers: names, origins, the token, sizes, and what every answer forbids."""

import asyncio
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from convscope.web import security
from convscope.web.security import HEADERS, Guard

HOME = "http://127.0.0.1:8128"


async def echo(request: Request) -> Response:
    return PlainTextResponse(f"{request.method} {len(await request.body())}")


def client(base: str = HOME, **settings: Any) -> TestClient:
    inner = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])
    return TestClient(Guard(inner, **settings), base_url=base, follow_redirects=False)


@pytest.mark.parametrize("host", ["127.0.0.1:8128", "localhost", "LOCALHOST:1", "[::1]:8128"])
def test_it_answers_to_its_own_names(host: str) -> None:
    assert client().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8128", "", "[", "0.0.0.0"])
def test_another_name_is_refused_whatever_it_resolves_to(host: str) -> None:
    assert client().get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser
        ({"origin": HOME}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),  # another server of this machine
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_only_our_pages_may_post(headers: dict[str, str], status: int) -> None:
    assert client().post("/", content=b"x", headers=headers).status_code == status


def test_every_answer_forbids_what_our_pages_do_not_need() -> None:
    for answer in (client().get("/"), client().get("/", headers={"host": "evil"}), client(token="t").get("/")):
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "LIMIT", 1000)


@pytest.mark.usefixtures("small")
def test_a_body_is_bounded_by_its_header_and_by_its_bytes() -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield bytes(100)

    assert client().post("/", content=bytes(1000)).text == "POST 1000"
    assert client().post("/", content=bytes(1001)).status_code == 413
    assert client().post("/", content=chunks()).status_code == 413
    for length in ("-1", "x", "9" * 400):
        assert client().get("/", headers={"content-length": length}).status_code == 413


def test_the_token_becomes_a_cookie_and_leaves_the_address() -> None:
    reader = client(token="secret")
    assert reader.get("/").status_code == 403
    assert reader.get("/?token=wrong").status_code == 403
    admitted = reader.get(HOME + "//evil.example/a%20b?token=secret&x=%26")
    assert admitted.status_code == 303
    assert admitted.headers["location"] == "/evil.example/a%20b?x=%26"
    assert "httponly" in admitted.headers["set-cookie"].lower()
    assert "samesite=strict" in admitted.headers["set-cookie"].lower()
    assert reader.get("/").status_code == 200
    assert client(token="secret").get("/", headers={"cookie": "convscope=wrong"}).status_code == 403
    assert client(token="secret").get("/", headers={"cookie": 'convscope="\x01;;=;'}).status_code == 403


def test_any_name_will_do_where_the_token_protects() -> None:
    reader = client("http://my-machine.local:8128", hosts=None, token="secret")
    assert reader.get("/").status_code == 403
    assert reader.get("/?token=secret").status_code == 303


def test_web_sockets_are_closed() -> None:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def never(*_: Any) -> None:
        raise AssertionError

    async def ask() -> None:
        await Guard(never)({"type": "websocket"}, never, send)  # type: ignore[arg-type]

    with ThreadPoolExecutor(1) as thread:  # a browser test may have left a running loop in this one
        thread.submit(asyncio.run, ask()).result()
    assert [message["type"] for message in said] == ["websocket.close"]


def test_cookies_of_others_neither_let_in_nor_keep_out() -> None:
    reader = client(token="secret")
    cookie = reader.get("/?token=secret").headers["set-cookie"].partition(";")[0]
    for others in (
        "a[b]=1",
        "x=y; Expires=never",
        '"',
        "=",
        "convscope=secret",
        "convscope-0123456789ab=secret",
        "é=1",
    ):
        for header in (f"{others}; {cookie}", f"{cookie}; {others}", f"{others};{cookie};{others}"):
            fresh = client(token="secret")
            assert fresh.get("/", headers={"cookie": header.encode()}).status_code == 200, header  # type: ignore[arg-type]
        assert client(token="secret").get("/", headers={"cookie": others.encode()}).status_code == 403  # type: ignore[arg-type]


def test_apps_on_one_host_have_cookies_of_their_own() -> None:
    """Cookies know no ports: a second app must not overwrite the first one's."""
    browser: dict[str, str] = {}
    for token in ("first", "second"):
        name, _, value = (
            client(token=token).get(f"/?token={token}").headers["set-cookie"].partition(";")[0].partition("=")
        )
        browser[name] = value
    header = "; ".join(f"{name}={value}" for name, value in browser.items())
    for token in ("first", "second"):
        assert client(token=token).get("/", headers={"cookie": header}).status_code == 200
        assert token not in "".join(browser)


def page(status: int, line: str) -> Response:
    return HTMLResponse(f"<p>{line}</p>", status)


@pytest.mark.usefixtures("small")
def test_what_is_too_large_is_a_page_once_it_has_been_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser shows no answer while it is still sending."""
    for headers in ([(b"content-length", b"5000")], []):
        waiting = [{"type": "http.request", "body": bytes(500), "more_body": k < 9} for k in range(10)]
        sent: list[Any] = []

        async def receive(waiting: list[Any] = waiting) -> Any:
            return waiting.pop(0)

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
        inner = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])
        asked = Guard(inner, page=page)(scope | {"headers": [(b"host", b"localhost"), *headers]}, receive, send)
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, asked).result()
        assert not waiting
        assert sent[0]["status"] == 413
        assert sent[1]["body"] == b"<p>too large: at most 0 MiB at once</p>"


def test_a_failure_nobody_foresaw_is_a_page_with_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Request) -> Response:
        return PlainTextResponse(str(1 // 0))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer = TestClient(Guard(Starlette(routes=[Route("/", fail)]), page=page), base_url=HOME).get("/")
    assert answer.status_code == 500
    [report] = tmp_path.glob("convscope-report-*.txt")
    assert f"the traceback is in {report}" in answer.text
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
