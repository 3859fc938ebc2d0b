"""Pictures of three classes that differ in colour only."""

import numpy as np

from convscope.data.picture_set import Pictures


def pictures(count: int = 12, side: int = 24) -> Pictures:
    """Red, green and blue of the same brightness, with noise: `count` of each."""
    noise = np.random.default_rng(0)
    labels = [k % 3 for k in range(3 * count)]
    items = [noise.integers(60, 100, (side, side, 3)) for _ in labels]
    for label, item in zip(labels, items, strict=True):
        item[:, :, label] += 90
    classes = ("red", "green", "blue")
    return Pictures("colours", [item.astype(np.uint8) for item in items], labels=labels, classes=classes)
