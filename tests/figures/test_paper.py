import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convscope.atlases.figure2_sample import MEASURES, Sample, sample
from convscope.errors import ArgumentError, LayerError
from convscope.figures.paper import figure2, plate


class Entry(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.values)


def entry(layer: str, channel: int, pictures: int) -> Entry:
    tiles = np.random.default_rng(channel).integers(0, 256, (2, pictures, 11, 11, 3), dtype=np.uint8)
    return Entry(
        layer=layer,
        channel=channel,
        values=np.linspace(2, 1, pictures, dtype=np.float32),
        images=np.arange(pictures),
        positions=np.zeros((pictures, 2), np.int64),
        paths=tuple(f"{i}.png" for i in range(pictures)),
        labels=tuple("ab"[i % 2] for i in range(pictures)),
        patches=tiles[0],
        projections=tiles[1],
    )


class Shelf:
    """An atlas of three layers in memory; odd channels are dead."""

    layers = ("relu1", "relu2", "relu3")
    info = SimpleNamespace(layer=lambda name: SimpleNamespace(channels=40))

    def __getitem__(self, unit: tuple[str, int]) -> Entry:
        layer, channel = unit
        return entry(layer, channel, 0 if channel % 2 else 9)


def folder() -> Any:
    return Shelf()


def test_the_choice_is_seeded_and_as_large_as_the_papers() -> None:
    first, second, other = sample(folder()), sample(folder()), sample(folder(), seed=1)
    assert {layer: len(entries) for layer, entries in first.entries.items()} == {"relu1": 12, "relu2": 16, "relu3": 16}
    channels = [[e.channel for e in chosen.entries["relu3"]] for chosen in (first, second, other)]
    assert channels[0] == channels[1] != channels[2]


def test_leaving_a_layer_out_does_not_change_the_others() -> None:
    alone = sample(folder(), ["relu3"], maps=5)
    among = sample(folder(), maps=5)
    assert [e.channel for e in alone.entries["relu3"]] == [e.channel for e in among.entries["relu3"]]


def test_rows_say_what_is_shown_and_measured() -> None:
    rows = sample(folder(), ["relu2"], maps=40).rows
    maps = [row for row in rows if row["scope"] == "map"]
    assert [row["channel"] for row in maps if row["dead"]] == list(range(1, 40, 2))
    assert sum(row["scope"] == "tile" for row in rows) == 20 * 9
    assert maps[0]["purity"] == pytest.approx(5 / 9)
    assert all(maps[1][name] is None for name in MEASURES)
    (layer,) = [row for row in rows if row["scope"] == "layer"]
    assert layer["dead"] == 20
    assert layer["agreement_patches"] == pytest.approx(np.mean([r["agreement_patches"] for r in maps if not r["dead"]]))


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(LayerError, match="relu7"):
        sample(folder(), ["relu7"])
    with pytest.raises(ArgumentError, match="maps is 0"):
        sample(folder(), maps=0)


def saved(figure: object) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png")  # type: ignore[attr-defined]
    return np.asarray(Image.open(file).convert("RGB"))


def test_figure_2_shows_every_chosen_map() -> None:
    chosen = sample(folder(), maps=5)
    pixels = saved(figure2(chosen))
    shown = plate(chosen.entries["relu1"][0])
    windows = np.lib.stride_tricks.sliding_window_view(pixels[:120, :90], shown[:40, :40].shape)
    assert (windows == shown[:40, :40]).all((3, 4, 5)).any()
    with pytest.raises(ArgumentError, match="at least one"):
        figure2(Sample({}, []))
