"""`view` as a command: what it finds, what it refuses in one line, what it leaves behind."""

import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from convscope.atlases.build import atlas as build
from convscope.atlases.store import MANIFEST, PLAN, Atlas, open_atlas
from convscope.cli import main
from convscope.disk.atomic import put
from convscope.errors import ArgumentError
from convscope.web.serve import _names, _private, live
from tests.web.conftest import network, paint


def described(atlas: Atlas, folder: Path, **changes: object) -> Atlas:
    """The atlas with another description of itself."""
    for table in atlas.path.glob("*.parquet"):
        (folder / table.name).hardlink_to(table)
    put(folder / MANIFEST, replace(atlas.info, **changes).encoded())  # type: ignore[arg-type]
    return open_atlas(folder)


def test_a_network_of_memory_is_missed(atlas: Atlas) -> None:
    assert live(atlas) == (
        None,
        "tiny<&> only lived in memory: pictures cannot be put under the lens unless --network names it",
    )


def test_the_network_is_the_one_of_the_atlas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mine", sys.modules["tests.web.conftest"])
    paint(tmp_path / "pictures")
    built = build(network(), tmp_path / "pictures", tmp_path / "atlas", ["relu1"])
    found, reason = live(built, "py:mine:network")
    assert found is not None
    assert not reason
    with pytest.raises(ArgumentError, match=r"'zfnet128': not the network of the atlas: another input transform"):
        live(built, "zfnet128")


def test_code_that_an_atlas_names_is_not_run(atlas: Atlas, tmp_path: Path) -> None:
    found, reason = live(described(atlas, tmp_path, spec="py:nothing:function"))
    assert found is None
    assert reason.endswith("unless you say --network py:nothing:function")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("gone.safetensors", "there is no file 'gone.safetensors'"),
        ("zfnet128", "zfnet128 is no longer the network of the atlas.*another input transform"),
    ],
)
def test_a_network_that_is_gone_or_another_leaves_the_atlas_to_look_at(
    atlas: Atlas, tmp_path: Path, spec: str, why: str
) -> None:
    found, reason = live(described(atlas, tmp_path, spec=spec))
    assert found is None
    assert re.search(why, reason)
    assert "\n" not in reason


def test_other_weights_are_another_network(atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mine", sys.modules["tests.web.conftest"])
    other = described(atlas, tmp_path, weights="0" * 64)
    with pytest.raises(ArgumentError, match="other weights"):
        live(other, "py:mine:network")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["view", *arguments, "--no-browser"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    return err


def test_mistakes_are_one_line(atlas: Atlas, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no atlas.json in it" in said(capsys, str(tmp_path))
    (tmp_path / ".convscope" / "building").mkdir(parents=True)
    (tmp_path / ".convscope" / "building" / PLAN).write_text("{}")
    assert "its build is not finished" in said(capsys, str(tmp_path))
    (tmp_path / MANIFEST).write_text("{")
    assert "is no description of an atlas" in said(capsys, str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port is {port}: in use; give another with --port" in said(capsys, str(atlas.path), "--port", port)
    assert "host is '203.0.113.7'" in said(capsys, str(atlas.path), "--host", "203.0.113.7", "--port", "0")
    assert "host is 'no such host'" in said(capsys, str(atlas.path), "--host", "no such host")
    assert "offer is 'gone'" in said(capsys, str(atlas.path), "--offer", "gone", "--port", "0")
    assert "network is 'zfnet129'" in said(capsys, str(atlas.path), "--network", "zfnet129", "--port", "0")


@pytest.mark.parametrize(
    ("host", "private", "names"),
    [
        ("127.0.0.1", True, {"127.0.0.1", "localhost", "::1"}),
        ("[::1]", True, {"127.0.0.1", "localhost", "::1"}),
        ("192.0.2.1", False, {"127.0.0.1", "localhost", "::1", "192.0.2.1"}),
        ("0.0.0.0", False, None),
        ("::", False, None),
        ("example.org", False, {"127.0.0.1", "localhost", "::1", "example.org"}),
    ],
)
def test_only_this_machine_needs_no_token(host: str, private: bool, names: set[str] | None) -> None:
    assert _private(host) is private
    assert _names(host) == names


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_serves_until_it_is_interrupted(atlas: Atlas, host: str) -> None:
    before = {*Path(tempfile.gettempdir()).glob("convscope-app-*")}
    command = [sys.executable, "-m", "convscope.cli", "view", str(atlas.path), "--port", "0", "--no-browser"]
    with subprocess.Popen([*command, "--host", host], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert "only lived in memory" in run.stdout.readline()
        address = run.stdout.readline().split()[0]
        token = address.partition("?token=")[2]
        here = address.partition("?")[0].replace("0.0.0.0", "127.0.0.1")
        assert bool(token) is (host == "0.0.0.0")
        assert get(here + "glossary")[0] == (403 if token else 200)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=20)
    assert (run.returncode, err) == (0, "")
    assert out == "ended\n"
    assert {*Path(tempfile.gettempdir()).glob("convscope-app-*")} == before
