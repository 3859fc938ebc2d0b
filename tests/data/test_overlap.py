import time

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from convscope.data.overlap import candidates, overlaps
from convscope.data.picture_set import Pictures
from convscope.data.sources import images
from convscope.errors import DataError
from convscope.pictures import encode


def scene(seed: int, height: int = 180, width: int = 220) -> np.ndarray:
    """Smooth noise, as different from another as photographs are."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def brightened(picture: np.ndarray) -> np.ndarray:
    return np.rint(picture * 0.6 + 40).astype(np.uint8)


def test_copies_are_found_and_others_are_not() -> None:
    theirs = [scene(seed) for seed in range(20)]
    jpeg = encode(scene(3))
    half = np.asarray(Image.fromarray(scene(5)).resize((110, 90), Image.Resampling.BILINEAR))
    ours = [scene(100), theirs[2], jpeg, brightened(scene(4)), scene(101), half]
    pairs = overlaps(images(ours), images(theirs))
    assert [(pair.a, pair.b) for pair in pairs] == [(1, 2), (2, 3), (3, 4), (5, 5)]
    assert all(pair.ncc >= 0.98 and pair.coarse >= 0.95 and not pair.mirrored for pair in pairs)
    assert pairs[0].ncc == pytest.approx(1, abs=1e-5)


def test_unrelated_noise_is_not_paired() -> None:
    generator = np.random.default_rng(0)
    one, other = (list(generator.integers(0, 256, (30, 40, 40, 3), dtype=np.uint8)) for _ in range(2))
    assert candidates(images(one), images(other), coarse=0.5) == []


def test_mirrored_copies_where_asked() -> None:
    one, other = images([scene(1)]), images([scene(0), np.ascontiguousarray(scene(1)[:, ::-1])])
    assert overlaps(one, other) == []
    (pair,) = overlaps(one, other, mirrored=True)
    assert (pair.a, pair.b, pair.mirrored) == (0, 1, True)


def test_the_second_look_is_closer_but_no_closer_than_the_pictures() -> None:
    blurred = np.asarray(Image.fromarray(scene(1)).filter(ImageFilter.GaussianBlur(4)))
    grainy = np.clip(blurred + np.random.default_rng(0).normal(0, 30, blurred.shape), 0, 255).astype(np.uint8)
    (pair,) = candidates(images([blurred]), images([grainy]))
    assert pair.ncc < pair.coarse
    tiny = np.asarray(Image.fromarray(scene(1)).resize((39, 32), Image.Resampling.BILINEAR))
    (pair,) = candidates(images([tiny]), images([scene(1)]))
    assert pair.ncc == pytest.approx(pair.coarse, abs=1e-5)


def test_constant_pictures_are_left_out_with_a_warning() -> None:
    flat = np.full((40, 40, 3), 90, np.uint8)
    with pytest.warns(UserWarning, match="1 picture is constant"):
        assert overlaps(images([flat, scene(1)]), images([scene(1)]))[0].a == 1
    with pytest.warns(UserWarning, match="constant"):
        assert overlaps(images([flat]), images([scene(1)])) == []


def test_one_picture_against_itself_and_broken_ones() -> None:
    assert overlaps(images([scene(1)]), images([scene(2)])) == []
    broken = images([scene(0), b"no picture", scene(1)])
    assert [(pair.a, pair.b) for pair in overlaps(broken, images([scene(1)]))] == [(2, 0)]
    assert list(broken.skipped) == [1]
    with pytest.raises(DataError, match="none of the 1 pictures"):
        overlaps(images([b"no picture"]), images([scene(1)]))
    with pytest.raises(DataError, match="tensors"):
        overlaps(images(torch.rand(2, 3, 8, 8)), images([scene(1)]))


def test_the_one_lobster_that_tiny_imagenet_and_caltech_share(data_root) -> None:  # type: ignore[no-untyped-def]
    tiny = images(data_root / "tiny-imagenet-100" / "train" / "n01983481")
    lobsters = images(data_root / "caltech101" / "101_ObjectCategories" / "lobster")
    begun = time.perf_counter()
    (pair,) = candidates(tiny, lobsters)
    assert tiny.paths[pair.a] == "n01983481_230.JPEG"
    assert lobsters.paths[pair.b] == "image_0003.jpg"
    assert pair.coarse > 0.97
    assert pair.ncc < 0.98  # its 64 pixels were sampled without antialias: D9's second threshold is for like files
    assert time.perf_counter() - begun < 60


def test_result_is_independent_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    ours: Pictures = images([scene(seed) for seed in range(9)])
    theirs = images([scene(seed) for seed in (8, 1, 4)])
    whole = overlaps(ours, theirs)
    monkeypatch.setattr("convscope.data.overlap.BLOCK", 2)
    assert [(p.a, p.b) for p in overlaps(ours, theirs)] == [(p.a, p.b) for p in whole] == [(1, 1), (4, 2), (8, 0)]
