"""Parts that are made once, and never seen half made."""

from pathlib import Path

import numpy as np
import pytest

from convscope.disk.cache import Cache
from convscope.errors import DataError


def test_a_part_is_made_once_and_read_after(tmp_path: Path) -> None:
    calls: list[int] = []

    def make() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"features": np.arange(6.0).reshape(2, 3), "names": np.array(["a", "ü"])}

    for _ in range(2):
        found = Cache(tmp_path / "cache").arrays("features", {"network": "n", "crops": [1, 2]}, make)
        np.testing.assert_array_equal(found["features"], [[0, 1, 2], [3, 4, 5]])
        assert found["names"].tolist() == ["a", "ü"]
    assert calls == [1]


def test_another_key_is_another_part(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for seed in (0, 1):
        cache.arrays("x", {"seed": seed}, lambda seed=seed: {"x": np.array(seed)})  # type: ignore[misc]
    assert int(cache.arrays("x", {"seed": 1}, dict)["x"]) == 1
    assert cache.place("x", {"a": 1, "b": 2}) == cache.place("x", {"b": 2, "a": 1})
    assert cache.place("x", {"a": 1}) != cache.place("y", {"a": 1})


def test_what_an_interruption_leaves_is_found_again_but_never_taken_for_finished(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    seen: list[bool] = []

    def make(folder: Path) -> None:
        seen.append((folder / "half").exists())
        (folder / "half").write_text("done")
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.part("training", {}, make)
    assert not cache.place("training", {}).exists()
    assert (cache.part("training", {}, make) / "half").read_text() == "done"
    assert seen == [False, True]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        Cache(tmp_path / "file").part("x", {}, lambda folder: None)
