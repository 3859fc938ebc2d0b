"""A declaration read from a file is the one that importing the module gives."""

import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from convscope.declarations import declared
from convscope.experiments import EXPERIMENTS
from convscope.parameters import fields

SAMPLE = '''
"""A module that cannot be imported here."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, overload

import nowhere.at_all as nowhere
from nowhere import Tensor
from convscope.parameters import Images

if TYPE_CHECKING:
    from nowhere import Network

Rule = Literal["a", "b"]
COUNT: int = 3
LARGE = COUNT * 2
ROUTINE = nowhere.routine(Tensor[0], size=2).kind

@overload
def sample(network: int) -> None: ...
@nowhere.decorator(4)
def sample(
    network: Network,
    images: Images,
    *,
    rules: Annotated[Sequence[Rule] | Rule, "what to do"] = "a",
    count: Annotated[int, "of them"] = LARGE,
    device: Annotated[str | nowhere.device | None, "where"] = None,
    routine: Annotated[str | Tensor, "how"] = ROUTINE,
) -> Tensor:
    """Do something.

    In two lines.
    """
    return nowhere.done(network)
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "sample_of_declarations.py").write_text(SAMPLE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "sample_of_declarations"
    assert "sample_of_declarations" not in sys.modules


def test_a_file_is_read_without_what_it_imports(module: str) -> None:
    network, images, rules, count, device, routine = fields(declared(module, "sample"))
    assert (network.kind, images.kind, device.kind, routine.kind) == ("network", "images", "text", "text")
    assert (rules.many, rules.choices, rules.default) == (True, ("a", "b"), "a")
    assert (count.default, count.help, device.help) == (6, "of them", "where")
    assert inspect.getdoc(declared(module, "sample")) == "Do something.\n\nIn two lines."


def test_a_function_that_is_not_there_is_an_error(module: str) -> None:
    with pytest.raises(KeyError, match="simple"):
        declared(module, "simple")


@pytest.mark.parametrize("package", ["experiments", "figures"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_declaration_is_that_of_the_function(package: str, name: str) -> None:
    module = f"convscope.{package}.{name}"
    function, read = getattr(import_module(module), name), declared(module, name)
    options = package == "figures"
    assert fields(read, options) == fields(function, options)
    assert inspect.getdoc(read) == inspect.getdoc(function)
    assert list(inspect.signature(read).parameters) == list(inspect.signature(function).parameters)
