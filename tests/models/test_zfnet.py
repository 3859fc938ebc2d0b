from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convscope.errors import ArgumentError
from convscope.models.variants import VARIANTS, ZFNET128, build
from convscope.models.zfnet import LRN, ZFNet, initialise, response_norm

EXACT = {
    "conv1": 110, "pool1": 55, "norm1": 55, "conv2": 26, "pool2": 13, "norm2": 13, "conv3": 13, "conv4": 13,
    "conv5": 13, "pool5": 6,
}  # fmt: skip
SCALED = {"conv1": 62, "pool1": 31, "conv2": 14, "pool2": 7, "conv3": 7, "conv4": 7, "conv5": 7, "pool5": 3}
COUNTS = {
    "conv1": 14_208, "conv2": 614_656, "conv3": 885_120, "conv4": 1_327_488, "conv5": 884_992,
    "fc6": 37_752_832, "fc7": 16_781_312, "fc8": 4_097_000,
}  # fmt: skip
TABLE_3 = {
    "alexnet": 60_965_224,
    "alexnet-without-3-4": 59_268_712,
    "alexnet-without-7": 44_183_912,
    "alexnet-without-6-7": 11_551_080,
    "alexnet-without-3-4-6-7": 9_854_568,
    "alexnet-fc-2048": 27_455_848,
    "alexnet-fc-8192": 153_149_800,
    "zfnet": 62_357_608,
    "zfnet-fc-2048": 28_848_232,
    "zfnet-fc-8192": 154_542_184,
    "zfnet-wide": 107_627_624,
    "zfnet-wide-fc-8192": 237_560_936,
}


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def sides(module: nn.Module, x: torch.Tensor) -> dict[str, int]:
    found = {}
    for name, child in module.named_children():
        x = child(x)
        if x.ndim == 4:
            assert x.shape[2] == x.shape[3]
            found[name] = x.shape[3]
    return found


def test_exact_network_has_the_published_shapes() -> None:
    found = sides(ZFNet(features_only=True), torch.zeros(1, 3, 224, 224))
    assert {name: found[name] for name in EXACT} == EXACT


def test_exact_network_has_the_published_parameters() -> None:
    with torch.device("meta"):
        network = ZFNet()
    counts = {name: parameters(child) for name, child in network.named_children() if parameters(child)}
    assert counts == COUNTS
    assert parameters(network) == 62_357_608
    assert (counts["fc6"] + counts["fc7"]) / 62_357_608 == pytest.approx(0.875, abs=5e-4)


@pytest.mark.parametrize(("name", "count"), TABLE_3.items())
def test_every_row_of_table_3_has_its_parameters(name: str, count: int) -> None:
    with torch.device("meta"):
        network = build(VARIANTS[name])
    assert parameters(network) == count
    out = network(torch.empty(1, 3, 224, 224, device="meta"))
    assert out.shape == (1, 1000)


def test_table_3_has_twelve_rows() -> None:
    assert list(TABLE_3) == list(VARIANTS)


def test_scaled_network_has_the_sizes_of_its_side() -> None:
    network = build(ZFNET128)
    found = sides(build({**ZFNET128, "features_only": True}), torch.zeros(1, 3, 128, 128))
    assert {name: found[name] for name in SCALED} == SCALED
    assert network(torch.zeros(2, 3, 128, 128)).shape == (2, 101)
    assert parameters(network) == 3_322_853


@pytest.mark.parametrize("side", [49, 61, 64, 96, 127, 129, 200])
def test_any_side_fits_its_own_classifier(side: int) -> None:
    small = {"side": side, "maps": (4, 4, 4, 4, 4), "fc": (5, 6), "classes": 3}
    for base in ("zfnet", "alexnet"):
        if base == "alexnet" and side < 63:
            continue
        network = build({"base": base, **small})
        assert network(torch.zeros(1, 3, side, side)).shape == (1, 3)


def test_probabilities_sum_to_one() -> None:
    network = build({**ZFNET128, "maps": (8, 8, 8, 8, 8), "fc": (16, 16)})
    rows = network(torch.randn(4, 3, 128, 128)).softmax(1).sum(1)
    assert torch.allclose(rows, torch.ones(4), atol=1e-6)


def test_another_size_names_what_the_classifier_needs() -> None:
    network = build(ZFNET128)
    with pytest.raises(ArgumentError, match=r"\(1, 3, 130, 128\).*128x128; features_only=True"):
        network(torch.zeros(1, 3, 130, 128))
    with pytest.raises(ArgumentError, match=r"expected \(N, 3, height, width\)"):
        network(torch.zeros(1, 1, 128, 128))


