"""Errors that Zeiler and Fergus published, in per cent, to stand beside ours (METHODS TB2, TB3).

Both are of 224-pixel pictures of ImageNet 2012. Knows nothing of networks.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Errors(NamedTuple):
    """A row of Table 3, in per cent."""

    train: float  # top-1
    top1: float
    top5: float


# Table 3 (METHODS TB3), by the names of `models.variants.VARIANTS`.
TABLE3: Mapping[str, Errors] = {
    "alexnet": Errors(35.1, 40.5, 18.1),
    "alexnet-without-3-4": Errors(41.8, 45.4, 22.1),
    "alexnet-without-7": Errors(27.4, 40.0, 18.4),
    "alexnet-without-6-7": Errors(27.4, 44.8, 22.4),
    "alexnet-without-3-4-6-7": Errors(71.1, 71.3, 50.1),
    "alexnet-fc-2048": Errors(40.3, 41.7, 18.8),
    "alexnet-fc-8192": Errors(26.8, 40.0, 18.1),
    "zfnet": Errors(33.1, 38.4, 16.5),
    "zfnet-fc-2048": Errors(38.2, 40.2, 17.6),
    "zfnet-fc-8192": Errors(22.0, 38.8, 17.0),
    "zfnet-wide": Errors(18.8, 37.5, 16.0),
    "zfnet-wide-fc-8192": Errors(10.0, 38.3, 16.9),
}
