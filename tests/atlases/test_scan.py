from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from convscope.atlases import scan as scan_module
from convscope.atlases.scan import Top, peaks, scan
from convscope.data.sources import images
from convscope.errors import ArgumentError, DataError, LayerError, NetworkError
from convscope.models.network import Network
from tests.atlases.tiny_network import Noise, tiny


def slow_twin(network: Network, source: object, layer: str, top: int) -> list[list[tuple[float, int, int, int]]]:
    """Every map of every picture, all sorted: (value, image, row, column) by channel."""
    pictures, module = images(source), network.working("cpu")
    modules = list(module.named_children())
    stop = [name for name, _ in modules].index(layer) + 1
    rows: list[list[tuple[float, int, int, int]]] = []
    for index in range(len(pictures)):
        x = network.transform(pictures.picture(index))[None]
        for _, child in modules[:stop]:
            x = child(x)
        maps = (x[0] if x.ndim == 4 else x[0][:, None, None]).tolist()
        rows = rows or [[] for _ in maps]
        for channel, plane in enumerate(maps):
            value = max(max(line) for line in plane)
            row = next(i for i, line in enumerate(plane) if value in line)
            rows[channel].append((value, index, row, plane[row].index(value)))
    return [sorted(found, key=lambda f: (-f[0], f[1]))[:top] for found in rows]


def plain(top: Top) -> list[list[tuple[float, int, int, int]]]:
    return [
        [(float(v), int(i), int(p[0]), int(p[1])) for v, i, p in zip(values, pictures, positions, strict=True)]
        for values, pictures, positions in zip(top.values, top.images, top.positions, strict=True)
    ]


def same(first: Top, second: Top) -> None:
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.positions, second.positions)
    torch.testing.assert_close(first.values, second.values, rtol=0, atol=1e-6)


@given(st.lists(st.sampled_from([-1.0, 0.0, 2.0]), min_size=24, max_size=24), st.booleans())
def test_a_peak_is_the_first_of_the_largest(values: list[float], last: bool) -> None:
    maps = torch.tensor(values).view(2, 2, 2, 3)
    maps = maps.contiguous(memory_format=torch.channels_last) if last else maps
    found, places = peaks(maps)
    flat = maps.reshape(2, 2, 6)
    assert torch.equal(found, flat.amax(2))
    assert places.tolist() == [[plane.tolist().index(max(plane.tolist())) for plane in maps] for maps in flat]


def test_scanning_is_sorting_everything(network: Network) -> None:
    found = scan(network, Noise(), ["conv1", "relu2", "fc3"], top=5, batch_size=7)
    assert list(found) == ["conv1", "relu2", "fc3"]
    for layer in found:
        for ours, twin in zip(plain(found[layer]), slow_twin(network, Noise(), layer, 5), strict=True):
            assert [fact[1:] for fact in ours] == [fact[1:] for fact in twin]
            assert [fact[0] for fact in ours] == pytest.approx([fact[0] for fact in twin], abs=1e-5)
    assert found["fc3"].positions.abs().sum() == 0
    assert found["relu2"].values.dtype == torch.float32
    assert found["relu2"].images.dtype == found["relu2"].positions.dtype == torch.int64


def test_layers_are_the_rectified_ones_by_default(network: Network) -> None:
    assert list(scan(network, Noise(10))) == ["relu1", "relu2"]


def test_what_an_in_place_rectifier_overwrites_is_seen_before(network: Network) -> None:
    found = scan(network, Noise(12), ["conv1", "relu1"])
    assert found["conv1"].values[7].max() == -1
    assert found["relu1"].values[7].max() == 0


