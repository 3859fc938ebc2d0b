"""What in docs/ is generated: the reference of the command line, and the schematics of the bundled network.

make docs
"""

import inspect
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from matplotlib.figure import Figure
from PIL.Image import Image

from convscope import Network, activations, images, load, project
from convscope.cli import app
from convscope.commands import command as complete
from convscope.experiments import EXPERIMENTS
from convscope.figures.activations import activations as draw_activations
from convscope.figures.project import project as draw_projection
from convscope.figures.schematics import schematics
from convscope.probe.record import run

DOCS = Path(__file__).parent
PAGE = DOCS.parent / "demo/report/layers/relu5/19.html"  # strokes low in the picture: legs and handles


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
    yield f"    convscope {' '.join([name, *names, '[OPTIONS]' * bool(options)])}".rstrip()
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


def screenshot(page: Path, file: Path) -> None:
    """A page as a picture."""
    window = ["--window-size=1280,860", "--hide-scrollbars"]
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", *window, f"--screenshot={file}"]
    subprocess.run([*command, page.resolve().as_uri()], check=True, capture_output=True)


def main() -> None:
    """Write all of it."""
    (DOCS / "cli.md").write_text(reference(), encoding="utf-8")
    net, gallery = load("zfnet128"), images("gallery")
    for drawing in schematics(net, gallery.picture(0)):
        drawing.write(DOCS / "images")
    sign = gallery.picture(next(i for i, path in enumerate(gallery.paths) if path.startswith("stop_sign/")))
    maps = activations(net, sign, layers=["relu1", "relu2"])
    draw_activations(net, maps).savefig(DOCS / "images/activations.png", format="png")
    unpoolings(net, sign).savefig(DOCS / "images/unpoolings.png", format="png")
    if PAGE.exists() and shutil.which("chromium"):
        screenshot(PAGE, DOCS / "images/report.png")


if __name__ == "__main__":
    main()
