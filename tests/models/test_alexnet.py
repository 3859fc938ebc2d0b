import pytest
import torch

from convscope.errors import ArgumentError
from convscope.models.alexnet import AlexNet

SIZES = {
    "conv1": 55, "norm1": 55, "pool1": 27, "conv2": 27, "norm2": 27, "pool2": 13, "conv3": 13, "conv4": 13,
    "conv5": 13, "pool5": 6,
}  # fmt: skip


def test_shapes_are_the_published_ones() -> None:
    x, found = torch.zeros(1, 3, 224, 224), {}
    for name, child in AlexNet(features_only=True).named_children():
        x = child(x)
        found[name] = x.shape[3]
    assert {name: found[name] for name in SIZES} == SIZES


def test_normalisation_comes_before_pooling() -> None:
    with torch.device("meta"):
        names = [name for name, _ in AlexNet().named_children()]
    assert names[:8] == ["conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2"]
    assert names[-7:] == ["fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"]


def test_parameters_grouped_and_dense() -> None:
    with torch.device("meta"):
        grouped, dense = AlexNet(), AlexNet(groups=(1, 1, 1, 1, 1))
        alternative = AlexNet(groups=(1, 1, 2, 2, 2))
    assert sum(p.numel() for p in grouped.parameters()) == 60_965_224
    assert sum(p.numel() for p in dense.parameters()) == 62_378_344
    assert alternative.get_parameter("conv3.weight").shape[1] == 128


@pytest.mark.parametrize("layer", ["conv2", "conv4", "conv5"])
def test_groups_do_not_see_one_another(layer: str) -> None:
    convolution = getattr(AlexNet(features_only=True), layer)
    maps = convolution.in_channels
    x = torch.randn(1, maps, 13, 13)
    moved = x.clone()
    moved[:, : maps // 2] += torch.randn(1, maps // 2, 13, 13)
    before, after = convolution(x), convolution(moved)
    half = convolution.out_channels // 2
    assert torch.equal(before[:, half:], after[:, half:])
    assert not torch.equal(before[:, :half], after[:, :half])


def test_groups_that_do_not_divide_name_the_layer() -> None:
    with pytest.raises(ArgumentError, match="conv4"):
        AlexNet(groups=(1, 2, 1, 5, 2), features_only=True)


def test_scaled_to_another_side() -> None:
    small = AlexNet(side=128, maps=(8, 8, 8, 8, 8), fc=(10, 10), classes=4)
    assert small(torch.zeros(1, 3, 128, 128)).shape == (1, 4)
    with pytest.raises(ArgumentError, match="128x128"):
        small(torch.zeros(1, 3, 224, 224))
