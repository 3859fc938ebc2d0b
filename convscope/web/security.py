"""Who may ask the server what: it serves the owner of this machine, and pages that it made itself.

    Guard(app, hosts={"127.0.0.1", "localhost"}, token=None)

A page of another site that makes a browser send requests here (DNS rebinding, cross-site posts) is refused, a body
larger than `LIMIT` is not read, and every answer forbids what our own pages do not need. An ASGI middleware.
"""

from collections.abc import Collection
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LIMIT = 32 * 2**20  # bytes of a request's body: a large photograph
TOO_LARGE = f"too large: at most {LIMIT >> 20} MiB"
COOKIE = "convscope"  # holds the token

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


class Guard:
    """Lets through what names one of `hosts` (None: any), comes from no other site, and carries the `token` if there is
    one. The token comes as `?token=...` once, and then in a cookie.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None = LOOPBACK, token: str | None = None) -> None:
        self.app, self.token = app, token
        self.hosts = None if hosts is None else frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # nothing here speaks over web sockets
            return await send({"type": "websocket.close", "code": 1008})
        refused = self._refusal(scope)
        if refused is not None:
            return await refused(scope, receive, _hardened(send))
        body = _Body(receive, _hardened(send))
        try:
            await self.app(scope, body.receive, body.send)
        except ClientDisconnect:
            if not body.over:
                raise
        if body.over:
            await _plain(413, TOO_LARGE)(scope, receive, _hardened(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts is not None and _hostname(host) not in self.hosts:
            return _plain(421, "this server does not answer to that name")
        if self.token is not None and not _same(_cookie(headers), self.token):
            return self._admission(scope)
        if scope["method"] not in ("GET", "HEAD") and not _own(headers, host):
            return _plain(403, "sent by a page of another site")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > LIMIT:
            return _plain(413, TOO_LARGE)
        return None

    def _admission(self, scope: Scope) -> Response:
        """The token becomes a cookie and leaves the address; without it there is nothing to see."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(query).get("token", "")
        if not _same(given, str(self.token)):
            return _plain(403, "the address needs the token that convscope view printed")
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        path = "/" + quote(scope["path"].lstrip("/"))  # never //elsewhere
        back = RedirectResponse(path + ("?" + rest if rest else ""), 303)
        back.set_cookie(COOKIE, str(self.token), httponly=True, samesite="strict")
        return back


def _plain(status: int, line: str) -> Response:
    return PlainTextResponse(line + "\n", status)


def _same(given: str, token: str) -> bool:
    return compare_digest(given.encode(), token.encode())


def _hostname(host: str) -> str:
    """Without the port; empty for what is no host."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _own(headers: Headers, host: str) -> bool:
    """Whether a request that may change something comes from our pages, or from no browser at all."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


class _Body:
    """Ends a body that goes on beyond the limit, whatever its header said; what the app says to that is not sent."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send, self._read = receive, send, 0

    @property
    def over(self) -> bool:
        return self._read > LIMIT

    async def receive(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.over else message

    async def send(self, message: Message) -> None:
        if not self.over:
            await self._send(message)


def _hardened(send: Send) -> Send:
    async def hardened(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return hardened
