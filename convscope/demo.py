"""What `make demo` shows: the atlas of what is bundled, every experiment on it, and the report of it all."""

import json
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from convscope.disk.output_folder import HIDDEN, output_folder
from convscope.runner import perform

SIGN = "gallery/stop_sign/image_0009.jpg"
FIVE = [
    SIGN,
    "gallery/dollar_bill/image_0004.jpg",
    "gallery/Faces_easy/image_0040.jpg",
    "gallery/yin_yang/image_0011.jpg",
    "gallery/accordion/image_0009.jpg",
]
FEW = ["inline_skate", "metronome"]  # classes of the gallery with fewer than three pictures
PROBE = {"train": 2, "folds": 2, "layers": ["norm1", "relu3", "pool5", "relu7"]}
SMALLER = ["m5", "m5:maps=[32]", "m5:fc=[16]"]
SEEN = ["gallery/elephant/image_0013.jpg", "gallery/dragonfly/image_0056.jpg", "gallery/panda/image_0008.jpg"]
SHOWN: Mapping[str, Mapping[str, Any]] = {  # experiment: what it is given
    "ablate": {"images": "digits", "variants": SMALLER, "per_class": 100, "epochs": 8, "cache": "cache"},
    "diagnose": {"network": "zfnet128", "images": "gallery"},
    "redundancy": {"network": "zfnet128", "images": "gallery"},
    "activations": {"network": "zfnet128", "picture": SIGN, "layers": ["relu1", "relu2"]},
    "correspondence": {"network": "zfnet128", "images": "gallery", "boxes": "faces", "count": 5},
    "invariance": {"network": "zfnet128", "pictures": FIVE},
    "linear_probe": {"network": "zfnet128", "images": "gallery", "exclude": FEW, **PROBE},
    "dissect": {"network": "zfnet128", "concepts": "drawn:48"},
    "transfer": {"network": "zfnet128", "images": "gallery", "exclude": FEW, "train": [1, 2], "folds": 3},
    "occlude": {"network": "zfnet128", "pictures": SEEN, "stride": [5], "gallery": "gallery"},
    "evolution": {"run": "digits", "images": "digits", "available": True},
    "maximize": {"network": "zfnet128", "targets": ["relu3:7", "relu5:80", "stop_sign"], "steps": 48},
    "invert": {"network": "zfnet128", "pictures": [SIGN], "layers": ["relu1", "relu3"], "steps": 40},
    "net2vec": {
        "network": "zfnet128",
        "concepts": "drawn:96",
        "layer": "relu4",
        "names": ["sky", "house", "tree", "green", "grass"],
        "counts": [1, 2, 4, 8, 16, 64],
        "epochs": 20,
    },
    "curvature": {"network": "zfnet128", "targets": ["relu1:0", "relu3:7"], "steps": 25, "krylov": 24, "count": 1},
    "project": {"network": "zfnet128", "pictures": SIGN, "units": ["relu5:19", "relu3:7"]},
}


def demo(folder: Path = Path("demo")) -> Path:
    """Build `folder`/atlas with the experiments in it, and `folder`/report; returns the report's first page.

    A second run goes on where the first stopped; the atlas of the same pictures by another version is made anew. Raises
    AtlasError where `folder`/atlas is of anything else.
    """
    from convscope.atlases.build import atlas
    from convscope.atlases.store import ATLAS, MANIFEST
    from convscope.data.sources import bundled_spelling, images
    from convscope.models.catalog import load
    from convscope.training.train import train
    from convscope.web.site import report

    network, gallery = load("zfnet128"), images(bundled_spelling("gallery"))
    if _outdated(folder / "atlas", gallery.fingerprint()):
        with output_folder(folder / "atlas", ATLAS) as earlier:
            earlier.clear(MANIFEST)  # the next build replaces the tables
    atlas(network, gallery, folder / "atlas")
    run = folder / "digits"
    if not (run / "network.safetensors").exists():
        train(bundled_spelling("digits"), run, architecture="m5", per_class=140, epochs=40)
    own = {"network": network, "run": str(run), "cache": str(folder / "cache")}  # in place of their spellings
    for name, shown in SHOWN.items():
        values = {key: bundled_spelling(value) if isinstance(value, str) else value for key, value in shown.items()}
        perform(name, {**values, **{key: own[key] for key in own if key in values}}, _place(folder, name))
    return report(folder / "atlas", folder / "report")


def _outdated(folder: Path, fingerprint: str) -> bool:
    """Return whether the folder holds an atlas, finished or not, of the bundled pictures by another version."""
    from convscope.atlases.store import BUILDING, MANIFEST, PLAN

    for file in (folder / MANIFEST, folder / HIDDEN / BUILDING / PLAN):
        with suppress(OSError, ValueError, AttributeError):
            made = json.loads(file.read_bytes())
            bundled = (made.get("spec"), made.get("fingerprint")) == ("zfnet128", fingerprint)
            return bundled and made.get("convscope") != version("convscope")
    return False


def _place(folder: Path, name: str) -> Path:
    return folder / "atlas" / "experiments" / name
