"""Small pictures whose grey value says which they are, in files and in data sets."""

from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import Dataset

from convscope.data.batches import batches
from convscope.data.picture_set import Pictures
from convscope.data.preprocess import Preprocess

TRANSFORM = Preprocess((3, 8, 8), resize=8)


def write(file: Path, value: int = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value, value, value)).save(file)
    return file


def values(pictures: Pictures, **options: object) -> dict[int, int]:
    """Place -> grey value of what comes out of `batches`."""
    found = {}
    for batch in batches(pictures, TRANSFORM, **options):  # type: ignore[arg-type]
        assert batch.indices.dtype == torch.int64
        for index, x in zip(batch.indices.tolist(), batch.inputs, strict=True):
            found[index] = round(float(x[0, 0, 0]) * 255)
    return found


class Listed(Dataset):  # type: ignore[type-arg]
    def __init__(self, items: list[object]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> object:
        item = self.items[index]
        if isinstance(item, Exception):
            raise item
        return item


def grey(value: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (value,) * 3)
