"""AlexNet as Zeiler and Fergus replicated it (METHODS M2), exact by default, or scaled to another side."""

from convscope.models.zfnet import EightLayers, Stage


class AlexNet(EightLayers):
    """AlexNet (METHODS M2): conv, rectifier, norm, pool; layers 2, 4 and 5 in two groups; 60,965,224 parameters.

    Sizes for side 224: 55, 27, 27, 13, 13, 13, 13, 6. `groups=(1, 1, 1, 1, 1)` makes all connections dense
    (62,378,344 parameters). Shapes and errors: see `EightLayers`.
    """

    BASE, GROUPS, CEIL_POOLS = "alexnet", (1, 2, 1, 2, 2), False
    STAGES = (
        # Pad 2 stands for the original toolchain's rounding up: 224 to 55 (METHODS M2).
        Stage(1, 11, 4, 2, ("norm", "pool")),
        Stage(2, 5, padding=2, tail=("norm", "pool")),
        Stage(3, 3, padding=1),
        Stage(4, 3, padding=1),
        Stage(5, 3, padding=1, tail=("pool",)),
    )
