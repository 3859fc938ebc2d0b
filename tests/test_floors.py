"""A file imports only from floors below its own, or from what stands left of it in its own package."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import convscope

ROOT = Path(str(convscope.__file__)).parent

FLOORS: dict[str, tuple[int, list[str]]] = {  # package: (floor, its files from left to right)
    "": (
        0,
        ["errors", "cache", "progress", "files", "leftovers", "device", "pictures", "results", "parameters", "own"],
    ),
    "data": (
        1,
        [
            "preprocess",
            "warp",
            "parts",
            "paints",
            "canvas",
            "things",
            "drawn",
            "protocols",
            "collection",
            "sources",
            "batches",
            "concepts",
            "means",
            "splits",
            "overlap",
            "contents",
        ],
    ),
    "probe": (
        1,
        [
            "address",
            "record",
            "graph",
            "geometry",
            "rectify",
            "smooth",
            "local",
            "windows",
            "reverse",
            "boxes",
            "incremental",
            "occluders",
            "filters",
            "spectrum",
            "priors",
            "hog",
            "looks",
            "paint",
            "ascent",
            "inversion",
            "descriptors",
            "sphere",
            "lint",
            "likeness",
            "tail",
            "upsample",
            "combine",
        ],
    ),
    "models": (
        2,
        [
            "zfnet",
            "alexnet",
            "student",
            "variants",
            "stored",
            "network",
            "occluder",
            "vgg16",
            "catalog",
            "targets",
            "snapshots",
            "upconvnet",
        ],
    ),
    "atlases": (
        3,
        ["tally", "scan", "slides", "imprints", "store", "checkpoints", "tables", "build", "proxies", "sample"],
    ),
    "training": (
        3,
        [
            "recipe",
            "choose",
            "squares",
            "feed",
            "weights",
            "evaluate",
            "published",
            "compare",
            "readings",
            "module",
            "callbacks",
            "fit",
            "decoders",
            "run",
            "linear",
            "features",
            "folds",
            "scratch",
            "precision",
        ],
    ),
    "experiments": (4, []),  # strangers to one another
    "figures": (
        5,
        [
            "svg",
            "schematic",
            "architecture",
            "ascent",
            "switch",
            "schematics",
            "grid",
            "ablate",
            "evolution",
            "invariance",
            "correspondence",
            "filters",
            "activations",
            "diagnose",
            "redundancy",
            "linear_probe",
            "transfer",
            "maximize",
            "invert",
            "curvature",
            "dissect",
            "net2vec",
            "occlude",
            "overlap",
            "paper",
            "project",
        ],
    ),
    "perform": (6, []),
    "web": (
        7,
        [
            "contexts_experiments",
            "contexts",
            "urls",
            "sprites",
            "drawings",
            "tiles",
            "notebook",
            "pages",
            "pages_experiments",
            "plates",
            "site",
            "shelf",
            "guard",
            "offers",
            "slides",
            "live",
            "pages_live",
            "forms",
            "jobs",
            "routes_atlas",
            "routes_picture",
            "routes_experiments",
            "app",
            "serve",
        ],
    ),
    "demo": (8, []),
    "commands": (9, ["shared", "atlases", "looking", "training", "experiments"]),
    "cli": (10, []),
}

FILES = sorted(file.relative_to(ROOT).as_posix() for file in ROOT.rglob("*.py"))


def place(module: str) -> tuple[str, str]:
    """(package, file) of a dotted name below `convscope`: "data.sources" → ("data", "sources")."""
    package, _, name = module.partition(".")
    return (package, name) if package in FLOORS else ("", package)


def may_import(importer: str, imported: str) -> bool:
    (package, name), (other, other_name) = place(importer), place(imported)
    (floor, row), (below, _) = FLOORS[package], FLOORS[other]
    if package != other:
        return below < floor
    if not other_name or name == other_name:
        return False
    return name in row and other_name in row and row.index(other_name) < row.index(name)


def imports(source: str) -> Iterator[str]:
    """Every `convscope` module a file imports, wherever in it: functions and TYPE_CHECKING blocks count."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floor they come from"
            base = str(node.module)
            beneath = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if is_module(name) else base for name in beneath]
        else:
            continue
        yield from (name.removeprefix("convscope.") for name in names if name.split(".")[0] == "convscope")


def is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_every_file_has_its_place() -> None:
    for file in FILES:
        package, name = place(file.removesuffix(".py").replace("/", "."))
        known = [*FLOORS[package][1], "__init__"] if package != "experiments" else [name]
        assert package in ("perform", "demo", "cli") or name in known, (
            f"{file} stands on no floor: give it a place in FLOORS"
        )


@pytest.mark.parametrize("file", [file for file in FILES if file != "__init__.py"])
def test_imports_go_down_or_left(file: str) -> None:
    importer = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    wrong = [name for name in imports((ROOT / file).read_text(encoding="utf-8")) if not may_import(importer, name)]
    assert not wrong, f"{file} may not import {', '.join(wrong)}"


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("cli", "web.site", True),
        ("data.sources", "errors", True),
        ("data.sources", "probe.address", False),
        ("probe.reverse", "probe.address", True),
        ("probe.address", "probe.reverse", False),
        ("experiments.project", "experiments", False),
        ("experiments.project", "models.network", True),
        ("models.network", "experiments.project", False),
        ("pictures", "errors", True),
        ("errors", "pictures", False),
        ("errors", "data.sources", False),
    ],
)
def test_the_rule_itself(importer: str, imported: str, allowed: bool) -> None:
    assert may_import(importer, imported) is allowed


def test_lazy_imports_are_seen() -> None:
    source = "def f():\n    from convscope.web import site\n    import convscope.cli, os\n"
    assert list(imports(source)) == ["web.site", "cli"]
