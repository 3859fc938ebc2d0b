"""The small convnets of a student paper: M5 for digits, M6 for five classes of pictures (METHODS M5, M6).

    M5()                # 53,002 parameters: 28 -> 14 -> 7 -> 4 -> 2
    M5(option="C")      # 225,034
    M6()                # 258,693

Blocks of convolution, rectifier, max-pooling and, in M6, batch normalisation, then two fully connected layers. Knows
nothing of pictures or weights on disk.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from convscope.errors import ArgumentError
from convscope.models.zfnet import Chain, check, plain

# The paper gives both convolutions "stride 2", which can be read in four ways: (stride, padding). Padding 1 gives the
# sizes of TensorFlow's SAME; where that pads a row at the bottom this pads one at the top (as in M1).
OPTIONS = {"A": (2, 1), "B": (2, 0), "C": (1, 0), "D": (1, 1)}
CLASSES = 5  # that M6 is made for


class _Convnet(Chain):
    """What M5 and M6 share. Takes (N, channels, side, side) in network space, gives (N, classes) logits.

    Modules: `conv1 relu1 pool1 [norm1] conv2 …`, then `flatten`, a fully connected layer with its rectifier and
    dropout, and the classifier, numbered on.

    Raises:
        ArgumentError: values out of range; a side that leaves a pooling nothing (with the sizes up to there); when
            called, an input of another shape.
    """

    def __init__(self, base: str, **settings: Any) -> None:
        architecture = plain(base, **settings)
        if architecture["option"] not in OPTIONS:
            raise ArgumentError("option", architecture["option"], f"expected one of {', '.join(OPTIONS)}")
        check(architecture, {"maps": None, "fc": 1})
        stride, padding = OPTIONS[architecture["option"]]
        channels, side, trace = architecture["channels"], architecture["side"], [architecture["side"]]
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        for n, maps in enumerate(architecture["maps"], 1):
            modules[f"conv{n}"] = nn.Conv2d(channels, maps, 3, stride, padding)
            modules[f"relu{n}"] = nn.ReLU()
            modules[f"pool{n}"] = nn.MaxPool2d(2)
            if architecture["norm"]:
                modules[f"norm{n}"] = nn.BatchNorm2d(maps)
            convolved = max(0, (side + 2 * padding - 3) // stride + 1)
            channels, side = maps, convolved // 2
            trace += [convolved, side]
            if side < 1:
                empty = f"pool{n}" if convolved else f"conv{n}"
                raise ArgumentError("option", architecture["option"], f"{empty} would be empty: {_arrows(trace)}")
        last = len(architecture["maps"]) + 1
        modules["flatten"] = nn.Flatten()
        modules[f"fc{last}"] = nn.Linear(channels * side**2, architecture["fc"][0])
        modules[f"relu{last}"] = nn.ReLU()
        modules[f"drop{last}"] = nn.Dropout(architecture["dropout"])
        modules[f"fc{last + 1}"] = nn.Linear(architecture["fc"][0], architecture["classes"])
        super().__init__(modules)
        self.architecture = architecture
        self.register_forward_pre_hook(_fits)  # a hook, so that tracers see nothing but the chain of modules


def _arrows(sizes: Sequence[int]) -> str:
    return " → ".join(map(str, sizes))


def _fits(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    assert isinstance(module, Chain)
    shape, channels, side = tuple(inputs[0].shape), module.architecture["channels"], module.architecture["side"]
    if len(shape) != 4 or shape[1:] != (channels, side, side):
        raise ArgumentError("input", shape, f"expected (N, {channels}, {side}, {side})")


class M5(_Convnet):
    """The convnet for digits (METHODS M5): two blocks, 128 units, dropout 0.3; grey 28×28 in [0, 1].

    `option` is how "stride 2" is read: "A" 53,002 parameters (the default), "B" 28,426, "C" 225,034, "D" 421,642.
    """

    def __init__(
        self,
        *,
        side: int = 28,
        maps: Sequence[int] = (32, 64),
        fc: Sequence[int] = (128,),
        classes: int = 10,
        channels: int = 1,
        dropout: float = 0.3,
        norm: bool = False,
        option: str = "A",
    ) -> None:
        super().__init__(
            "m5",
            side=side,
            maps=maps,
            fc=fc,
            classes=classes,
            channels=channels,
            dropout=dropout,
            norm=norm,
            option=option,
        )


class M6(_Convnet):
    """The convnet for five classes (METHODS M6): four blocks with batch normalisation, 128 units; 224×224 in [0, 1].

    258,693 parameters with `option` "A"; 3,453,573 with "D"; "B" leaves the fourth pooling nothing. Fewer than five
    classes are an ArgumentError.
    """

    def __init__(
        self,
        *,
        side: int = 224,
        maps: Sequence[int] = (32, 64, 128, 128),
        fc: Sequence[int] = (128,),
        classes: int = CLASSES,
        channels: int = 3,
        dropout: float = 0.3,
        norm: bool = True,
        option: str = "A",
    ) -> None:
        if classes < CLASSES:
            raise ArgumentError("classes", classes, f"m6 tells {CLASSES} classes apart: expected no fewer")
        super().__init__(
            "m6",
            side=side,
            maps=maps,
            fc=fc,
            classes=classes,
            channels=channels,
            dropout=dropout,
            norm=norm,
            option=option,
        )
