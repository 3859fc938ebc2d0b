import json
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convscope.atlases.build import atlas
from convscope.atlases.store import MANIFEST, PICTURES, TOP, Atlas, Info, open_atlas, put_table, tile_box, tile_size
from convscope.errors import AtlasError, LayerError, UnitError
from convscope.models.network import Layer
from convscope.probe.trace.geometry import ReceptiveField
from tests.atlases.tiny_network import Noise, tiny


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return atlas(tiny(), Noise(12), tmp_path_factory.mktemp("store") / "atlas", ["relu1", "relu2"])


def layer(size: int, jump: int, start: int, side: int = 8) -> Layer:
    field = ReceptiveField((size, size), (jump, jump), (start, start))
    return Layer("layer", "Conv2d", 4, side, side, 0, field, False)


def test_one_entry_costs_one_small_read(made: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    original = pq.ParquetFile.read_row_group

    def watched(self: pq.ParquetFile, group: int) -> pa.Table:
        found = original(self, group)
        read.append(found)
        return found

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    assert len(made["relu2", 17]) == 9
    assert len(read) == 1
    assert set(read[0]["channel"].to_pylist()) == {16, 17, 18, 19}


def test_a_folder_without_an_atlas_is_named(tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match=r"is no atlas: there is no atlas.json in it"):
        open_atlas(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}', '{"format": 1, "layers": 3}', "\x00"])
def test_a_broken_description_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(AtlasError, match=r"atlas.json"):
        open_atlas(tmp_path)


def test_an_atlas_of_another_format_is_named(tmp_path: Path, made: Atlas) -> None:
    record = json.loads((made.path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(AtlasError, match="has format 99, this convscope reads format 1"):
        open_atlas(tmp_path)


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_a_damaged_table_is_named(tmp_path: Path, made: Atlas, damage: str) -> None:
    for file in made.path.glob("[!.]*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    table = tmp_path / "top.parquet"
    if damage == "gone":
        table.unlink()
    elif damage == "cut":
        table.write_bytes(table.read_bytes()[:-100])
    else:
        table.write_bytes((tmp_path / "pictures.parquet").read_bytes())
    with pytest.raises(AtlasError, match=r"top\.parquet"):
        open_atlas(tmp_path)


def test_units_it_does_not_have_are_named(made: Atlas) -> None:
    with pytest.raises(LayerError, match="nearest are relu"):
        made["relu9", 0]
    with pytest.raises(UnitError, match="channel is 20: relu2 has channels 0 to 19"):
        made["relu2", 20]
    with pytest.raises(UnitError):
        made.channel("relu2", -1)


def test_a_description_comes_back_as_it_was(made: Atlas, tmp_path: Path) -> None:
    assert Info.read(made.path / MANIFEST) == made.info
    half = ReceptiveField((Fraction(7, 2), 3), (1, Fraction(1, 2)), (0, 0))
    info = Info(**{**vars(made.info), "table": (Layer("up", "Upsample", 3, 9, 9, 0, half, False),)})
    (tmp_path / MANIFEST).write_bytes(info.encoded())
    assert Info.read(tmp_path / MANIFEST) == info


def test_patches_are_of_the_receptive_field_or_of_all_there_is() -> None:
    size = (3, 32, 48)
    assert tile_size(layer(5, 2, -2), size) == (5, 5)
    assert tile_box(layer(5, 2, -2), size, 0, 3) == (-2, 4, 3, 9)
    assert tile_size(layer(40, 4, -9), size) == (32, 40)
    assert tile_box(layer(40, 4, -9), size, 1, 2) == (0, -1, 32, 39)
    everything = Layer("fc", "Linear", 4, 1, 1, 0, None, False)
    assert tile_box(everything, size, 0, 0) == (0, 0, 32, 48)


def test_tables_without_rows_can_be_read(tmp_path: Path) -> None:
    put_table(tmp_path / "top.parquet", TOP, [TOP.empty_table()])
    assert pq.read_table(tmp_path / "top.parquet").num_rows == 0
    put_table(tmp_path / "pictures.parquet", PICTURES, [])
    assert pq.read_table(tmp_path / "pictures.parquet").schema.equals(PICTURES)
