"""AlexNet as Zeiler and Fergus replicated it (METHODS M2), exact by default, or scaled to another side."""

from collections.abc import Sequence

from convscope.models.zfnet import EightLayers, Stage, filled, plain


class AlexNet(EightLayers):
    """AlexNet (METHODS M2): conv, rectifier, norm, pool; layers 2, 4 and 5 in two groups; 60,965,224 parameters.

    Sizes for side 224: 55, 27, 27, 13, 13, 13, 13, 6. `groups=(1, 1, 1, 1, 1)` makes all connections dense
    (62,378,344 parameters). Shapes and errors: see `EightLayers`.
    """

    def __init__(
        self,
        *,
        side: int = 224,
        maps: Sequence[int] = (96, 256, 384, 384, 256),
        fc: Sequence[int] = (4096, 4096),
        classes: int = 1000,
        remove: Sequence[int] = (),
        groups: Sequence[int] = (1, 2, 1, 2, 2),
        norm: bool = True,
        dropout: float = 0.5,
        channels: int = 3,
        features_only: bool = False,
    ) -> None:
        stages = [
            # Pad 2 stands for the original toolchain's rounding up: 224 to 55 (METHODS M2).
            Stage(1, 0, 11, 4, 2, tail=("norm", "pool")),
            Stage(2, 0, 5, padding=2, tail=("norm", "pool")),
            Stage(3, 0, 3, padding=1),
            Stage(4, 0, 3, padding=1),
            Stage(5, 0, 3, padding=1, tail=("pool",)),
        ]
        architecture = plain("alexnet", side, maps, fc, classes, remove, groups, norm, dropout, channels, features_only)
        super().__init__(filled(stages, architecture), architecture=architecture, ceil_pools=False)
