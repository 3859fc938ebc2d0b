"""Whom the server answers: names, origins, the token, sizes, and what every answer forbids."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
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
