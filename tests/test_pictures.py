import io
import os
import re
import struct
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convscope import pictures
from convscope.data.sources import images
from convscope.errors import ArgumentError, PictureError
from convscope.pictures import GALLERY, decode, display, encode, load_picture

ORIENTATION = 274  # the EXIF tag


def colours(height: int = 40, width: int = 60) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], -1).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sixteen_bit_png(values: np.ndarray) -> bytes:
    """A PNG of uint16 (H, W) or (H, W, 3): Pillow writes no RGB of 16 bits."""
    height, width, channels = (*values.shape, 1)[:3]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 0 if channels == 1 else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sources_of_one_picture_agree(tmp_path: Path) -> None:
    data = saved(Image.fromarray(colours()), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), data, Image.fromarray(colours()), colours()):
        image = load_picture(source)
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), colours())


def test_grey_becomes_three_equal_channels() -> None:
    grey = colours()[..., 0]
    expected = np.repeat(grey[..., None], 3, 2)
    for source in (grey, grey[..., None], saved(Image.fromarray(grey), "PNG")):
        assert np.array_equal(np.asarray(load_picture(source)), expected)
    bilevel = Image.fromarray(grey > 100)
    assert set(np.unique(np.asarray(load_picture(saved(bilevel, "PNG"))))) == {0, 255}


def test_alpha_is_dropped_not_blended() -> None:
    alpha = np.full((40, 60, 1), 7, np.uint8)
    expected = colours()
    for source in (
        np.concatenate([expected, alpha], 2),
        saved(Image.fromarray(np.concatenate([expected, alpha], 2)), "PNG"),
    ):
        assert np.array_equal(np.asarray(load_picture(source)), expected)
    half = Image.merge("LA", [Image.fromarray(expected[..., 0]), Image.fromarray(alpha[..., 0])])
    assert np.array_equal(np.asarray(load_picture(saved(half, "PNG")))[..., 1], expected[..., 0])


def disc(side: int = 40) -> np.ndarray:
    """Alpha that is opaque in a disc and smooth at its rim."""
    rows, columns = np.mgrid[:side, :side] - side / 2
    return np.clip((side / 3 - np.hypot(rows, columns)) * 64, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("level", [0, 20, 128, 255])
def test_a_drawing_that_is_only_in_its_alpha_is_put_on_a_ground_that_shows_it(level: int) -> None:
    alpha = disc()
    flat = np.full_like(alpha, level)
    rgba = np.stack([flat, flat, flat, alpha], 2)
    two = Image.merge("LA", [Image.fromarray(flat), Image.fromarray(alpha)])
    palette = Image.fromarray(alpha).convert("P")
    palette.putpalette([level] * 768)
    files = (saved(Image.fromarray(rgba), "PNG"), saved(two, "PNG"))
    sources = (rgba, rgba.astype(np.uint16) * 257, *files, saved(palette, "PNG", transparency=bytes(range(256))))
    ground = 0 if level == 255 else 255
    weight = alpha[..., None] / 255
    expected = level * weight + ground * (1 - weight)
    for source in sources:
        shown = np.asarray(load_picture(source)).astype(float)
        assert np.abs(shown - expected).max() <= 1


def test_cut_out_photographs_keep_the_colours_under_their_alpha() -> None:
    photograph = np.maximum(colours(40, 40), 60)
    for ground in (0, 255):
        cut = np.where(disc()[..., None] > 0, photograph, ground).astype(np.uint8)
        rgba = np.concatenate([cut, disc()[..., None]], 2)
        assert np.array_equal(np.asarray(load_picture(rgba)), cut)
    outlined = np.zeros((40, 40, 4), np.uint8)  # a white shape with a thin black rim on transparent black
    outlined[5:35, 5:35, 3], outlined[7:33, 7:33, :3] = 255, 255
    assert np.array_equal(np.asarray(load_picture(outlined)), outlined[..., :3])
    for level in (0, 255):  # nothing of it is visible, or nothing is transparent
        plain = np.concatenate([colours(), np.full((40, 60, 1), level, np.uint8)], 2)
        assert np.array_equal(np.asarray(load_picture(plain)), colours())


def test_palettes_with_and_without_transparency() -> None:
    palette = Image.fromarray(colours() // 64 * 64).quantize(256)
    expected = np.asarray(palette.convert("RGB"))
    for options in ({}, {"transparency": 0}, {"transparency": bytes(range(256))}):
        assert np.array_equal(np.asarray(load_picture(saved(palette, "PNG", **options))), expected)
    assert np.array_equal(np.asarray(load_picture(saved(palette, "GIF"))), expected)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_shows_its_colours(kind: str) -> None:
    flat = Image.new("RGB", (32, 32), (200, 30, 60)).convert("CMYK")
    shown = np.asarray(load_picture(saved(flat, kind)))
    assert np.abs(shown.astype(int) - (200, 30, 60)).max() <= 6


def test_sixteen_bits_are_scaled_to_eight() -> None:
    ramp = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    expected = np.rint(ramp / 257).astype(int)
    files = [saved(Image.fromarray(ramp), kind) for kind in ("TIFF", "PPM")]
    for source in (ramp, sixteen_bit_png(ramp), *files):
        shown = np.asarray(load_picture(source)).astype(int)  # type: ignore[arg-type]
        assert np.array_equal(shown, np.repeat(expected[..., None], 3, 2))
    three = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], 2)
    tiffs = [tiff(three, byteorder=order, compression=how) for order in "<>" for how in (None, "zlib")]
    for source in (three, sixteen_bit_png(three), *tiffs):
        assert np.array_equal(np.asarray(load_picture(source)), np.rint(three / 257))  # type: ignore[arg-type]
    with pytest.raises(PictureError, match="separate planes"):
        load_picture(tiff(three.transpose(2, 0, 1), planarconfig="separate"))