def test_features_only_takes_any_size_that_leaves_pool5_something() -> None:
    network: Any = build({**ZFNET128, "features_only": True})
    assert network(torch.zeros(1, 3, 200, 150)).shape == (1, 128, 5, 4)
    smallest = next(side for side in range(1, 100) if network.extent(side) >= 1)
    assert network(torch.zeros(1, 3, smallest, smallest)).shape[2:] == (1, 1)
    with pytest.raises(ArgumentError, match="pool5 would be empty"):
        network(torch.zeros(1, 3, smallest - 1, 100))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": "resnet"}, "expected one of zfnet, alexnet"),
        ({"remove": (5,)}, "only .3, 4, 6, 7. can be removed"),
        ({"remove": (1,)}, "can be removed"),
        ({"maps": (8, 8, 8)}, "expected 5 positive"),
        ({"maps": (8, 8, 8, 8, 0)}, "expected 5 positive"),
        ({"fc": (8,)}, "expected 2 positive"),
        ({"groups": (1, 3, 1, 1, 1)}, "conv2"),
        ({"side": 10}, "pool5 would be empty"),
        ({"classes": 0}, "expected a positive"),
        ({"dropout": 1.0}, r"\[0, 1\)"),
        ({"depth": 8}, "no such settings"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        build({**ZFNET128, **change})


def test_a_module_is_rebuilt_from_its_architecture() -> None:
    network = build({**ZFNET128, "remove": (3, 7), "norm": False})
    again = build(network.architecture)
    assert again.architecture == network.architecture
    again.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 128, 128)
    assert torch.equal(network.eval()(x), again.eval()(x))
    assert not any(isinstance(module, nn.LocalResponseNorm) for module in network)


def test_the_forward_pass_can_be_traced() -> None:
    network = build({**ZFNET128, "maps": (4, 4, 4, 4, 4), "fc": (5, 6)}).eval()
    x = torch.randn(1, 3, 128, 128)
    assert torch.equal(torch.fx.symbolic_trace(network)(x), network(x))


def test_a_layer_tap_has_the_name_of_its_stage() -> None:
    with torch.device("meta"):
        names = " ".join(name for name, _ in ZFNet().named_children())
    assert names == (
        "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4 relu4 conv5 relu5 pool5 "
        "flatten fc6 relu6 drop6 fc7 relu7 drop7 fc8"
    )


def by_the_formula(a: torch.Tensor) -> torch.Tensor:
    n, k, alpha, beta = int(LRN["size"]), LRN["k"], LRN["alpha"], LRN["beta"]
    out = torch.empty_like(a)
    for i in range(a.shape[1]):
        near = range(max(0, i - n // 2), min(a.shape[1] - 1, i + n // 2) + 1)
        out[:, i] = a[:, i] / (k + alpha * sum(a[:, j] ** 2 for j in near)) ** beta
    return out


def test_response_normalisation_is_the_formula() -> None:
    a = torch.randn(2, 9, 3, 4, dtype=torch.float64) * 50
    assert torch.allclose(response_norm()(a), by_the_formula(a), rtol=1e-12)
    ten = torch.full((1, 1, 1, 1), 10.0, dtype=torch.float64)
    assert response_norm()(ten).item() == pytest.approx(10 / (2 + 1e-4 * 100) ** 0.75)
    assert torch.equal(response_norm()(torch.zeros(1, 3, 2, 2)), torch.zeros(1, 3, 2, 2))


def test_gaussian_initialisation_has_the_papers_deviation() -> None:
    network = build({"base": "zfnet", "side": 96, "maps": (64, 256, 256, 256, 128), "fc": (1024, 1024)})
    initialise(network, "gaussian", seed=3)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            tolerance = 4 * 0.01 / (2 * module.weight.numel()) ** 0.5  # four standard errors
            assert module.weight.std().item() == pytest.approx(0.01, abs=max(tolerance, 1e-4))
            assert module.bias is not None
            assert not module.bias.any()


def test_initialisation_follows_from_the_seed() -> None:
    small = {"base": "zfnet", "side": 64, "maps": (4, 4, 4, 4, 4), "fc": (5, 6), "classes": 3}
    one: Any = build(small)
    same: Any = build(small)
    other: Any = build(small)
    for network, seed in ((one, 1), (same, 1), (other, 2)):
        initialise(network, "he", seed)
    assert torch.equal(one.conv1.weight, same.conv1.weight)
    assert not torch.equal(one.conv1.weight, other.conv1.weight)
    with pytest.raises(ArgumentError, match="gaussian or he"):
        initialise(one, "xavier")


def test_he_keeps_the_scale_through_rectifiers() -> None:
    network: Any = build({**ZFNET128, "norm": False})
    initialise(network, "he", 0)
    x = F.relu(network.conv2(F.relu(network.conv1(torch.randn(8, 3, 40, 40)))))
    assert 0.5 < x.square().mean().item() < 2
