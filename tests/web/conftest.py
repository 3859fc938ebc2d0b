"""A small atlas with everything that can go wrong in it, its report, and a browser to look at it."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image
from torch import nn

from convscope.atlases.build import atlas as build
from convscope.atlases.store import Atlas, open_atlas
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.web.app import app
from convscope.web.site import report

ODD = "<script>alert(1)<script> 100% #7 ?ü.png"  # a name that a file can have
DEAD, RARE = 3, 5
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


class Tiny(nn.Module):
    """Two layers, one with 72 maps (two sheets), of which one is dead and one fires for one picture only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 72, 3)
        self.relu2 = nn.ReLU()
        self.fc = nn.Linear(72, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu2(self.conv2(self.pool1(self.relu1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


def network() -> Network:
    torch.manual_seed(0)
    module = Tiny()
    with torch.no_grad():
        bias = module.get_parameter("conv2.bias")
        bias[DEAD] = -1000
        module.conv1.weight[0] = 1.0  # brightness
        module.conv2.weight[RARE] = 0
        module.conv2.weight[RARE, 0] = 1.0
        bias[RARE] = -100  # only the white picture is that bright
    return Network(module, (3, 24, 24), (0.4, 0.4, 0.4), (1.0, 1.0, 1.0), classes=["a & b", "c"], name="tiny<&>")


def paint(folder: Path) -> None:
    """Fifteen pictures of two classes, one of them white, one with an odd name, and a file that is none."""
    random = np.random.default_rng(0)
    for number in range(14):
        path = folder / ("cats" if number % 2 else "dogs & <b>") / (ODD if number == 3 else f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 200, (24, 24, 3), np.uint8)).save(path)
    Image.new("RGB", (24, 24), "white").save(folder / "cats" / "white.png")
    (folder / "cats" / "broken.png").write_bytes(b"no picture")


@pytest.fixture(scope="session")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("web")
    paint(folder / "pictures")
    found = build(network(), folder / "pictures", folder / "atlas")
    assert isinstance(found, Atlas)
    return found


@pytest.fixture(scope="session")
def site(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the atlas' report."""
    return report(atlas, tmp_path_factory.mktemp("web") / "a report").parent


SPEC = "py:tests.web.conftest:network"  # how another process finds it


@pytest.fixture(scope="session")
def served(atlas: Atlas) -> Iterator[str]:
    """The address of the web app over the atlas, its network under the lens."""
    with serving(atlas, network()) as address:
        yield address


@pytest.fixture(scope="session")
def laboratory(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the web app over an atlas of its own, whose network a process beside the server can open."""
    copy = shutil.copytree(atlas.path, tmp_path_factory.mktemp("laboratory") / "atlas")
    with serving(open_atlas(copy), load(SPEC)) as address:
        yield address


@contextmanager
def serving(atlas: Atlas, under: Network) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = app(atlas, under)
        server = uvicorn.Server(uvicorn.Config(made, log_level="error", timeout_graceful_shutdown=1))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, else Playwright's own; without either the tests skip, and say so."""
    playwright = pytest.importorskip("playwright.sync_api", reason="NO BROWSER TESTS: playwright is not installed")
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=found, args=quiet)
        except playwright.Error as error:
            pytest.skip(f"NO BROWSER TESTS: no Chromium to be started ({str(error).splitlines()[0]})")
        yield browser
        browser.close()
