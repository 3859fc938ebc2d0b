"""What the web app costs: `python benchmarks/view.py`.

Makes an atlas of 5,000 feature maps in six layers, one of them of 2,048, with nine noisy tiles of 128 pixels a map, and
reads it as people do: 20 readers, each on a page for a second, then on to another: from the network to a layer to a map
to a neighbour. The server and the readers are separate processes. Times are from asking to the last byte of a page, and
of a page with all its pictures that the reader has not seen yet (`--pictures`). Then, over the bundled network: the
first projection of units nobody asked for yet, and the answers to a dragged square.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

from convscope.atlases.build import atlas as build
from convscope.atlases.store import CHANNELS, GROUP, PICTURES, TOP, Atlas, put_table
from convscope.data.sources import images
from convscope.disk.atomic import put
from convscope.models.catalog import load
from convscope.pictures import encode

LAYERS = {"relu1": 256, "relu2": 512, "relu3": 512, "relu4": 1024, "relu5": 648, "head": 2048}  # 5,000 maps
PICTURE_COUNT, TOP_NINE, SIDE = 5000, 9, 128
LIMITS = {"median": 50, "95 %": 150, "projection": 300, "answer": 100}  # milliseconds

Row = dict[str, Any]


def synthetic(folder: Path) -> Path:
    """The atlas: tiles of noise, statistics at random, the structure of a real one."""
    random, noise = np.random.default_rng(0), np.random.default_rng(1)
    bricks = [noise.integers(0, 256, (16, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(64)]
    tiles = [encode(np.clip(brick + noise.normal(0, 12, brick.shape), 0, 255).astype(np.uint8)) for brick in bricks]
    net = load("zfnet128")
    conv = next(layer for layer in net.layers() if layer.name == "relu5")
    table = tuple(replace(conv, name=name, channels=channels) for name, channels in LAYERS.items())

    def top() -> Any:
        for name, channels in LAYERS.items():
            for first in range(0, channels, GROUP):
                yield pa.Table.from_pylist(
                    [top_row(name, c, rank) for c in range(first, min(first + GROUP, channels)) for rank in range(9)],
                    TOP,
                )

    def top_row(name: str, channel: int, rank: int) -> Row:
        image, row, column = (int(random.integers(n)) for n in (PICTURE_COUNT, 7, 7))
        head = {"layer": name, "channel": channel, "rank": rank, "value": 9.0 - rank, "image": image}
        edges = {"top": row * 16 - 49, "left": column * 16 - 49, "bottom": row * 16 + 90, "right": column * 16 + 90}
        source = {"path": f"class{image % 100}/{image}.jpg", "label": f"class{image % 100}"}
        patch, projection = (tiles[int(random.integers(len(tiles)))] for _ in range(2))
        return head | source | {"row": row, "column": column, **edges, "patch": patch, "projection": projection}

    def channels() -> Any:
        for name, count in LAYERS.items():
            for first in range(0, count, 256):
                rows = [channel_row(name, count, c) for c in range(first, min(first + 256, count))]
                yield pa.Table.from_pylist(rows, CHANNELS)

    def channel_row(name: str, count: int, channel: int) -> Row:
        similar = random.choice(count, 8, replace=False).tolist()
        return {
            "layer": name, "channel": channel, "mean": 1.0, "maximum": float(random.gamma(3, 3)), "low": 0.0,
            "fires": float(random.random()), "dead": channel % 97 == 5, "high": 9.0, "peak_rows": 7, "peak_columns": 7,
            "histogram": random.integers(0, 99, 64).tolist(), "peaks": random.integers(0, 99, 49).tolist(),
            "similar": similar, "correlation": [0.9] * 8,
        }  # fmt: skip

    def pictures() -> Any:
        for first in range(0, PICTURE_COUNT, 256):
            rows = range(first, min(first + 256, PICTURE_COUNT))
            yield pa.Table.from_pylist(
                [
                    {
                        "image": k,
                        "path": f"class{k % 100}/{k}.jpg",
                        "label": f"class{k % 100}",
                        "thumbnail": tiles[k % 64],
                    }
                    for k in rows
                ],
                PICTURES,
            )

    put_table(folder / "top.parquet", TOP, top())
    put_table(folder / "channels.parquet", CHANNELS, channels())
    put_table(folder / "pictures.parquet", PICTURES, pictures())
    info = small(folder / "small").info
    info = replace(info, table=table, layers=tuple(LAYERS), spec=None, pictures=PICTURE_COUNT, data_classes=None)
    put(folder / "atlas.json", info.encoded())
    return folder


def small(folder: Path) -> Atlas:
    """A real atlas over a few of the bundled pictures."""
    source = images("gallery")
    return build(load("zfnet128"), source.subset(range(0, len(source), 12)), folder)


class Server:
    """`convscope view` in a process of its own, on any free port."""

    def __init__(self, atlas: Path) -> None:
        command = [sys.executable, "-m", "convscope.cli", "view", str(atlas), "--port", "0", "--no-browser"]
        start = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.base = next(line.split()[0] for line in self.process.stdout if line.startswith("http"))
        with httpx.Client(base_url=self.base) as client:
            client.get("/").raise_for_status()
        self.opened = time.perf_counter() - start

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


async def reader(
    base: str, number: int, seconds: float, pause: float, pictures: bool, times: list[list[float]]
) -> None:
    """One reader's walk; appends the times of each page, and of each page with its pictures."""
    random, seen = Random(number), set[str]()
    async with httpx.AsyncClient(base_url=base, timeout=30) as client:
        await asyncio.sleep(random.random() * pause)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            layer = random.choice([*LAYERS])
            kinds = [f"/layers/{layer}/{random.randrange(LAYERS[layer])}"] * 6 + [
                f"/layers/{layer}/",
                "/",
                "/pictures/",
            ]
            start = time.perf_counter()
            page = await client.get(random.choice(kinds))
            page.raise_for_status()
            times[0].append(time.perf_counter() - start)
            if pictures:
                found = {*re.findall(r'(?:href|src)="(/[^"]+\.(?:png|jpg|css|js|svg)[^"]*)"', page.text)}
                shown = sorted(found - seen)[
                    :24
                ]  # the first screens': what lies below is only fetched when scrolled to
                seen |= {*shown}
                for first in range(0, len(shown), 6):  # a browser's six connections
                    await asyncio.gather(*(client.get(address) for address in shown[first : first + 6]))
                times[1].append(time.perf_counter() - start)
            await asyncio.sleep(pause)


