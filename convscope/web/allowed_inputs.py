"""What forms may name beyond what is bundled: folders and data sets that the user offered, chosen by name.

    offers(["pictures/birds", "out/train"], "out/other/network.safetensors")
    # {"birds": "pictures/birds", "train": "out/train", "other": "out/other"}, the last where it holds a training

A request names one of these and nothing else, so no path comes from a browser.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from convscope.data.concepts import TABLE
from convscope.data.sources import BUNDLED, bundled_spelling
from convscope.errors import ArgumentError
from convscope.models.snapshots import has_snapshots
from convscope.parameters import Field
from convscope.printable import decodable


def offers(given: Sequence[str], network: str | None = None) -> dict[str, str]:
    """What each is called, and how the command line spells it; with the training that the `network`'s file came of.

    Raises ArgumentError for a path that is not there.
    """
    found: dict[str, str] = {}
    for spelled in given:
        if not re.match(r"[a-z]{2,}:", spelled) and not Path(spelled).exists():
            raise ArgumentError("offer", spelled, "expected a folder, a file, torchvision:NAME@ROOT, or hf:NAME@SPLIT")
        found[_name(spelled, found)] = spelled
    file = Path(network or "")
    if file.suffix == ".safetensors" and holds_training(str(file.parent)) and str(file.parent) not in found.values():
        found[_name(str(file.parent), found)] = str(file.parent)
    return found


def _name(spelled: str, taken: Mapping[str, str]) -> str:
    """The last part of a path; all of it where another is called so."""
    last = spelled.partition("@")[0] if ":" in spelled else Path(spelled).resolve().name
    name = last if last and last not in (*taken, *BUNDLED) else spelled
    return decodable(name)


def holds_training(spelled: str) -> bool:
    """Whether it is a folder with snapshots of a training."""
    try:
        return has_snapshots(spelled)
    except OSError:
        return False


def holds_concepts(spelled: str) -> bool:
    """Whether it is a folder with concepts marked: one of one's own, or Broden's."""
    return any(Path(spelled, table).is_file() for table in (TABLE, "index.csv"))


def choices(field: Field, offered: Mapping[str, str], data: str = "") -> dict[str, str]:
    """What a parameter may be given: name and spelling. `data`: the atlas', the first where that is bundled.

    Of the folders that experiments take, one is a training; all others hold concepts.
    """
    if field.kind == "images":
        bundled = sorted(BUNDLED, key=lambda name: name != data)
        fitting = {name: it for name, it in offered.items() if not holds_training(it)}
        return {**{name: bundled_spelling(name) for name in bundled}, **fitting}
    usual = {field.default: field.default} if isinstance(field.default, str) else {}
    holds = holds_training if field.name == "run" else holds_concepts
    return {**usual, **{name: it for name, it in offered.items() if holds(it)}}
