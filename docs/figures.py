"""The figures of the experiments' pages, drawn anew: python docs/figures.py, or make figures. It takes a while.

The screenshots are taken of demo/, where `make demo` has made it and there is a chromium.
"""

import shutil
import subprocess
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL.Image import Image

import convscope
from convscope import Network
from convscope.data.drawn.canvas import SIDE
from convscope.data.drawn.scenes import draw
from convscope.demo import FEW, FIVE, SEEN, SMALLER
from convscope.figures.grid import canvas, fitted, mosaic, place
from convscope.probe.trace.record import run

DOCS = Path(__file__).parent
PAGE = DOCS.parent / "demo/report/layers/relu5/19.html"  # strokes low in the picture: legs and handles
ATLAS, LOOK = DOCS.parent / "demo/atlas", "150?top=42&left=72&side=29"  # a turtle, a part of it hidden

INVERTED = ["relu1", "relu2", "pool2", "relu4", "pool5", "relu7"]
OPTIMA = ["relu1:0", "relu2:23", "relu2:33", "relu3:7", "relu5:42", "relu5:80", "stop_sign", "sunflower", "Leopards"]
BENT = ["relu1:0", "relu2:23", "relu3:7", "stop_sign"]


def figure(name: str, *given: Any, **settings: Any) -> Figure:
    """The figure of an experiment on what is given to its function."""
    found = getattr(convscope, name)(*given, **settings)
    network = given[0] if isinstance(given[0], Network) else found.network
    figures = import_module(f"convscope.figures.{name}")
    return getattr(figures, name)(network, found)  # type: ignore[no-any-return]


def unpoolings(net: Network, picture: Image) -> Figure:
    """The map of relu5 that is strongest for a picture, under V2's four unpoolings."""
    maps = run(net.working("cpu"), net.inputs(picture), ["relu5"])["relu5"]
    unit = f"relu5:{int(maps[0].amax((1, 2)).argmax())}"
    return figure("project", net, picture, unit, unpool=("switch", "nearest", "nails", "overwrite"))


def formed() -> Figure:
    """Six maps of both layers of a convnet for digits, over its training."""
    with tempfile.TemporaryDirectory() as run:
        convscope.train("digits", run, architecture="m5", per_class=140, epochs=40, accelerator="cpu", quiet=True)
        return figure("evolution", run, "digits", available=True)


def smaller() -> Figure:
    """The convnet for digits, and what is left of it without a block of its two, or with a narrow classifier."""
    with tempfile.TemporaryDirectory() as cache:
        return figure("ablate", "digits", variants=SMALLER, per_class=100, epochs=8, cache=cache, device="cpu")


def drawings() -> Figure:
    """Some of the drawn pictures, and what is marked in one of them, a colour a concept."""
    tiles = [draw(number).pixels for number in range(16)]
    one, shades = draw(2), np.random.default_rng(3).integers(60, 256, (64, 3)).astype(np.uint8)
    shades[0] = 36
    figure = canvas(24 + 8 * 132 + 20, 540)
    place(figure, mosaic(tiles, 8, side=SIDE * 4 // 5, gap=4), 24, 20)
    named = {"the picture": one.pixels, **{kind: shades[labels] for kind, labels in one.maps.items()}}
    for column, (name, pixels) in enumerate(named.items()):
        place(figure, fitted(pixels, 200), 24 + column * 212, 320, title=name)
    return figure


def screenshot(address: str, file: Path, height: int = 860) -> None:
    """A page as a picture."""
    window = [f"--window-size=1280,{height}", "--hide-scrollbars", "--virtual-time-budget=3000"]
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", *window, f"--screenshot={file}"]
    subprocess.run([*command, address], check=True, capture_output=True)


def app_screenshot(file: Path, atlas: Path = ATLAS) -> None:
    """A picture of the gallery under the lens of the app."""
    command = ["convscope", "view", str(atlas), "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        home = server.stdout.readline().split()[0]
        screenshot(f"{home}picture/{LOOK}", file, 900)
        server.terminate()


def pictures(net: Network) -> dict[str, Figure]:
    """The figures of the docs by the names of their files."""
    gallery = convscope.images("gallery")
    sign = gallery.picture(next(i for i, path in enumerate(gallery.paths) if path.startswith("stop_sign/")))
    faces = ["gallery/Faces_easy/image_0040.jpg", "gallery/stop_sign/image_0009.jpg"]
    ways = {"preset": "normalised", "start": ["noise", "class-mean"]}
    return {
        "activations": figure("activations", net, sign, layers=["relu1", "relu2"]),
        "diagnose": figure("diagnose", net, gallery),
        "redundancy": figure("redundancy", net, gallery),
        "correspondence": figure("correspondence", net, "gallery", "faces", count=5),
        "invariance": figure("invariance", net, FIVE),
        "linear-probe": figure("linear_probe", net, gallery, exclude=FEW, train=2, folds=3),
        "ablate": smaller(),
        "transfer": figure("transfer", net, gallery, exclude=FEW, train=[1, 2], folds=3),
        "occlude": figure("occlude", net, SEEN, gallery=gallery),
        "evolution": formed(),
        "invert": figure("invert", net, faces, layers=INVERTED),
        "invert-hog": figure("invert", net, faces, layers=[], descriptors=["uoctti", "hog"]),
        "maximize": figure("maximize", net, OPTIMA),
        "class-means": figure("maximize", net, OPTIMA[-3:], images=gallery, **ways),
        "curvature": figure("curvature", net, BENT),
        "dissect": figure("dissect", net, "drawn", rotations=3),
        "dissect-photographs": figure("dissect", net, "gallery", rotations=3),
        "net2vec": figure("net2vec", net, "drawn"),
        "drawn": drawings(),
        "unpoolings": unpoolings(net, sign),
    }


def main() -> None:
    """Write all of it."""
    for name, drawn in pictures(convscope.load("zfnet128")).items():
        drawn.savefig(DOCS / f"images/{name}.png", format="png")
    if PAGE.exists() and shutil.which("chromium"):
        screenshot(PAGE.resolve().as_uri(), DOCS / "images/report.png")
        app_screenshot(DOCS / "images/view.png")


if __name__ == "__main__":
    main()
