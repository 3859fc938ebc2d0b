"""Results of experiments in a report: found where they lie, shown as they are, every file beside its page."""

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from convscope.atlases.store import Atlas, open_atlas
from convscope.disk import results
from convscope.web.results_index import FOLDER, Notebook, table
from convscope.web.site import report
from tests.web.reading import Reader, assert_sound, read

NASTY = "<script>alert('é')</script>"


class Figure:
    def savefig(self, fname: Any, *, format: str) -> None:
        Image.new("RGB", (40, 30), "grey").save(fname, format)


def note(folder: Path, experiment: str = "project", **changes: Any) -> Path:
    """A result in `folder`."""
    usual: dict[str, Any] = {
        "network": {"name": "tiny"},
        "rows": [{"unit": "relu2:7@1,2", "value": 0.25}],
        "settings": {"pictures": ["a/b/dog.jpg"], "units": ["relu2:7"], "rule": "guided", "start": "activation"},
    }
    made = results.Result(experiment, **(usual | changes))
    return results.write(folder, made, arrays={"a": np.zeros((2, 3, 4))}, figure=Figure())


@pytest.fixture(scope="module")
def asked(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of an atlas with results in it, some of them odd."""
    folder = tmp_path_factory.mktemp("asked")
    shutil.copytree(atlas.path, folder / "atlas")
    kept = folder / "atlas" / FOLDER
    note(kept / "project")
    rows = [{"layer": "relu2", "channel": c, "name": NASTY, "rms": c / 3, "n": 1234567} for c in range(72)] * 3
    note(kept / "activations" / NASTY.replace("/", "|"), "activations", rows=rows, tier=0, warnings=[NASTY])
    published = [results.against(0.5, 0.25) | {"dead": None, "fine": True}]
    note(kept / "activations" / "10", "activations", rows=published, tier=2)
    note(kept / "activations" / "9", "activations", rows=[])
    note(kept / "elsewhere", "no_such_experiment")
    (kept / "broken").mkdir()
    (kept / "broken" / "result.json").write_text("{")
    return report(open_atlas(folder / "atlas"), folder / "report").parent


def page(asked: Path, name: str) -> Reader:
    return assert_sound((asked / name).read_text(encoding="utf-8"))


def test_every_result_has_its_place_and_every_link_leads_somewhere(asked: Path) -> None:
    assert {file.name for file in (asked / "experiments").iterdir()} == {
        "index.html", "project.html", "activations.html",
    }  # fmt: skip
    for name in ("index.html", "experiments/index.html", "experiments/activations.html", "layers/relu2/7.html"):
        file = asked / name
        for _, attributes in page(asked, name).elements:
            for key in ("href", "src"):
                if key in attributes:
                    parts = urlsplit(attributes[key])
                    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
                    assert target.is_file(), f"{name} leads to {attributes[key]}"
                    if parts.fragment:
                        there = read(target.read_text(encoding="utf-8"))
                        assert parts.fragment in {found["id"] for _, found in there.elements if "id" in found}
    assert len([*(asked / "results").iterdir()]) == 4


def test_a_result_says_what_was_asked_and_what_it_is_worth(asked: Path) -> None:
    found = page(asked, "experiments/project.html")
    assert "What in this picture excited this unit?" in found.text
    assert "b/dog.jpg, relu2:7; rule guided" in found.text
    assert "not a reproduction" in found.text
    assert "result.json" in found.text
    [figure] = found.all("img")
    assert figure["alt"].startswith("Figure of the experiment project on b/dog.jpg, relu2:7; rule guided: What in")


def test_tables_are_cut_and_published_numbers_stand_out(asked: Path) -> None:
    found = page(asked, "experiments/activations.html")
    assert "The first 200 of 216 rows" in found.text
    assert "1,234,567" in found.text
    assert [cell["class"] for cell in found.all("th") if cell.get("class") == "published"] == ["published"] * 2
    assert "Random weights or drawn pictures." in found.text
    assert NASTY in found.text  # as text: assert_sound has seen no script
    titles = [a["href"] for a in found.all("a") if a.get("href", "").startswith("#act")]
    assert titles[:2] == ["#activations~2f9", "#activations~2f10"]


def test_a_map_shows_the_results_about_it(asked: Path) -> None:
    found = page(asked, "layers/relu2/7.html")
    assert "In experiments" in found.text
    assert "3 rows, the first" in found.text
    assert "In experiments" not in page(asked, "layers/relu1/0.html").text


def test_the_same_results_give_the_same_report(asked: Path, tmp_path: Path) -> None:
    again = report(asked.parent / "atlas", tmp_path / "again").parent
    files = [path.relative_to(asked) for path in asked.rglob("*") if path.is_file()]
    assert files
    assert all((asked / file).read_bytes() == (again / file).read_bytes() for file in files)


def test_a_report_without_results_has_no_such_page(site: Path) -> None:
    assert not (site / "experiments").exists()
    assert "Experiments" not in read((site / "index.html").read_text(encoding="utf-8")).text


def test_a_notebook_is_read_again_when_it_changes(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / "kept", tmp_path / "passing", again=0)
    assert notebook.version == 0
    note(tmp_path / "kept" / "one")
    note(tmp_path / "passing" / "two")
    assert [(found.key, found.kept) for found in notebook.findings("project")] == [
        ("one", True), ("unsaved:two", False),
    ]  # fmt: skip
    version = notebook.version
    assert notebook.version == version
    assert [mention.rows for mention in notebook.about("relu2", 7)] == [1, 1]
    shutil.rmtree(tmp_path / "kept" / "one")
    assert notebook.version == version + 1


def test_a_table_has_the_columns_of_all_rows() -> None:
    found = table([{"a": 1}, {"b": "x", "a": None}], shown=1)
    assert found.columns == ("a", "b")
    assert found.rows == ((1, None),)
    assert found.numeric == (True, False)
    assert found.total == 2
