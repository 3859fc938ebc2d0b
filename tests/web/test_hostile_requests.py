"""Ten thousand requests that no page of ours would send, straight to the app: none fails, none gets in."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes, unquote

import pytest

from convscope.atlases.store import Atlas, open_atlas
from convscope.models.catalog import load
from convscope.web import security
from convscope.web.app import app
from convscope.web.jobs import Jobs
from convscope.web.security import HEADERS
from tests.web.conftest import SPEC

COUNT = 10_000
SECRET = "kept-from-everybody"
MARKUP = "<img src=x onerror=probe()>"
OUR_HOST, OTHER_HOSTS = (
    b"127.0.0.1:8128",
    [b"evil.example", b"127.0.0.1.evil.example", b"0.0.0.0", b"", b"[", b"\xff:1"],
)
ESCAPES = ["..", "%2e%2e", "..%2f..%2f", "%2e%2e%5c", "....//", "%00", "%c0%ae%c0%ae", "%ff%fe", "secret.txt", "~", "*"]
NUMBERS = ["0", "7", "71", "72", "-1", "1e9", "NaN", "9" * 400, "0x10", "٣", "1;2", " 1", ""]
WORDS = [
    "relu2",
    "relu2:7",
    "relu1:0@1,1",
    "py:os:system",
    "/etc/passwd",
    "u" + "0" * 16,
    MARKUP,
    "{{ 7*7 }}",
    "\x1b[31m",
    "a\r\nSet-Cookie: x=1",
]
PARTS = """
    layers relu1 relu2 pictures picture static experiments project maximize command jobs 1 events cancel results chart
    rows.json array.json result.json plotly.js convscope.css glossary map.png seen.png 7.png sheet-0.png strongest.png
    0.jpg deconvnet.png
""".split()
NAMES = [
    "layer",
    "channel",
    "row",
    "column",
    "top",
    "left",
    "side",
    "part",
    "label",
    "page",
    "token",
    "units",
    "pictures",
    "size",
    "name",
    "at",
]
METHODS = ["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "get", "BREW", "\x00"]


@dataclass
class Hostile:
    """A request as bytes, and whether it comes from a page or to a name that is not ours."""

    method: str
    path: str
    query: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=lambda: [(b"host", OUR_HOST)])
    chunks: list[bytes] = field(default_factory=list)
    foreign: bool = False
    broken_off: bool = False


def draw(any_of: random.Random) -> Hostile:
    """One of the kinds below."""
    return any_of.choices([address, stranger, body, form], [8, 8, 6, 1])[0](any_of)


def path(any_of: random.Random) -> str:
    pools = [PARTS, PARTS, ESCAPES, NUMBERS, [quote(word, safe="") for word in WORDS]]
    parts = [any_of.choice(any_of.choice(pools)) for _ in range(any_of.randrange(5))]
    if any_of.random() < 0.1:
        parts.append(quote_from_bytes(any_of.randbytes(9)))
    return "/" * any_of.choice([1, 1, 1, 2]) + "/".join(parts)


def query(any_of: random.Random) -> str:
    pairs = [(any_of.choice(NAMES), any_of.choice(NUMBERS + WORDS)) for _ in range(any_of.randrange(5))]
    return "&".join(f"{name}={quote(value)}" for name, value in pairs)


def address(any_of: random.Random) -> Hostile:
    return Hostile(any_of.choice(METHODS), path(any_of), query(any_of))


def stranger(any_of: random.Random) -> Hostile:
    """From another site's page, or to another name."""
    found = Hostile(any_of.choice(["POST", "PUT", "DELETE"]), path(any_of), query(any_of), foreign=True)
    sign = any_of.choice([b"host", b"origin", b"sec-fetch-site"])
    if sign == b"host":
        found.headers = [(b"host", any_of.choice(OTHER_HOSTS))]
    elif sign == b"origin":
        found.headers.append((sign, any_of.choice([b"http://evil.example", b"null", b"http://127.0.0.1:1", b"\xff"])))
    else:
        found.headers.append((sign, any_of.choice([b"cross-site", b"same-site", b"?"])))
    return found


def multipart(any_of: random.Random) -> bytes:
    name = any_of.choice(["picture", "file:boxes", "picture:pictures", "pictures", ":", MARKUP.replace(" ", "")])
    names = [f'name="{name}"', f'name="{name}"; filename="{any_of.choice(WORDS)}"', "filename=x", 'name="a"; name="b"']
    head = f"Content-Disposition: form-data; {any_of.choice(names)}"
    return b"--x\r\n" + head.encode() + b"\r\n\r\n" + any_of.randbytes(any_of.randrange(60)) + b"\r\n"


