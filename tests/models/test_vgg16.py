"""VGG16 with Keras' names, preprocessing and weights, and its readings of a few classes (METHODS M7)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from convscope.data.sources import images
from convscope.errors import ArgumentError, DataError, WeightsError
from convscope.models import vgg16
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.training.class_subset_accuracy import readings

FIVE = ("goldfish", "Siberian husky", "lemon", "ostrich", "green snake")


def test_layers_and_preprocessing() -> None:
    net = load("keras:vgg16@random")
    rows = {row.name: row for row in net.layers()}
    assert [rows[name].channels for name in vgg16.LAYERS] == [64, 128, 512]
    assert [rows[name].height for name in vgg16.LAYERS] == [224, 112, 14]
    assert sum(row.parameters for row in rows.values()) == 138_357_544
    field = rows["block5_conv3"].receptive_field
    assert field is not None
    assert field.size == (196, 196)
    assert net.classes is not None
    assert [net.classes.index(name) for name in FIVE] == [1, 250, 951, 9, 55]
    red = net.inputs(Image.new("RGB", (256, 256), (200, 100, 50)))[0, :, 100, 100]
    torch.testing.assert_close(red, torch.tensor([200 - 123.68, 100 - 116.779, 50 - 103.939]), atol=1e-3, rtol=0)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> nn.Sequential:
    """The same in shape but for its size: one convolution, and the three matrices for maps of 2 x 2."""
    made = nn.Sequential()
    made.add_module("block1_conv1", nn.Conv2d(3, 4, 3, padding=1))
    made.add_module("block1_pool", nn.MaxPool2d(112))
    made.add_module("flatten", nn.Flatten())
    made.add_module("fc1", nn.Linear(16, 6))
    made.add_module("predictions", nn.Linear(6, 1000))
    monkeypatch.setattr(vgg16, "_module", lambda: made)
    monkeypatch.setattr(vgg16, "MAPS", 4)
    monkeypatch.setattr(vgg16, "SIDE", 2)
    return made


def test_keras_weights_compute_what_keras_would(small: nn.Sequential, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shapes = [(3, 3, 3, 4), (4,), (16, 6), (6,), (6, 1000), (1000,)]
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    np.savez(tmp_path / "vgg16.npz", *arrays)
    net = load(f"keras:vgg16@{tmp_path / 'vgg16.npz'}")
    pixels = random.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() - torch.tensor(vgg16.MEAN)[:, None, None]
    with torch.no_grad():
        found = net.working("cpu")(x)[0]
    blue_first = np.pad(pixels[..., ::-1] - np.array(vgg16.MEAN[::-1]), ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(blue_first, (3, 3), (0, 1))  # (224, 224, c, 3, 3)
    maps = np.einsum("hwcij,ijco->hwo", windows, arrays[0]) + arrays[1]
    pooled = maps.reshape(2, 112, 2, 112, 4).max((1, 3))  # (row, column, map), flattened maps last
    expected = (pooled.reshape(-1) @ arrays[2] + arrays[3]) @ arrays[4] + arrays[5]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=2)


def test_what_is_no_such_file(small: nn.Sequential, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected keras:vgg16@FILE, vgg16\.npz"):
        load("keras:vgg16")
    with pytest.raises(WeightsError, match=r"there is no file .*: expected vgg16\.npz"):
        load("keras:vgg16@nowhere.npz")
    (tmp_path / "words.npz").write_text("words")
    with pytest.raises(WeightsError, match="cannot be read"):
        load(f"keras:vgg16@{tmp_path / 'words.npz'}")
    np.savez(tmp_path / "few.npz", np.zeros(3))
    with pytest.raises(WeightsError, match="holds 1 arrays"):
        load(f"keras:vgg16@{tmp_path / 'few.npz'}")
    np.savez(tmp_path / "other.npz", *[np.zeros(2, np.float32)] * 6)
    with pytest.raises(WeightsError, match="another architecture"):
        load(f"keras:vgg16@{tmp_path / 'other.npz'}")
    with pytest.raises(ArgumentError, match="expected vgg16"):
        load("keras:vgg19@random")


def colours(root: Path, count: int) -> str:
    """Pictures of one colour, in folders of its name."""
    for place, name in enumerate(("red", "green")):
        (root / name).mkdir(parents=True)
        for number in range(count):
            shade = [10 + number, 10, 10]
            shade[place] = 220 + number
            Image.new("RGB", (8, 8), tuple(shade)).save(root / name / f"{number}.png")
    return str(root)


def test_three_readings(tmp_path: Path) -> None:
    module = nn.Sequential()
    module.add_module("mean", nn.AdaptiveAvgPool2d(1))
    module.add_module("flatten", nn.Flatten())
    fc = nn.Linear(3, 3)
    module.add_module("fc", fc)
    with torch.no_grad():
        fc.weight.copy_(torch.eye(3))
        fc.bias.copy_(torch.tensor([0.0, 0.0, 5.0]))
    net = Network(module, (3, 8, 8), 0.0, 1.0, ["green", "red", "blue"])
    test, train = images(colours(tmp_path / "test", 3)), images(colours(tmp_path / "train", 4))
    found = readings(net, test, train, layer="flatten")
    assert found == {"restricted": 0.0, "unrestricted": 0.0, "frozen": 1.0}  # its names are the wrong way round
    with torch.no_grad():
        fc.bias.zero_()
        fc.weight.copy_(torch.eye(3)[[1, 0, 2]])
    assert readings(net, test) == {"restricted": 1.0, "unrestricted": 1.0}
    with torch.no_grad():
        fc.bias.copy_(torch.tensor([0.0, 0.0, 5.0]))
    assert readings(net, test) == {"restricted": 1.0, "unrestricted": 0.0}
    with pytest.raises(ArgumentError, match="layer"):
        readings(net, test, train)
    net.classes = ("cat", "dog", "cup")
    with pytest.raises(DataError, match="has classes the network has not: green, red"):
        readings(net, test)
