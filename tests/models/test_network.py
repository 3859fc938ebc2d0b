from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from convscope.errors import ArgumentError, LayerError, PictureError, WeightsError
from convscope.models.network import Network, read, save
from convscope.models.variants import build
from tests.nets import Spelled
from tests.slow_twins import plain_copy

SMALL = {"base": "zfnet", "side": 64, "maps": (4, 4, 4, 4, 4), "fc": (8, 8), "classes": 3}


def small() -> Any:
    """A Network whose module's layers are attributes."""
    torch.manual_seed(0)
    return Network(build(SMALL), (3, 64, 64), 0.5, 0.25, ["a", "b", "c"], "small")


def test_layers_have_shapes_and_receptive_fields() -> None:
    table = {layer.name: layer for layer in small().layers()}
    assert list(table)[:5] == ["conv1", "relu1", "pool1", "norm1", "conv2"]
    assert (table["conv1"].kind, table["conv1"].channels, table["conv1"].height) == ("Conv2d", 4, 30)
    assert table["conv1"].parameters == 4 * 3 * 49 + 4
    field = table["relu5"].receptive_field
    assert field is not None
    assert (field.size, field.jump, field.start) == ((139, 139), (16, 16), (-49, -49))
    assert table["fc6"].receptive_field is None
    assert (table["fc6"].channels, table["fc6"].height, table["fc6"].width) == (8, 1, 1)


def test_the_default_layers_are_the_rectified_outputs() -> None:
    assert small().rectified() == [f"relu{n}" for n in range(1, 6)]
    assert small().rectified(maps=False)[-2:] == ["relu6", "relu7"]
    assert Network(Spelled("reused"), (3, 16, 16)).rectified() == ["relu#0", "relu#1", "relu#2"]
    assert Network(Spelled("functional"), (3, 16, 16)).rectified() == ["a", "b", "c"]


def test_everything_runs_on_a_copy() -> None:
    net = small()
    net.module.train()
    net.module.conv1.weight.requires_grad_(False)
    strides, before = net.module.conv2.weight.stride(), plain_copy(net.module)
    copied = net.working("cpu", torch.float64)
    net.layers()
    assert copied.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    assert copied.conv2.weight.dtype == torch.float64
    assert not copied.training
    assert net.module.training
    assert net.module.conv2.weight.stride() == strides
    assert not net.module.conv1.weight.requires_grad
    assert net.module.conv2.weight.requires_grad
    assert all(torch.equal(before[k], v) for k, v in net.module.state_dict().items())


def test_the_copy_follows_the_users_weights() -> None:
    net = small()
    first, fingerprint = net.working("cpu"), net.fingerprint()
    assert net.working("cpu") is first
    with torch.no_grad():
        net.module.conv1.weight.mul_(2)
    assert net.fingerprint() != fingerprint
    torch.testing.assert_close(net.working("cpu").conv1.weight, net.module.conv1.weight.detach())
    net.module.load_state_dict(build(SMALL).state_dict())
    torch.testing.assert_close(net.working("cpu").conv1.weight, net.module.conv1.weight.detach())


def test_pictures_of_every_kind_become_inputs(tmp_path: Path) -> None:
    net = small()
    array = np.random.default_rng(0).integers(0, 255, (80, 90, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    by_path = net.inputs(tmp_path / "a.png")
    assert by_path.shape == (1, 3, 64, 64)
    for same in (str(tmp_path / "a.png"), Image.fromarray(array), array):
        torch.testing.assert_close(net.inputs(same), by_path)
    torch.testing.assert_close(net.inputs([array, array])[1:], by_path)
    torch.testing.assert_close(net.inputs(by_path[0]), by_path)


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(1, 1, 64, 64), torch.zeros(2, 64, 64), torch.zeros(0, 3, 64, 64), torch.full((3, 64, 64), torch.nan)],
    ids=["channels", "grey", "none", "nan"],
)
def test_what_cannot_be_an_input_is_said(wrong: torch.Tensor) -> None:
    with pytest.raises(ArgumentError, match="picture is"):
        small().inputs(wrong)


def test_a_file_that_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(PictureError, match=r"a\.jpg"):
        small().inputs(tmp_path / "a.jpg")


def test_nan_weights_name_the_tensor() -> None:
    module: Any = build(SMALL)
    with torch.no_grad():
        module.conv3.weight[1, 2, 0, 1] = torch.nan
    with pytest.raises(WeightsError, match=r"conv3.weight holds NaN or infinity, first at \[1, 2, 0, 1\]"):
        Network(module, (3, 64, 64))


def test_saved_networks_come_back(tmp_path: Path) -> None:
    net, path = small(), tmp_path / "small.safetensors"
    save(net, path, SMALL, {"epochs": 3})
    back = read(path, build)
    assert back.fingerprint() == net.fingerprint()
    assert (back.classes, back.name, back.recipe["epochs"], back.resize) == (net.classes, "small", 3, net.resize)
    torch.testing.assert_close(back.mean, net.mean)
    assert [p.name for p in tmp_path.iterdir()] == ["small.safetensors"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode, "anybody whom the umask lets in can read it"


def test_half_precision_is_half_the_size_and_reads_as_float32(tmp_path: Path) -> None:
    module: Any = build({**SMALL, "fc": (64, 64)}).eval()
    net = Network(module, (3, 64, 64), 0.5, 0.2, ["a", "b", "c"], "toy")
    for name, half in (("full.safetensors", False), ("half.safetensors", True)):
        save(net, tmp_path / name, module.architecture, {"epochs": 1}, half=half)
    full, small = ((tmp_path / name).stat().st_size for name in ("full.safetensors", "half.safetensors"))
    assert small < 0.65 * full
    again: Any = read(tmp_path / "half.safetensors", build)
    assert again.dtype == torch.float32
    assert (again.name, again.classes, again.recipe) == ("toy", ("a", "b", "c"), {"epochs": 1})
    assert torch.allclose(again.module.conv1.weight, module.conv1.weight, rtol=1e-3)


def test_weights_of_another_architecture_name_keys_and_shapes(tmp_path: Path) -> None:
    net, path = small(), tmp_path / "small.safetensors"
    save(net, path, {**SMALL, "fc": (16, 8)}, {})
    with pytest.raises(WeightsError, match=r"fc6\.weight is 8x4 where the network has 16x4"):
        read(path, build)
    path.write_bytes(b"not safetensors")
    with pytest.raises(WeightsError, match="no safetensors file"):
        read(path, build)
    with pytest.raises(WeightsError, match="there is no file"):
        read(tmp_path / "missing.safetensors", build)


def test_a_layer_of_the_graph_that_is_not_there() -> None:
    with pytest.raises(LayerError, match="nearest are relu1"):
        small().graph().node("relu11")


def test_what_is_no_module() -> None:
    with pytest.raises(ArgumentError, match="module is 'str'"):
        Network("zfnet128")  # type: ignore[arg-type]
    assert isinstance(small().module, nn.Module)


def test_the_working_copy_shares_what_has_no_layout_and_nothing_else() -> None:
    module: Any = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    net = Network(module, (3, 8, 8), 0.0, 1.0)
    working: Any = net.working("cpu")
    assert working[4].weight.data_ptr() == module[4].weight.data_ptr()
    assert working[0].weight.data_ptr() != module[0].weight.data_ptr()
    assert working[1].running_mean.data_ptr() != module[1].running_mean.data_ptr()
    assert not working[4].weight.requires_grad
    assert module[4].weight.requires_grad
    with torch.no_grad():
        module[4].weight.add_(1)
    assert net.working("cpu") is not working  # the user's weights have changed
