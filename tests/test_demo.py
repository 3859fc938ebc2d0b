"""What is in demo/atlas already: made anew only where it is of the bundled pictures, by another version."""

import json
from pathlib import Path
from typing import Any

import pytest

from convscope import demo as module
from convscope.data.sources import images
from convscope.demo import demo
from convscope.disk.output_folder import HIDDEN
from convscope.errors import AtlasError

MADE = {"format": 0, "spec": "zfnet128", "fingerprint": images("gallery").fingerprint(), "convscope": "0.0.1"}
TABLES = ("top.parquet", "channels.parquet", "pictures.parquet")


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An atlas by another version, with an experiment and notes; no work is done after it."""
    folder = tmp_path / "demo" / "atlas"
    (folder / "experiments" / "occlude").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "experiments" / "occlude" / "figure.png").write_text("mine")
    for name in TABLES:
        (folder / name).write_text("old")
    (folder / HIDDEN).mkdir()
    files = {name: [] for name in ("atlas.json", *TABLES)}  # type: ignore[var-annotated]
    (folder / HIDDEN / "record.json").write_text(json.dumps({"kind": "an atlas", "files": files, "key": {}}))

    def atlas(network: object, pictures: object, out: Path) -> None:
        if (out / "atlas.json").exists():
            raise AtlasError("an atlas of something else")

    monkeypatch.setattr(module, "SHOWN", {})
    monkeypatch.setattr("convscope.atlases.build.atlas", atlas)
    monkeypatch.setattr("convscope.training.train.train", lambda *_, **__: None)
    monkeypatch.setattr("convscope.web.site.report", lambda *_: None)
    return folder


def names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_the_bundled_atlas_of_another_version_gives_way_and_nothing_else_does(old: Path) -> None:
    (old / "atlas.json").write_text(json.dumps(MADE))
    before = names(old)
    demo(old.parent)
    assert names(old) == before - {"atlas.json"}


@pytest.mark.parametrize("change", [{"fingerprint": "9-of my own"}, {"spec": "py:mine:network"}, {"spec": None}])
def test_any_other_atlas_stays_and_the_error_is_passed_on(old: Path, change: dict[str, Any]) -> None:
    (old / "atlas.json").write_text(json.dumps(MADE | change))
    before = names(old)
    with pytest.raises(AtlasError, match="of something else"):
        demo(old.parent)
    assert names(old) == before
