"""Features on disk are those of the network, whole or by their inner products, and are computed once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convscope import Network, images
from convscope.data.content_hashes import digests, together
from convscope.data.picture_set import Pictures
from convscope.disk.cache import Cache
from convscope.errors import DataError, LayerError
from convscope.training import feature_store
from convscope.training.feature_store import HOG, features, kept

BROKEN = 4


def network(**changes: Any) -> Network:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 15 * 15, 7))
    return Network(net, (3, 32, 32), **changes)


@pytest.fixture
def pictures() -> Pictures:
    """Eleven arrays of noise, one of which is no picture."""
    noise = np.random.default_rng(1)
    items: list[Any] = [noise.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(11)]
    items[BROKEN] = b"words"
    return Pictures("noise", items)


def content(pictures: Pictures) -> str:
    return together(digests(pictures))


def expected(net: Network, pictures: Pictures) -> dict[str, Tensor]:
    """The obvious way: one picture at a time."""
    rows: dict[str, list[Tensor]] = {"2": [], "4": []}
    for index in range(len(pictures)):
        x = None if index == BROKEN else net.inputs(pictures.picture(index))
        maps = torch.zeros(1, 900) if x is None else net.working("cpu")[:3](x)  # type: ignore[index]
        rows["2"].append(maps.flatten())
        rows["4"].append(torch.zeros(7) if x is None else net.working("cpu")(x)[0])
    return {layer: torch.stack(values) for layer, values in rows.items()}


def test_values_and_inner_products_are_those_of_the_network(pictures: Pictures, tmp_path: Path) -> None:
    net = network()
    found = features(net, pictures, ["2", "4"], Cache(tmp_path), content=content(pictures), batch_size=4)
    wanted = expected(net, pictures)
    assert (found["2"].size, found["4"].size) == (900, 7)
    assert found["2"].values is None
    assert found["4"].gram is None
    assert found["4"].read.tolist() == [index != BROKEN for index in range(11)]
    assert torch.allclose(found["4"].raw(range(11)), wanted["4"], atol=1e-5)
    rows, columns = [3, 0, 10], [1, 3, BROKEN]
    for layer in ("2", "4"):
        unit = torch.nn.functional.normalize(wanted[layer], dim=1)
        assert torch.allclose(found[layer].inner(rows, columns), unit[rows] @ unit[columns].T, atol=1e-5)


@pytest.mark.parametrize("chunk", [11, 50, 200, 100_000])
def test_any_number_at_a_time_gives_the_same_inner_products(
    chunk: int, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_store, "CHUNK", chunk)
    net = network()
    found = features(net, pictures, ["2"], Cache(tmp_path), content=content(pictures), batch_size=4)["2"]
    assert found.gram is not None
    maps = expected(net, pictures)["2"]
    assert torch.allclose(torch.from_numpy(found.gram.copy()), maps @ maps.T, rtol=1e-5, atol=1e-4)


def test_what_is_there_is_not_computed_again(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, store = network(), Cache(tmp_path)
    features(net, pictures, ["4"], store, content=content(pictures))
    computed: list[list[str]] = []
    compute = feature_store._compute

    def watched(*arguments: Any) -> Any:
        computed.append(list(arguments[2]))
        return compute(*arguments)

    monkeypatch.setattr(feature_store, "_compute", watched)
    again = Pictures("noise under another name", pictures._items)
    features(net, again, ["2", "4"], store, content=content(again))
    assert computed == [["2"]]
    assert again.skipped == {BROKEN: pictures.skipped[BROKEN]}
    others = (network(mean=(0.1, 0.1, 0.1)), network())
    with torch.no_grad():
        others[1].module[0].bias.add_(1)  # type: ignore[index]
    for other in others:
        features(other, pictures, ["4"], store, content=content(pictures))
    fewer = pictures.subset(range(10))
    features(net, fewer, ["4"], store, content=content(fewer))
    assert computed == [["2"], ["4"], ["4"], ["4"]]
    features(net, pictures, ["2"], store, content=content(pictures), narrow=False)
    assert computed[4:] == [["2"]]


def test_an_interrupted_pass_leaves_nothing_that_counts(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(*arguments: Any) -> Iterator[Any]:
        yield from list(whole(*arguments))[:1]
        raise KeyboardInterrupt

    net, store, whole = network(), Cache(tmp_path), feature_store.batches  # type: ignore[attr-defined]
    monkeypatch.setattr(feature_store, "batches", torn)
    with pytest.raises(KeyboardInterrupt):
        features(net, pictures, ["2", "4"], store, content=content(pictures), batch_size=4)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(feature_store, "batches", whole)
    found = features(net, pictures, ["4"], store, content=content(pictures))
    assert torch.allclose(found["4"].raw(range(11)), expected(net, pictures)["4"], atol=1e-5)


def test_hog_of_the_same_pixels_and_nothing_of_the_weights(pictures: Pictures, tmp_path: Path) -> None:
    found = features(network(), pictures, [HOG], Cache(tmp_path), content=content(pictures), narrow=False)[HOG]
    other = features(network(mean=0.2), pictures, [HOG], Cache(tmp_path / "2"), content=content(pictures), narrow=False)
    assert found.size == 3 * 3 * 2 * 2 * 9  # blocks of 2 x 2 cells, 9 directions
    assert np.allclose(found.raw([0]), other[HOG].raw([0]), atol=1e-6)
    assert float(found.raw([BROKEN]).abs().max()) == 0
    grey = Pictures("grey", [np.full((40, 40, 3), 90, np.uint8)] * 2)
    flat = features(network(), grey, [HOG], Cache(tmp_path / "3"), content="", narrow=False)[HOG]
    assert float(flat.unit([0]).abs().max()) == 0


def test_errors(pictures: Pictures, tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="the nearest are"):
        features(network(), pictures, ["9"], Cache(tmp_path), content="")
    with pytest.raises(DataError, match="none of the 1 pictures"):
        features(network(), Pictures("bad", [b"words"]), ["4"], Cache(tmp_path), content="")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="expected a folder to write to"):
        features(network(), pictures, ["4"], Cache(tmp_path / "file"), content="")


def test_without_a_cache_nothing_stays() -> None:
    with kept(None) as store:
        features(network(), images("gallery").subset(range(3)), ["4"], store, content="x")
        folder = Path(store.folder)
        assert list(folder.iterdir())
    assert not folder.exists()
