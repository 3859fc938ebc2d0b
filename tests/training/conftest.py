from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convscope.data.picture_set import Pictures
from tests.training.toys import striped


@pytest.fixture(scope="session")
def toy() -> Callable[..., Pictures]:
    """`toy(count, classes=3, seed=0)`: pictures of classes that take turns."""

    def make(count: int, classes: int = 3, seed: int = 0, **options: Any) -> Pictures:
        generator = np.random.default_rng(seed)
        labels = [index % classes for index in range(count)]
        items = [striped(label, generator) for label in labels]
        names = [f"class{label}/{index:03d}.png" for index, label in enumerate(labels)]
        kinds = [f"class{label}" for label in range(classes)]
        return Pictures("toy", items, paths=names, labels=labels, classes=kinds, **options)

    return make
