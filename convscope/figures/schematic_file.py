"""What a schematic is: a drawing and its numbers, both made of the live network (G1)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.models.network import Network
from convscope.pictures import Source

Facts = dict[str, Any]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Schematic:
    """A drawing (`svg`, text) and the same numbers as plain values (`facts`)."""

    name: str
    facts: Facts
    svg: str

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.svg and NAME.json into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = {".svg": self.svg, ".json": json.dumps(self.facts, indent=2) + "\n"}
        files = [folder / f"{self.name}{ending}" for ending in texts]
        for file, text in zip(files, texts.values(), strict=True):
            file.write_text(text, encoding="utf-8")
        return files


def shown(net: Network, picture: "Source | None") -> Pixels:
    """What the network sees of the picture, (H, W, 3); grey where there is none."""
    _, height, width = net.input_size
    if picture is None:
        return np.full((height, width, 3), 60, np.uint8)
    return net.transform.picture(net.transform(picture))
