import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from convscope.data.preprocess import Preprocess, cover, margin
from convscope.errors import ArgumentError

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ramp(side: int) -> np.ndarray:
    """A picture of that side whose red is its row and whose green is its column."""
    rows, columns = np.mgrid[:side, :side]
    return np.stack([rows, columns, np.zeros_like(rows)], -1).astype(np.uint8)


def test_the_paper_s_sizes_and_the_rule_that_scales_them() -> None:
    assert [margin(side) for side in (224, 128, 64)] == [256, 146, 73]
    assert Preprocess((3, 224, 224)).resized == (256, 256)
    assert Preprocess((3, 64, 128)).resized == (73, 146)
    assert Preprocess((3, 299, 299), resize=342).resized == (342, 342)
    assert Preprocess((3, 100, 200), resize=110).resized == (110, 220)
    assert Preprocess((3, 28, 28), resize=28).resized == (28, 28)


@pytest.mark.parametrize(
    ("height", "width"), [(300, 200), (200, 300), (100, 100), (257, 256), (31, 77), (1, 1), (9, 5)]
)
def test_square_is_resize_of_the_shortest_side_then_the_centre(height: int, width: int) -> None:
    picture = noise(height, width)
    other = round(256 * max(height, width) / min(height, width))
    size = (256, other) if width <= height else (other, 256)  # PIL: width, height
    whole = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    start = (other - 256) // 2
    expected = whole[start : start + 256] if width <= height else whole[:, start : start + 256]
    assert np.array_equal(Preprocess((3, 224, 224)).square(picture), expected)


def test_input_equals_torchvision_s_transform() -> None:
    picture = noise(300, 300)
    theirs = v2.Compose(
        [
            v2.Resize(256, antialias=True),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )(Image.fromarray(picture))
    ours = Preprocess((3, 224, 224), MEAN, STD)(picture)
    assert ours.shape == (3, 224, 224)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40))
def test_cover_gives_the_box_whatever_the_picture(height: int, width: int, high: int, wide: int) -> None:
    image = Image.fromarray(np.full((height, width, 3), 77, np.uint8))
    if max(width * high, height * wide) < 9 * min(width * high, height * wide):
        assert (np.asarray(cover(image, high, wide)) == 77).all()
        assert cover(image, high, wide).size == (wide, high)


def test_elongated_pictures_work_and_warn() -> None:
    transform = Preprocess((3, 224, 224))
    picture = noise(20, 400)
    with pytest.warns(UserWarning, match="400 x 20: its centre crop drops more than 90 %"):
        shown = transform.square(picture)
    whole = np.asarray(Image.fromarray(picture).resize((5120, 256), Image.Resampling.BILINEAR))
    assert np.abs(shown.astype(int) - whole[:, 2432:2688]).max() <= 1
    with pytest.warns(UserWarning, match="drops more than 90 %"):  # 25,600,000 x 256 would be 20 GB
        assert transform.square(noise(1, 100_000)).shape == (256, 256, 3)


def test_a_height_other_than_the_width() -> None:
    transform = Preprocess((3, 56, 112))
    picture = noise(64, 300)
    assert np.array_equal(transform.square(picture), picture[:, 86:214])
    assert transform(picture).shape == (3, 56, 112)


def test_one_channel_takes_the_grey() -> None:
    picture = noise(73, 73)
    transform = Preprocess((1, 64, 64), mean=0.5, std=0.5)
    expected = np.asarray(Image.fromarray(picture).convert("L"), dtype=np.float32)[4:68, 4:68] / 255
    assert torch.allclose(transform(picture)[0], torch.from_numpy((expected - 0.5) / 0.5), atol=1e-6)
    grey = np.repeat(noise(73, 73)[..., :1], 3, 2)
    assert np.array_equal(transform.picture(transform(grey)), grey[4:68, 4:68])


def test_normalise_agrees_with_the_call_to_the_bit() -> None:
    for transform in (
        Preprocess((3, 64, 64), MEAN, STD),
        Preprocess((3, 64, 64), torch.rand(3, 64, 64), 58 / 255),
        Preprocess((3, 64, 64), torch.rand(3, 73, 73), 1 / 255),
        Preprocess((1, 64, 64), 0.4, 0.3),
    ):
        picture = noise(100, 130)
        crop = transform.square(picture)[4:68, 4:68]
        batch = transform.normalise(crop[None])
        assert torch.equal(batch[0], transform(picture))
        assert batch.is_contiguous(memory_format=torch.channels_last)


