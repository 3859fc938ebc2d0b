import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from torch import Tensor

from convscope.atlases import build as build_module
from convscope.atlases.build import atlas
from convscope.atlases.scan import scan
from convscope.atlases.store import Atlas, open_atlas
from convscope.data.sources import images
from convscope.disk.output_folder import HIDDEN, RECORD
from convscope.errors import ArgumentError, AtlasError, DataError, LayerError
from convscope.models.network import Network
from convscope.pictures import cut, display
from convscope.probe.projection import whole
from tests.atlases.tiny_network import LAYERS, Noise, build, tiny

ROOT = Path(__file__).parents[2]
TABLES = ("atlas.json", "channels.parquet", "pictures.parquet", "top.parquet")


def contents(folder: Path) -> dict[str, bytes]:
    """Of the files that anybody sees."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if not file.name.startswith(".")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return build(tmp_path_factory.mktemp("atlas") / "undisturbed")


@pytest.fixture(scope="module")
def expected(undisturbed: Atlas) -> dict[str, bytes]:
    return contents(undisturbed.path)


# ---- what is in it


def test_nothing_but_the_atlas_is_left(undisturbed: Atlas) -> None:
    assert sorted(contents(undisturbed.path)) == sorted(TABLES)
    assert [file.name for file in (undisturbed.path / HIDDEN).iterdir()] == [RECORD]


def test_its_strongest_pictures_are_those_of_a_scan(undisturbed: Atlas) -> None:
    tops = scan(tiny(), Noise(), LAYERS, batch_size=5)
    for layer, top in tops.items():
        for entry in undisturbed.entries(layer):
            fires = top.values[entry.channel] > 0
            np.testing.assert_array_equal(entry.values, top.values[entry.channel][fires])
            np.testing.assert_array_equal(entry.images, top.images[entry.channel][fires])
            np.testing.assert_array_equal(entry.positions, top.positions[entry.channel][fires])
            assert entry.paths == tuple(f"Noise[{image}]" for image in entry.images)


def test_projections_are_of_that_one_unit(undisturbed: Atlas) -> None:
    network, entry = tiny(), undisturbed["relu2", 3]
    inputs = torch.stack([network.transform(images(Noise()).picture(int(i))) for i in entry.images])
    selection = torch.zeros(len(entry), 20, 10, 10)
    rows, columns = entry.positions.T
    selection[torch.arange(len(entry)), 3, torch.tensor(rows), torch.tensor(columns)] = 1
    values, pixels, _ = whole(network.working("cpu"), inputs, "relu2", selection)
    np.testing.assert_allclose(values, entry.values, rtol=1e-5)
    for tile, box, projection in zip(entry.projections, entry.boxes.tolist(), pixels, strict=True):
        shown = display(cut(projection, (0, 0), tuple(box), 0)).astype(int)
        assert abs(shown - tile).max() <= 1  # PNG up to 64 pixels: only rounding is between them


def test_patches_are_what_the_unit_saw(undisturbed: Atlas) -> None:
    network = tiny()
    seen_outside = 0
    for layer in LAYERS:
        for entry in undisturbed.entries(layer):
            for patch, box, image in zip(entry.patches, entry.boxes.tolist(), entry.images, strict=True):
                top, left, bottom, right = box
                picture = network.transform.picture(network.transform(images(Noise()).picture(int(image))))
                padded = np.full((24 + 80, 24 + 80, 3), 128, np.uint8)
                padded[40:64, 40:64] = picture
                np.testing.assert_array_equal(patch, padded[40 + top : 40 + bottom, 40 + left : 40 + right])
                seen_outside += min(top, left) < 0 or max(bottom, right) > 24
    assert seen_outside


def test_a_layer_that_sees_everything_shows_the_whole_picture(undisturbed: Atlas) -> None:
    entry = next(entry for entry in undisturbed.entries("fc3") if len(entry))
    assert entry.boxes.tolist() == [[0, 0, 24, 24]] * len(entry)
    assert entry.projections.shape == entry.patches.shape == (len(entry), 24, 24, 3)


def test_maps_that_never_fire_are_dead_and_empty(undisturbed: Atlas) -> None:
    assert undisturbed.dead("relu1") == [7]
    entry = undisturbed["relu1", 7]
    assert len(entry) == 0
    assert entry.projections.shape == (0, 5, 5, 3)
    assert undisturbed.channel("relu1", 7).fires == 0


def test_places_without_a_positive_score_stay_empty(undisturbed: Atlas) -> None:
    for layer in LAYERS:
        for entry, channel in zip(undisturbed.entries(layer), undisturbed.channels(layer), strict=True):
            assert (entry.values > 0).all()
            assert len(entry) == min(9, round(channel.fires * 40))


def test_statistics_are_of_all_pictures(undisturbed: Atlas) -> None:
    network = tiny()
    inputs = torch.stack([network.transform(images(Noise()).picture(i)) for i in range(40)])
    relu1 = torch.relu(network.working("cpu").get_submodule("conv1")(inputs)).flatten(2)
    scores = relu1.amax(2)
    correlations = np.corrcoef(scores[:, :7].double().T)
    for channel in undisturbed.channels("relu1")[:7]:
        mine = scores[:, channel.channel]
        assert channel.mean == pytest.approx(float(mine.double().mean()), rel=1e-5)
        assert channel.maximum == pytest.approx(float(mine.max()), rel=1e-5)
        assert channel.fires == pytest.approx(float((mine > 0).float().mean()))
        assert channel.low <= float(mine.min()) + 1e-5
        assert channel.maximum < channel.high
        assert channel.histogram.sum() == 40
        assert channel.peaks.shape == (24, 24)
        assert channel.peaks.sum() == int((mine > 0).sum())
        other, correlation = channel.similar[0]
        np.fill_diagonal(correlations, -1)
        assert correlation == pytest.approx(correlations[channel.channel].max(), abs=1e-4)
        assert other == correlations[channel.channel].argmax()
    assert undisturbed.similar("relu1", 0) == undisturbed.channel("relu1", 0).similar


def test_the_pictures_that_appear_have_a_thumbnail(undisturbed: Atlas) -> None:
    shown = {int(image) for layer in LAYERS for entry in undisturbed.entries(layer) for image in entry.images}
    pictures = list(undisturbed.pictures)
    assert [picture.image for picture in pictures] == sorted(shown)
    network = tiny()
    for picture in pictures[:3]:
        seen = network.transform.picture(network.transform(images(Noise()).picture(picture.image)))
        np.testing.assert_array_equal(picture.thumbnail, seen)
        assert undisturbed.picture(picture.image) == picture
    with pytest.raises(ArgumentError, match="image is 1000000"):
        undisturbed.picture(10**6)


def test_labels_are_class_names(tmp_path: Path, network: Network) -> None:
    for index in range(10):
        folder = tmp_path / "pictures" / ("cat" if index % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(Noise()[index].permute(1, 2, 0).numpy()).save(folder / f"{index}.png")
    (tmp_path / "pictures" / "cat" / "broken.jpg").write_bytes(b"")
    made = atlas(network, tmp_path / "pictures", tmp_path / "out", ["relu1"])
    entry = made["relu1", 0]
    assert len(entry) == 9
    assert all(path.startswith(f"{label}/") for path, label in zip(entry.paths, entry.labels, strict=True))
    assert made.info.data_classes == ("cat", "dog")
    assert [(skipped.path, skipped.reason) for skipped in made.info.skipped] == [("cat/broken.jpg", "empty, 0 bytes")]
    assert made.info.skipped[0].image == 5
    assert 5 not in {picture.image for picture in made.pictures}


def test_score_functions_keep_what_is_not_positive(tmp_path: Path, network: Network) -> None:
    def depth(maps: Tensor) -> Tensor:
        return maps.flatten(2).amin(2)

    with pytest.warns(UserWarning, match="a projection is zero everywhere"):
        made = atlas(network, Noise(10), tmp_path / "out", ["conv2"], score=depth)
    assert made.info.score.endswith("depth")
    assert made["conv2", 0].values.max() < 0
    assert len(made["conv2", 0]) == 9


def test_pictures_may_be_tensors_in_network_space(tmp_path: Path, network: Network) -> None:
    source = images(Noise(12))
    tensors = [network.transform(source.picture(k)) for k in range(12)]
    first = atlas(network, source, tmp_path / "a", LAYERS)
    second = atlas(network, tensors, tmp_path / "b", LAYERS)
    for layer in LAYERS:
        for one, other in zip(first.entries(layer), second.entries(layer), strict=True):
            np.testing.assert_array_equal(one.values, other.values)
            np.testing.assert_array_equal(one.patches, other.patches)


class Mirrored(Noise):
    """Half of its pictures are mirrored, others each time."""

    chance = np.random.default_rng(1)

    def __getitem__(self, index: int) -> Tensor:
        return super().__getitem__(index).flip(2) if self.chance.random() < 0.5 else super().__getitem__(index)


def test_a_data_set_that_gives_other_pictures_each_time_is_noticed_first(tmp_path: Path, network: Network) -> None:
    with pytest.raises(DataError, match=r"^Mirrored\[\d+\] is another picture each time it is read; give the data set"):
        atlas(network, Mirrored(12), tmp_path / "out", LAYERS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("score", ["max", "mean"])
def test_a_picture_that_changed_after_the_scan_is_named(
    tmp_path: Path, network: Network, score: Literal["max", "mean"]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(12):
        Image.fromarray(Noise()[index].permute(1, 2, 0).numpy()).save(folder / f"{index:02d}.png")
    leaders = scan(network, folder, LAYERS, score=score, top=1)["relu2"].images[:, 0].tolist()
    strongest = next(index for index in leaders if index in (1, 4, 7, 10))  # which no look at a sample sees
    make = partial(atlas, network, folder, tmp_path / "out", LAYERS, score=score, top=1, unit=5)
    for part in range(2):
        make(shard=(part, 2))
    changed = folder / f"{strongest:02d}.png"
    before = changed.read_bytes()
    Image.new("RGB", (34, 30), "red").save(changed)
    with pytest.raises(DataError, match=rf"^{changed.name} is another picture than the scan saw: pictures changed"):
        make()
    changed.unlink()
    (folder / "other.png").write_bytes(before)
    (folder / "other.png").rename(changed)  # the same picture in another file
    assert make()["relu2", leaders.index(strongest)].images[0] == strongest


def test_rules_change_projections_only(tmp_path: Path, undisturbed: Atlas) -> None:
    other = build(tmp_path / "out", rule="gradient")
    np.testing.assert_array_equal(other["relu2", 0].values, undisturbed["relu2", 0].values)
    assert (other["relu2", 0].projections != undisturbed["relu2", 0].projections).any()


def test_pandas_opens_it(undisturbed: Atlas) -> None:
    top = pandas.read_parquet(undisturbed.path / "top.parquet")
    assert set(top["layer"]) == set(LAYERS)
    strongest = top[(top["layer"] == "relu2") & (top["channel"] == 3)].sort_values("rank")
    np.testing.assert_array_equal(strongest["value"], undisturbed["relu2", 3].values)
    assert strongest["projection"].iloc[0].startswith(b"\x89PNG")
    channels = pandas.read_parquet(undisturbed.path / "channels.parquet")
    assert len(channels) == 8 + 20 + 5
    assert len(channels["histogram"].iloc[0]) == 64


# ---- what does not change it


def test_building_again_opens_it(undisturbed: Atlas, expected: dict[str, bytes]) -> None:
    before = [file.stat().st_mtime_ns for file in sorted(undisturbed.path.iterdir())]
    again = build(undisturbed.path)
    assert contents(again.path) == expected
    assert [file.stat().st_mtime_ns for file in sorted(undisturbed.path.iterdir())] == before


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_shards_in_any_order_give_the_same_bytes(tmp_path: Path, order: tuple[int, ...], expected: object) -> None:
    for part in order:
        assert atlas(tiny(), Noise(), tmp_path, LAYERS, batch_size=5, unit=8, shard=(part, 3)) is None
        with pytest.raises(AtlasError, match="its build is not finished"):
            open_atlas(tmp_path)
    build(tmp_path)
    assert contents(tmp_path) == expected


def test_a_missing_shard_is_made_up_for(tmp_path: Path, expected: object) -> None:
    atlas(tiny(), Noise(), tmp_path, LAYERS, batch_size=5, unit=8, shard=(1, 2))
    build(tmp_path)
    assert contents(tmp_path) == expected


def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Ten builds, each killed, killed again while it resumes, and finished; see killed.py."""
    command = [sys.executable, str(Path(__file__).with_name("killed.py")), str(tmp_path)]
    unfinished = subprocess.check_output(command, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
    assert int(unfinished) > 0  # how many were killed in time depends on the machine
    for attempt in range(10):
        assert contents(tmp_path / str(attempt)) == contents(tmp_path / "whole")


def test_a_build_from_before_there_were_records_goes_on(tmp_path: Path, expected: dict[str, bytes]) -> None:
    atlas(tiny(), Noise(), tmp_path, LAYERS, batch_size=5, unit=8, shard=(1, 2))
    (tmp_path / HIDDEN / "building").rename(tmp_path / "building")
    shutil.rmtree(tmp_path / HIDDEN)
    (tmp_path / "building" / "a house.png").write_text("mine")
    with pytest.raises(AtlasError, match="its build is not finished"):
        open_atlas(tmp_path)
    with pytest.raises(AtlasError, match="holds an atlas of other settings"):
        build(tmp_path, top=4)
    build(tmp_path)
    assert [file.name for file in (tmp_path / "building").iterdir()] == ["a house.png"]
    shutil.rmtree(tmp_path / "building")
    assert contents(tmp_path) == expected


def test_a_folder_that_is_called_building_is_the_users(tmp_path: Path, expected: dict[str, bytes]) -> None:
    with pytest.raises(AtlasError, match="there is no"):
        open_atlas(tmp_path)
    for name, data in expected.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "building").mkdir()
    (tmp_path / "building" / "plan.json").write_text("{}")
    build(tmp_path)
    (tmp_path / "atlas.json").unlink()
    with pytest.raises(ArgumentError, match=r"holds 'building' and 3 more, but not an atlas of convscope"):
        build(tmp_path)  # without it these are tables of anybody's
    assert (tmp_path / "building" / "plan.json").read_text() == "{}"


