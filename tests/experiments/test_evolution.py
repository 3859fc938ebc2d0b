from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.data.picture_set import Pictures
from convscope.errors import ArgumentError, DataError, LayerError, UnitError
from convscope.experiments.evolution import evolution
from convscope.experiments.project import project
from convscope.figures.evolution import evolution as draw
from convscope.models.network import Network
from convscope.models.snapshots import write
from convscope.pictures import load_picture
from convscope.training.recipe import SNAPSHOTS

SIZE = 24


def small(seed: int) -> Network:
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(600, 2),
    )  # fmt: skip
    return Network(module, (3, SIZE, SIZE), 0.5, 0.25, name="small")


def pictures(count: int = 7, size: int = SIZE) -> Pictures:
    generator = np.random.default_rng(0)
    return Pictures("noise", [generator.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count)])


def run(*seeds: int) -> list[tuple[int, Network]]:
    """A training that begins anew at every epoch."""
    return [(epoch, small(seed)) for epoch, seed in enumerate(seeds, 1)]


def planted(filters: Sequence[Sequence[Tensor]], biases: Sequence[Sequence[float]] | None = None) -> Any:
    """Epoch by epoch the 2×2 filters of one layer."""
    found = []
    for epoch, weights in enumerate(filters, 1):
        module = nn.Sequential(nn.Conv2d(3, len(weights), 2), nn.ReLU())
        with torch.no_grad():
            module.get_parameter("0.weight").copy_(torch.stack(list(weights)))
            module.get_parameter("0.bias").copy_(torch.tensor(biases[epoch - 1] if biases else [0.0] * len(weights)))
        found.append((epoch, Network(module, (3, 6, 6), 0.5, 0.25, resize=6)))
    return found


def coloured(*channels: int) -> Pictures:
    """Pictures that are bright in one channel."""
    items = []
    for channel in channels:
        pixels = np.zeros((6, 6, 3), np.uint8)
        pixels[..., channel] = 255
        items.append(pixels)
    return Pictures("colours", items)


RED, GREEN = (torch.zeros(3, 2, 2).index_fill_(0, torch.tensor(channel), 1.0) for channel in (0, 1))


def test_it_finds_what_looking_at_every_picture_finds() -> None:
    snapshots, source = run(0, 1, 2), pictures()
    found = evolution(snapshots, source, available=True, maps=2)
    assert found.epochs == (1, 2, 3)
    for e, (_, network) in enumerate(snapshots):
        inputs = torch.stack([network.transform(source.picture(index)) for index in range(len(source))])
        for u, unit in enumerate(found.units):
            projected = project(network, inputs, unit)
            best = int(projected.values.argmax())
            assert int(found.pictures[u, e]) == best
            assert float(found.values[u, e]) == pytest.approx(float(projected.values[best]), rel=1e-5)
            assert found.positions[u, e].tolist() == projected.positions[best].tolist()
            layer = [unit.layer for unit in found.units]
            tile = found.projections[unit.layer][u - layer.index(unit.layer), e]
            whole = projected.pixels[best]
            torch.testing.assert_close(tile.sum(), whole.sum(), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(tile.abs().max(), whole.abs().max(), rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*what is not positive has an empty projection")
def test_similarity_is_that_of_projections_at_one_place_in_one_picture() -> None:
    snapshots, source = run(0, 1, 2), pictures()
    found = evolution(snapshots, source, available=True, maps=2)
    last = snapshots[-1][1]
    for u, unit in enumerate(found.units):
        index, place = int(found.pictures[u, -1]), tuple(found.positions[u, -1].tolist())
        x = last.transform(source.picture(index))[None]
        views = [project(network, x, unit.at(place), start="activation") for _, network in snapshots[:-1]]
        final = project(last, x, unit.at(place)).pixels.flatten()
        expected = [float(F.cosine_similarity(view.pixels.flatten(), final, 0)) for view in views]
        assert found.similarity[u].tolist() == pytest.approx([*expected, 1.0], abs=1e-4)


def test_in_the_first_layer_similarity_is_that_of_the_filters() -> None:
    turned = [RED * np.cos(angle) + GREEN * np.sin(angle) for angle in (0.6, 0.3, 0.0)]
    found = evolution(planted([[weight.float()] for weight in turned]), coloured(0, 1, 2), available=True)
    assert found.similarity[0].tolist() == pytest.approx([np.cos(0.6), np.cos(0.3), 1], abs=1e-6)
    assert found.converged == (2,)
    assert [row["converged"] for row in found.rows] == [2, 2, 2]


def test_another_picture_is_a_jump() -> None:
    found = evolution(planted([[RED], [RED], [GREEN], [GREEN], [RED]]), coloured(2, 0, 1), available=True)
    assert found.pictures.tolist() == [[1, 1, 2, 2, 1]]
    assert found.jumps.tolist() == [[False, False, True, False, True]]
    assert found.converged == (5,)
    assert "relu" not in found.notes[-1]
    assert "1: formed by epoch 5 of 5, the median of 1 maps; 2 jumps to another picture" in found.notes


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        ([0.2, 0.95, 0.8, 0.91, 1.0], 10),
        ([0.95, 0.9, 0.99, 1.0, 1.0], 1),
        ([0.95, 0.9, 0.99, 0.3, 1.0], 20),
        ([0.0, 0.0, 0.0, 0.0, 0.0], None),
    ],
)
def test_a_feature_is_formed_once_it_stays_close(similarity: list[float], expected: int | None) -> None:
    found = evolution(planted([[RED]] * 5), coloured(0), available=True)
    other = replace(found, epochs=(1, 2, 5, 10, 20), similarity=torch.tensor([similarity], dtype=torch.float64))
    assert other.converged == (expected,)


