"""What readers bring: too many files, too many pixels, no room for them, and many large ones at once."""

import errno
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from convscope.atlases.store import Atlas
from convscope.models.catalog import load
from convscope.web import viewed_pictures
from convscope.web.app import app
from convscope.web.forms import UPLOADS
from convscope.web.jobs import Jobs
from tests.web.conftest import SPEC
from tests.web.reading import Reader, assert_sound
from tests.web.test_app import HOME, picture


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def client(atlas: Atlas, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The app; its jobs wait for ever."""
    monkeypatch.setattr(Jobs, "_attend", lambda self: None)
    with TestClient(app(atlas, load(SPEC)), base_url=HOME) as client:
        yield client


def many(count: int) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("picture:pictures", (f"{number}.png", picture()["picture"][1], "image/png")) for number in range(count)]


def typed(page: Reader, name: str) -> str:
    return next(field["value"] for field in page.all("input") if field.get("name") == name and "value" in field)


def test_too_many_files_keep_the_form_and_say_the_limit(client: TestClient, folder: Path) -> None:
    asked = {"units": "relu2:7", "seed": "12", "pictures": "0"}
    answer = client.post("/experiments/project", data=asked, files=many(UPLOADS + 1))
    assert answer.status_code == 422
    page = assert_sound(answer.text)
    assert "33 files came with the form: at most 32 at once" in page.text
    assert typed(page, "seed") == "12"
    assert "relu2:7" in page.text
    assert not list(folder.rglob("*.png"))
    answer = client.post("/experiments/project", data=asked, files=many(UPLOADS))
    assert "at most 32" not in answer.text
    assert len(list(folder.rglob("*.png"))) == UPLOADS


def test_more_than_anybody_means_is_a_page_too(client: TestClient) -> None:
    answer = client.post("/experiments/project", files=many(2001))
    assert answer.status_code == 400
    assert "Too many files" in assert_sound(answer.text).text


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more room on the disk."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("convscope.disk.atomic.os.fsync", fail)


@pytest.mark.usefixtures("full")
def test_a_full_temporary_folder_is_a_page_and_nothing_is_left(client: TestClient, folder: Path) -> None:
    answer = client.post("/pictures/", files=picture())
    assert answer.status_code == 507
    assert "no space left on the disk; free some and try again" in assert_sound(answer.text).text
    answer = client.post("/experiments/project", data={"seed": "12"}, files=many(2))
    assert answer.status_code == 422
    page = assert_sound(answer.text)
    assert "no space left on the disk" in page.text
    assert typed(page, "seed") == "12"
    assert not [file for file in folder.rglob("*") if file.suffix in (".png", ".part")]
    assert client.get("/pictures/").status_code == 200


def test_a_full_folder_while_an_upload_arrives_is_a_page(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starlette moves what is larger than a megabyte to the disk."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", fail)
    for address, name in (("/pictures/", "picture"), ("/experiments/project", "picture:pictures")):
        answer = client.post(address, files={name: ("a.png", bytes(2**21), "image/png")})
        assert answer.status_code == 507
        assert "no space left on the disk" in assert_sound(answer.text).text


def test_too_many_pixels_are_called_so(client: TestClient) -> None:
    """By us, and where Pillow refuses even to open them."""
    for side in (8000, 20_000):
        header = struct.pack(">II5B", side, side, 8, 2, 0, 0, 0)
        chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
        answer = client.post("/pictures/", files={"picture": ("a.png", b"\x89PNG\r\n\x1a\n" + chunk, "image/png")})
        assert answer.status_code == 422
        assert "too many pixels" in assert_sound(answer.text).text
        assert "50,000,000" in answer.text


def test_large_pictures_are_decoded_one_at_a_time(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bringing as in looking; how much memory eight of 49 megapixels take says benchmarks/uploads.py."""
    under_way, most, real = 0, 0, viewed_pictures.load_picture  # type: ignore[attr-defined]

    def slow(*given: object, **named: object) -> Image.Image:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        time.sleep(0.02)
        under_way -= 1
        return real(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(viewed_pictures, "load_picture", slow)
    monkeypatch.setattr("convscope.data.preprocess.load_picture", slow)
    with ThreadPoolExecutor(8) as readers:
        answers = list(readers.map(lambda _: client.post("/pictures/", files=picture()), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert most == 1
