"""What the documentation says can be done: its code runs as it stands, links lead somewhere, lists are complete."""

import ast
import contextlib
import inspect
import io
import re
import runpy
import shlex
import shutil
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sphinx.cmd.build import build_main

import convscope
from convscope.cli import main
from convscope.experiments import TABLE

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("howto/*.md"))]
ID = re.compile(r"\b(?:G[01]|M\d+|D\d+|TB\d|T\d+|V\d|F\d+b?|A\d|P\d|I\d|N\d|E\d)\b")
HEADINGS = set(re.findall(r"^### (\w+)$", (ROOT / "docs/methods.md").read_text(encoding="utf-8"), re.MULTILINE))
FENCE = re.compile(r"^(<!-- not run: .+? -->\n)?```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN = {"text", "csv", "json", "diff", "{toctree}", "{eval-rst}", "{include}"}  # blocks of these are not run


class Block(NamedTuple):
    """A fenced block of code; `run` is False where a comment above it gives the reason."""

    language: str
    text: str
    run: bool


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(match[2], match[3], not match[1]) for match in FENCE.finditer(page.read_text(encoding="utf-8"))]


def relative(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as the reader of the pages might have it: pictures in classes, some with a table of concepts, a cup."""
    chosen = sorted((ROOT / "convscope/assets/gallery").rglob("*.jpg"))[:15]
    for number, file in enumerate(chosen):
        folder = tmp_path / "pictures" / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
    shutil.copy(chosen[0], tmp_path / "cup.jpg")
    (tmp_path / "other").mkdir()
    shutil.copy(chosen[0], tmp_path / "other")
    (tmp_path / "marked").mkdir()
    for number in range(6):
        shutil.copy(chosen[number], tmp_path / "marked" / f"{number}.jpg")
    rows = "".join(f"{number}.jpg,scene,street,\n" for number in range(6))
    (tmp_path / "marked/concepts.csv").write_text(f"image,category,concept,mask\n{rows}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as for a script in this folder
    yield tmp_path
    for file in tmp_path.glob("*.py"):  # another page may have a file of this name
        sys.modules.pop(file.stem, None)


def run_commands(text: str, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            assert words[0] == "convscope", f"{page} shows {line!r}: not run, and no reason given"
            assert main(words[1:]) == 0, f"{line}\n{capsys.readouterr().err}"


def run_python(text: str, page: str, folder: Path) -> None:
    """Execute a block; one that begins with a file's name, as `# mine.py`, is that file."""
    if name := re.match(r"# (\w+\.py)\n", text):
        (folder / name[1]).write_text(text, encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(text, page, "exec"), {"__name__": page})


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.language in ("sh", "python") for block in blocks(page))], ids=relative
)
def test_what_a_page_shows_runs_as_it_stands(page: Path, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page):
        if block.run and block.language == "sh":
            run_commands(block.text, relative(page), capsys)
        if block.run and block.language == "python":
            run_python(block.text, relative(page), desk)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_no_block_escapes_by_having_no_language(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {"sh", "python", *SHOWN}


@pytest.mark.filterwarnings("ignore:.*is deprecated. Check CHANGES for Sphinx")  # by its own extensions
def test_the_site_builds_without_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build_main(["-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)]) == 0, (
        capsys.readouterr().err
    )
    reference = (tmp_path / "python.html").read_text(encoding="utf-8")
    missing = [name for name in convscope.__all__ if f'id="convscope.{name}"' not in reference]
    assert not missing, f"docs/python.md leaves out {missing}"


def test_links_lead_somewhere() -> None:
    for file in PAGES:
        text = file.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith(("https:", "http:")):
                continue
            path, _, anchor = target.partition("#")
            linked = file.parent / path if path else file
            assert linked.exists(), f"{file.name} links to {target}, which is not there"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, f"{file.name}: {target}"


def test_changes_that_a_page_shows_fit_the_code() -> None:
    changes = [block.text for page in PAGES for block in blocks(page) if block.language == "diff"]
    assert changes
    for change in changes:
        file, *lines = change.splitlines()
        old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
        assert old in (ROOT / file.removeprefix("# ")).read_text(encoding="utf-8"), change


@pytest.fixture(scope="module")
def generated() -> Iterator[dict[str, Any]]:
    """What docs/generate.py defines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        yield runpy.run_path(str(DOCS / "generate.py"))


def test_the_reference_of_commands_is_current(generated: dict[str, Any]) -> None:
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == generated["reference"](), "run make docs"


def test_the_drawing_of_floors_is_current(generated: dict[str, Any]) -> None:
    drawn = str(generated["draw_floors"]())
    assert (DOCS / "images/floors.svg").read_text(encoding="utf-8") == drawn, "run make docs"


def prose(file: Path) -> str:
    """The docstrings and comments of a file."""
    source = file.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join([*docstrings, *(token.string for token in tokens if token.type == tokenize.COMMENT)])


def test_every_method_cited_is_explained() -> None:
    for file in sorted(Path(str(convscope.__file__)).parent.rglob("*.py")):
        unknown = set(ID.findall(prose(file))) - HEADINGS
        assert not unknown, f"{file.name} cites {sorted(unknown)}, which docs/methods.md does not explain"


def test_the_readme_lists_every_experiment(generated: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == generated["with_experiments"](readme), "run make docs"
    assert all(f"](docs/{row.command}.md) | {row.question} |" in readme for row in TABLE.values())


def test_the_methods_of_every_experiment_are_explained_and_cited() -> None:
    for name, row in TABLE.items():
        document = inspect.getdoc(getattr(convscope, name)) or ""
        ranges = re.findall(r"\b([A-Z]+)(\d)-\1?(\d)\b", document)
        spelled = {f"{kind}{n}" for kind, first, last in ranges for n in range(int(first), int(last) + 1)}
        assert set(row.methods) <= HEADINGS
        assert set(row.methods) <= {*ID.findall(document), *spelled}, f"the docstring of {name} does not cite them"


def test_contributing_stays_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) < 60
