import json
from pathlib import Path

import numpy as np
import pytest

from convscope.disk import results
from convscope.disk.results import Result
from convscope.errors import DataError


def visible(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))


class Drawing:
    def savefig(self, fname: Path, *, format: str) -> None:
        Path(fname).write_bytes(f"a {format}".encode())


class FullDisk(Drawing):
    def savefig(self, fname: Path, *, format: str) -> None:
        raise OSError(28, "No space left on device")


def result(**changes: object) -> Result:
    return Result(**{"experiment": "project", "network": {"name": "tiny"}, "rows": [{"value": 1.5}], **changes})  # type: ignore[arg-type]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    arrays = {"pixels": np.arange(6.0).reshape(2, 3)}
    results.write(tmp_path / "deep" / "out", result(seed=3), arrays=arrays, figure=Drawing())
    assert results.read(tmp_path / "deep" / "out") == result(seed=3, warnings=[])
    with np.load(tmp_path / "deep" / "out" / "arrays.npz") as stored:
        np.testing.assert_array_equal(stored["pixels"], arrays["pixels"])
    assert visible(tmp_path / "deep" / "out") == ["arrays.npz", "figure.png", "result.json"]


def test_the_schema_is_exactly_this(tmp_path: Path) -> None:
    record = json.loads((results.write(tmp_path, result()) / "result.json").read_text())
    assert {key: type(value).__name__ for key, value in record.items()} == {
        "experiment": "str",
        "network": "dict",
        "rows": "list",
        "data": "dict",
        "settings": "dict",
        "seed": "int",
        "device": "str",
        "tier": "int",
        "warnings": "list",
        "convscope": "str",
    }


def test_array_scalars_become_numbers_and_not_finite_ones_null(tmp_path: Path) -> None:
    rows = [{"value": np.float32(0.5), "image": np.int64(7), "ratio": float("nan"), "path": Path("a/b.png")}]
    results.write(tmp_path, result(rows=rows))
    assert results.read(tmp_path).rows == [{"value": 0.5, "image": 7, "ratio": None, "path": "a/b.png"}]


def test_a_new_result_replaces_the_old_one_as_a_whole(tmp_path: Path) -> None:
    results.write(tmp_path, result(), arrays={"a": np.zeros(1)}, figure=Drawing(), tables={"rows.csv": [{"a": 1}]})
    assert (tmp_path / "rows.csv").read_text() == "a\n1\n"
    (tmp_path / "mine.txt").write_text("kept")
    results.write(tmp_path, result(seed=1))
    assert visible(tmp_path) == ["mine.txt", "result.json"]


@pytest.mark.parametrize(
    ("experiment", "files"),
    [
        ("project", {"result.json", "figure.png", "arrays.npz"}),
        ("overlap", {"result.json", "figure.png", "overlap.csv"}),
        ("evaluate", {"result.json"}),
    ],
)
def test_of_a_result_without_a_record_only_its_own_files_are_replaced(
    tmp_path: Path, experiment: str, files: set[str]
) -> None:
    results.write(tmp_path / "made", result(experiment=experiment))
    there = {"result.json", "figure.png", "arrays.npz", "overlap.csv", "mine.txt"}
    for name in there:
        (tmp_path / name).write_text((tmp_path / "made" / "result.json").read_text() if name == "result.json" else name)
    results.write(tmp_path, result(seed=5))
    assert set(visible(tmp_path)) == there - files | {"result.json", "made"}
    assert results.read(tmp_path).seed == 5


def test_what_a_killed_writer_left_goes_with_the_next_result(tmp_path: Path) -> None:
    results.write(tmp_path, result())
    (tmp_path / ".convscope" / "staged").mkdir()
    (tmp_path / ".convscope" / "staged" / "arrays.npz").write_bytes(b"half")
    results.write(tmp_path, result())
    assert visible(tmp_path) == ["result.json"]
    assert [file.name for file in (tmp_path / ".convscope").iterdir()] == ["record.json"]


def test_a_full_disk_leaves_the_old_result(tmp_path: Path) -> None:
    results.write(tmp_path, result(seed=1), figure=Drawing())
    with pytest.raises(OSError, match="No space left"):
        results.write(tmp_path, result(seed=2), figure=FullDisk())
    assert results.read(tmp_path).seed == 1
    assert visible(tmp_path) == ["figure.png", "result.json"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [([{"value": [1, 2]}], "row 0 is not flat: value"), ([{}, {"reference": 1.0}], "row 1 has one of")],
)
def test_rows_are_flat_and_references_come_with_deltas(tmp_path: Path, rows: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        results.write(tmp_path, result(rows=rows))


def test_published_numbers_come_with_their_difference() -> None:
    assert results.against(40.0, 38.0) == {"value": 40.0, "reference": 38.0, "delta": 2.0}
    assert results.against(40.0, None) == {"value": 40.0}


def test_a_folder_without_a_result_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no readable"):
        results.read(tmp_path)
    (tmp_path / "result.json").write_text('{"experiment": "project"}')
    with pytest.raises(DataError, match="expected the keys"):
        results.read(tmp_path)


def test_results_are_collected_in_order_without_what_cannot_be_read(tmp_path: Path) -> None:
    for number, name in enumerate([".", "occlude/10", "occlude/9", "occlude", "a b/x2y", "a b/x10y", "occlude/.job-1"]):
        results.write(tmp_path / name, result(seed=number))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{")
    found = [path.relative_to(tmp_path).as_posix() for path, _ in results.collected(tmp_path)]
    assert found == [".", "a b/x2y", "a b/x10y", "occlude", "occlude/9", "occlude/10"]
    assert [one.seed for _, one in results.collected(tmp_path)] == [0, 4, 5, 3, 2, 1]
    assert not [*results.collected(tmp_path / "none")]


def test_rows_become_a_table(tmp_path: Path) -> None:
    file = results.write_csv(tmp_path / "rows.csv", [{"path": "a, b.png", "ncc": np.float32(0.5)}])
    assert file.read_text() == 'path,ncc\n"a, b.png",0.5\n'
    assert results.write_csv(tmp_path / "none.csv", []).read_text().strip() == ""