def test_dead_maps_are_flagged_and_their_cells_stay_empty() -> None:
    biases = [[0.0, -100.0], [-100.0, -100.0], [0.0, -100.0]]
    found = evolution(planted([[RED, GREEN]] * 3, biases), coloured(0, 1), available=True)
    assert found.alive.tolist() == [[True, False, True], [False] * 3]
    assert found.converged == (3, None)
    assert not found.jumps.any()
    dead = [row for row in found.rows if row["value"] == 0]
    assert len(dead) == 4
    assert all(row["picture"] is row["path"] is row["row"] is None for row in dead)
    assert "1 dead at the last" in found.notes[-1]
    assert torch.isfinite(found.similarity).all()
    for patches in (False, True):
        draw(found.network, found, patches=patches).canvas.draw()


def test_the_same_maps_are_followed_and_the_seed_chooses_them() -> None:
    snapshots, source = run(0, 1), pictures(2)
    first, again, other = (evolution(snapshots, source, available=True, maps=2, seed=seed) for seed in (3, 3, 4))
    assert first.units == again.units
    assert torch.equal(first.similarity, again.similarity)
    assert first.units != other.units
    layers = [unit.layer for unit in first.units]
    assert all(layers.count(layer) == 2 for layer in layers)
    everything = evolution(snapshots, source, available=True, maps=1000, layers=[layers[0]])
    assert len(everything.units) == snapshots[0][1].graph().node(layers[0]).shape[1]


def test_chosen_units_come_layer_by_layer() -> None:
    snapshots = run(0)
    names = snapshots[0][1].rectified()
    wanted = [f"{names[1]}:1", f"{names[0]}:2", f"{names[1]}:0@0,0"]
    found = evolution(snapshots, pictures(2), units=wanted, available=True)
    assert [str(unit) for unit in found.units] == [f"{names[0]}:2", f"{names[1]}:1", f"{names[1]}:0"]
    assert {layer: len(tiles) for layer, tiles in found.projections.items()} == {names[0]: 1, names[1]: 2}


def test_it_does_not_depend_on_the_batches() -> None:
    snapshots, source = run(0, 1), pictures()
    one, many = (evolution(snapshots, source, available=True, batch_size=size) for size in (1, 64))
    assert torch.equal(one.pictures, many.pictures)
    torch.testing.assert_close(one.similarity, many.similarity, rtol=0, atol=1e-5)


def test_a_sample_keeps_the_places_of_its_pictures_and_says_so() -> None:
    source = pictures(30)
    found = evolution(run(0, 1), source, available=True, sample=10)
    assert (found.looked, found.total) == (10, 30)
    assert "the strongest of 10 of the 30 pictures, not of all" in found.notes
    everything = evolution(run(0, 1), source, available=True)
    subset = set(found.pictures.flatten().tolist())
    assert subset <= set(range(30))
    assert len(subset) <= 10
    assert (everything.values >= found.values - 1e-6).all()
    assert found.paths[min(subset)] == f"noise[{min(subset)}]"
    for wrong in (0, 31):
        with pytest.raises(ArgumentError, match=f"sample is {wrong}: expected 1 to 30"):
            evolution(run(0), source, available=True, sample=wrong)


