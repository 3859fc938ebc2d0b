"""A file imports only from floors below its own, or from what stands left of it in its own package."""

import ast
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

import convscope

ROOT = Path(str(convscope.__file__)).parent

FLOORS: dict[str, tuple[int, str]] = {  # package: (floor, its modules from left to right; a room's stand together)
    "errors": (0, ""),
    "declarations": (0, ""),
    "progress": (0, ""),
    "parameters": (0, ""),
    "printable": (0, ""),
    "pictures": (1, ""),
    "device": (1, ""),
    "failures": (1, ""),
    "user_code": (1, ""),
    "disk": (1, "paths bounded_json atomic output_folder scratch_dirs cache results"),
    "data": (
        2,
        """preprocess warp encodings
        drawn.materials drawn.canvas drawn.objects drawn.scenes
        standard_datasets dataset_items picture_set folders picture_names tables part_boxes labels exclusions
        sources batches concepts class_means splits overlap content_hashes""",
    ),
    "probe": (
        2,
        """trace.address trace.graph trace.geometry trace.record
        rectify
        windows.window_ops windows.cones windows.changed_boxes windows.incremental windows.occluder_grid
        projection
        optimize.smooth_rectifiers optimize.priors optimize.picture_stats optimize.parameterizations optimize.ascent
        optimize.inversion optimize.sphere_curvature
        filters.filters filters.spectrum filters.first_layer_checks filters.filter_similarity
        concepts.upsample concepts.concept_weights concepts.streaming_quantile
        descriptors.hog descriptors.descriptors""",
    ),
    "models": (
        3,
        """zfnet alexnet student variants weight_files network occluder vgg16 catalog targets snapshots upconvnet""",
    ),
    "atlases": (
        4,
        """channel_statistics scan concept_batches activation_masks store checkpoints table_builder build
        figure2_measures figure2_sample""",
    ),
    "training": (
        4,
        """recipe selection crop_dataset data_module weight_transfer evaluate published significance
        class_subset_accuracy run_folder module callbacks lightning_trainer decoders train linear feature_store
        cross_validation from_scratch average_precision""",
    ),
    "experiments": (5, ""),  # strangers to one another
    "figures": (
        6,
        """svg schematic_file architecture ascent switch schematics grid ablate evolution invariance correspondence
        filters activations diagnose redundancy linear_probe transfer maximize invert curvature dissect net2vec
        occlude overlap paper project""",
    ),
    "runner": (6, ""),
    "web": (
        7,
        """contexts.experiments contexts.atlas
        urls
        drawing.sprite_sheet drawing.svg_charts drawing.tile_svg
        results_index byte_cache security allowed_inputs viewed_pictures lens
        pages.atlas pages.experiments pages.atlas_images pages.picture
        site forms jobs
        routes.atlas routes.picture routes.experiments
        app serve""",
    ),
    "demo": (8, ""),
    "commands": (9, "shared atlases inspect training experiments"),
    "cli": (10, ""),
}
ROWS = {package: row.split() for package, (_, row) in FLOORS.items()}

FILES = sorted(file.relative_to(ROOT).as_posix() for file in ROOT.rglob("*.py"))


def place(module: str) -> tuple[str, str]:
    """Return (package, module in it) of a dotted name: "probe.trace.graph" gives ("probe", "trace.graph")."""
    package, _, name = module.partition(".")
    return package, name


def may_import(importer: str, imported: str) -> bool:
    (package, name), (other, other_name) = place(importer), place(imported)
    if package != other:
        return FLOORS[other][0] < FLOORS[package][0]
    row = ROWS[package]
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
        if package in ("__init__", "experiments") or name.split(".")[-1] == "__init__":
            continue
        assert package in FLOORS, f"{file} stands on no floor: add it to FLOORS"
        assert not name or name in ROWS[package], f"{file} has no place in the row of {package}"


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_stand_together(package: str) -> None:
    """Modules of one folder are neighbours in their row, so no two rooms of a package can import each other."""
    rooms = [name.partition(".")[0] for name in ROWS[package]]
    assert len(list(groupby(rooms))) == len(set(rooms))


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
        ("data.sources", "probe.trace.address", False),
        ("probe.projection", "probe.trace.address", True),
        ("probe.trace.address", "probe.projection", False),
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