def form(any_of: random.Random) -> Hostile:
    """To a form, with as many parts as there may come."""
    found = Hostile(
        "POST", any_of.choice(["/pictures/", "/experiments/project", "/experiments/maximize", "/jobs/1/cancel"])
    )
    kinds = [
        b"multipart/form-data; boundary=x",
        b"multipart/form-data",
        b"application/x-www-form-urlencoded",
        b"text/\xff",
    ]
    found.headers.append((b"content-type", any_of.choice(kinds)))
    found.chunks = [multipart(any_of) for _ in range(any_of.choice([0, 1, 2, 40]))]
    found.chunks += any_of.choice([[b"--x--\r\n"], [b"--x"], [], [query(any_of).encode()]])
    return found


def body(any_of: random.Random) -> Hostile:
    """With headers that lie about the body, or a body that does not end."""
    found = Hostile("POST", any_of.choice(["/pictures/", "/pictures/", path(any_of)]))
    found.headers.append((b"content-length", any_of.choice([b"-1", b"x", b"9" * 30, b"5", b"100000", b"\xb2"])))
    found.headers.append((b"cookie", any_of.choice([b"a[b]=1; x", b"=;=;", b"\xff", b"convscope=" + b"a" * 9000])))
    found.chunks = [any_of.randbytes(800) for _ in range(any_of.choice([0, 1, 30]))]
    found.broken_off = any_of.random() < 0.3
    return found


async def ask(asked: Any, hostile: Hostile) -> tuple[int, dict[str, str], bytes]:
    """What the app answers: status, headers, body; status 0 where it answers nothing."""
    waiting: list[dict[str, Any]] = [{"type": "http.request", "body": c, "more_body": True} for c in hostile.chunks]
    end = (
        {"type": "http.disconnect"} if hostile.broken_off else {"type": "http.request", "body": b"", "more_body": False}
    )
    waiting += [end, {"type": "http.disconnect"}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": hostile.method, "scheme": "http",
        "path": unquote(hostile.path), "raw_path": hostile.path.encode(), "root_path": "",
        "query_string": hostile.query.encode(), "headers": hostile.headers,
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8128),
    }  # fmt: skip
    await asked(scope, receive, send)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) <= 1
    if not starts:
        return 0, {}, b""
    headers = {name.decode("latin-1").title(): value.decode("latin-1") for name, value in starts[0]["headers"]}
    return starts[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def folder(atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An atlas of its own with a secret beside it; no experiment that the app takes is ever begun."""
    shutil.copytree(atlas.path, tmp_path / "atlas")
    (tmp_path / "secret.txt").write_text(SECRET)
    monkeypatch.setattr(Jobs, "_attend", lambda self: None)
    monkeypatch.setattr(security, "LIMIT", 20_000)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "atlas"
    assert (tmp_path / "secret.txt").read_text() == SECRET
    assert {file.name for file in tmp_path.iterdir()} == {"atlas", "secret.txt"}


def check(hostile: Hostile, status: int, headers: dict[str, str], answer: bytes) -> None:
    """What holds of every answer."""
    assert status < 500, (hostile, answer)
    if not status:
        assert hostile.broken_off
        return
    assert HEADERS.items() <= headers.items(), hostile
    assert SECRET.encode() not in answer, hostile
    assert b"root:x:" not in answer, hostile
    assert "Set-Cookie" not in headers, hostile
    if headers.get("Content-Type", "").startswith("text/html"):
        assert MARKUP.encode() not in answer, hostile
        assert b"\x1b" not in answer, hostile
    if hostile.foreign:
        assert status in (403, 421), hostile


async def besiege(asked: Any, count: int, seed: int) -> Counter[int]:
    any_of, statuses = random.Random(seed), Counter[int]()
    for _ in range(count):
        hostile = draw(any_of)
        status, headers, answer = await ask(asked, hostile)
        check(hostile, status, headers, answer)
        statuses[status] += 1
    return statuses


def apart(coroutine: Any) -> Any:
    """The result, from a thread of its own: a browser test may have left a running loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@pytest.mark.filterwarnings("ignore:Unclosed file")  # Starlette leaves the file of a part without an end to Python
def test_ten_thousand_hostile_requests(folder: Path) -> None:
    asked = app(open_atlas(folder), load(SPEC))
    statuses = apart(besiege(asked, COUNT, 0))
    assert {200, 400, 403, 404, 405, 413, 421, 422} <= {*statuses}  # every way to be refused was tried


def test_without_the_token_everything_is_refused(folder: Path) -> None:
    asked = app(open_atlas(folder), load(SPEC), token="the-token", hosts=None)

    async def knock() -> None:
        any_of = random.Random(1)
        for _ in range(500):
            hostile = draw(any_of)
            hostile.headers.append(
                (b"cookie", any_of.choice([b"convscope=the-token", b"x=the-token", b"convscope-1=a"]))
            )
            status, _, answer = await ask(asked, hostile)
            assert status == 403, hostile
            assert b"tiny" not in answer

    apart(knock())
