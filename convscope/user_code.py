"""Functions of the reader's own, spelled `py:package.module:function`, found from the folder that we run in."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from convscope.errors import ArgumentError


@contextmanager
def from_here() -> Iterator[None]:
    """Inside, modules of the current folder can be imported, also by what is imported."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def function(spelling: str, argument: str) -> Callable[..., Any]:
    """The function of a spelling. Raises ArgumentError for another spelling, and what the import raises."""
    kind, _, where = spelling.partition(":")
    module, colon, name = where.partition(":")
    if kind != "py" or not colon:
        raise ArgumentError(argument, spelling, 'expected "py:package.module:function"')
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