def test_broken_pictures_are_left_out_and_named() -> None:
    good = coloured(2, 0, 1)
    items = [good.picture(0), b"no picture", good.picture(1), good.picture(2)]
    source = Pictures("mixed", items)
    found = evolution(planted([[RED], [GREEN]]), source, available=True, sample=4)
    assert found.pictures.tolist() == [[2, 3]]
    assert list(source.skipped) == [1]


def test_the_epochs_are_the_papers_unless_said_otherwise(tmp_path: Path) -> None:
    for epoch, network in run(*range(3)):
        write(network, tmp_path, epoch)
    own = {"builder": lambda: small(9).module}
    with pytest.raises(ArgumentError, match=r"epochs is 5: no such snapshot; there are 1, 2, 3 \(see available\)"):
        evolution(tmp_path, pictures(2), **own)  # type: ignore[arg-type]
    for epochs, expected in ((None, (1, 2, 3)), ([2, 3, 64], (2, 3))):
        found = evolution(tmp_path, pictures(2), epochs=epochs, available=True, **own)  # type: ignore[arg-type]
        assert found.epochs == expected
        assert f"the epochs are {', '.join(map(str, expected))}" in found.notes
    with pytest.raises(ArgumentError, match="epochs is 64"):
        evolution(tmp_path, pictures(2), epochs=[64], available=True, **own)  # type: ignore[arg-type]
    whole = planted([[RED]] * 64)
    assert evolution(whole, coloured(0)).epochs == SNAPSHOTS


def test_snapshots_of_two_trainings_are_not_shown_as_one(tmp_path: Path) -> None:
    for epoch, network in run(*range(3)):
        network.recipe = {"seed": int(epoch > 2)}
        write(network, tmp_path, epoch)
    own = {"builder": lambda: small(9).module, "available": True}
    with pytest.raises(DataError, match=r"of several trainings \(seed is 0 at epoch 1, 1 at epoch 3\)"):
        evolution(tmp_path, pictures(2), **own)  # type: ignore[arg-type]
    assert evolution(tmp_path, pictures(2), epochs=[1, 2], **own).epochs == (1, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"run": "nowhere"}, DataError, "no snapshots/epoch-NNN.safetensors there"),
        ({"run": []}, ArgumentError, "expected a folder, or pairs of epoch and Network"),
        ({"run": [small(0)]}, ArgumentError, "expected a folder, or pairs"),
        ({"images": Pictures("nothing", [])}, DataError, "no pictures in nothing"),
        ({"maps": 0}, ArgumentError, "maps is 0"),
        ({"layers": ["relu77"]}, LayerError, "no such layer"),
        ({"units": ["stem.1:99"]}, UnitError, "channels"),
        ({"run": [*run(0), (2, planted([[RED]])[0][1])]}, DataError, "of epoch 1 takes other pictures"),
    ],
)
def test_mistakes_are_named(wrong: dict[str, Any], error: type[Exception], words: str) -> None:
    given: dict[str, Any] = {"run": run(0), "images": pictures(2), **wrong}
    if "units" in wrong:
        given["units"] = [f"{small(0).rectified()[0]}:99"]
    with pytest.raises(error, match=words):
        evolution(given.pop("run"), given.pop("images"), available=True, **given)


def test_the_figure_states_its_epochs_and_marks_jumps(tmp_path: Path) -> None:
    found = evolution(planted([[RED], [GREEN]]), coloured(0, 1), available=True)
    figure = draw(found.network, found)
    text = [piece.get_text() for piece in figure.texts]
    assert any("after epochs 1, 2;" in line for line in text)
    assert any("in 2 pictures" in line for line in text)
    figure.savefig(tmp_path / "figure.png", format="png")
    pixels = np.asarray(load_picture(tmp_path / "figure.png")).reshape(-1, 3)
    assert (pixels == (0xF0, 0xA6, 0x5A)).all(1).any()