def test_one_process_builds_and_shards_take_different_units(
    tmp_path: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscope.disk.output_folder.PATIENCE", 0.0)
    settings = {"batch_size": 5, "unit": 8}
    attempts = [(0, 2), (1, 2), (1, 3), None]
    said: list[str] = []
    original = build_module.scan_units

    def scan(*args: Any) -> None:
        """While the first half is scanned, others try."""
        monkeypatch.setattr(build_module, "scan_units", original)
        for shard in attempts:
            try:
                atlas(tiny(), Noise(), tmp_path, LAYERS, shard=shard, **settings)  # type: ignore[call-overload]
                said.append("done")
            except ArgumentError as error:
                said.append("held" if f"process {os.getpid()}, since" in str(error) else str(error))
        original(*args)

    monkeypatch.setattr(build_module, "scan_units", scan)
    atlas(tiny(), Noise(), tmp_path, LAYERS, shard=(0, 2), **settings)  # type: ignore[call-overload]
    assert said == ["held", "done", "held", "held"]
    build(tmp_path)
    assert contents(tmp_path) == expected


@pytest.mark.filterwarnings("ignore:.*ignored 3 files")
def test_an_atlas_among_its_pictures_is_warned_of(tmp_path: Path, network: Network) -> None:
    made = atlas(network, Noise(10), tmp_path / "atlas", ["relu1"])
    (tmp_path / "atlas" / "atlas.json").unlink()
    for index in range(10):
        Image.fromarray(Noise()[index].permute(1, 2, 0).numpy()).save(made.path / f"{index}.png")
    with pytest.warns(UserWarning, match=r"atlas holds the pictures; an atlas is better kept in a folder of its own"):
        atlas(network, made.path, made.path, ["relu1"])
    assert len(list(made.path.glob("*.png"))) == 10


def test_another_batch_size_changes_values_by_rounding_only(tmp_path: Path, undisturbed: Atlas) -> None:
    other = build(tmp_path, batch_size=64, unit=8)
    for layer in LAYERS:
        for one, two in zip(other.entries(layer), undisturbed.entries(layer), strict=True):
            np.testing.assert_allclose(one.values, two.values, rtol=1e-5)
            np.testing.assert_array_equal(one.images, two.images)


# ---- what it refuses


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": 1}, r"holds an atlas of another network \(not the same weights\)"),
        ({"pictures": Noise(39)}, r"of other pictures \(not the same fingerprint\)"),
        ({"pictures": Noise(seed=1)}, r"of other pictures \(not the same sample\)"),
        ({"top": 4}, r"of other settings \(top is 9 there, 4 here\)"),
        ({"layers": ["relu1"]}, r"of other settings \(layers is"),
        ({"score": "mean"}, r"score is 'max' there, 'mean' here"),
        ({"rule": "guided"}, r"rule is 'deconvnet' there, 'guided' here"),
    ],
)
def test_a_folder_is_of_one_atlas(
    tmp_path: Path, expected: dict[str, bytes], finished: bool, change: dict[str, object], message: str
) -> None:
    if finished:
        for name, data in expected.items():
            (tmp_path / name).write_bytes(data)
    else:
        atlas(tiny(), Noise(), tmp_path, LAYERS, batch_size=5, unit=8, shard=(0, 5))
    before = sorted(file.name for file in tmp_path.rglob("*"))
    arguments = {"layers": LAYERS, "unit": 8, "pictures": Noise(), "network": 0} | change
    arguments["network"] = tiny(int(str(arguments["network"])))
    with pytest.raises(AtlasError, match=message):
        atlas(out=tmp_path, **arguments)  # type: ignore[call-overload]
    assert sorted(file.name for file in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("after", range(16))  # record, plan, units, chunks, tables, description: every write in turn
def test_a_full_disk_is_one_line_and_leaves_the_checkpoint(
    tmp_path: Path, expected: object, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    fsync, written = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written > after:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("convscope.disk.atomic.os.fsync", full)
        with pytest.raises(AtlasError, match=r"^.*: no space left on the disk; free some and run [^\n]*$"):
            build(tmp_path)
    assert not list(tmp_path.rglob("*.part"))
    build(tmp_path)
    assert contents(tmp_path) == expected


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a letter")
    with pytest.raises(ArgumentError, match=r"out is '.*out': expected a folder, and this is a file"):
        build(tmp_path / "out")
    with pytest.raises(ArgumentError, match=r"out is '.*out/atlas': cannot be written"):
        build(tmp_path / "out" / "atlas")


@pytest.mark.parametrize("shard", [(3, 3), (-1, 2), (0, 0)])
def test_shards_outside_their_range_are_refused(tmp_path: Path, shard: tuple[int, int]) -> None:
    with pytest.raises(ArgumentError, match="shard is"):
        atlas(tiny(), Noise(), tmp_path, LAYERS, shard=shard)


def test_mistakes_are_found_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="rule is 'relu'"):
        build(tmp_path, rule="relu")
    with pytest.raises(LayerError):
        build(tmp_path, layers=["relu3"])
    assert not list(tmp_path.iterdir())


def test_the_description_is_plain_json(undisturbed: Atlas) -> None:
    record = json.loads((undisturbed.path / "atlas.json").read_text())
    assert record["layers"] == LAYERS
    assert record["format"] == 1
    assert record["table"][0]["receptive_field"]["size"] == [5, 5]
