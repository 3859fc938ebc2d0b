import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convscope.atlases.channel_statistics import Leaders, Statistics, Tally, unkey
from convscope.atlases.checkpoints import Known, Spans


def known(unit: int) -> Known:
    """What a unit of four pictures might leave; the third unit has none that can be read."""
    if unit == 2:
        return Known({}, {8: "gone", 9: "gone", 10: "gone", 11: "gone"})
    tallies = {}
    for layer in ("a", "b.c/d"):
        values = torch.randn(4, 3, generator=torch.Generator().manual_seed(unit))
        places, images = torch.arange(12).view(4, 3), torch.arange(4 * unit, 4 * unit + 4)
        tallies[layer] = Tally(Leaders.of(values, places, images, 5), Statistics.of(values, places, (3, 4)))
    return Known(
        tallies, {4 * unit + 1: "broken"} if unit % 3 else {}, {k: 7 * k for k in range(4 * unit, 4 * unit + 4)}
    )


def expected(folder: Path, count: int) -> bytes:
    folder.mkdir()
    spans = Spans(folder, count)
    for unit in range(count):
        spans.add(unit, known(unit), range(count))
    return spans.total().data()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_neither_order_nor_shards_nor_restarts_change_a_bit(tmp_path: Path, data: st.DataObject) -> None:
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    count = data.draw(st.integers(1, 13))
    folder = tmp_path / "there"
    folder.mkdir()
    cut = data.draw(st.integers(0, count))
    shards = [range(cut), range(cut, count)]
    for unit in data.draw(st.permutations(range(count))):
        Spans(folder, count).add(unit, known(unit), shards[unit >= cut])
    assert Spans(folder, count).total().data() == expected(tmp_path / "expected", count)


def test_what_is_on_disk_grows_like_the_digits_of_a_number(tmp_path: Path) -> None:
    spans = Spans(tmp_path, 13)
    for unit in range(13):
        assert spans.missing(range(13)) == list(range(unit, 13))
        spans.add(unit, known(unit), range(13))
        assert len(list(tmp_path.iterdir())) == (unit + 1).bit_count()


def test_halves_that_a_kill_left_beside_the_whole_do_not_count_twice(tmp_path: Path) -> None:
    whole = expected(tmp_path / "expected", 4)
    folder = tmp_path / "there"
    folder.mkdir()
    spans = Spans(folder, 4)
    spans.add(0, known(0), range(4))
    shutil.copytree(folder, tmp_path / "kept")
    spans.add(1, known(1), range(4))
    shutil.copytree(tmp_path / "kept", folder, dirs_exist_ok=True)
    assert len(list(folder.iterdir())) == 2
    spans = Spans(folder, 4)
    assert len(list(folder.iterdir())) == 1
    assert spans.missing(range(4)) == [2, 3]
    for unit in (3, 2):
        spans.add(unit, known(unit), range(4))
    assert spans.total().data() == whole


def test_a_file_holds_all_that_was_known(tmp_path: Path) -> None:
    (tmp_path / "known").write_bytes(known(1).data())
    found, original = Known.read(tmp_path / "known"), known(1)
    assert found.skipped == original.skipped
    assert found.checksums == original.checksums
    assert list(found.tallies) == list(original.tallies)
    for name, tensor in original.tallies["b.c/d"].tensors().items():
        assert torch.equal(found.tallies["b.c/d"].tensors()[name], tensor)


def test_nothing_read_at_all_is_nothing_known(tmp_path: Path) -> None:
    spans = Spans(tmp_path, 1)
    spans.add(0, known(2), range(1))
    assert spans.total() == known(2)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans(tmp_path, 4)
    spans.add(0, known(0), range(4))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("convscope.disk.atomic.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        spans.add(1, known(1), range(4))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_only_the_checksums_of_leaders_are_kept(tmp_path: Path) -> None:
    spans = Spans(tmp_path, 13)
    for unit in range(13):
        spans.add(unit, known(unit), range(13))
    total = spans.total()
    leaders = {int(image) for tally in total.tallies.values() for image in unkey(tally.leaders.keys)[1].flatten()}
    assert total.checksums == {image: 7 * image for image in leaders}
    assert len(leaders) < 48


@pytest.mark.parametrize("damage", ["cut", "zeros", "a bit", "empty", "words"])
@pytest.mark.parametrize("which", range(3))
def test_a_damaged_file_is_dropped_with_a_word_and_its_units_are_missing(
    tmp_path: Path, damage: str, which: int
) -> None:
    whole = expected(tmp_path / "expected", 7)  # 4 + 2 + 1
    file = sorted((tmp_path / "expected").iterdir())[which]
    data = bytearray(file.read_bytes())
    if damage == "a bit":
        data[len(data) // 2] ^= 4
    elif damage == "zeros":
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    else:
        data = {"cut": data[: len(data) // 2], "empty": bytearray(), "words": bytearray(b"words" * 99)}[damage]
    file.write_bytes(data)
    with pytest.warns(UserWarning, match=rf"^{file} is damaged: [^\n]+; it is made anew$"):
        spans = Spans(file.parent, 7)
    assert spans.missing(range(7)) == [[0, 1, 2, 3], [4, 5], [6]][which]
    for unit in spans.missing(range(7)):
        spans.add(unit, known(unit), range(7))
    assert spans.total().data() == whole
