"""Every example in a docstring runs as it stands, with the names of its module and those that GIVEN sets before it."""

import ast
import contextlib
import io
import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import convscope
from tests.docstring_names import GIVEN, shared

ROOT = Path(str(convscope.__file__)).parent
TABLE = re.compile(r"image,\w+,")  # the head of a table that a docstring shows, which is no code
SECTION = re.compile(r"(Args|Raises):")


def examples(docstring: str) -> Iterator[str]:
    """The indented blocks of a docstring, each after an empty line."""
    block: list[str] = []
    before = ""
    for line in [*docstring.splitlines(), "end"]:
        if (block or not before) and line.startswith("    "):
            block.append(line[4:])
        elif block and line:
            yield "\n".join(block).strip() + "\n"
            block = []
        elif block:
            block.append("")
        before = line


def collected() -> Iterator[Any]:
    for file in sorted(ROOT.rglob("*.py")):
        module = ".".join(file.relative_to(ROOT.parent).with_suffix("").parts[1:]).removesuffix("__init__").rstrip(".")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                blocks = [block for block in examples(ast.get_docstring(node) or "") if not TABLE.match(block)]
                if blocks:
                    yield pytest.param(module, blocks, id=f"{module}.{getattr(node, 'name', '')}".strip("."))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what the examples name: pictures in classes, some of them alone, an atlas."""
    folder = tmp_path_factory.mktemp("desk")
    chosen = sorted((ROOT / "assets/gallery").rglob("*.jpg"))[:9]
    for name in ("pictures", "caltech101", "train", "val"):
        for number, file in enumerate(chosen):
            (folder / name / "abc"[number % 3]).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / name / "abc"[number % 3])
    for name in ("dog.jpg", "cup.jpg", "cat.jpg"):
        shutil.copy(chosen[0], folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.mark.parametrize(("module", "blocks"), list(collected()))
def test_it_runs(module: str, blocks: list[str], desk: Path) -> None:
    for made in ("out", "demo", "cache", "run", "pictures/birds"):
        shutil.rmtree(made, ignore_errors=True)
    names = {**shared(), **vars(import_module(f"convscope.{module}".rstrip(".")))}
    exec(GIVEN.get(module, ""), names)
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        for block in blocks:
            exec(compile(block, f"the docstring of {module}", "exec"), names)


def test_names_are_given_to_examples_that_there_are() -> None:
    assert set(GIVEN) <= {parameters.values[0] for parameters in collected()}
