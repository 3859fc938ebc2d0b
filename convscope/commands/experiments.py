"""The commands of the experiments, made from their signatures; each is imported only when it is called.

add(app)        # one command for every row of TABLE
"""

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from convscope.commands.shared import NETWORK, Command, Out, Quiet, report_skipped, tell
from convscope.experiments import TABLE
from convscope.parameters import Field
from convscope.progress import silenced
from convscope.runner import experiment, perform

METAVARS = {"integer": "N", "number": "X", "images": "IMAGES", "network": "NETWORK"}
TYPES: dict[str, Any] = {"integer": int, "number": float, "flag": bool, "file": Path, "folder": Path}
TYPES |= {"picture": Path, "pictures": Path}


def add(app: typer.Typer) -> None:
    """Give `app` a command for every experiment; its name has hyphens where the function's has underscores."""
    for row in TABLE.values():
        app.command(row.command, cls=_Late, help=row.question)(lambda: None)


class _Late(TyperCommand):
    """A command that knows its name and its question, and becomes itself when it is called."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        return command(str(self.name)).make_context(*args, **extra)


def command(name: str) -> Any:
    """The command of an experiment, `name` as the command line spells it, with its arguments and options."""
    own = name.replace("-", "_")
    chosen = experiment(own)
    parameters = [_parameter(field, chosen.several(field)) for field in chosen.fields]
    parameters += [_keyword("out", Out, Path(f"out/{name}")), _keyword("quiet", Quiet, False)]

    def run(out: Path, quiet: bool, **values: Any) -> None:
        with silenced(quiet):
            done = perform(own, {key: _words(value) for key, value in values.items()}, out)
        report_skipped(done.skipped)
        tell(done.text or done.folder)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__doc__ = f"{TABLE[own].question}\n\n{chosen.text}"
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, cls=Command, help=f"{TABLE[own].question}\n\n{_first(chosen.text)}")(run)
    return typer.main.get_command(single)


def _first(text: str) -> str:
    """The first paragraph."""
    return text.split("\n\n")[0]


def _words(value: Any) -> Any:
    """Paths as the user spelled them."""
    if isinstance(value, list | tuple):
        return [_words(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _parameter(field: Field, several: bool) -> inspect.Parameter:
    """A field as an argument, where it is positional, or an option, which takes `several` values or one."""
    kind = TYPES.get(field.kind, str)
    one = field.name.removesuffix("s") if several and not field.name.endswith("us") else field.name
    metavar = METAVARS.get(field.kind, one.upper().replace("_", "-"))
    if field.positional:
        spelling = typer.Argument(metavar=metavar, help=_help(field) if field.kind != "network" else NETWORK)
        default = None if field.optional else inspect.Parameter.empty
    else:
        flag = f"--{field.name.replace('_', '-')}"
        names = [f"{flag}/--no-{flag[2:]}"] if field.kind == "flag" and field.default is True else [flag]
        spelling = typer.Option(*names, metavar=None if field.kind == "flag" else metavar, help=_help(field))
        default = field.default if field.kind == "flag" else None
    hint: Any = list[kind] if several else kind  # type: ignore[valid-type]
    if default is not inspect.Parameter.empty and field.kind != "flag":
        hint = hint | None
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, spelling]
    )


def _help(field: Field) -> str:
    """The field's line, its choices, that it may be repeated, its default."""
    words = field.help
    if field.choices:
        words += f": {', '.join(field.choices[:-1])} or {field.choices[-1]}"
    if field.many and not field.positional:
        words += "; repeat for more"
    hidden = field.kind == "flag" or field.default in (None, (), []) or "[default" in words
    return words if hidden else f"{words} [default: {field.default}]"