def tiff(values: np.ndarray, **options: object) -> bytes:
    """A TIFF of RGB, which Pillow does not write with 16 bits."""
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="rgb", **options)  # type: ignore[arg-type]
    return file.getvalue()


def packed_tiff(values: np.ndarray) -> bytes:
    """A TIFF of grey with 12 bits a pixel."""
    height, width = values.shape
    bits = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(height, width, 2), axis=2)[..., 4:]
    data = np.packbits(bits.reshape(height, -1), axis=1).tobytes()
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHL", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_16_are_shown_in_all_grey_levels_with_a_warning(bits: int) -> None:
    limit = 2**bits - 1
    ramp = np.linspace(0, limit, 40 * 60).reshape(40, 60).astype(np.uint16)
    three = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], 2)
    grey_files = (sixteen_bit_png(ramp), saved(Image.fromarray(ramp), "TIFF"), saved(Image.fromarray(ramp), "PPM"))
    for values, sources in ((ramp, (ramp, *grey_files)), (three, (three, sixteen_bit_png(three), tiff(three)))):
        expected = np.rint(values.reshape(40, 60, -1) * (255 / limit))
        for source in sources:
            with pytest.warns(UserWarning, match=f"^scan: 16-bit pixels that only use {bits} bits: 0 to {limit} is"):
                shown = np.asarray(load_picture(source, name="scan"))
            assert np.array_equal(shown, np.broadcast_to(expected, (40, 60, 3)))
            assert len(np.unique(shown)) == 256


def test_bits_that_a_file_states_are_believed() -> None:
    dark = np.arange(40 * 60).reshape(40, 60).astype(np.uint16) // 3  # below 1024
    expected = np.rint(dark * (255 / 4095))
    portable = b"P5 60 40 4095\n" + dark.astype(">u2").tobytes()
    for source in (packed_tiff(dark), portable):
        assert np.array_equal(np.asarray(load_picture(source))[..., 0], expected)
    opaque = np.stack([dark, dark, dark, np.full_like(dark, 65535)], 2)  # 16 bits, as its alpha shows
    assert np.array_equal(np.asarray(load_picture(opaque))[..., 0], np.rint(dark / 257))
    assert np.asarray(load_picture(np.zeros((4, 4), np.uint16))).max() == 0


