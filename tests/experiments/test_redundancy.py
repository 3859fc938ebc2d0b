"""Copies of filters cluster, and taking out what only repeats changes nothing (METHODS P6)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convscope import Network
from convscope.errors import ArgumentError, DataError, NetworkError, WeightsError
from convscope.experiments.redundancy import redundancy
from convscope.figures.redundancy import redundancy as draw

TURNED, SCALED, ZERO = 4, 5, 6


class Labelled:
    """Pictures in network space with labels of two classes."""

    classes = ("a", "b")

    def __init__(self, count: int = 24) -> None:
        self.pictures = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(5))
        self.targets = [k % 2 for k in range(count)]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pictures[index], self.targets[index]


def network(norm: bool = False) -> Network:
    """Seven filters: 4 is 0 turned by a right angle in other colours, 5 is 2.5 times 1, 6 is zero."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 7, 5, 2)
    module = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(63, 2))
    with torch.no_grad():
        weight, bias = conv.weight, conv.get_parameter("bias")
        weight[TURNED] = torch.rot90(weight[0, [1, 2, 0]], 1, (1, 2))
        weight[SCALED], bias[SCALED] = 2.5 * weight[1], 2.5 * bias[1]
        weight[ZERO] = 0
    return Network(module, (3, 16, 16), 0.0, 1.0, classes=("a", "b"), name="seven")


def test_copies_cluster_and_a_zero_filter_is_left_out() -> None:
    with pytest.warns(UserWarning, match="filter 6 is the same everywhere"):
        found = redundancy(network())
    assert found.clusters == ((0, TURNED), (1, SCALED), (2,), (3,))
    assert found.excluded == (ZERO,)
    assert found.redundancy == pytest.approx(1 - 4 / 6)
    assert found.chance == 0
    assert found.arrays["cluster"].tolist() == [0, 1, 2, 3, 0, 1, -1]
    assert "the same: 0, 4" in found.text


@pytest.mark.filterwarnings("ignore:filter 6 is")
def test_merging_multiples_changes_nothing_and_pruning_is_silence() -> None:
    net = network()
    weights = {name: tensor.clone() for name, tensor in net.module.state_dict().items()}
    found = redundancy(net, Labelled())
    tried = found.compression
    assert tried is not None
    assert (tried.merged, len(tried.pruned)) == ((1,), 1)
    assert SCALED in tried.kept
    for name, tensor in net.module.state_dict().items():
        assert torch.equal(tensor, weights[name])
    assert not net.module.get_submodule("0")._forward_hooks
    # The same by hand: next-layer weights added up, the pruned filter's set to zero.
    x, merged = Labelled().pictures, {k: v.clone() for k, v in weights.items()}
    planes = merged["4.weight"].view(2, 7, 9)
    planes[:, SCALED] += planes[:, 1] / 2.5
    planes[:, [1, *tried.pruned]] = 0
    before = float((net.module(x).argmax(1) == torch.tensor(Labelled().targets)).float().mean())
    net.module.load_state_dict(merged)
    after = float((net.module(x).argmax(1) == torch.tensor(Labelled().targets)).float().mean())
    assert [tried.before, tried.after] == pytest.approx([100 * before, 100 * after])


@pytest.mark.filterwarnings("ignore:filter 6 is")
def test_only_merging_keeps_the_accuracy_exactly() -> None:
    net = network()
    with torch.no_grad():
        for tensor in net.module.get_submodule("0").parameters():
            tensor[TURNED] = 0.5 * tensor[0]
    tried = redundancy(net, Labelled()).compression
    assert tried is not None
    assert tried.merged == (1, TURNED)
    assert tried.pruned == ()
    assert tried.before == tried.after


def test_pictures_instead_of_filters(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).normal(size=(5, 3, 40, 40))
    pictures[3] = pictures[1][:, ::-1, ::-1]
    np.savez(tmp_path / "arrays.npz", values=np.zeros(5), pixels=pictures)
    np.save(tmp_path / "pictures.npy", pictures)
    expected = redundancy(network(), pictures=pictures)
    assert expected.clusters[0] == (1, 3)
    for file in (tmp_path, tmp_path / "pictures.npy", str(tmp_path / "arrays.npz")):
        assert redundancy(network(), pictures=file).clusters == expected.clusters
    np.save(tmp_path / "flat.npy", pictures[0, 0])
    with pytest.raises(ArgumentError, match="no array"):
        redundancy(network(), pictures=tmp_path / "flat.npy")
    with pytest.raises(DataError, match="holds no arrays"):
        redundancy(network(), pictures=tmp_path / "none.npy")


def test_a_normalised_layer_is_cut_behind_the_normalisation() -> None:
    torch.manual_seed(0)
    conv, norm, head = nn.Conv2d(3, 4, 5), nn.BatchNorm2d(4), nn.Linear(4, 2)
    norm.get_buffer("running_mean").uniform_(-1, 1)
    with torch.no_grad():
        conv.weight[3] = -conv.weight[0]
    module = nn.Sequential(nn.Sequential(conv, norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), head)
    net = Network(module, (3, 16, 16), 0.0, 1.0, classes=("a", "b"))
    tried = redundancy(net, Labelled()).compression
    assert tried is not None
    assert len(tried.pruned) == 1
    head.weight.data[:, tried.pruned[0]] = 0
    by_hand = (net.module.eval()(Labelled().pictures).argmax(1) == torch.tensor(Labelled().targets)).float().mean()
    assert tried.after == pytest.approx(100 * float(by_hand))


class Functional(nn.Module):
    """Its convolution is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 5, 5))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight).relu().mean((2, 3))


def test_bad_settings() -> None:
    net = network()
    for options, words in (
        ({"threshold": 0}, "threshold is 0"),
        ({"threshold": 1.2}, "threshold is 1.2"),
        ({"colour": "red"}, "colour is 'red'"),
        ({"images": Labelled(), "pictures": np.zeros((2, 3, 5, 5))}, "given with images"),
        ({"layer": "1"}, "expected a convolution"),
    ):
        with pytest.raises(ArgumentError, match=words):
            redundancy(net, **options)
    with pytest.raises(WeightsError, match="the same everywhere"):
        redundancy(net, pictures=np.zeros((2, 3, 5, 5)))
    with pytest.raises(NetworkError, match="no module's output"):
        redundancy(Network(Functional(), (3, 16, 16), 0.0, 1.0, classes=list("abcd")), Labelled())


@pytest.mark.filterwarnings("ignore:filter 6 is")
def test_figures() -> None:
    net = network()
    for found in (redundancy(net, Labelled()), redundancy(net, threshold=1.0), redundancy(net, threshold=0.1)):
        draw(net, found)
    single = np.random.default_rng(0).normal(size=(1, 3, 5, 5))
    draw(net, redundancy(net, pictures=single))
