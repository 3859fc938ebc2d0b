"""The pictures of a class, and their mean (METHODS P4).

class_mean(images("gallery"), "stop_sign", network.transform)        # (1, C, H, W)
"""

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from convscope.data.batches import batches
from convscope.data.picture_set import Pictures
from convscope.errors import DataError

Transform = Callable[[Image.Image], Tensor]


def of_class(pictures: Pictures, name: str) -> list[int]:
    """The places of a class's pictures. Raises DataError where there is no such class, or no picture of it."""
    classes = pictures.classes or ()
    if name not in classes:
        some = ", ".join(classes[:3]) + (" …" if len(classes) > 3 else "") or "none"
        raise DataError(f"{pictures.name} has no class {name!r} to take pictures of; its classes: {some}")
    places = [place for place, label in enumerate(pictures.labels or []) if label == classes.index(name)]
    if not places:
        raise DataError(f"class {name!r} of {pictures.name} has no picture: expected at least one")
    return places


def class_first(pictures: Pictures, name: str, transform: Transform) -> Tensor:
    """The first picture of a class that can be read, (1, C, H, W) in network space. Raises DataError, as `of_class`."""
    for batch in batches(pictures, transform, 1, of_class(pictures, name)):
        return batch.inputs
    raise DataError(f"class {name!r} of {pictures.name} has no picture that can be read: expected at least one")


def class_mean(pictures: Pictures, name: str, transform: Transform) -> Tensor:
    """The mean of a class's pictures, (1, C, H, W) in network space. Raises DataError, as `of_class`."""
    total, count = torch.zeros(1, dtype=torch.float64), 0
    for batch in batches(pictures, transform, indices=of_class(pictures, name)):
        total, count = total + batch.inputs.double().sum(0, keepdim=True), count + len(batch.inputs)
    if not count:
        raise DataError(f"class {name!r} of {pictures.name} has no picture that can be read: expected at least one")
    return (total / count).float()
