"""The command line: which commands there are; whatever ends a command becomes one line here and only here.

convscope atlas zfnet128 gallery -o out/atlas
"""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Annotated, Any

import typer

from convscope.commands.atlases import atlas, demo, figure2, report, view
from convscope.commands.experiments import add, command
from convscope.commands.inspect import layers, overlap, schematics
from convscope.commands.shared import Command, say, tell
from convscope.commands.training import evaluate, train
from convscope.errors import ConvscopeError
from convscope.experiments import EXPERIMENTS
from convscope.failures import advice, bug_line, one_line, shortage

FAILURE, MISTAKE, SIGNALLED = 1, 2, 128  # exit codes; after a signal its number is added
ANEW = "run the same command again: it starts anew"

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

        tell(installed("convscope"))
    elif show_help or context.invoked_subcommand is None:
        tell(context.get_help())
        raise typer.Exit


for plain in (atlas, report, view, demo, layers, figure2, overlap, schematics, train, evaluate):
    app.command(cls=Command)(plain)
add(app)  # a command for every experiment


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
    """Run a command and return its exit code.

    0: done; 1: out of memory, or a bug; 2: a mistake of the user's; 130: interrupted; 143: terminated. All but 0 come
    with one line on standard error that says what to do. No exception leaves this function.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    with _stoppable(last=arguments is None) as received:
        try:
            with _warnings_at_the_end():
                return _run(words)
        except BrokenPipeError:  # whoever read our output has seen enough
            sys.stderr.close()
            return 0
        except BaseException as error:
            if received or isinstance(error, KeyboardInterrupt | typer.Abort):
                return _stopped(error, received[0] if received else signal.SIGINT)
            return _failed(error, words)


@contextmanager
def _stoppable(last: bool) -> Iterator[list[int]]:
    """Turn SIGINT and SIGTERM into KeyboardInterrupt; yields those received. `last`: the process ends after this."""
    received: list[int] = []
    main_thread = threading.current_thread() is threading.main_thread()
    usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    ours = [number for number, handler in usual.items() if main_thread and signal.getsignal(number) == handler]

    def stop(number: int, _: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt

    for number in ours:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number in ours:  # nothing is to break into the end of an interrupted process
            signal.signal(number, signal.SIG_IGN if last and received else usual[number])


def _run(words: list[str]) -> int:
    """Run a command as typer does, except that interrupts and closed pipes come out as they are."""
    if os.name == "nt":  # its shells leave patterns to the program
        words = [name for word in words for name in sorted(glob(word)) or [word]]  # noqa: PTH207
    try:
        with typer.main.get_command(app).make_context("convscope", words) as context:
            outcome = context.command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return outcome if isinstance(outcome, int) else 0


def _stopped(error: BaseException, number: int) -> int:
    """Say that a command was interrupted and how to go on."""
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    say(f"interrupted{by}; {'; '.join(advice(error)) or ANEW}")
    return SIGNALLED + number


def _failed(error: BaseException, words: list[str]) -> int:
    """Say what went wrong and what to do."""
    if lacking := shortage(error):
        say(f"error: {'; '.join([lacking, _less(words), *advice(error)])}")
        return FAILURE
    if isinstance(error, ConvscopeError | OSError):
        say(f"error: {one_line(error)}")
        return MISTAKE
    if hasattr(error, "format_message"):  # of typer: an unknown option, a missing argument
        path = getattr(getattr(error, "ctx", None), "command_path", "convscope")
        say(f"error: {error.format_message()} (see {path} --help)")
        return MISTAKE
    say(f"error: {bug_line(error, ['convscope', *words])}")
    return FAILURE


def _less(words: list[str]) -> str:
    """Return what to do where memory ran out."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name = next(word for word in words if word in commands)
    asked = commands[name] if name.replace("-", "_") not in EXPERIMENTS else command(name)
    batches = any(parameter.name == "batch_size" for parameter in asked.params)
    return "give a smaller --batch-size" if batches else "give it fewer pictures or units at a time, or --device cpu"


if __name__ == "__main__":
    sys.exit(main())
