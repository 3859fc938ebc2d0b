"""The twelve rows of Table 3 as plain settings (METHODS M3, TB3), and `build`, which makes a module of settings."""

from collections.abc import Mapping
from typing import Any

from convscope.errors import ArgumentError, WeightsError
from convscope.models.alexnet import AlexNet
from convscope.models.student import M5, M6
from convscope.models.zfnet import Chain, ZFNet

BASES: dict[str, type[Chain]] = {"zfnet": ZFNet, "alexnet": AlexNet, "m5": M5, "m6": M6}

OWN = "own"  # the base of a module that is none of these

WIDE = {"maps": (96, 256, 512, 1024, 512)}

VARIANTS: dict[str, dict[str, Any]] = {
    "alexnet": {"base": "alexnet"},
    "alexnet-without-3-4": {"base": "alexnet", "remove": (3, 4)},
    "alexnet-without-7": {"base": "alexnet", "remove": (7,)},
    "alexnet-without-6-7": {"base": "alexnet", "remove": (6, 7)},
    "alexnet-without-3-4-6-7": {"base": "alexnet", "remove": (3, 4, 6, 7)},
    "alexnet-fc-2048": {"base": "alexnet", "fc": (2048, 2048)},
    "alexnet-fc-8192": {"base": "alexnet", "fc": (8192, 8192)},
    "zfnet": {"base": "zfnet"},
    "zfnet-fc-2048": {"base": "zfnet", "fc": (2048, 2048)},
    "zfnet-fc-8192": {"base": "zfnet", "fc": (8192, 8192)},
    "zfnet-wide": {"base": "zfnet", **WIDE},
    "zfnet-wide-fc-8192": {"base": "zfnet", **WIDE, "fc": (8192, 8192)},
}

# The bundled network's settings, beside Table 3: small enough to carry, and to train on two cores.
ZFNET128 = {"base": "zfnet", "side": 128, "maps": (64, 128, 192, 192, 128), "fc": (1024, 1024), "classes": 101}


# The student convnets (METHODS M5, M6); `option` says how their strides are read.
STUDENTS: dict[str, dict[str, Any]] = {"m5": {"base": "m5"}, "m6": {"base": "m6"}}


def build(architecture: Mapping[str, Any]) -> Chain:
    """The module of these settings, with torch's default initialisation: a row of `VARIANTS`, or the
    `architecture` of an earlier module, as it is kept beside weights.

    Raises:
        WeightsError: the `architecture` of somebody's own network, which nothing here can build.
        ArgumentError: an unknown base or setting, or values that the architecture cannot have.
    """
    settings = dict(architecture)
    base = settings.pop("base", None)
    if base == OWN:
        made = f"these are of {settings.get('module')}, which is no architecture of ours"
        raise WeightsError(f"weights: {made}: name the function that builds it, as builder py:package.module:function")
    if base not in BASES:
        raise ArgumentError("base", base, f"expected one of {', '.join(BASES)}")
    try:
        return BASES[base](**settings)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        known = BASES[base].__init__.__kwdefaults__
        unknown = sorted(set(settings) - set(known or ()))
        raise ArgumentError("architecture", unknown, "no such settings") from error
