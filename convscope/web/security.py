"""Who may ask the server what: it serves the owner of this machine, and pages that it made itself.

    Guard(app, hosts={"127.0.0.1", "localhost"}, token=None)

A page of another site that makes a browser send requests here (DNS rebinding, cross-site posts) is refused, a body
larger than `LIMIT` is not kept, and every answer forbids what our own pages do not need. An ASGI middleware.
"""

import logging
from collections.abc import Callable, Collection
from hashlib import sha256
from hmac import compare_digest
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from anyio import move_on_after
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscope.failures import bug_line, shortage
from convscope.printable import printable

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LIMIT = 32 * 2**20  # bytes of a request's body: a large photograph
TOO_LARGE = f"too large: at most {LIMIT >> 20} MiB at once"
OVERFLOW = 16 * LIMIT  # bytes that are still read, and dropped: a browser shows no answer before it has sent all
PATIENCE = 20  # seconds for these

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # not "no-referrer", under which our own forms would have no origin
}


def _plain(status: int, line: str) -> Response:
    return PlainTextResponse(line + "\n", status)


class Guard:
    """Let through what names one of `hosts` (None: any), comes from no other site, and carries the `token` if there is
    one. The token comes as `?token=...` once, and then in a cookie.

    `page` makes the answer that says, to a reader who was let in, that something is too large or went wrong.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str] | None = LOOPBACK,
        token: str | None = None,
        page: Callable[[int, str], Response] = _plain,
    ) -> None:
        self.app, self.token, self.page = app, token, page
        self.hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        # Cookies know no ports: the name is the app's own, so that apps on one host do not overwrite one another's.
        self.cookie = f"convscope-{sha256(str(token).encode()).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # nothing here speaks over web sockets
            return await send({"type": "websocket.close", "code": 1008})
        answer = self._refusal(scope)
        body = _Body(receive, _hardened(send))
        if answer is None:
            answer = await self._answered(scope, body)
        if answer is not None:
            if answer.status_code == 413:
                await body.drain()
            await answer(scope, receive, _hardened(send))

    async def _answered(self, scope: Scope, body: "_Body") -> Response | None:
        """Have the app answer; return what is to be sent instead, if anything."""
        try:
            await self.app(scope, body.receive, body.send)
        except ClientDisconnect:
            if not body.over:
                raise
        except Exception as error:
            if not body.over:
                line = shortage(error) or bug_line(error)
                logging.getLogger("uvicorn.error").error(printable(line))
                return None if body.begun else self.page(500, line)
        return self.page(413, TOO_LARGE) if body.over else None

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts is not None and _hostname(host) not in self.hosts:
            return _plain(421, "this server does not answer to that name")
        if self.token is not None and not any(_same(given, self.token) for given in self._cookies(headers)):
            return self._admission(scope)
        if scope["method"] not in ("GET", "HEAD") and not _own(headers, host):
            return _plain(403, "sent by a page of another site")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > LIMIT:
            return self.page(413, TOO_LARGE)
        return None

    def _cookies(self, headers: Headers) -> list[str]:
        """Return the values of our cookie; what else stands in the header, and how, does not matter."""
        pairs = [pair.strip().partition("=") for line in headers.getlist("cookie") for pair in line.split(";")]
        return [value.strip('" ') for name, _, value in pairs if name.strip() == self.cookie]

    def _admission(self, scope: Scope) -> Response:
        """The token becomes a cookie and leaves the address; without it there is nothing to see."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(query).get("token", "")
        if not _same(given, str(self.token)):
            return _plain(403, "the address needs the token that convscope view printed")
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        path = "/" + quote(scope["path"].lstrip("/"))  # never //elsewhere
        back = RedirectResponse(path + ("?" + rest if rest else ""), 303)
        back.set_cookie(self.cookie, str(self.token), httponly=True, samesite="strict")
        return back


def _same(given: str, token: str) -> bool:
    return compare_digest(given.encode(), token.encode())


def _hostname(host: str) -> str:
    """Without the port; empty for what is no host."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _own(headers: Headers, host: str) -> bool:
    """Whether a request that may change something comes from our pages, or from no browser at all."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


class _Body:
    """End a body that goes on beyond the limit, whatever its header said; what the app says to that is not sent.

    `begun`: the app's answer is on its way.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send, self._read, self._ended, self.begun = receive, send, 0, False, False

    @property
    def over(self) -> bool:
        return self._read > LIMIT

    async def receive(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return {"type": "http.disconnect"} if self.over else message

    async def send(self, message: Message) -> None:
        if not self.over:
            self.begun = True
            await self._send(message)

    async def drain(self) -> None:
        """Read what is still to come, within reason."""
        with move_on_after(PATIENCE):
            while not self._ended and self._read < OVERFLOW:
                await self.receive()


def _hardened(send: Send) -> Send:
    async def hardened(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return hardened
