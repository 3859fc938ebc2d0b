"""docs/results.md says what the result files say, all of them; what is missing in one of them is not passed over."""

import importlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope.errors import DataError

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CLAIMS = [f"C{n}" for n in range(1, 29)]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        yield importlib.import_module("results")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The result files, to be altered."""
    wanted = shutil.ignore_patterns("*.png", "*.jpg", "*.npz", "*.safetensors")
    return Path(shutil.copytree(DOCS / "results", tmp_path / "results", ignore=wanted))


def altered(file: Path, change: Any) -> None:
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


def test_the_page_is_what_the_result_files_say(script: ModuleType, tmp_path: Path, copy: Path) -> None:
    assert (DOCS / "results.md").read_text(encoding="utf-8") == script.page(copy), "run make results"


def test_it_links_to_every_folder_that_was_read(script: ModuleType) -> None:
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^- \[([\w-]+)\]\(results/\1/README\.md\)$", text, re.MULTILINE))
    made = {file.parent.name for file in (DOCS / "results").glob("*/run.json")}
    assert listed == made
    for folder in made:
        assert (DOCS / "results" / folder / "README.md").is_file()


def test_every_claim_and_every_table_has_its_rows(script: ModuleType) -> None:
    assert list(script.CLAIMS) == CLAIMS
    assert {row.claim for row in script.ROWS} - {""} == set(CLAIMS)
    sections = [id for group in script.SECTIONS.values() for id in group]
    assert len(sections) == len(set(sections))
    assert {row.id for row in script.ROWS} == set(sections) >= {f"TB{n}" for n in range(1, 8)}
    assert all(row.run is None or row.run in script.RUNS for row in script.ROWS)
    assert all(row.rule for row in script.ROWS if row.claim)


def test_a_number_that_changes_changes_the_page_and_its_verdict(script: ModuleType, copy: Path) -> None:
    def louder(record: dict[str, Any]) -> None:
        for row in record["rows"]:
            if row["location"] == "nose" and row["layer"] == "pool5":
                row["value"] = 0.9

    altered(copy / "correspondence/result.json", louder)
    line = next(line for line in script.page(copy).splitlines() if line.startswith("| At layer 5"))
    assert "0.900" in line
    assert line.endswith("| **does not hold** |")


def test_a_run_that_is_not_there_is_shown_with_its_command(script: ModuleType, copy: Path) -> None:
    shutil.rmtree(copy / "correspondence")
    text = script.page(copy)
    assert "- Not run: correspondence, by `sh docs/results/correspondence/commands.sh`." in text
    assert "| nose | 0.079 ± 0.017, 0.069 ± 0.011 | not run |" in text


@pytest.mark.parametrize("key", ["value", "std", "location"])
def test_a_key_that_is_missing_is_named(script: ModuleType, copy: Path, key: str) -> None:
    altered(copy / "correspondence/result.json", lambda record: [row.pop(key, None) for row in record["rows"]])
    with pytest.raises(DataError, match=rf"correspondence/result\.json.*{key}"):
        script.page(copy)


def test_rows_that_are_missing_are_named(script: ModuleType, copy: Path) -> None:
    altered(copy / "correspondence/result.json", lambda record: record.update(rows=record["rows"][:3]))
    with pytest.raises(DataError, match=r"correspondence/result\.json: no row with location='random'"):
        script.page(copy)


def test_two_files_that_disagree_are_named(script: ModuleType, copy: Path) -> None:
    altered(copy / "transfer/hog/result.json", lambda record: record["rows"][0].update(value=1.0))
    with pytest.raises(DataError, match=r"transfer/curve/result\.json.*transfer/hog/result\.json.*expected one number"):
        script.page(copy)


def test_a_run_must_say_on_what_it_was_made(script: ModuleType, copy: Path) -> None:
    altered(copy / "student/run.json", lambda said: said.pop("date"))
    with pytest.raises(DataError, match=r"student/run\.json does not say date"):
        script.page(copy)
    (copy / "student/run.json").unlink()
    with pytest.raises(DataError, match=r"student/run\.json: not there"):
        script.page(copy)


WORDS = ("holds", "does not hold", "undecided", "not run")


@given(st.lists(st.sampled_from(WORDS), min_size=1))
def test_a_claim_holds_only_when_all_its_findings_do(script: ModuleType, words: list[str]) -> None:
    found = script.together(words)
    assert (found == "holds") == (set(words) == {"holds"})
    assert (found == "does not hold") == ("does not hold" in words)
    assert (found == "not run") == (set(words) == {"not run"})
