"""Pictures by their content: what they are called, and where they lie, does not matter."""

from pathlib import Path

import numpy as np
from PIL import Image

from convscope import images
from convscope.data.content_hashes import digests, shared, together
from convscope.data.picture_set import Pictures


def test_copies_are_the_same_and_others_are_not(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), dtype=np.uint8)
    for folder, names in (("one", "abc"), ("two", "xyz")):
        (tmp_path / folder).mkdir()
        for name, picture in zip(names, pixels, strict=True):
            Image.fromarray(picture).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "two/z.png").write_bytes((tmp_path / "two/x.png").read_bytes())
    one, two = (digests(images(tmp_path / folder)) for folder in ("one", "two"))
    assert one[:2] == two[:2]
    assert two[2] == two[0] != one[2]
    assert together(one) != together(two)
    assert shared(two, [0], [1, 2]) == [2]


def test_pictures_in_memory_by_their_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    found = digests(Pictures("arrays", [pixels[0], pixels[1], pixels[0].copy(), b"no picture"]))
    assert found[0] == found[2] != found[1]
    assert found[3] == ""
    assert shared(found, [3], [3]) == []
