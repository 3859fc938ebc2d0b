"""`__all__` is what the package exports, each name lives where it says, and importing it is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import convscope
from convscope.experiments import EXPERIMENTS


def announced() -> dict[str, str]:
    """The public names as the type checker sees them: {name: module}."""
    tree = ast.parse(Path(str(convscope.__file__)).read_text(encoding="utf-8"))
    branch = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: str(node.module).removeprefix("convscope.")
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_see_the_names_that_are_attached() -> None:
    attached = {name: module for module, names in convscope._HOMES.items() for name in names}
    assert announced() == attached | {name: f"experiments.{name}" for name in EXPERIMENTS}
    assert set(convscope.__all__) == set(announced())


@pytest.mark.parametrize("name", convscope.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(convscope, name)
    assert value.__module__ == f"convscope.{announced()[name]}"
    assert value.__doc__
    assert name in dir(convscope)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="attribute microscope"):
        _ = convscope.microscope


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'PIL', 'matplotlib', 'lightning', 'rich'}"
    code = f"import sys, convscope, convscope.cli; print(*({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_experiments_do_not_wait_for_what_trains() -> None:
    code = (
        "import sys; from convscope.experiments import EXPERIMENTS; from convscope.runner import experiment; "
        "[experiment(name).run for name in EXPERIMENTS]; "
        "print(*({'lightning', 'scipy.stats', 'sklearn'} & {*sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