@pytest.mark.parametrize("batch_size", [1, 64])
def test_batches_do_not_matter(network: Network, batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = scan(network, Noise(), batch_size=9)
    monkeypatch.setattr(scan_module, "UNIT", 8)
    found = scan(network, Noise(), batch_size=batch_size)
    for layer in expected:
        same(found[layer], expected[layer])


def test_order_does_not_matter(network: Network) -> None:
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    shuffled = scan(network, images(Noise()).subset(order.tolist()), ["conv2"])["conv2"]
    expected = scan(network, Noise(), ["conv2"])["conv2"]
    same(Top(shuffled.values, order[shuffled.images], shuffled.positions), expected)


@pytest.mark.parametrize(
    ("score", "twin"),
    [
        ("mean", lambda maps: maps.mean((2, 3))),
        ("sum", lambda maps: maps.sum((2, 3))),
        (lambda maps: -maps.amin((2, 3)), lambda maps: -maps.amin((2, 3))),
    ],
)
def test_scores_rank_and_the_position_stays_where_the_map_is_largest(network: Network, score: object, twin) -> None:  # type: ignore[no-untyped-def]
    found = scan(network, Noise(20), ["conv1"], top=4, score=score)["conv1"]  # type: ignore[arg-type]
    inputs = torch.stack([network.transform(images(Noise(20)).picture(i)) for i in range(20)])
    maps = network.working("cpu").get_submodule("conv1")(inputs)
    values, order = twin(maps).sort(dim=0, descending=True, stable=True)
    torch.testing.assert_close(found.values, values[:4].T, rtol=1e-5, atol=1e-4)
    live = slice(0, 7)  # the last map is the same everywhere
    assert torch.equal(found.images[live], order[:4].T[live])
    places = maps.flatten(2).argmax(2).gather(0, order[:4]).T[live]
    assert torch.equal((found.positions[..., 0] * 24 + found.positions[..., 1])[live], places)


def test_the_forward_pass_ends_with_the_last_layer(network: Network) -> None:
    class Trap(nn.Module):
        armed = False

        def forward(self, x: Tensor) -> Tensor:
            assert not self.armed
            return x

    module = nn.Sequential(nn.Conv2d(3, 4, 3), Trap())
    trapped = Network(module, (3, 24, 24))
    trapped.layers()
    Trap.armed = True
    assert scan(trapped, Noise(10), ["0"])["0"].values.shape == (4, 9)


def test_calls_of_a_reused_module_are_layers_of_their_own() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.relu(self.conv(self.relu(x)))
            return out

    found = scan(Network(Twice(), (3, 24, 24)), Noise(10), ["relu", "relu#0", "relu#1"])
    assert torch.equal(found["relu"].values, found["relu#1"].values)
    assert not torch.equal(found["relu"].values, found["relu#0"].values)


def test_fewer_pictures_than_places_leave_places_empty(network: Network) -> None:
    with pytest.warns(UserWarning, match="3 pictures for the 9 strongest"):
        found = scan(network, Noise(3), ["conv2"])["conv2"]
    assert (found.images[:, :3] >= 0).all()
    assert (found.values[:, 3:] == -torch.inf).all()
    assert (found.images[:, 3:] == -1).all()
    assert (found.positions[:, 3:] == -1).all()


def test_pictures_that_cannot_be_read_are_left_out(network: Network, tmp_path: Path) -> None:
    for index in range(12):
        Image.fromarray(Noise()[index].permute(1, 2, 0).numpy()).save(tmp_path / f"{index:02}.png")
    whole = scan(network, tmp_path, ["conv1"], top=12)["conv1"]
    (tmp_path / "05.png").write_bytes(b"no picture")
    source = images(tmp_path)
    found = scan(network, source, ["conv1"], top=11)["conv1"]
    assert list(source.skipped) == [5]
    for ours, all_of_them in zip(found.images.tolist(), whole.images.tolist(), strict=True):
        assert ours == [image for image in all_of_them if image != 5]


def test_bf16_is_near_float32(network: Network) -> None:
    exact, rough = (scan(network, Noise(), ["relu2"], dtype=dtype)["relu2"] for dtype in (None, "bf16"))
    torch.testing.assert_close(rough.values, exact.values, rtol=0.05, atol=0.02)
    assert rough.values.dtype == torch.float32


def test_float64_networks_are_scanned_in_float64() -> None:
    network = tiny()
    network.module.double()
    same(scan(network, Noise(12), ["conv2"])["conv2"], scan(tiny(), Noise(12), ["conv2"])["conv2"])


def test_not_a_number_names_the_layer_and_the_picture() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x - 10).sqrt()

    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3), Root()), (3, 24, 24))
    with pytest.raises(NetworkError, match=r"layer '1' gives nan in channel 0 for Noise\[0\]"):
        scan(network, Noise(10), ["0", "1"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": ["relu9"]}, LayerError, "layer is 'relu9': no such layer; the nearest are relu"),
        ({"layers": []}, ArgumentError, "at least one layer"),
        ({"score": "median"}, ArgumentError, "score is 'median': expected one of max, mean, sum"),
        ({"score": lambda maps: maps.mean((1, 2, 3))}, ArgumentError, r"score is \(10,\): expected \(N, C\)"),
        ({"top": 0}, ArgumentError, "top is 0"),
        ({"batch_size": 0}, ArgumentError, "batch_size is 0"),
        ({"dtype": "int4"}, ArgumentError, "dtype is 'int4'"),
        ({"device": "abacus"}, ArgumentError, "device is 'abacus'"),
    ],
)
def test_mistakes_are_named(
    network: Network, arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        scan(network, Noise(10), **arguments)  # type: ignore[arg-type]


def test_no_readable_picture_is_an_error(network: Network, tmp_path: Path) -> None:
    for index in range(9):
        (tmp_path / f"{index}.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"can be read: 0\.png: not a picture"):
        scan(network, tmp_path)


def test_network_and_its_hooks_stay_as_they_were(network: Network) -> None:
    before = {name: tensor.clone() for name, tensor in network.module.state_dict().items()}
    network.module.train()
    scan(network, Noise(10))
    assert network.module.training
    assert not any(child._forward_hooks for child in network.module.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.module.state_dict().items())
