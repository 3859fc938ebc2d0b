"""What in docs/ is generated: the reference of the command line, and the schematics of the bundled network.

make docs
"""

import inspect
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import typer
from matplotlib.figure import Figure
from PIL.Image import Image

from convscope import (
    Network,
    ablate,
    activations,
    correspondence,
    curvature,
    diagnose,
    dissect,
    evolution,
    images,
    invariance,
    invert,
    linear_probe,
    load,
    maximize,
    net2vec,
    occlude,
    project,
    redundancy,
    train,
    transfer,
)
from convscope.cli import app
from convscope.commands.experiments import command as complete
from convscope.data.drawn.canvas import SIDE
from convscope.data.drawn.scenes import draw
from convscope.demo import FEW, FIVE, SEEN, SMALLER
from convscope.experiments import EXPERIMENTS
from convscope.figures.ablate import ablate as draw_ablation
from convscope.figures.activations import activations as draw_activations
from convscope.figures.correspondence import correspondence as draw_correspondence
from convscope.figures.curvature import curvature as draw_curvature
from convscope.figures.diagnose import diagnose as draw_diagnosis
from convscope.figures.dissect import dissect as draw_dissection
from convscope.figures.evolution import evolution as draw_evolution
from convscope.figures.grid import canvas, fitted, mosaic, place
from convscope.figures.invariance import invariance as draw_invariance
from convscope.figures.invert import invert as draw_inverses
from convscope.figures.linear_probe import linear_probe as draw_layers
from convscope.figures.maximize import maximize as draw_optima
from convscope.figures.net2vec import net2vec as draw_net2vec
from convscope.figures.occlude import occlude as draw_occlusion
from convscope.figures.project import project as draw_projection
from convscope.figures.redundancy import redundancy as draw_redundancy
from convscope.figures.schematics import schematics
from convscope.figures.transfer import transfer as draw_transfer
from convscope.probe.trace.record import run

DOCS = Path(__file__).parent
PAGE = DOCS.parent / "demo/report/layers/relu5/19.html"  # strokes low in the picture: legs and handles
ATLAS, LOOK = DOCS.parent / "demo/atlas", "150?top=42&left=72&side=29"  # a turtle, a part of it hidden

INVERTED = ["relu1", "relu2", "pool2", "relu4", "pool5", "relu7"]
OPTIMA = ["relu1:0", "relu2:23", "relu2:33", "relu3:7", "relu5:42", "relu5:80", "stop_sign", "sunflower", "Leopards"]
BENT = ["relu1:0", "relu2:23", "relu3:7", "stop_sign"]


def reference() -> str:
    """The text of docs/cli.md."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    commands |= {name: complete(name) for name in commands if name.replace("-", "_") in EXPERIMENTS}
    lines = ["# Commands", "", "Written by `make docs`.", ""]
    lines += [f"- [`{name}`](#{name}): {_summary(command)}" for name, command in commands.items()]
    for name, command in commands.items():
        lines += ["", f"## {name}", "", *_command(name, command)]
    return "\n".join(lines) + "\n"


def _summary(command: Any) -> str:
    return inspect.cleandoc(command.help).split("\n\n")[0].replace("\n", " ")


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    names = [param.metavar or param.name.upper() for param in arguments]
    usage = [shown if param.required else f"[{shown}]" for param, shown in zip(arguments, names, strict=True)]
    yield f"    convscope {' '.join([name, *usage, '[OPTIONS]' * bool(options)])}".rstrip()
    yield ""
    yield inspect.cleandoc(command.help)
    yield ""
    yield "| | |"
    yield "|---|---|"
    for param, shown in zip(arguments, names, strict=True):
        yield f"| {shown} | {_cell(param.help)} |"
    for param in options:
        value = f" {param.metavar}" if param.metavar and not param.is_flag else ""
        yield f"| `{', '.join(param.opts)}{value}` | {_cell(param.help)}{_default(param)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(param: Any) -> str:
    hidden = param.is_flag or param.default in (None, (), []) or "[default" in param.help or callable(param.default)
    return "" if hidden else f" [default: {param.default}]"


def unpoolings(net: Network, picture: Image) -> Figure:
    """The map of relu5 that is strongest for a picture, under V2's four unpoolings."""
    maps = run(net.working("cpu"), net.inputs(picture), ["relu5"])["relu5"]
    unit = f"relu5:{int(maps[0].amax((1, 2)).argmax())}"
    found = project(net, picture, unit, unpool=("switch", "nearest", "nails", "overwrite"))
    return draw_projection(net, found)


