"""UpConvNets: their sizes, their files, and features of another layer (METHODS M8)."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convscope.errors import ArgumentError, WeightsError
from convscope.models.network import Network
from convscope.models.upconvnet import Decoders, UpConvNet, read, write
from convscope.models.zfnet import ZFNet


def net(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network(nn.Sequential(nn.Conv2d(3, 2, 3)), (3, 8, 8), name="small")


@pytest.mark.parametrize(
    ("shape", "settings", "size", "widths"),
    [
        ((4096,), {}, 128, [256, 128, 64, 32, 3]),  # METHODS M8, from fc6
        ((256, 6, 6), {"side": 192}, 192, [256, 128, 64, 32, 3]),  # from pool5
        ((1024,), {"side": 64, "dense": 512, "maps": (128, 128, 64, 32)}, 64, [128, 64, 32, 3]),
        ((128, 3, 3), {"side": 64, "maps": (8, 4)}, 48, [8, 8, 4, 3]),
        ((5, 7, 7), {"side": 64, "maps": (8,), "colours": 1}, 56, [8, 8, 1]),
        ((5, 60, 60), {"side": 64, "maps": (8,)}, 120, [3]),
    ],
)
def test_sizes(shape: tuple[int, ...], settings: dict[str, int], size: int, widths: list[int]) -> None:
    with torch.device("meta"):
        decoder = UpConvNet(shape, **settings)  # type: ignore[arg-type]
        assert decoder(torch.zeros(2, *shape)).shape == (2, widths[-1], size, size)
    assert [layer.out_channels for layer in decoder if isinstance(layer, nn.ConvTranspose2d)] == widths
    assert isinstance(decoder[-1], nn.ConvTranspose2d)


def test_an_up_convolution_is_zeros_between_and_a_convolution() -> None:
    decoder = UpConvNet((2, 3, 3), maps=(2,), side=8)
    layer = decoder[-1]
    assert isinstance(layer, nn.ConvTranspose2d)
    x = torch.randn(1, 2, 3, 3)
    spread = torch.zeros(1, 2, 6, 6)
    spread[:, :, ::2, ::2] = x
    plain = F.conv2d(spread, layer.weight.transpose(0, 1).flip(2, 3), layer.bias, padding=2)
    torch.testing.assert_close(layer(x), plain)


def test_he_keeps_the_scale() -> None:
    decoder = UpConvNet((64, 6, 6), maps=(64, 64), side=48)
    decoder.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert 0.3 < float(decoder(torch.randn(4, 64, 6, 6)).std()) < 4


def test_a_file_opens_again_and_only_for_its_network(tmp_path: Path) -> None:
    decoders = Decoders({"0": (2, 6, 6)}, maps=(4,), side=12)
    write(decoders, tmp_path / "decoders.safetensors", net(), {"epochs": 1})
    again = read(tmp_path / "decoders.safetensors", net())
    x = torch.randn(2, 2, 6, 6)
    torch.testing.assert_close(again({"0": x})["0"], decoders({"0": x})["0"])
    write(decoders, tmp_path / "half.safetensors", net(), {}, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < (tmp_path / "decoders.safetensors").stat().st_size
    assert next(read(tmp_path / "half.safetensors", net()).parameters()).dtype == torch.float32
    with pytest.raises(WeightsError, match="was trained on other weights"):
        read(tmp_path / "decoders.safetensors", net(1))
    with pytest.raises(WeightsError, match="there is no file"):
        read(tmp_path / "none.safetensors", net())
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(WeightsError, match="is no safetensors file"):
        read(tmp_path / "text", net())
    from convscope.models.network import save

    tiny = ZFNet(side=64, maps=(2, 2, 2, 2, 2), fc=(2, 2), classes=2)
    save(Network(tiny, (3, 64, 64)), tmp_path / "network.safetensors", tiny.architecture, {})
    with pytest.raises(WeightsError, match="holds none"):
        read(tmp_path / "network.safetensors", net())


def test_mistakes() -> None:
    decoder = UpConvNet((2, 3, 3), maps=(2,), side=8)
    with pytest.raises(ArgumentError, match=r"features is \(2, 4, 4\): this decoder is for \(2, 3, 3\)"):
        decoder(torch.zeros(1, 2, 4, 4))
    for values, words in (
        ({"shape": (2, 3)}, "expected one that gives maps or vectors"),
        ({"maps": ()}, "maps"),
        ({"dense": 20}, "expected a multiple of 16"),
        ({"side": 4}, "expected at least 8"),
    ):
        with pytest.raises(ArgumentError, match=words):
            UpConvNet(**{"shape": (8,), **values})  # type: ignore[arg-type]
