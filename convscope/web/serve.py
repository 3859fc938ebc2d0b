"""`view`: the web app on an address of this machine, until it is interrupted.

Knows sockets and the command's mistakes; what is served is `app.py`'s.
"""

import errno
import logging
import secrets
import socket
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import uvicorn

from convscope.atlases.build import transform_sum
from convscope.atlases.store import Atlas, Info, open_atlas
from convscope.errors import ArgumentError, ConvscopeError
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.web.app import app
from convscope.web.security import LOOPBACK

PORT = 8128
LOCAL = {"0.0.0.0": LOOPBACK[0], "::": LOOPBACK[2]}  # what can be opened where all addresses are listened on
GRACE = 2  # seconds that open connections get at the end
REFUSED = {
    errno.EADDRINUSE: "in use; give another with --port, or 0 for any that is free",
    errno.EACCES: "reserved for the system; give one above 1023 with --port",
}


def view(
    atlas: str | Path,
    network: str | None = None,
    *,
    host: str = LOOPBACK[0],
    port: int = PORT,
    browser: bool = False,
    offers: Sequence[str] = (),
    announce: Callable[[str], None] = lambda line: None,
) -> None:
    """Serve the atlas on `host` and `port` (0: any that is free) until interrupted; `announce` is told the address.

    The network is the one that the atlas names, or `network`, as `load` spells it. Where there is none the app only
    shows the atlas, and says why. Beyond this machine, on a `host` of another kind than 127.0.0.1, readers need the
    token in the address that is announced; `browser` opens it. Forms of experiments may choose among `offers`: folders
    of pictures, of concepts or of a training, and data sets as `images` spells them.

    Raises AtlasError for a folder that is no atlas, ArgumentError for an address that cannot be had, for a `network`
    that is not the atlas' and for offers that are not there, and what `load` raises for a network that was named.
    """
    opened = open_atlas(atlas)
    with _listening(host, port) as listener:
        found, reason = live(opened, network)
        token = None if _private(host) else secrets.token_urlsafe(24)
        made = app(opened, found, reason=reason, hosts=_names(host), token=token, offers=offers)
        if found is None:
            announce(reason)
        port = listener.getsockname()[1]
        address = _address(LOCAL.get(host.strip("[]"), host), port, token)
        others = f"{_address(reachable_address(), port, token)} from other machines; " if _names(host) is None else ""
        announce(f"{address}  ({others}Ctrl-C ends it)")
        if browser:
            webbrowser.open(address)  # its request waits in the socket until the server takes it
        config = uvicorn.Config(
            made, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=GRACE
        )
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every broken form
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
        announce("ended")


def live(atlas: Atlas, named: str | None = None) -> tuple[Network | None, str]:
    """The network to look through, or None and why there is none.

    One that is not the atlas' counts as none, and one whose spelling in the atlas would run code (`py:`): atlases come
    from other people. Where the user `named` it, the first is an ArgumentError and the second is what was asked for.
    """
    spec, show = named or atlas.info.spec, "pictures cannot be put under the lens"
    if spec is None:
        return None, f"{atlas.info.network} only lived in memory: {show} unless --network names it"
    if named is None and spec.startswith("py:"):
        return None, f"the network is code of yours: {show} unless you say --network {spec}"
    try:
        network = load(spec)
    except (ConvscopeError, OSError) as error:
        if named:
            raise
        return None, f"the network cannot be opened, {show}: {error}"
    if differs := _difference(network, atlas.info):
        if named:
            raise ArgumentError("network", named, f"not the network of the atlas: {differs}")
        return None, f"{spec} is no longer the network of the atlas, {show}: {differs}"
    return network, ""


def _difference(network: Network, info: Info) -> str:
    """What makes it another network than the atlas'; nothing where it is the same."""
    if network.input_size != info.input_size or transform_sum(network) != info.transform:
        return "another input transform"
    return "other weights" if network.fingerprint() != info.weights else ""


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises ArgumentError when it cannot be had."""
    bare = host.strip("[]")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise ArgumentError("host", host, "no address of this machine") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno in REFUSED:
            raise ArgumentError("port", port, REFUSED[error.errno]) from error
        raise ArgumentError("host", host, f"cannot be listened on: {error.strerror or error}") from error
    return listener


def _private(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _names(host: str) -> set[str] | None:
    """What readers may call the server; any name where it listens on all addresses: there the token protects."""
    bare = host.strip("[]").lower()
    return None if bare in LOCAL else {*LOOPBACK, bare}


def reachable_address() -> str:
    """Return the address by which other machines most likely know this one. Nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # kept for documentation (RFC 5737): it chooses the way, and goes nowhere
        return str(probe.getsockname()[0])
    return socket.gethostname()


def _address(host: str, port: int, token: str | None) -> str:
    bare = host.strip("[]")
    shown = f"[{bare}]" if ":" in bare else bare
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