def test_floating_point_tiff() -> None:
    unit = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)
    for values in (unit, unit * 255):
        shown = np.asarray(load_picture(saved(Image.fromarray(values), "TIFF")))
        assert np.array_equal(shown[..., 0], np.rint(unit * 255))
    with pytest.raises(PictureError, match="pixels from -1 to 1, expected 0 to 255"):
        load_picture(saved(Image.fromarray(unit * 2 - 1), "TIFF"))
    with pytest.raises(PictureError, match="not finite"):
        load_picture(saved(Image.fromarray(np.full_like(unit, np.nan)), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_rotation_is_applied(orientation: int, kind: str) -> None:
    quarters = np.zeros((64, 96, 3), np.uint8)
    quarters[:32, :48], quarters[:32, 48:], quarters[32:, :48] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    stored = {  # the upright picture, turned as the camera would have stored it
        1: quarters,
        2: quarters[:, ::-1],
        3: quarters[::-1, ::-1],
        4: quarters[::-1],
        5: quarters.transpose(1, 0, 2),
        6: np.rot90(quarters),
        7: quarters[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(quarters, -1),
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = image.getexif()
    exif[ORIENTATION] = orientation
    shown = np.asarray(load_picture(saved(image, kind, exif=exif))).astype(int)
    assert shown.shape == quarters.shape
    assert np.abs(shown - quarters)[8:24, 8:40].max() < 12
    assert np.abs(shown - quarters)[8:24, 56:88].max() < 12
    assert np.abs(shown - quarters)[40:56, 8:40].max() < 12


def test_broken_exif_does_not_cost_the_picture() -> None:
    data = saved(Image.fromarray(colours()), "JPEG")
    broken = b"\xff\xe1" + struct.pack(">H", 14) + b"Exif\0\0II*\0\xff\xff"
    assert load_picture(data[:2] + broken + data[2:]).size == (60, 40)


def test_first_frame_of_an_animation() -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 200)]
    shown = load_picture(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert np.asarray(shown)[0, 0, 0] == 10


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty, 0 bytes"),
        (b"plainly a text, not a picture" * 20, "not a picture"),
        (saved(Image.fromarray(colours()), "JPEG")[:-30], "truncated"),
        (saved(Image.fromarray(colours()), "PNG")[:100], "truncated|broken|incomplete"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "broken|not a picture"),
    ],
)
def test_what_cannot_be_read_says_why_in_one_line(tmp_path: Path, data: bytes, reason: str) -> None:
    file = tmp_path / "odd.jpg"
    file.write_bytes(data)
    with pytest.raises(PictureError, match=reason) as caught:
        load_picture(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_folder_and_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, reason in (("none.jpg", "no such file"), (".", "a folder"), ("pipe.jpg", "not a regular file")):
        with pytest.raises(PictureError, match=reason):
            load_picture(tmp_path / name)


def test_bundled_pictures_are_found_by_their_spelling_unless_one_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    face = "gallery/Faces_easy/image_0040.jpg"
    assert load_picture(face).size == load_picture(GALLERY / "Faces_easy/image_0040.jpg").size
    for elsewhere in ("gallery/none.jpg", "gallery/../ATTRIBUTION.md", f"/{face}"):
        with pytest.raises(PictureError, match=f"{re.escape(elsewhere)}: no such file"):
            load_picture(elsewhere)
    mine = tmp_path / face
    mine.parent.mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(mine)
    assert load_picture(face).size == (3, 2)


@settings(max_examples=40)
@given(st.integers(0, 1500), st.integers(0, 255))
def test_damage_either_shows_or_raises_picture_error(place: int, value: int) -> None:
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP"):
        data = bytearray(saved(Image.fromarray(colours(20, 20)), kind))
        data[place % len(data)] = value
        with suppress(PictureError, Warning):  # pytest makes errors of Pillow's warnings
            assert load_picture(bytes(data)).mode == "RGB"


def test_decompression_bombs_are_refused_without_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for side in (40, 200):  # Pillow warns of one, and refuses the other
        with pytest.raises(PictureError, match=r"too large .*MAX_IMAGE_PIXELS = 1000"):
            load_picture(saved(Image.new("RGB", (side, side)), "PNG"))
    with pytest.raises(PictureError, match=r"picture: 1600 pixels: too large"):
        load_picture(Image.new("RGB", (40, 40)))


def test_large_pictures_below_the_bound_are_shown() -> None:
    assert load_picture(saved(Image.new("L", (6000, 5000)), "PNG")).size == (6000, 5000)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (5,), (5, 5, 2), (2, 5, 5, 3)])
