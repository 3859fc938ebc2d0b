"""Any exception as one line for a person: what failed, whether memory ran out, how to go on, what to report.

one_line(error), shortage(error), advice(error), bug_line(error, ["convscope", "atlas"])

Used at the edges only: by the command line, by the app and by its jobs.
"""

import errno
import os
import platform
import re
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from convscope.errors import ConvscopeError

FULL = (errno.ENOSPC, errno.EDQUOT)
SHORTAGE = re.compile(r"out of memory|(not enough|n.t allocate) memory|bad_alloc|ALLOC_FAILED", re.IGNORECASE)
WANTED = re.compile(r"allocate (\d[\d.]* ?\w+)")  # how much, in the words of torch and numpy
LIBRARIES = tuple(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
OURS = str(Path(__file__).parent)


def advice(error: BaseException) -> list[str]:
    """Return how to go on after the error, as `resumable` noted it."""
    return list(getattr(error, "__notes__", ()))


def one_line(error: BaseException) -> str:
    """Return what failed: our own words, those of the system with the file's name, or any other after its type."""
    words = " ".join(str(error).split())
    if isinstance(error, ConvscopeError):
        return words
    if isinstance(error, OSError) and error.errno in FULL:
        return f"{error.filename or 'out'}: no space left on the disk; free some and try again"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {words or 'no reason given'}"


def shortage(error: BaseException | None) -> str | None:
    """Return in a line that memory ran out, if that is what the error, or one behind it, is about."""
    seen: set[int] = set()  # errors can stand behind one another in a circle
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = " ".join(str(error).split())
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM or _is_shortage(error, text):
            wanted = WANTED.search(text)
            place = "of the GPU " if re.search("CUDA|MPS|HIP", text) else ""
            return f"out of memory {place}({wanted[0]})" if wanted else f"out of memory {place}".strip()
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _is_shortage(error: BaseException, text: str) -> bool:
    return isinstance(error, RuntimeError) and not isinstance(error, ConvscopeError) and bool(SHORTAGE.search(text))


def bug_line(error: BaseException, doing: Sequence[str] = ()) -> str:
    """Return an unforeseen error as a line, its traceback and what it takes to look into it in a new temporary file.

    `doing`: the command. Where the error comes out of code that is neither ours nor a library's, the line says where.
    """
    theirs = _foreign_place(error)
    where = f"in your own code, {theirs}" if theirs else "a bug in convscope, please report it"
    try:
        return f"{one_line(error)}: {where}; the traceback is in {_report(error, doing)}"
    except OSError as full:
        return f"{one_line(error)}: {where}; the traceback could not be written ({one_line(full)})"


def _foreign_place(error: BaseException) -> str | None:
    """Return file and line of the last step outside of libraries, where that is not in code of ours."""
    steps = [(step.filename, step.lineno) for step in traceback.extract_tb(error.__traceback__)]
    steps = [(file, line) for file, line in steps if not file.startswith(("<", *LIBRARIES)) or file.startswith(OURS)]
    return f"{steps[-1][0]}, line {steps[-1][1]}" if steps and not steps[-1][0].startswith(OURS) else None


def _report(error: BaseException, doing: Sequence[str]) -> str:
    """Write versions, the command and the traceback into a new temporary file; return its name."""
    torch = getattr(sys.modules.get("torch"), "__version__", "not imported")
    versions = f"convscope {version('convscope')}, torch {torch}, Python {platform.python_version()}"
    facts = f"{versions}, {platform.platform()}\n{' '.join(map(repr, doing))}"
    descriptor, name = tempfile.mkstemp(".txt", "convscope-report-")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{facts}\n\n{''.join(traceback.format_exception(error))}")
    return name
