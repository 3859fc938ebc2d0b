"""A microscope for convolutional networks.

    net = convscope.load("zfnet128")
    atlas = convscope.atlas(net, convscope.images("gallery"), "out/atlas")

Names are imported when first used, so that `import convscope` and `convscope --help` cost next to nothing.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convscope.atlases.build import atlas
    from convscope.atlases.scan import scan
    from convscope.atlases.store import open_atlas
    from convscope.data.overlap import overlaps
    from convscope.data.sources import images
    from convscope.errors import ConvscopeError
    from convscope.experiments.ablate import ablate
    from convscope.experiments.activations import activations
    from convscope.experiments.correspondence import correspondence
    from convscope.experiments.curvature import curvature
    from convscope.experiments.diagnose import diagnose
    from convscope.experiments.dissect import dissect
    from convscope.experiments.evolution import evolution
    from convscope.experiments.invariance import invariance
    from convscope.experiments.invert import invert
    from convscope.experiments.linear_probe import linear_probe
    from convscope.experiments.maximize import maximize
    from convscope.experiments.net2vec import net2vec
    from convscope.experiments.occlude import occlude
    from convscope.experiments.project import project
    from convscope.experiments.redundancy import redundancy
    from convscope.experiments.transfer import transfer
    from convscope.models.catalog import load
    from convscope.models.network import Network
    from convscope.training.callbacks import Snapshots
    from convscope.training.decoders import train_decoders
    from convscope.training.evaluate import evaluate
    from convscope.training.recipe import Recipe
    from convscope.training.train import train
    from convscope.web.site import report

__all__ = [
    "ConvscopeError",
    "Network",
    "Recipe",
    "Snapshots",
    "ablate",
    "activations",
    "atlas",
    "correspondence",
    "curvature",
    "diagnose",
    "dissect",
    "evaluate",
    "evolution",
    "images",
    "invariance",
    "invert",
    "linear_probe",
    "load",
    "maximize",
    "net2vec",
    "occlude",
    "open_atlas",
    "overlaps",
    "project",
    "redundancy",
    "report",
    "scan",
    "train",
    "train_decoders",
    "transfer",
]

_HOMES = {  # where each public name lives; tests/test_exports.py holds this to the imports above
    "ConvscopeError": "errors",
    "Network": "models.network",
    "Recipe": "training.recipe",
    "Snapshots": "training.callbacks",
    "ablate": "experiments.ablate",
    "activations": "experiments.activations",
    "atlas": "atlases.build",
    "correspondence": "experiments.correspondence",
    "curvature": "experiments.curvature",
    "diagnose": "experiments.diagnose",
    "dissect": "experiments.dissect",
    "evaluate": "training.evaluate",
    "evolution": "experiments.evolution",
    "images": "data.sources",
    "invariance": "experiments.invariance",
    "invert": "experiments.invert",
    "linear_probe": "experiments.linear_probe",
    "load": "models.catalog",
    "maximize": "experiments.maximize",
    "net2vec": "experiments.net2vec",
    "occlude": "experiments.occlude",
    "open_atlas": "atlases.store",
    "overlaps": "data.overlap",
    "project": "experiments.project",
    "redundancy": "experiments.redundancy",
    "report": "web.site",
    "scan": "atlases.scan",
    "train": "training.train",
    "train_decoders": "training.decoders",
    "transfer": "experiments.transfer",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("convscope")
    if name not in _HOMES:
        raise AttributeError(f"module 'convscope' has no attribute {name!r}")
    value = getattr(import_module(f"convscope.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