def test_arrays_of_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(PictureError, match="array of shape"):
        load_picture(np.zeros(shape, np.uint8))


def test_arrays_of_other_types_and_empty_images() -> None:
    with pytest.raises(PictureError, match="float64, expected"):
        load_picture(np.zeros((4, 4, 3)))
    with pytest.raises(PictureError, match="side of 0 pixels"):
        load_picture(Image.new("RGB", (0, 4)))


def test_encode_small_as_png_large_as_jpeg() -> None:
    small, large = colours(64, 64), colours(65, 64)
    assert encode(small).startswith(b"\x89PNG")
    assert np.array_equal(decode(encode(small)), small)
    assert encode(large).startswith(b"\xff\xd8")
    assert np.abs(decode(encode(large)).astype(int) - large)[:, :, :2].max() < 40
    assert encode(large) == encode(large.copy())
    with pytest.raises(ArgumentError, match="uint8"):
        encode(np.zeros((4, 4, 3)))  # type: ignore[arg-type]


def test_display_puts_zero_at_mid_grey_and_the_largest_at_the_end() -> None:
    pixels = torch.zeros(2, 3, 5, 7)
    pixels[0, 0, 1, 2], pixels[0, 2, 3, 4] = 4.0, -2.0
    pixels[1, 1, 0, 0] = -0.5  # every picture has its own scale
    shown = display(pixels, contrast="max")
    assert shown.shape == (2, 5, 7, 3)
    assert shown.dtype == np.uint8
    assert shown[0, 1, 2].tolist() == [255, 128, 128]
    assert shown[0, 3, 4].tolist() == [128, 128, 64]
    assert shown[1, 0, 0].tolist() == [128, 0, 128]
    assert (display(pixels, contrast="max", gain=0.5)[0, 1, 2] == [191, 128, 128]).all()


def test_display_by_percentile_and_of_one_channel() -> None:
    pixels = torch.linspace(-1, 1, 3 * 50 * 50).reshape(3, 50, 50)
    pixels[0, 0, 0] = 1000
    assert display(pixels, contrast="max").std() < 2
    assert display(pixels, contrast="percentile").std() > 60
    lone = torch.zeros(1, 50, 50)
    lone[0, 9, 9] = 1
    assert display(lone, contrast="percentile")[9, 9].tolist() == [255, 255, 255]
    assert display(lone, contrast="percentile")[0, 0].tolist() == [128, 128, 128]


def test_display_of_nothing_warns_and_of_nan_raises() -> None:
    with pytest.warns(UserWarning, match="zero everywhere"):
        assert (display(torch.zeros(3, 4, 4)) == 128).all()
    bad = torch.zeros(3, 4, 4)
    bad[1, 2, 3] = float("nan")
    with pytest.raises(ArgumentError, match=r"not finite at \(1, 2, 3\)"):
        display(bad)
    for pixels, word in ((torch.zeros(2, 4, 4), "pixels"), (torch.zeros(4, 4), "pixels")):
        with pytest.raises(ArgumentError, match=word):
            display(pixels)


# HEIC, where pillow-heif is installed


def test_heic_needs_a_library_that_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    pictures.reads_heif.cache_clear()
    try:
        assert not pictures.reads_heif()
        with pytest.raises(PictureError, match=r"needs pillow-heif: pip install 'convscope\[heic\]'"):
            load_picture(b"\0\0\0\x18ftypheic" + bytes(40))
    finally:
        pictures.reads_heif.cache_clear()


def test_heic_is_read(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None].repeat(48, 0).repeat(3, 2)
    pillow_heif.from_pillow(Image.fromarray(ramp)).save(tmp_path / "ramp.HEIC", quality=95)
    found = np.asarray(load_picture(tmp_path / "ramp.HEIC"))
    assert found.shape == ramp.shape
    assert np.abs(found.astype(int) - ramp).mean() < 4
    assert np.array_equal(found, np.asarray(load_picture((tmp_path / "ramp.HEIC").read_bytes())))
    assert images(tmp_path).paths == ["ramp.HEIC"]
