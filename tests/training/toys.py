"""Small networks and pictures with which a training takes a second."""

import numpy as np
from PIL import Image

TINY = {"base": "zfnet", "side": 48, "maps": (6, 6, 6, 6, 6), "fc": (8, 8)}


def striped(label: int, generator: np.random.Generator) -> Image.Image:
    """A picture of a class: stripes that run along the rows, the columns, or nowhere, in noise."""
    wave = 100 * np.sin(np.arange(60) / 2 + generator.random() * 6)
    pattern = [wave[:, None], wave[None, :], np.zeros((1, 1))][label % 3]
    pixels = 128 + pattern[..., None] + 20 * generator.standard_normal((60, 60, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
