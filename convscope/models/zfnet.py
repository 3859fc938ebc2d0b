"""ZFNet (METHODS M1) and what it shares with AlexNet: eight layers read off a table of stages.

    from convscope.models.zfnet import ZFNet
    ZFNet()                                                        # exact M1, 62,357,608 parameters
    ZFNet(side=128, maps=(64, 128, 192, 192, 128), fc=(1024, 1024), classes=101)      # zfnet128

Knows nothing of pictures, transforms or weights on disk. The modules are direct children, named as taps are
addressed: `conv1 relu1 pool1 norm1 conv2 … pool5 flatten fc6 relu6 drop6 fc7 relu7 drop7 fc8`.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from convscope.errors import ArgumentError

REMOVABLE = (3, 4, 6, 7)  # the layers that the study takes out (METHODS M3)
LRN = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}  # METHODS M9, where alpha is not divided by the size


@dataclass(frozen=True)
class Stage:
    """One convolutional stage: a square kernel, and what follows its rectifier, in order."""

    layer: int
    kernel: int
    stride: int = 1
    padding: int = 0
    tail: tuple[str, ...] = ()  # of "pool" and "norm"
    maps: int = 0  # these two as the architecture has them
    groups: int = 1


def response_norm() -> nn.LocalResponseNorm:
    """Contrast normalisation across maps (METHODS M9); torch divides alpha by the size, so it is given alpha·n."""
    return nn.LocalResponseNorm(int(LRN["size"]), alpha=LRN["alpha"] * LRN["size"], beta=LRN["beta"], k=LRN["k"])


class Chain(nn.Sequential):
    """Named layers one after another; `architecture` holds the plain values that `variants.build` makes them from."""

    architecture: dict[str, Any]


class EightLayers(Chain):
    """Five convolutional stages, two fully connected layers and a classifier, some of them removable (M1 to M3).

    Takes (N, channels, side, side) in network space, gives (N, classes) logits; with `features_only` it ends at
    `pool5` and takes any size that leaves `pool5` at least one position.

    Raises:
        ArgumentError: layers that cannot be removed, groups that do not divide the maps, a side too small;
            when called, an input of another size than the classifier needs.
    """

    BASE: ClassVar[str]  # what `variants.build` knows it by
    STAGES: ClassVar[tuple[Stage, ...]]
    GROUPS: ClassVar[tuple[int, ...]]  # of the maps, unless said otherwise
    CEIL_POOLS: ClassVar[bool]

    def __init__(
        self,
        *,
        side: int = 224,
        maps: Sequence[int] = (96, 256, 384, 384, 256),
        fc: Sequence[int] = (4096, 4096),
        classes: int = 1000,
        remove: Sequence[int] = (),
        groups: Sequence[int] | None = None,
        norm: bool = True,
        dropout: float = 0.5,
        channels: int = 3,
        features_only: bool = False,
    ) -> None:
        architecture = plain(
            self.BASE,
            side=side,
            maps=maps,
            fc=fc,
            classes=classes,
            remove=sorted(set(remove)),
            groups=groups or self.GROUPS,
            norm=norm,
            dropout=dropout,
            channels=channels,
            features_only=features_only,
        )
        for layer in architecture["remove"]:
            if layer not in REMOVABLE:
                raise ArgumentError("remove", layer, f"of the layers only {REMOVABLE} can be removed")
        check(architecture, {"maps": 5, "groups": 5, "fc": 2})
        stages = [replace(s, maps=maps[s.layer - 1], groups=architecture["groups"][s.layer - 1]) for s in self.STAGES]
        kept = [stage for stage in stages if stage.layer not in architecture["remove"]]
        modules = _convolutional(kept, channels, norm, self.CEIL_POOLS)
        super().__init__(modules)
        self.architecture = architecture
        extent = self.extent(architecture["side"])
        if extent < 1:
            raise ArgumentError("side", architecture["side"], "too small: pool5 would be empty")
        if not architecture["features_only"]:
            width = kept[-1].maps * extent**2
            for name, module in _classifier(width, architecture).items():
                self.add_module(name, module)
        # A hook, not an overridden forward: tracers must see nothing but the chain of modules.
        self.register_forward_pre_hook(_fits)

    def extent(self, side: int) -> int:
        """Rows (and columns) of `pool5` for pictures of `side` pixels; 0 or less where nothing is left."""
        for module in self:
            if isinstance(module, nn.Conv2d):
                side = (side + 2 * int(module.padding[0]) - module.kernel_size[0]) // module.stride[0] + 1
            elif isinstance(module, nn.MaxPool2d):
                side = _pooled(side, module)
            if side < 1:
                return 0
        return side


def _pooled(side: int, pool: nn.MaxPool2d) -> int:
    kernel, stride = int(pool.kernel_size), int(pool.stride)  # type: ignore[arg-type]
    if not pool.ceil_mode:
        return (side - kernel) // stride + 1
    out = -((kernel - side) // stride) + 1
    return out if (out - 1) * stride < side else out - 1  # as torch: no window begins beyond the border


def _convolutional(
    stages: Sequence[Stage], channels: int, norm: bool, ceil_pools: bool
) -> "OrderedDict[str, nn.Module]":
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for stage in stages:
        n = stage.layer
        if channels % stage.groups or stage.maps % stage.groups:
            raise ArgumentError(
                "groups", stage.groups, f"does not divide the {channels} to {stage.maps} maps of conv{n}"
            )
        modules[f"conv{n}"] = nn.Conv2d(
            channels, stage.maps, stage.kernel, stage.stride, stage.padding, groups=stage.groups
        )
        modules[f"relu{n}"] = nn.ReLU()
        for step in stage.tail:
            if step == "pool":
                modules[f"pool{n}"] = nn.MaxPool2d(3, 2, ceil_mode=ceil_pools)
            elif norm:
                modules[f"norm{n}"] = response_norm()
        channels = stage.maps
    return modules


def _classifier(width: int, architecture: dict[str, Any]) -> "OrderedDict[str, nn.Module]":
    modules: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for layer, units in zip((6, 7), architecture["fc"], strict=True):
        if layer in architecture["remove"]:
            continue
        modules[f"fc{layer}"] = nn.Linear(width, units)
        modules[f"relu{layer}"] = nn.ReLU()
        modules[f"drop{layer}"] = nn.Dropout(architecture["dropout"])
        width = units
    modules["fc8"] = nn.Linear(width, architecture["classes"])
    return modules


def _fits(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    assert isinstance(module, EightLayers)
    shape, wanted = tuple(inputs[0].shape), module.architecture
    channels, side = wanted["channels"], wanted["side"]
    if len(shape) != 4 or shape[1] != channels:
        raise ArgumentError("input", shape, f"expected (N, {channels}, height, width)")
    if wanted["features_only"]:
        if min(module.extent(shape[2]), module.extent(shape[3])) < 1:
            raise ArgumentError("input", shape, "too small: pool5 would be empty")
    elif shape[2:] != (side, side):
        need = f"the classifier needs pictures of {side}x{side}; features_only=True takes other sizes"
        raise ArgumentError("input", shape, need)


class ZFNet(EightLayers):
    """Zeiler and Fergus' eight-layer network (METHODS M1), exact by default, or scaled to another `side`.

    conv, rectifier, pool, norm; 7x7/2 first; pools round up; all connections dense. Sizes for side 224: 110, 55,
    26, 13, 13, 13, 13, 6; for 128: 62, 31, 14, 7, 7, 7, 7, 3. Shapes and errors: see `EightLayers`.
    """

    BASE, GROUPS, CEIL_POOLS = "zfnet", (1, 1, 1, 1, 1), True
    STAGES = (
        # Pad 1 stands for the original toolchain's rounding up: 224 to 110, and so to 55 (METHODS M1).
        Stage(1, 7, 2, 1, ("pool", "norm")),
        Stage(2, 5, 2, tail=("pool", "norm")),
        Stage(3, 3, padding=1),
        Stage(4, 3, padding=1),
        Stage(5, 3, padding=1, tail=("pool",)),
    )


def check(architecture: dict[str, Any], counts: Mapping[str, int | None]) -> None:
    """Raise ArgumentError for settings out of range; `counts`: of which several are expected, None for any number."""
    for name, count in counts.items():
        values = architecture[name]
        if len(values) != (count or max(1, len(values))) or any(not isinstance(v, int) or v < 1 for v in values):
            raise ArgumentError(name, values, f"expected {count or 'some'} positive whole numbers")
    for name in ("side", "classes", "channels"):
        if architecture[name] < 1:
            raise ArgumentError(name, architecture[name], "expected a positive whole number")
    if not 0 <= architecture["dropout"] < 1:
        raise ArgumentError("dropout", architecture["dropout"], "expected a probability in [0, 1)")


def plain(base: str, **settings: Any) -> dict[str, Any]:
    """The settings of a network as JSON can hold them."""
    return {"base": base} | {k: v if isinstance(v, int | float | str) else list(v) for k, v in settings.items()}


@torch.no_grad()
def initialise(module: nn.Module, scheme: str = "gaussian", seed: int | None = None) -> None:
    """Fresh weights in place: "gaussian" is METHODS T8, N(0, 0.01²); "he" suits unit-scale input. Biases are 0."""
    generator = torch.Generator().manual_seed(torch.seed() if seed is None else seed)
    for layer in module.modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        if scheme not in ("gaussian", "he"):
            raise ArgumentError("init", scheme, "expected gaussian or he")
        std = 0.01 if scheme == "gaussian" else (2 / layer.weight[0].numel()) ** 0.5
        fresh = torch.empty(layer.weight.shape).normal_(0, std, generator=generator)
        layer.weight.copy_(fresh)
        if layer.bias is not None:
            layer.bias.zero_()
