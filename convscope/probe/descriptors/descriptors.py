"""Descriptors of pictures beside networks, for whatever needs their gradients (METHODS I3 to I5).

    describe = differentiable_descriptor("uoctti")                 # or "hog", or "py:mine:sift", or a function
    features = describe(values)                                    # (N, …) of (N, C, H, W), values of 0 to 1

A new one is a function of torch tensors; nothing else has to know of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from convscope.errors import ArgumentError, NetworkError
from convscope.probe.descriptors.hog import cell_means, glyphs, hog, uoctti
from convscope.user_code import imported

Describe = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Descriptor:
    """What it is called, how it describes (N, C, H, W) of 0 to 1 as (N, …), whether it sees no colours (its pictures
    are then made in grey), and how its features are drawn, (N, height, width) of 0 to 1, if they can be.
    """

    name: str
    describe: Describe
    grey: bool = False
    drawn: Describe | None = None

    def __call__(self, values: Tensor) -> Tensor:
        """Raises NetworkError where it gives no tensor with a row for every picture."""
        features = self.describe(values.mean(1, keepdim=True) if self.grey else values)
        if not isinstance(features, Tensor) or features.dim() < 1 or len(features) != len(values):
            raise NetworkError(f"descriptor {self.name!r} gave no tensor with a row for each of {len(values)} pictures")
        return features


DESCRIPTORS = {
    "hog": Descriptor("hog", hog, grey=True, drawn=lambda blocks: glyphs(cell_means(blocks))),
    "uoctti": Descriptor("uoctti", uoctti, grey=True, drawn=lambda cells: glyphs(cells[:, 18:27])),
}


def differentiable_descriptor(given: str | Descriptor | Describe) -> Descriptor:
    """The descriptor of a name, of a function that is spelled `py:package.module:function`, or of a function
    (METHODS I5). Raises ArgumentError for a name that nothing has, NetworkError for one that cannot be imported.
    """
    if isinstance(given, Descriptor):
        return given
    if callable(given):
        return Descriptor(getattr(given, "__name__", type(given).__name__), given)
    if given in DESCRIPTORS:
        return DESCRIPTORS[given]
    if not given.startswith("py:"):
        raise ArgumentError("descriptor", given, f"expected {', '.join(DESCRIPTORS)} or py:MODULE:FUNCTION")
    found = imported(given, "descriptor")
    return found if isinstance(found, Descriptor) else Descriptor(given.rpartition(":")[2], found)
