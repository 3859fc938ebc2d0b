"""Pictures from the atlas and from outside: what the network sees, what is refused, what is left behind."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.atlases.store import Atlas
from convscope.errors import ArgumentError, PictureError
from convscope.web import viewed_pictures
from convscope.web.viewed_pictures import Slides
from tests.web.conftest import network


def encoded(size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, kind)
    return file.getvalue()


def test_the_atlas_own_are_what_the_network_saw(atlas: Atlas) -> None:
    net = network()
    with Slides(atlas, net) as slides:
        for picture in atlas.pictures:
            slide = slides[str(picture.image)]
            assert (slide.name, slide.label, slide.file) == (picture.path, picture.label, None)
            np.testing.assert_array_equal(slide.shown, picture.thumbnail)  # 24 pixels: a PNG, lossless
            torch.testing.assert_close(slide.inputs, net.transform.normalise(picture.thumbnail[None]))
            assert not slide.notes


def test_a_thumbnail_of_another_size_is_enlarged_and_says_so(atlas: Atlas) -> None:
    net = network()
    net.input_size, first = (3, 48, 48), next(atlas.pictures)
    with Slides(atlas, net) as slides:
        slide = slides[str(first.image)]
        assert slide.inputs.shape == (1, 3, 48, 48)
        assert slide.shown.shape == (48, 48, 3)


def test_a_brought_picture_goes_through_the_transform_and_is_forgotten(atlas: Atlas) -> None:
    net, data = network(), encoded()
    with Slides(atlas, net) as slides:
        key = slides.bring(io.BytesIO(data), "../../etc/\x1b[31mdog.png")
        slide = slides[key]
        assert slide.name == "../../etc/[31mdog.png"  # shown only
        assert slide.file is not None
        assert slide.file.name == f"{key}.png"
        assert slide.file.read_bytes() == data
        torch.testing.assert_close(slide.inputs, net.inputs(slide.file))
        assert slides.brought == ((key, slide.name),)
        folder = slide.file.parent
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_common_formats_are_read(atlas: Atlas, kind: str) -> None:
    with Slides(atlas, network()) as slides:
        assert slides[slides.bring(io.BytesIO(encoded(kind=kind)), "a")].shown.shape == (24, 24, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"<svg/>",
        encoded()[:60],
        encoded(kind="PPM"),
    ],
    ids=["empty", "cut", "postscript", "svg", "truncated", "uncommon"],
)
def test_what_is_no_picture_is_refused_in_one_line_and_not_kept(atlas: Atlas, data: bytes) -> None:
    with Slides(atlas, network()) as slides:
        with pytest.raises(PictureError, match=r"^the picture: [^\n]+$"):
            slides.bring(io.BytesIO(data), "a")
        assert not slides.brought
        assert not [*slides._folder.glob("*")]


def test_pixels_are_bounded_before_they_are_decoded(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewed_pictures, "PIXELS", 100)
    monkeypatch.setattr(viewed_pictures, "load_picture", None)
    with Slides(atlas, network()) as slides, pytest.raises(PictureError, match=r"too many pixels, 1,200; at most 100"):
        slides.bring(io.BytesIO(encoded()), "a")


def test_only_so_many_are_kept(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewed_pictures, "KEPT", 2)
    with Slides(atlas, network()) as slides:
        keys = [slides.bring(io.BytesIO(encoded()), str(number)) for number in range(3)]
        assert [name for _, name in slides.brought] == ["2", "1"]
        assert len([*slides._folder.glob("u*.png")]) == 2
        with pytest.raises(ArgumentError, match="no longer here"):
            slides[keys[0]]


@pytest.mark.filterwarnings("error")
def test_what_there_is_to_say_of_a_picture_becomes_a_note(atlas: Atlas) -> None:
    with Slides(atlas, network()) as slides:
        slide = slides[slides.bring(io.BytesIO(encoded((1000, 20))), "a")]
        assert slide.notes == ("A picture of 1000 x 20: its centre crop drops more than 90 %.",)


def test_unknown_keys(atlas: Atlas) -> None:
    with Slides(atlas, network()) as slides:
        for key in ("99999", "u0123456789abcdef"):
            with pytest.raises(ArgumentError):
                slides[key]
