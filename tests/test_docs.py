"""What the documentation says can be done: its commands run, its links lead somewhere, its lists are complete."""

import ast
import contextlib
import inspect
import io
import re
import runpy
import shlex
import shutil
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import convscope
from convscope.cli import main
from convscope.experiments import TABLE

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "docs/atlas.md", "docs/view.md", "docs/training.md"]
PAGES += [f"docs/{row.command}.md" for row in TABLE.values()]
ID = re.compile(r"\b(?:G[01]|M\d+|D\d+|TB\d|T\d+|V\d|F\d+b?|A\d|P\d|I\d|N\d|E\d)\b")
HEADINGS = set(re.findall(r"^### (\w+)$", (ROOT / "docs/methods.md").read_text(encoding="utf-8"), re.MULTILINE))

SMALL = {  # what keeps a block quick in a test, and off the network
    "--per-class 100 --epochs 8": "--per-class 2 --epochs 1",
    "per_class=100, epochs=8": "per_class=2, epochs=1",
    "--architecture m5 --per-class 140 --epochs 40": "--architecture m5 --per-class 8 --test-cap 2 --epochs 2",
    "torchvision:resnet18": "py:reader_network:network",
    "torchvision:alexnet@random": "py:reader_network:network",
    "atlas zfnet128 gallery": "atlas py:reader_network:network pictures/",
    "overlap pictures/ gallery": "overlap pictures/ other/",
    "net2vec zfnet128 gallery": "net2vec zfnet128 gallery --epochs 1 --names red",
    "zfnet128 drawn ": "py:reader_network:network drawn:24 ",
    "dissect zfnet128 gallery --rotations 3": "dissect py:reader_network:network pictures/ --quantile 0.2",
    "dissect zfnet128 marked/": "dissect py:reader_network:network marked/ --quantile 0.2",
    'convscope.net2vec(net, "drawn"': 'convscope.net2vec(net, "drawn:40", epochs=2',
    'convscope.dissect(net, "drawn"': 'convscope.dissect(net, "drawn:24"',
    "redundancy zfnet128 gallery": "redundancy py:reader_network:network pictures/",
    "-o out/invert": "-o out/invert --steps 2",
    "-o out/hog": "-o out/hog --steps 2",
    "--steps 60 -o out/decoded": "--steps 1 -o out/decoded",
    "--set schedule=cosine": "--set schedule=cosine --set dense=16 --set maps=[4] --set target=16",
    "--steps 20 -o out/own": "--steps 1 -o out/own",
    "descriptors=[tiny], steps=20": "descriptors=[tiny], steps=1",
    "transfer zfnet128 pictures/": "transfer py:reader_network:network pictures/ --no-hog",
    "linear-probe zfnet128 pictures/": "linear-probe py:reader_network:network pictures/ --layers norm1",
    "-o out/maximize": "-o out/maximize --steps 2",
    "-o out/class-means": "-o out/class-means --steps 2",
    "-o out/curvature": "-o out/curvature --steps 2 --krylov 6",
    '["relu3:7", "relu5:42"], count=4)': '["conv1:3"], count=4, steps=30, krylov=8)',
    "-o out/dream": "-o out/dream --steps 1",
    "-o out/occlude": "-o out/occlude --stride 24",
    "--size 20 --stride 2": "--size 20 --stride 24",
    "size=32, stride=8": "size=32, stride=32",
    "seeds=5)": "seeds=2, steps=2)",
    "--per-class 30": "--per-class 2 --test-cap 2",
    "--epochs 40": "--epochs 2 --set side=64 --set maps=[4,4,4,4,4] --set fc=[8,8] --batch-size 2",
    "evolution out/digits digits": "evolution out/digits digits --sample 40",
    '"relu5", 42': '"relu5", 2',
    '"gallery", "out/gallery"': '"pictures/", "out/gallery", layers=["relu5"]',
    'layers=["pool5", "relu7", "HOG"], train=2, folds=2': 'layers=["relu7"], classifiers=["svm"], train=2, folds=2',
    'convscope.images("gallery")': '"pictures/"',
}
TINY = """
from convscope import Network
from convscope.models.variants import build

def network():
    architecture = {"base": "zfnet", "side": 64, "maps": (4, 4, 4, 4, 4), "fc": (8, 8), "classes": 3}
    return Network(build(architecture), (3, 64, 64), name="tiny")
"""


def blocks(page: str, language: str) -> Iterator[str]:
    """The fenced blocks of a page in order, without those whose reason not to run stands above them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in re.finditer(rf"(<!-- not run: .+? -->\n)?```{language}\n(.*?)```", text, re.DOTALL):
        if not match[1]:
            yield match[2]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the reader of the pages might have it: a few pictures in classes, and one of a cup."""
    chosen = sorted((ROOT / "convscope/assets/gallery").rglob("*.jpg"))[:15]
    for number, file in enumerate(chosen):
        folder = tmp_path / "pictures" / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
    shutil.copy(chosen[0], tmp_path / "cup.jpg")
    (tmp_path / "other").mkdir()
    shutil.copy(chosen[0], tmp_path / "other")
    (tmp_path / "reader_network.py").write_text(TINY)
    (tmp_path / "marked").mkdir()
    shutil.copy(chosen[0], tmp_path / "marked" / "1.jpg")
    (tmp_path / "marked" / "concepts.csv").write_text("image,category,concept,mask\n1.jpg,scene,street,\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small(text: str) -> str:
    for shown, quick in SMALL.items():
        text = text.replace(shown, quick)
    return text


@pytest.mark.parametrize("page", PAGES)
def test_commands_run(page: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page, "sh"):
        for line in small(block).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                assert words[0] == "convscope", f"{page} shows {line!r}: not run, and no reason given"
                assert main(words[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    for block in blocks(page, "python"):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(small(block), page, "exec"), {})


def test_links_lead_somewhere() -> None:
    for file in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
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


def test_the_reference_of_commands_is_current() -> None:
    written = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    assert written == runpy.run_path(str(ROOT / "docs/generate.py"))["reference"](), "run make docs"


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


def test_the_readme_lists_every_experiment() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == runpy.run_path(str(ROOT / "docs/generate.py"))["with_experiments"](readme), "run make docs"
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
