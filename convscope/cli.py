"""The command line: which commands there are; errors become one line here and only here.

convscope atlas zfnet128 gallery -o out/atlas
"""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from convscope.commands.atlases import atlas, demo, figure2, report, view
from convscope.commands.experiments import add
from convscope.commands.inspect import layers, overlap, schematics
from convscope.commands.shared import Command, say
from convscope.commands.training import evaluate, train
from convscope.errors import ConvscopeError

MISTAKE, INTERRUPTED = 2, 130  # exit codes

app = typer.Typer(
    name="convscope",
    help="A microscope for convolutional networks.",
    add_completion=False,
    add_help_option=False,  # typer's imports pydantic, half a second, before any command
    rich_markup_mode=None,  # plain text, and rich need not be imported to print it
)


@app.callback(invoke_without_command=True)
def _convscope(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
    show_help: Annotated[bool, typer.Option("--help", help="Show this message and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(installed("convscope"))
    elif show_help or context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


for command in (atlas, report, view, demo, layers, figure2, overlap, schematics, train, evaluate):
    app.command(cls=Command)(command)
add(app)  # a command for every experiment


def _mistake(error: Exception) -> int:
    reason = str(error)
    if isinstance(error, OSError) and not isinstance(error, ConvscopeError) and error.strerror:
        reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif hasattr(error, "format_message"):
        path = getattr(getattr(error, "ctx", None), "command_path", "convscope")
        reason = f"{error.format_message()} (see {path} --help)"
    say(f"error: {reason}")
    return MISTAKE


@contextmanager
def _warnings_at_the_end() -> Iterator[None]:
    """Our warnings as one line each, after the work and not before an error; those of libraries are not the user's."""
    lines: dict[str, None] = {}

    def keep(message: Warning | str, category: type[Warning], filename: str, *_: Any, **__: Any) -> None:
        foreign = "site-packages" in filename and "convscope" not in Path(filename).parts
        if not foreign and issubclass(category, UserWarning):
            lines[f"warning: {message}"] = None

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = keep
        yield
    for line in lines:
        say(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. A mistake of the user's is one line on standard error and code 2."""
    try:
        with _warnings_at_the_end():
            outcome = app(arguments, prog_name="convscope", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        return 0
    except (ConvscopeError, OSError) as error:
        return _mistake(error)
    except Exception as error:
        if hasattr(error, "format_message"):  # of typer: an unknown option, a missing argument
            return _mistake(error)
        raise


if __name__ == "__main__":
    sys.exit(main())
