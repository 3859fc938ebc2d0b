"""Odd pictures, pixel by pixel: what each format can hold, against the array that was put into it.

Lossless formats give the very pixels. What is lossy is compared with torchvision's decoders where it has one, else with
the array, within the bound that stands beside it.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, features
from torchvision.io import ImageReadMode, decode_image

from convscope.pictures import load_picture

Pixels = NDArray[Any]
ORIENTATION = 274
SIZES = [(1, 1), (1, 17), (23, 1), (13, 19), (64, 40)]  # height, width


class Odd(NamedTuple):
    """A picture as a file, what it shows (H, W, 3), and how far a pixel may be off."""

    name: str
    data: bytes
    shown: Pixels
    bound: float = 0


def scene(height: int = 13, width: int = 19) -> Pixels:
    """Smooth colours with an edge: no two rows, columns or channels are alike."""
    rows, columns = np.mgrid[:height, :width]
    red, green = 40 + 170 * rows / max(height - 1, 1), 20 + 200 * columns / max(width - 1, 1)
    blue = np.where(rows * 2 > columns, 200, 60) + 3 * (rows + columns) % 7
    return np.stack([red, green, blue], -1).astype(np.uint8)


def grey(height: int = 13, width: int = 19) -> Pixels:
    return scene(height, width)[..., 1]


def thrice(values: Pixels) -> Pixels:
    return np.repeat(values[..., None], 3, 2)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# ---- PNG, of which Pillow writes a part only


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed(samples: Pixels, depth: int) -> list[bytes]:
    """Each row of samples (h, w, channels) as PNG packs them."""
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in samples]
    if depth == 8:
        return [row.astype(np.uint8).tobytes() for row in samples]
    bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    return [np.packbits(row.reshape(-1)).tobytes() for row in bits]


ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def png(
    samples: Pixels, colour: int, depth: int = 8, *, interlaced: bool = False, before: bytes = b"", parts: int = 1
) -> bytes:
    """Samples (h, w, channels), row by row or in the seven passes, under a header; `before`: chunks that come first."""
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [samples]
    rows = b"".join(b"\0" + row for part in passes if part.size for row in packed(part, depth))
    stream, (height, width) = zlib.compress(rows), samples.shape[:2]
    step = -(-len(stream) // parts)
    pieces = b"".join(chunk(b"IDAT", stream[k : k + step]) for k in range(0, len(stream), step))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + head + before + pieces + chunk(b"IEND", b"")


def pngs() -> Iterator[Odd]:
    for height, width in SIZES:
        rgb, one = scene(height, width), grey(height, width)[..., None]
        alpha = np.full((height, width, 1), 200, np.uint8)
        for passes in (False, True):
            name = f"{height}x{width}{' interlaced' * passes}"
            yield Odd(f"png rgb {name}", png(rgb, 2, interlaced=passes), rgb)
            yield Odd(f"png rgba {name}", png(np.concatenate([rgb, alpha], 2), 6, interlaced=passes), rgb)
            yield Odd(f"png grey {name}", png(one, 0, interlaced=passes), thrice(one[..., 0]))
            yield Odd(f"png la {name}", png(np.concatenate([one, alpha], 2), 4, interlaced=passes), thrice(one[..., 0]))
            for depth in (1, 2, 4):
                levels = one >> (8 - depth)
                shown = thrice((levels * (255 // (2**depth - 1))).astype(np.uint8)[..., 0])
                yield Odd(f"png grey {depth} bits {name}", png(levels, 0, depth, interlaced=passes), shown)
            for depth in (1, 2, 4, 8):
                places = one >> (8 - depth)
                palette = np.random.default_rng(depth).integers(0, 256, (2**depth, 3), np.uint8)
                data = png(places, 3, depth, interlaced=passes, before=chunk(b"PLTE", palette.tobytes()))
                yield Odd(f"png palette {depth} bits {name}", data, palette[places[..., 0]])
    deep = np.linspace(0, 65535, 13 * 19).reshape(13, 19, 1).astype(np.uint16)
    eight = np.rint(deep / 257).astype(np.uint8)
    yield Odd("png grey 16 bits", png(deep, 0, 16), thrice(eight[..., 0]))
    yield Odd("png rgb 16 bits", png(deep[..., [0, 0, 0]], 2, 16), eight[..., [0, 0, 0]])
    rgb = scene()
    yield Odd("png in 9 parts", png(rgb, 2, parts=9), rgb)
    yield Odd("png with words", png(rgb, 2, before=chunk(b"tEXt", b"Title\0<b>\xff")), rgb)
    yield Odd("png with a gamma", png(rgb, 2, before=chunk(b"gAMA", struct.pack(">I", 45455))), rgb)
    yield Odd("png with a colour for nothing", png(rgb, 2, before=chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))), rgb)
    yield Odd(
        "png with a level for nothing", png(grey()[..., None], 0, before=chunk(b"tRNS", b"\0\x01")), thrice(grey())
    )
    yield Odd("png with something after it", png(rgb, 2) + b"more" * 99, rgb)


# ---- the others


def tiffs() -> Iterator[Odd]:
    rgb, one, bilevel = scene(), grey(), grey() > 120
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield Odd(f"tiff rgb {compression}", saved(Image.fromarray(rgb), "TIFF", compression=compression), rgb)
        yield Odd(f"tiff grey {compression}", saved(Image.fromarray(one), "TIFF", compression=compression), thrice(one))
        palette = Image.fromarray(rgb).quantize(32)
        shown = np.asarray(palette.convert("RGB"))
        yield Odd(f"tiff palette {compression}", saved(palette, "TIFF", compression=compression), shown)
        alpha = Image.fromarray(np.concatenate([rgb, np.full((13, 19, 1), 90, np.uint8)], 2))
        yield Odd(f"tiff rgba {compression}", saved(alpha, "TIFF", compression=compression), rgb)
    for compression in ("raw", "group3", "group4", "packbits"):
        data = saved(Image.fromarray(bilevel), "TIFF", compression=compression)
        yield Odd(f"tiff bilevel {compression}", data, thrice(bilevel * np.uint8(255)))
    frames = [Image.fromarray(rgb), Image.fromarray(rgb[::-1].copy())]
    yield Odd("tiff of two pages", saved(frames[0], "TIFF", save_all=True, append_images=frames[1:]), rgb)
    flat = np.full((16, 16, 3), (200, 30, 60), np.uint8)
    yield Odd("tiff cmyk", saved(Image.fromarray(flat).convert("CMYK"), "TIFF"), flat, 2)
    deep = np.linspace(0, 65535, 13 * 19).reshape(13, 19).astype(np.uint16)
    for kind in ("I;16", "I;16B"):
        image = Image.frombytes(kind, (19, 13), deep.astype(">u2" if kind == "I;16B" else "<u2").tobytes())
        yield Odd(f"tiff {kind}", saved(image, "TIFF"), thrice(np.rint(deep / 257).astype(np.uint8)))
    yield Odd("tiff floating point", saved(Image.fromarray((one / 255).astype(np.float32)), "TIFF"), thrice(one))


def simple() -> Iterator[Odd]:
    rgb, one, bilevel = scene(), grey(), grey() > 120
    palette = Image.fromarray(rgb).quantize(64)
    shown = np.asarray(palette.convert("RGB"))
    images = {
        "rgb": (Image.fromarray(rgb), rgb),
        "grey": (Image.fromarray(one), thrice(one)),
        "palette": (palette, shown),
    }
    for name, (image, expected) in images.items():
        yield Odd(f"bmp {name}", saved(image, "BMP"), expected)
        yield Odd(f"tga {name}", saved(image, "TGA"), expected)
        yield Odd(f"tga {name} run lengths", saved(image, "TGA", compression="tga_rle"), expected)
        yield Odd(f"webp {name}", saved(image.convert("RGB"), "WEBP", lossless=True), expected)
    yield Odd("bmp bilevel", saved(Image.fromarray(bilevel), "BMP"), thrice(bilevel * np.uint8(255)))
    top_down = bytearray(saved(Image.fromarray(rgb), "BMP"))
    top_down[22:26] = struct.pack("<i", -13)
    yield Odd("bmp from the top", bytes(top_down), rgb[::-1])
    alpha = Image.fromarray(np.concatenate([rgb, np.full((13, 19, 1), 90, np.uint8)], 2))
    for kind in ("TGA", "WEBP", "BMP"):
        yield Odd(
            f"{kind} rgba", saved(alpha, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})), rgb
        )
    for version in ("GIF87a", "GIF89a"):
        data = saved(palette, "GIF")
        yield Odd(version, version.encode() + data[6:], shown)
    yield Odd("gif grey", saved(Image.fromarray(one), "GIF"), thrice(one))
    yield Odd("gif interlaced", saved(palette, "GIF", interlace=True), shown)
    yield Odd("gif row by row", saved(palette, "GIF", interlace=False), shown)
    yield Odd("gif with words", saved(palette, "GIF", comment=b"<script>"), shown)
    others = [Image.fromarray(np.roll(rgb, k, 1)).quantize(64) for k in (1, 2)]
    yield Odd("gif of three frames", saved(palette, "GIF", save_all=True, append_images=others, loop=0), shown)
    yield Odd("ico", saved(Image.fromarray(scene(32, 32)), "ICO", sizes=[(32, 32)]), scene(32, 32))
    if features.check("jpg_2000"):
        yield Odd("jp2", saved(Image.fromarray(scene(64, 40)), "JPEG2000"), scene(64, 40))
        yield Odd("j2k", saved(Image.fromarray(scene(64, 40)), "JPEG2000", no_jp2=True), scene(64, 40))
        yield Odd("jp2 grey", saved(Image.fromarray(grey(64, 40)), "JPEG2000"), thrice(grey(64, 40)))


def anymaps() -> Iterator[Odd]:
    rgb, one = scene(), grey()
    for most, kind in ((1, ">u1"), (15, ">u1"), (255, ">u1"), (1023, ">u2"), (65535, ">u2")):
        for magic, samples, text in (("P5", one, "P2"), ("P6", rgb, "P3")):
            levels = np.rint(samples / 255 * most).astype(int)
            shown = np.rint(levels * (255 / most)).astype(np.uint8)
            shown = thrice(shown) if shown.ndim == 2 else shown
            head = f"# <words>\n19 13\n# more\n{most}\n"
            yield Odd(
                f"{magic} of {most}", f"{magic}\n{head}".encode() + levels.astype(kind).tobytes(), shown, most > 255
            )
            words = " ".join(map(str, levels.ravel()))
            yield Odd(f"{text} of {most}", f"{text}\n{head}{words}\n".encode(), shown, most > 255)
    ink = one > 120  # 1 is black
    shown = thrice(np.where(ink, 0, 255).astype(np.uint8))
    yield Odd("P4", b"P4 19 13\n" + np.packbits(ink, axis=1).tobytes(), shown)
    yield Odd("P1", b"P1 19 13\n" + " ".join(map(str, ink.ravel().astype(int))).encode(), shown)


def jpegs() -> Iterator[Odd]:
    """Against torchvision's decoder, whose arithmetic may round otherwise."""
    image, one = Image.fromarray(scene(64, 40)), Image.fromarray(grey(64, 40))
    kinds: dict[str, dict[str, Any]] = {f"sampled {k}": {"subsampling": k} for k in (0, 1, 2)}
    kinds |= {
        "progressive": {"progressive": True},
        "optimised": {"optimize": True},
        "of little quality": {"quality": 5},
    }
    kinds |= {
        "with restarts": {"restart_marker_blocks": 1},
        "with words": {"comment": b"<b>\xff"},
        "best": {"quality": 100},
    }
    for name, options in kinds.items():
        for what, source in (("rgb", image), ("grey", one)):
            data = saved(source, "JPEG", **options)
            decoded = decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
            yield Odd(f"jpeg {what} {name}", data, decoded.permute(1, 2, 0).numpy(), 3)
    yield Odd("webp lossy", saved(image, "WEBP", quality=95), scene(64, 40), 40)
    if features.check("avif"):
        yield Odd("avif", saved(image, "AVIF", quality=100, subsampling="4:4:4"), scene(64, 40), 8)
    yield Odd(
        "mpo", saved(image, "MPO", save_all=True, append_images=[one.convert("RGB")], quality=100), scene(64, 40), 40
    )


def turned() -> Iterator[Odd]:
    """As cameras store what they know to be turned."""
    upright = scene(16, 24)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    for orientation, pixels in stored.items():
        image = Image.fromarray(np.ascontiguousarray(pixels))
        exif = image.getexif()
        exif[ORIENTATION] = orientation
        for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
            yield Odd(f"{kind} turned {orientation}", saved(image, kind, exif=exif, **options), upright)


MAKERS: list[Callable[[], Iterator[Odd]]] = [pngs, tiffs, simple, anymaps, jpegs, turned]
ALL = [odd for maker in MAKERS for odd in maker()]


def test_there_are_as_many_as_there_were() -> None:
    assert len(ALL) >= 146
    assert len({odd.name for odd in ALL}) == len(ALL)


@pytest.mark.parametrize("odd", ALL, ids=lambda odd: odd.name)
def test_every_pixel_is_what_was_put_in(odd: Odd) -> None:
    shown = np.asarray(load_picture(odd.data))
    assert shown.dtype == np.uint8
    assert shown.shape == odd.shown.shape
    assert np.abs(shown.astype(int) - odd.shown).max() <= odd.bound
