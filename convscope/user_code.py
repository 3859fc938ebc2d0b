"""The user's own code, spelled `py:package.module:function` or `py:folder/file.py:function`, from the current folder.

    build = imported("py:my_model:Net", "network")
    with running("py:my_model:Net", "network"):
        module = build()

Whatever such code does wrong becomes an error of one line.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, NoReturn

from convscope.errors import ArgumentError, ConvscopeError, NetworkError

GUARD = 'put what runs as a script under if __name__ == "__main__"'


def imported(spelling: str, argument: str) -> Any:
    """Return what a spelling names. A file is imported as the module that it is from the current folder.

    Raises ArgumentError for another spelling, a file that is not there, or a name that the module does not have, and
    NetworkError where the module cannot be imported, ends the program, or trains when it is imported.
    """
    module_name, name = _parts(spelling, argument)
    with running(spelling, argument), _without_training(spelling, argument):
        module = import_module(module_name)
    if not hasattr(module, name):
        raise ArgumentError(argument, spelling, _missing(module, name, spelling))
    return getattr(module, name)


@contextmanager
def running(spelling: str, argument: str) -> Iterator[None]:
    """Run the user's code inside: it imports from the current folder, and finds no command line of ours to parse.

    Raises NetworkError, in one line, for whatever it raises and where it ends the program.
    """
    try:
        with _replaced(sys, "argv", [spelling]), _replaced(ArgumentParser, "error", _exit), _importable(spelling):
            yield
    except SystemExit as error:
        reason = error.code if isinstance(error.code, str) else f"exit code {error.code or 0}"
        raise NetworkError(f"{argument} {spelling!r} ends the program: {reason}{_line(error)}; {GUARD}") from error
    except ConvscopeError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or "no reason given"
        problem = f"{type(error).__name__}: {reason}{_line(error)}"
        raise NetworkError(f"{argument} {spelling!r} could not be made: {problem}") from error


@contextmanager
def _replaced(thing: object, name: str, value: object) -> Iterator[None]:
    before = getattr(thing, name)
    setattr(thing, name, value)
    try:
        yield
    finally:
        setattr(thing, name, before)


@contextmanager
def _importable(spelling: str) -> Iterator[None]:
    """Modules of the current folder, and those beside a file, can be imported inside."""
    folders = ["", *_folders(spelling)]
    sys.path[:0] = folders
    try:
        yield
    finally:
        for folder in folders:
            if folder in sys.path:
                sys.path.remove(folder)


def _line(error: BaseException) -> str:
    """The last line in the current folder that led to an error, as " (file.py, line 3)"."""
    here = Path.cwd()
    frames = [(Path(frame.filename), frame.lineno) for frame in extract_tb(error.__traceback__)]
    nearby = [(file, line) for file, line in frames if file.is_relative_to(here) and "site-packages" not in file.parts]
    nearby = [(file, line) for file, line in nearby if not file.is_relative_to(Path(__file__).parent)]
    return f" ({nearby[-1][0].relative_to(here)}, line {nearby[-1][1]})" if nearby else ""


def _exit(_: ArgumentParser, message: str) -> NoReturn:
    """Stand in for argparse's `error`, which prints several lines first."""
    raise SystemExit(message)


@contextmanager
def _without_training(spelling: str, argument: str) -> Iterator[None]:
    """Raise NetworkError at the first step of any optimizer."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    def refuse(*_: object) -> NoReturn:
        raise NetworkError(f"{argument} {spelling!r} trains when it is imported; {GUARD}")

    handle = register_optimizer_step_pre_hook(refuse)
    try:
        yield
    finally:
        handle.remove()


def _parts(spelling: str, argument: str) -> tuple[str, str]:
    """The module, in dots, and the name in it."""
    kind, _, where = spelling.partition(":")
    module, _, name = where.rpartition(":")
    if kind != "py" or not module or not name:
        raise ArgumentError(argument, spelling, f'expected "py:package.module:function"{_example(where)}')
    file = _file(module)
    if file is None:
        return module, name
    if not file.is_file() and not file.with_suffix("").is_dir():
        raise ArgumentError(argument, spelling, f"there is no file {str(file)!r} here")
    parts = file.with_suffix("").parts
    return (file.stem if ".." in parts or file.is_absolute() else ".".join(parts)), name


def _example(where: str) -> str:
    """How a spelling without a second colon was probably meant."""
    package, _, last = where.rpartition(".")
    if not where.strip(":"):
        return ""
    meant = f"{where}:FUNCTION" if _file(where) or not package else f"{package}:{last}"
    return f", as 'py:{meant.replace('::', ':')}'"


def _file(module: str) -> Path | None:
    """The file that a module is spelled by, None for a module in dots."""
    spelled = module.replace("\\", "/")
    if "/" not in spelled and not (spelled.endswith(".py") and Path(spelled).is_file()):
        return None
    return Path(spelled.removesuffix(".py") + ".py").expanduser()


def _folders(spelling: str) -> list[str]:
    """The folder of a file, whose neighbours it may import."""
    file = _file(spelling.partition(":")[2].rpartition(":")[0])
    return [] if file is None else [str(file.parent)]


def _missing(module: ModuleType, name: str, spelling: str) -> str:
    names = [each for each, value in vars(module).items() if each[0] != "_" and not isinstance(value, ModuleType)]
    near = get_close_matches(name, names, n=1)
    meant = f"did you mean {spelling.removesuffix(name) + near[0]!r}" if near else ""
    file = getattr(module, "__file__", None) or "a package"
    return f"{module.__name__} ({file}) has no {name!r}; {meant or 'it has ' + (', '.join(names[:8]) or 'nothing')}"
