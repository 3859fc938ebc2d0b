"""Every error convscope raises on purpose. Each is one line: the argument, the user's value, what would be right.

ConvscopeError
├── ArgumentError (ValueError)   a value outside its range, of the wrong shape, or of an unknown name
│   ├── LayerError               no such layer; the nearest names are suggested
│   └── UnitError                no such channel or position in a layer
├── PictureError (ValueError)    a file or array that cannot be read as a picture
├── DataError (ValueError)       an empty folder, a class with too few pictures, labels that do not fit
├── WeightsError (ValueError)    weights of another architecture, missing, or not finite
├── NetworkError (RuntimeError)  a network that cannot be traced, reversed, or run on what it was given
├── AtlasError (RuntimeError)    a folder that is no atlas, or somebody else's
│   └── DamagedError             a file of an atlas, or of its build, that holds something else than was written
└── TrainingError (RuntimeError) an exploding loss, a resume that does not fit
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class ConvscopeError(Exception):
    """Base of all errors raised on purpose; `str(error)` is one line fit for a user."""


class ArgumentError(ConvscopeError, ValueError):
    """`argument` was given `value`, which is not `expected`."""

    def __init__(self, argument: str, value: object, expected: str) -> None:
        self.argument, self.value, self.expected = argument, value, expected
        super().__init__(f"{argument} is {value!r}: {expected}")


class LayerError(ArgumentError):
    """A layer name that the network does not have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = list(known)
        near = get_close_matches(name, known, n=3, cutoff=0.5) or known[:3]
        super().__init__("layer", name, f"no such layer; the nearest are {', '.join(near)}")


class UnitError(ArgumentError):
    """A channel or a position that the layer does not have."""


class PictureError(ConvscopeError, ValueError):
    """A file, bytes or an array that cannot be read as a picture."""


class DataError(ConvscopeError, ValueError):
    """A data set that cannot serve: empty, too small, badly labelled."""


class WeightsError(ConvscopeError, ValueError):
    """Weights that do not fit the architecture, are missing, or are not finite."""


class NetworkError(ConvscopeError, RuntimeError):
    """A network that cannot be traced, reversed, or run on what it was given."""


class AtlasError(ConvscopeError, RuntimeError):
    """A folder that is no atlas, or the atlas of another network or data set."""


class DamagedError(AtlasError):
    """A file of an atlas, or of an unfinished one, that does not hold what was written to it."""


class TrainingError(ConvscopeError, RuntimeError):
    """Training that cannot go on: loss not finite, a resume that does not fit."""


@contextmanager
def resumable(how: str) -> Iterator[None]:
    """Note on whatever ends the block early, an interrupt too, how to go on (PEP 678)."""
    try:
        yield
    except BaseException as error:
        error.add_note(how)
        raise
