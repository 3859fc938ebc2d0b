import json
from pathlib import Path

import pytest

from convscope.disk import bounded_json
from convscope.disk.bounded_json import DEPTH, read_json


def read(tmp_path: Path, text: str) -> object:
    (tmp_path / "a.json").write_text(text)
    return read_json(tmp_path / "a.json")


def test_what_is_ours_is_read(tmp_path: Path) -> None:
    value = {"rows": [{"a": 1, "ü": [None, 2.5, {"b": []}]}] * 1000}
    assert read(tmp_path, json.dumps(value)) == value
    assert read(tmp_path, "3") == 3


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [DEPTH + 1, 900, 100_000])
def test_depth_is_bounded(tmp_path: Path, opening: str, depth: int) -> None:
    text = opening * depth + "1" + {"[": "]"}.get(opening, "}") * depth
    with pytest.raises(ValueError, match=f"nested more than {DEPTH} deep"):
        read(tmp_path, text)
    text = opening * DEPTH + "1" + {"[": "]"}.get(opening, "}") * DEPTH
    read(tmp_path, text)


def test_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_json, "SIZE", 2**20)
    assert read(tmp_path, "0" + " " * (2**20 - 1)) == 0
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        read(tmp_path, "0" + " " * 2**20)


def test_other_text_is_a_value_error(tmp_path: Path) -> None:
    for text in ("", "{", "\x00", '{"a": ' + "9" * 5000 + "}"):
        with pytest.raises(ValueError, match=r"."):
            read(tmp_path, text)