def report(name: str, times: list[float], limits: tuple[str, str] | None = None) -> None:
    ms = sorted(1000 * t for t in times)
    at95 = quantiles(ms, n=20)[-1]
    must = f" (must {LIMITS[limits[0]]} and {LIMITS[limits[1]]})" if limits else ""
    print(f"{name:34s} {len(ms):5d}: median {median(ms):6.1f} ms, 95 % {at95:6.1f} ms, most {ms[-1]:6.1f} ms{must}")


def walk(base: str, readers: int, seconds: float, pause: float, pictures: bool) -> None:
    times: list[list[float]] = [[], []]

    async def all_of_them() -> None:
        await asyncio.gather(*(reader(base, k, seconds, pause, pictures, times) for k in range(readers)))

    asyncio.run(all_of_them())
    report(f"pages, {readers} readers", times[0], ("median", "95 %"))
    if pictures:
        report("pages with their new pictures", times[1])


def lens(base: str, atlas: Atlas) -> None:
    """First projections, as a click asks for them, and answers to a square that moves."""
    numbers = atlas.columns("pictures", ["image"])["image"].tolist()[:10]
    clicks, answers, random = [], [], Random(0)
    with httpx.Client(base_url=base, timeout=30) as client:
        time.sleep(5)  # the app warms up by itself
        for image in numbers:
            client.get(f"/picture/{image}").raise_for_status()
            for _ in range(4):
                channel, row, column = random.randrange(128), random.randrange(7), random.randrange(7)
                unit = f"layer=relu5&channel={channel}&row={row}&column={column}"
                start = time.perf_counter()
                client.get(f"/picture/{image}?{unit}").raise_for_status()
                client.get(f"/picture/{image}/deconvnet.png?{unit}").raise_for_status()
                clicks.append(time.perf_counter() - start)
            for left in range(0, 100, 7):
                where = f"layer=relu5&channel=3&top=40&left={left}&side=28"
                start = time.perf_counter()
                client.get(f"/picture/{image}?{where}&part=answer").raise_for_status()
                client.get(f"/picture/{image}/map.png?{where}").raise_for_status()
                answers.append(time.perf_counter() - start)
    report("first projection of a clicked unit", clicks, ("projection", "projection"))
    report("answer to a dragged square", answers, ("answer", "answer"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds that a reader stays on a page")
    parser.add_argument("--pictures", action="store_true", help="fetch what the pages show too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        atlas = synthetic(Path(folder))
        with Server(atlas) as server:
            print(f"opened, and the first page there, in {server.opened:.1f} s (of which most is importing torch)")
            walk(server.base, given.readers, given.seconds, given.pause, given.pictures)
        with Server(atlas / "small") as server:
            lens(server.base, Atlas(atlas / "small"))


if __name__ == "__main__":
    main()
