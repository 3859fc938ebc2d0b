import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from convscope.errors import ArgumentError, NetworkError, WeightsError
from convscope.models.catalog import ASSETS, bundled, load
from convscope.models.network import Network

ARCHITECTURES = {
    "alexnet": ("features.11", (163, 16, -66)),
    "vgg16": ("features.29", (196, 16, -90)),
    "squeezenet1_1": ("features.12", (207, 16, -88)),
    "googlenet": ("inception5b", None),
    "resnet18": ("layer4", (435, 32, -217)),
    "resnet50": ("layer4", (427, 32, -213)),
    "densenet121": ("features.relu0", (7, 2, -3)),
    "mobilenet_v3_small": ("features.0", (3, 2, -1)),
    "convnext_tiny": ("features.1", (76, 4, -36)),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_torchvision_by_name_with_the_layers_of_any_dag(name: str) -> None:
    net = load(f"torchvision:{name}@random")
    assert net.spec == f"torchvision:{name}@random"
    assert net.classes is not None
    assert len(net.classes) == 1000
    assert net.resize is not None
    layer, expected = ARCHITECTURES[name]
    rows = {row.name: row for row in net.layers()}
    assert all(row.channels > 0 for row in rows.values())
    field = rows[layer].receptive_field
    if expected:
        assert field is not None
        assert (field.size[0], field.jump[0], field.start[0]) == expected
    assert net.rectified()


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone() -> None:
    state = torch.random.get_rng_state()
    first, second = (load("torchvision:squeezenet1_1@random").fingerprint() for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), state)


def test_timm_by_name() -> None:
    net = load("timm:resnet18@random")
    assert net.input_size == (3, 224, 224)
    assert "layer1.0.act1" in net.rectified()


def test_weights_from_disk(tmp_path: Path) -> None:
    net = load("torchvision:squeezenet1_1@random")
    state = {name: tensor + 1 for name, tensor in net.module.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    loaded = [load(f"torchvision:squeezenet1_1@{tmp_path / name}").fingerprint() for name in ("w.pth", "w.safetensors")]
    assert loaded[0] == loaded[1] != net.fingerprint()
    with pytest.raises(WeightsError, match=r"another architecture: .* is missing"):
        load(f"torchvision:alexnet@{tmp_path / 'w.pth'}")
    with pytest.raises(WeightsError, match="there is no file"):
        load("torchvision:alexnet@nowhere.pth")


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (sys.exit, (1,))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    torch.save({"w": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="cannot be read as a plain state dict"):
        load(f"torchvision:alexnet@{tmp_path / 'evil.pth'}")


def test_networks_from_the_users_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def net():\n    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())\n"
        "def nothing():\n    return 3\n"
        "def breaks():\n    raise OSError('no disk')\n"
        "def leaves():\n    raise SystemExit('no GPU')\n"
        "class Net(nn.ReLU):\n    pass\n"
        "class Sized(nn.Module):\n    def __init__(self, classes):\n        super().__init__()\n"
        "model = net()\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    assert load("py:mine:net").name == "net"
    assert sys.path == path
    assert load("py:mine.py:net").spec == "py:mine.py:net"
    assert load("py:mine:Net").name == "Net"
    assert load("py:mine:model").module is sys.modules["mine"].model
    for name in ("nothing", "number"):
        with pytest.raises(ArgumentError, match=r"expected a Network or a torch.nn.Module, got int"):
            load(f"py:mine:{name}")
    with pytest.raises(ArgumentError, match="missing a required argument: 'classes'; name a function"):
        load("py:mine:Sized")
    with pytest.raises(NetworkError, match="'py:mine:leaves' ends the program: no GPU"):
        load("py:mine:leaves")
    with pytest.raises(NetworkError, match="OSError: no disk"):
        load("py:mine:breaks")
    with pytest.raises(NetworkError, match="ModuleNotFoundError"):
        load("py:not_there:net")
    sys.modules.pop("mine")


@pytest.mark.parametrize(
    ("spelling", "words"),
    [
        ("zfnet12", "did you mean 'zfnet128'"),
        ("resnet18", "did you mean 'torchvision:resnet18'"),
        ("ResNet18@random", "did you mean 'torchvision:resnet18@random'"),
        ("resnet81", "did you mean 'torchvision:resnet18'"),
        ("torchvision/resnet18", "did you mean 'torchvision:resnet18'"),
        ("torchvision.models.resnet18", "did you mean 'torchvision:resnet18'"),
        ("resnet18.a1_in1k", "did you mean 'timm:resnet18.a1_in1k'"),
        ("tiny_vit_5m_224", "did you mean 'timm:tiny_vit_5m_224'"),
        ("folder/model.py", "did you mean 'py:folder/model.py:FUNCTION'"),
        ("model.py:Net", "did you mean 'py:model.py:Net'"),
        ("runs/best.pth", "a file of weights goes with a network, as torchvision:NAME@runs/best.pth"),
        ("torchvision:vgg61@random", "no such model; the nearest are vgg"),
        ("timm:resnet81@random", "no such model; the nearest are resnet"),
        ("py:mine", 'expected "py:package.module:function"'),
        ("caffe:vgg16", 'expected "zfnet128", "torchvision:NAME"'),
    ],
)
def test_spellings_that_name_nothing(spelling: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(words)) as caught:
        load(spelling)
    assert spelling.partition("@")[0] in str(caught.value)


def test_a_module_s_file_without_its_scheme(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mine.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="did you mean 'py:mine:Net'"):
        load("mine:Net")


def test_a_module_in_memory_is_told_what_it_lacks() -> None:
    with pytest.raises(ArgumentError, match=r"network is 'ReLU': .* wrap it in Network\(module,"):
        load(nn.ReLU())  # type: ignore[arg-type]


def test_files_with_an_at_in_their_path_or_below_home(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "me@work"
    folder.mkdir()
    net = load("torchvision:squeezenet1_1@random")
    torch.save(net.module.state_dict(), folder / "w.pth")
    shutil.copy(ASSETS / "zfnet128.safetensors", folder / "own.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    for weights in (folder / "w.pth", "~/me@work/w.pth"):
        assert load(f"torchvision:squeezenet1_1@{weights}").fingerprint() == net.fingerprint()
    bundle = load("zfnet128").fingerprint()
    for file in (folder / "own.safetensors", str(folder / "own.safetensors"), "~/me@work/own.safetensors"):
        assert load(file).fingerprint() == bundle
    monkeypatch.chdir(tmp_path)
    assert load("me@work/own.safetensors").spec == "me@work/own.safetensors"


def test_the_bundled_network_is_small_and_complete() -> None:
    assert "zfnet128" in bundled()
    net = load("zfnet128")
    assert load(net) is net
    assert isinstance(net, Network)
    assert net.input_size == (3, 128, 128)
    assert net.classes is not None
    assert len(net.classes) == 101
    sizes = {layer.name: layer.height for layer in net.layers()}
    names = ["conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5"]
    assert [sizes[name] for name in names] == [62, 31, 14, 7, 7, 7, 7, 3]
    assert next(iter(net.module.parameters())).dtype == torch.float32
