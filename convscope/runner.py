"""An experiment from words to a folder of results: what the command line and the web app both run.

    perform("occlude", {"network": "zfnet128", "pictures": ["dog.jpg"], "size": 32}, "out/occlude")

The words are those of the function's signature (`parameters.fields`); every experiment is done this way.
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscope.declarations import declared
from convscope.errors import ArgumentError, resumable
from convscope.experiments import EXPERIMENTS
from convscope.parameters import Field, fields

if TYPE_CHECKING:
    from convscope.disk.output_folder import OutputFolder

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """An experiment as commands and forms see it: `run` finds, `draw` shows what was found.

    inputs: the parameters of `run`; display: the further ones of `draw`, which change the figure only. text: what it
    does, as the documentation of `run` says. Its module is imported when `run` or `draw` is first needed.
    """

    name: str
    inputs: tuple[Field, ...]
    display: tuple[Field, ...]
    text: str

    @property
    def run(self) -> Callable[..., Any]:
        """The function. Imports torch."""
        return _function(EXPERIMENTS[self.name], self.name)

    @property
    def draw(self) -> Callable[..., Any]:
        """The function that draws its figure. Imports torch and matplotlib."""
        return _function(f"convscope.figures.{self.name}", self.name)

    @property
    def fields(self) -> tuple[Field, ...]:
        """All of them, in the order of a command."""
        return (*self.inputs, *self.display)

    def several(self, field: Field) -> bool:
        """Whether its command takes several values here: of the arguments only the last can."""
        last = [one for one in self.inputs if one.positional][-1]
        return field.many and (field is last or not field.positional)


def _function(module: str, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


@dataclass(frozen=True)
class Named:
    """A picture in memory, a float tensor (1, C, H, W), or a file, with the name that a result is to give it."""

    name: str
    value: Any


@dataclass(frozen=True)
class Done:
    """A finished experiment: its folder, what there is to say, and the pictures left out (path, reason)."""

    folder: Path
    text: str
    skipped: tuple[tuple[str, str], ...]


@cache
def experiment(name: str) -> Experiment:
    """The experiment of this name, as its files declare it: none is imported."""
    if name not in EXPERIMENTS:
        raise ArgumentError("experiment", name, f"expected one of {', '.join(EXPERIMENTS)}")
    run, draw = declared(EXPERIMENTS[name], name), declared(f"convscope.figures.{name}", name)
    return Experiment(name, fields(run), fields(draw, options=True), inspect.getdoc(run) or "")


def perform(name: str, values: Values, out: str | Path) -> Done:
    """Run an experiment and write its result folder: `result.json`, `figure.png`, `arrays.npz` where there are arrays.

    `values`: what to give which parameter, as text or as the function takes it; what is missing or None has its
    default. Raises what the experiment raises, and ArgumentError for a value that is none of a parameter's choices or
    no number; nothing is written then.
    """
    from convscope.disk.output_folder import output_folder
    from convscope.disk.results import RESULT

    chosen = experiment(name)
    settings = {field.name: read(field, values.get(field.name)) for field in chosen.fields}
    kept = resumable("run the same command again: what is finished is in its --cache")
    with output_folder(out, RESULT) as folder, kept if settings.get("cache") else nullcontext():
        return _performed(chosen, settings, folder)


def _performed(chosen: Experiment, settings: Values, folder: "OutputFolder") -> Done:
    from convscope.device import resolve
    from convscope.disk.results import Result, write

    given = {field.name: _opened(field, settings[field.name]) for field in chosen.fields}
    given = {key: value for key, value in given.items() if value is not None}
    found = chosen.run(**{field.name: given[field.name] for field in chosen.inputs if field.name in given})
    networks = [given[field.name] for field in chosen.inputs if field.kind == "network" and field.name in given]
    networks = networks or [found.network]  # an experiment on a training finds its network there
    shown = {field.name: given[field.name] for field in chosen.display if field.name in given}
    figure = chosen.draw(*networks[:1], found, **shown)
    data = next((given[field.name] for field in chosen.inputs if field.kind == "images" and field.name in given), None)
    data = data or getattr(found, "source", None)  # an experiment on concepts finds its pictures with them
    result = Result(
        chosen.name,
        networks[0].identity(),
        list(found.rows),
        {} if data is None else data.identity(),
        {field.name: _plain(settings[field.name]) for field in chosen.fields if field.kind != "network"},
        int(settings.get("seed") or 0),
        str(resolve(settings.get("device"))),
        tier=0 if getattr(found, "synthetic", False) or any("@random" in (net.spec or "") for net in networks) else 1,
        warnings=list(found.notes),
    )
    write(folder, result, arrays=found.arrays, figure=figure)
    skipped = () if data is None else tuple((data.paths[i], why) for i, why in sorted(data.skipped.items()))
    return Done(folder.path, getattr(found, "text", ""), skipped)


def read(field: Field, value: Any) -> Any:
    """A value of a parameter, from text where it is text; its default for None. Raises ArgumentError."""
    if value is None or value == [] or value == ():
        if not field.optional:
            raise ArgumentError(field.name, value, "expected a value")
        return field.default
    if field.many:
        several = [value] if isinstance(value, str) or not isinstance(value, list | tuple) else value
        return [_single(field, each) for each in several]
    return _single(field, value)


def _single(field: Field, value: Any) -> Any:
    if field.kind == "choice" and value not in field.choices:
        raise ArgumentError(field.name, value, f"expected one of {', '.join(field.choices)}")
    if not isinstance(value, str):
        return value
    if field.kind == "flag":
        return value.lower() in ("1", "true", "yes", "on")
    if field.kind not in ("integer", "number"):
        return value
    try:
        return int(value) if field.kind == "integer" else float(value)
    except ValueError as error:
        expected = "expected a whole number" if field.kind == "integer" else "expected a number"
        raise ArgumentError(field.name, value, expected) from error


def _opened(field: Field, value: Any) -> Any:
    """What a spelling stands for: the network loaded, the data set opened; anything else as it is."""
    if isinstance(value, str) and field.kind == "network":
        from convscope.models.catalog import load

        return load(value)
    if isinstance(value, str | Path) and field.kind == "images":
        from convscope.data.sources import images

        return images(value)
    if field.kind == "pictures" and isinstance(value, list):
        return _pictures([_bare(each) for each in value])
    return _bare(value)


def _bare(value: Any) -> Any:
    return value.value if isinstance(value, Named) else value


def _pictures(values: list[Any]) -> Any:
    """Several pictures; tensors as one (N, C, H, W)."""
    from torch import Tensor, cat

    return cat(values) if values and all(isinstance(each, Tensor) for each in values) else values


def _plain(value: Any) -> Any:
    """A setting as a result file can hold it: spellings and numbers stay, anything else is described."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return (
        value
        if isinstance(value, str | int | float | bool | None)
        else str(getattr(value, "name", type(value).__name__))
    )