def test_the_mean_image_is_cropped_with_the_picture() -> None:
    mean = torch.from_numpy(ramp(73)).permute(2, 0, 1) / 255
    transform = Preprocess((3, 64, 64), mean, 1 / 255)
    assert transform(ramp(73)).abs().max() < 1e-4
    crops = transform.ten_crops(ramp(73))
    assert crops.abs().max() < 1e-4


def test_ten_crops_have_the_corners_of_the_paper_in_its_order() -> None:
    transform = Preprocess((3, 224, 224), std=1 / 255)
    crops = transform.ten_crops(ramp(256))
    assert crops.shape == (10, 3, 224, 224)
    corners = [tuple(crop[:2, 0, 0].round().int().tolist()) for crop in crops[:5]]
    assert corners == [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    opposite = [tuple(crop[:2, -1, -1].round().int().tolist()) for crop in crops[:5]]
    assert opposite == [(row + 223, column + 223) for row, column in corners]
    assert torch.equal(crops[5:], crops[:5].flip(3))
    assert torch.equal(crops[5:].flip(3), crops[:5])
    assert torch.equal(crops[4], transform(ramp(256)))


def test_symmetric_pictures_give_symmetric_pairs() -> None:
    half = noise(256, 128)
    crops = Preprocess((3, 224, 224)).ten_crops(np.concatenate([half, half[:, ::-1]], 1))
    for left, right in ((0, 6), (1, 5), (2, 8), (3, 7), (4, 9)):
        assert torch.equal(crops[left], crops[right])


def test_odd_margins_put_the_centre_at_the_floor() -> None:
    assert Preprocess((3, 64, 64)).offsets() == [(0, 0), (0, 9), (9, 0), (9, 9), (4, 4)]
    assert Preprocess((3, 128, 128)).offsets()[4] == (9, 9)


def test_picture_is_the_inverse() -> None:
    for mean in (MEAN, torch.rand(3, 64, 64), torch.rand(3, 73, 73)):
        transform = Preprocess((3, 64, 64), mean, STD)
        picture = noise(73, 73)
        assert np.array_equal(transform.picture(transform(picture)), picture[4:68, 4:68])
    assert transform.picture(torch.full((3, 64, 64), 1e9)).min() == 255


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"input_size": (2, 64, 64)}, "input_size"),
        ({"input_size": (3, 0, 64)}, "input_size"),
        ({"mean": [0.5, 0.5]}, "mean"),
        ({"mean": torch.zeros(3, 60, 60)}, "mean"),
        ({"mean": float("nan")}, "mean"),
        ({"std": [1, 0, 1]}, "std"),
        ({"resize": 63}, "resize"),
    ],
)
def test_settings_that_do_not_fit(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ArgumentError, match=word):
        Preprocess(**({"input_size": (3, 64, 64)} | options))


@pytest.mark.parametrize(
    ("mean", "std"),
    [((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)), ((103.939, 116.779, 123.68), 1.0), (0.0, 255), (33, 78)],
)
def test_the_scale_of_0_to_255_is_refused_and_what_to_write_means_the_same(mean: Any, std: Any) -> None:
    with pytest.raises(ArgumentError, match="write mean=") as caught:
        Preprocess((3, 64, 64), mean, std)
    numbers = re.findall(r"(mean|std)=\(([^)]*)\)", str(caught.value))
    fixed = Preprocess((3, 64, 64), **{name: [float(x) for x in values.split(",")] for name, values in numbers})  # type: ignore[arg-type]
    picture = noise(73, 73)
    expected = (picture[4:68, 4:68].astype(float) - np.array(mean)) / np.array(std)
    assert np.allclose(fixed(picture).permute(1, 2, 0), expected, rtol=2e-3, atol=0.05)


def test_a_mean_of_0_to_1_stays_and_tables_are_to_be_divided() -> None:
    with pytest.raises(ArgumentError, match=re.escape("write mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)")):
        Preprocess((3, 64, 64), 0.5, 127.5)
    with pytest.raises(ArgumentError, match=r"mean is 'of up to 120': .* divide by 255"):
        Preprocess((3, 64, 64), torch.full((3, 64, 64), 120.0), 1 / 255)


def test_inputs_that_do_not_fit() -> None:
    transform = Preprocess((3, 64, 64), torch.zeros(3, 64, 64))
    with pytest.raises(ArgumentError, match="pixels"):
        transform.normalise(torch.zeros(1, 64, 64, 3))
    with pytest.raises(ArgumentError, match="mean image"):
        transform.normalise(torch.zeros(1, 50, 50, 3, dtype=torch.uint8))
    with pytest.raises(ArgumentError, match="x is"):
        transform.picture(torch.zeros(3, 32, 32))
