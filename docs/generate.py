"""The generated parts of docs/: the reference of commands, the README's table of experiments, the schematics.

make docs
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from floors import draw as draw_floors

import convscope
from convscope.cli import app
from convscope.commands.experiments import command as complete
from convscope.experiments import TABLE
from convscope.figures.schematics import schematics

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"


def reference() -> str:
    """The text of docs/cli.md."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    commands |= {row.command: complete(row.command) for row in TABLE.values()}
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


def with_experiments(readme: str) -> str:
    """The README with its table of experiments made anew."""
    head = "| experiment | question |\n|---|---|\n"
    rows = [f"| [`{row.command}`](docs/{row.command}.md) | {row.question} |\n" for row in TABLE.values()]
    return re.sub(rf"{re.escape(head)}(\|.*\n)*", lambda _: head + "".join(rows), readme)


def main() -> None:
    """Write all of it."""
    (DOCS / "cli.md").write_text(reference(), encoding="utf-8")
    README.write_text(with_experiments(README.read_text(encoding="utf-8")), encoding="utf-8")
    (DOCS / "images/floors.svg").write_text(str(draw_floors()), encoding="utf-8")
    for drawing in schematics(convscope.load("zfnet128"), convscope.images("gallery").picture(0)):
        drawing.write(DOCS / "images")


if __name__ == "__main__":
    main()