def formed() -> Figure:
    """Six maps of both layers of a convnet for digits, over its training."""
    with tempfile.TemporaryDirectory() as run:
        train("digits", run, architecture="m5", per_class=140, epochs=40, accelerator="cpu", quiet=True)
        found = evolution(run, "digits", available=True)
    return draw_evolution(found.network, found)


def smaller() -> Figure:
    """The convnet for digits, and what is left of it without a block of its two, or with a narrow classifier."""
    with tempfile.TemporaryDirectory() as cache:
        found = ablate("digits", variants=SMALLER, per_class=100, epochs=8, cache=cache, device="cpu")
    return draw_ablation(found.network, found)


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


def main() -> None:
    """Write all of it."""
    (DOCS / "cli.md").write_text(reference(), encoding="utf-8")
    net, gallery = load("zfnet128"), images("gallery")
    for drawing in schematics(net, gallery.picture(0)):
        drawing.write(DOCS / "images")
    sign = gallery.picture(next(i for i, path in enumerate(gallery.paths) if path.startswith("stop_sign/")))
    maps = activations(net, sign, layers=["relu1", "relu2"])
    draw_activations(net, maps).savefig(DOCS / "images/activations.png", format="png")
    draw_diagnosis(net, diagnose(net, gallery)).savefig(DOCS / "images/diagnose.png", format="png")
    repeated = redundancy(net, gallery)
    draw_redundancy(net, repeated).savefig(DOCS / "images/redundancy.png", format="png")
    alike = correspondence(net, "gallery", "faces", count=5)
    draw_correspondence(net, alike).savefig(DOCS / "images/correspondence.png", format="png")
    draw_invariance(net, invariance(net, FIVE)).savefig(DOCS / "images/invariance.png", format="png")
    probed = linear_probe(net, gallery, exclude=FEW, train=2, folds=3)
    draw_layers(net, probed).savefig(DOCS / "images/linear-probe.png", format="png")
    smaller().savefig(DOCS / "images/ablate.png", format="png")
    learnt = transfer(net, gallery, exclude=FEW, train=[1, 2], folds=3)
    draw_transfer(net, learnt).savefig(DOCS / "images/transfer.png", format="png")
    draw_occlusion(net, occlude(net, SEEN, gallery=gallery)).savefig(DOCS / "images/occlude.png", format="png")
    formed().savefig(DOCS / "images/evolution.png", format="png")
    faces = ["gallery/Faces_easy/image_0040.jpg", "gallery/stop_sign/image_0009.jpg"]
    draw_inverses(net, invert(net, faces, layers=INVERTED)).savefig(DOCS / "images/invert.png", format="png")
    edges = invert(net, faces, layers=[], descriptors=["uoctti", "hog"])
    draw_inverses(net, edges).savefig(DOCS / "images/invert-hog.png", format="png")
    optima = maximize(net, OPTIMA)
    draw_optima(net, optima).savefig(DOCS / "images/maximize.png", format="png")
    compared = maximize(net, OPTIMA[-3:], preset="normalised", start=["noise", "class-mean"], images=gallery)
    draw_optima(net, compared).savefig(DOCS / "images/class-means.png", format="png")
    bent = curvature(net, BENT)
    draw_curvature(net, bent).savefig(DOCS / "images/curvature.png", format="png")
    draw_dissection(net, dissect(net, "drawn", rotations=3)).savefig(DOCS / "images/dissect.png", format="png")
    photographs = dissect(net, "gallery", rotations=3)
    draw_dissection(net, photographs).savefig(DOCS / "images/dissect-photographs.png", format="png")
    draw_net2vec(net, net2vec(net, "drawn")).savefig(DOCS / "images/net2vec.png", format="png")
    drawings().savefig(DOCS / "images/drawn.png", format="png")
    unpoolings(net, sign).savefig(DOCS / "images/unpoolings.png", format="png")
    if PAGE.exists() and shutil.which("chromium"):
        screenshot(PAGE.resolve().as_uri(), DOCS / "images/report.png")
        app_screenshot(DOCS / "images/view.png")


if __name__ == "__main__":
    main()
