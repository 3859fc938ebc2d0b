"""A microscope for convolutional networks.

    net = convscope.load("zfnet128")
    atlas = convscope.atlas(net, convscope.images("pictures/"), "out/atlas", layers=["relu5"])

Names are imported when first used, so that `import convscope` and `convscope --help` cost next to nothing.
"""

from typing import TYPE_CHECKING, Any

import lazy_loader

from convscope.experiments import EXPERIMENTS

if TYPE_CHECKING:  # for type checkers and editors; tests/test_exports.py holds these to what is attached below
    from convscope.atlases.build import atlas as atlas
    from convscope.atlases.scan import scan as scan
    from convscope.atlases.store import open_atlas as open_atlas
    from convscope.data.overlap import overlaps as overlaps
    from convscope.data.sources import images as images
    from convscope.errors import ConvscopeError as ConvscopeError
    from convscope.experiments.ablate import ablate as ablate
    from convscope.experiments.activations import activations as activations
    from convscope.experiments.correspondence import correspondence as correspondence
    from convscope.experiments.curvature import curvature as curvature
    from convscope.experiments.diagnose import diagnose as diagnose
    from convscope.experiments.dissect import dissect as dissect
    from convscope.experiments.evolution import evolution as evolution
    from convscope.experiments.invariance import invariance as invariance
    from convscope.experiments.invert import invert as invert
    from convscope.experiments.linear_probe import linear_probe as linear_probe
    from convscope.experiments.maximize import maximize as maximize
    from convscope.experiments.net2vec import net2vec as net2vec
    from convscope.experiments.occlude import occlude as occlude
    from convscope.experiments.project import project as project
    from convscope.experiments.redundancy import redundancy as redundancy
    from convscope.experiments.transfer import transfer as transfer
    from convscope.models.catalog import load as load
    from convscope.models.network import Network as Network
    from convscope.training.callbacks import Snapshots as Snapshots
    from convscope.training.decoders import train_decoders as train_decoders
    from convscope.training.evaluate import evaluate as evaluate
    from convscope.training.recipe import Recipe as Recipe
    from convscope.training.train import train as train
    from convscope.web.site import report as report

_HOMES = {  # module: the public names it gives, besides the experiments
    "atlases.build": ["atlas"],
    "atlases.scan": ["scan"],
    "atlases.store": ["open_atlas"],
    "data.overlap": ["overlaps"],
    "data.sources": ["images"],
    "errors": ["ConvscopeError"],
    "models.catalog": ["load"],
    "models.network": ["Network"],
    "training.callbacks": ["Snapshots"],
    "training.decoders": ["train_decoders"],
    "training.evaluate": ["evaluate"],
    "training.recipe": ["Recipe"],
    "training.train": ["train"],
    "web.site": ["report"],
}
_attribute, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs=_HOMES | {f"experiments.{name}": [name] for name in EXPERIMENTS}
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # slow to import

        return version("convscope")
    return _attribute(name)
