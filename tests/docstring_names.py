"""What the examples of docstrings take for granted: SHARED names, and what GIVEN sets for those of one module."""

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import convscope
from convscope.atlases.store import Atlas, open_atlas

GALLERY = Path(str(convscope.__file__)).parent / "assets/gallery"


@cache
def network() -> convscope.Network:
    """The bundled network, one for all examples."""
    return convscope.load("zfnet128")


@cache
def built(folder: Path) -> Atlas:
    """An atlas of one layer over three pictures, in `folder`."""
    made = convscope.atlas(network(), "val/a", folder, layers=["relu5"], top=2)
    assert isinstance(made, Atlas)
    return made


def an_atlas(out: str = "out/atlas") -> Atlas:
    """That atlas in a folder of the example's own."""
    shutil.copytree(built(Path("built").absolute()).path, out)
    return open_atlas(out)


def small(size: int = 8) -> nn.Sequential:
    """A module of one layer for pictures of `size`."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (size - 2) ** 2, 3))


def shared() -> dict[str, Any]:
    """The names that mean the same in all examples."""
    pictures = convscope.images("pictures/")
    common = {"convscope": convscope, "network": network(), "net": network(), "pictures": pictures}
    libraries = {"np": np, "torch": torch, "nn": nn, "Path": Path, "Network": convscope.Network}
    return {**common, **libraries, "images": convscope.images, "load": convscope.load, "an_atlas": an_atlas}


TRACED = """
module, inputs = network.working("cpu"), network.inputs("dog.jpg")
graph, axes = network.graph(), network.geometry()
"""
OCCLUDED = """
from convscope.probe.windows.occluder_grid import grid
occluders = grid((128, 128), (32, 32), (32, 32)).boxes
"""
GIVEN = {
    "atlases.activation_masks": "from convscope.atlases.concept_batches import Slides\n"
    "from convscope.data.concepts import concepts",
    "atlases.build": "from tests.atlases.tiny_network import Noise, tiny\nnetwork, pictures = tiny(), Noise()",
    "atlases.concept_batches": "from convscope.data.concepts import concepts\nreduce = lambda maps: maps.amax((2, 3))",
    "atlases.store": "import pandas\nan_atlas()",
    "data.drawn.materials": "random = np.random.default_rng(0)",
    "disk.cache": "features = np.zeros(3)\nmake = lambda folder: (folder / 'done').write_text('')",
    "disk.results": "pixels = np.zeros((2, 2))",
    "experiments.evolution": "convscope.train('digits', 'out/train', architecture='m5', per_class=4, epochs=2)",
    "figures.schematics": "Path('out').mkdir()",
    "models.network": "module = nn.Sequential(nn.Conv2d(3, 8, 7, 4), nn.ReLU())",
    "models.snapshots": "from tests.docstring_names import small\n"
    "network = Network(small(), (3, 8, 8))\n"
    "Path('mine.py').write_text('from tests.docstring_names import small as network')\n"
    "file = 'run/snapshots/epoch-005.safetensors'",
    "models.upconvnet": "maps, vectors = torch.zeros(2, 128, 3, 3), torch.zeros(2, 1024)",
    "parameters": "Occlusion = object",
    "probe.concepts.concept_weights": "generator = torch.Generator().manual_seed(0)\n"
    "on = torch.rand(6, 5, 4, 4, generator=generator) > 0.5\n"
    "masks = torch.rand(6, 8, 8, generator=generator) > 0.5\n"
    "rows = columns = torch.eye(4).repeat_interleave(2, 0)\n"
    "keep, descent = torch.ones(2, 5), Descent(2, 1e-3, 4, 0)\n"
    "features, labels = torch.rand(6, 5, generator=generator), torch.tensor([0, 1] * 3)",
    "probe.concepts.streaming_quantile": "stream = torch.rand(20, 256, 100)",
    "probe.concepts.upsample": "layer = next(layer for layer in network.layers() if layer.name == 'relu5')\n"
    "places = torch.arange(0, 128, 4), torch.arange(0, 128, 4)\nmaps = torch.rand(3, 7, 7)",
    "probe.descriptors.descriptors": "values = torch.rand(1, 3, 32, 32)",
    "probe.descriptors.hog": "x = torch.rand(1, 3, 128, 64)",
    "probe.filters.filter_similarity": "pictures = torch.rand(8, 3, 7, 7)",
    "probe.filters.first_layer_checks": "from convscope.probe.filters.filters import convolution",
    "probe.optimize.ascent": "from convscope.probe.optimize.parameterizations import Pixels\n"
    "paint = Pixels((8, 8), torch.zeros(3, 1, 1), torch.ones(3, 1, 1))\n"
    "start, measure = torch.zeros(2, 3, 8, 8), lambda x: {'score': x.mean((1, 2, 3))}",
    "probe.optimize.inversion": "x, describe = torch.rand(1, 3, 8, 8), lambda x: x[:, :, ::2, ::2]",
    "probe.optimize.parameterizations": "mean, std = torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.25)",
    "probe.optimize.priors": "x = torch.rand(2, 3, 8, 8)",
    "probe.optimize.smooth_rectifiers": "measure, x, y = torch.relu, torch.randn(5), torch.randn(5)",
    "probe.optimize.sphere_curvature": "f, start = lambda x: -x.pow(4).sum(1), torch.linspace(-1, 1, 6)\n"
    "generator, angles = torch.Generator().manual_seed(0), torch.linspace(-1, 1, 5)",
    "probe.trace.graph": TRACED,
    "probe.trace.record": TRACED,
    "probe.windows.changed_boxes": TRACED + OCCLUDED + "node = len(graph.nodes) - 1",
    "probe.windows.incremental": TRACED + OCCLUDED + "picture, cover = inputs, torch.zeros(3, 128, 128)",
    "training.callbacks": "module, mean, std = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 0.5, 0.25",
    "training.cross_validation": "from convscope.disk.cache import Cache\n"
    "from convscope.training.feature_store import features as computed\n"
    "store = Cache('cache')\nfeatures = computed(network, pictures, ['relu7'], store)",
    "training.feature_store": "places = train = [0, 1, 2, 3]\ntest = [4, 5]",
    "training.linear": "features, targets = torch.rand(8, 3), torch.tensor([0, 1] * 4)\n"
    "gram, cross = features @ features.T, features[:2] @ features.T",
    "web.allowed_inputs": "from convscope.models.snapshots import write\nPath('pictures/birds').mkdir()\n"
    "for run in ('out/train', 'out/other'):\n"
    "    write(network, run, 1)",
    "web.app": "an_atlas()",
    "web.byte_cache": "plate = lambda *page: b'bytes'",
    "web.forms": "from convscope.runner import experiment\n"
    "from convscope.web.contexts.atlas import Survey\n"
    "desk = Desk(Survey.of(an_atlas()), None, '', Path('out'), ())",
    "web.lens": "from convscope.web.viewed_pictures import Slides\n"
    "atlas = an_atlas()\nslide = Slides(atlas, network)[str(atlas['relu5', 42].images[0])]",
    "web.pages.atlas": "an_atlas()",
    "web.pages.atlas_images": "from convscope.web.pages.atlas import Survey\n"
    "atlas = an_atlas()\nsurvey = Survey.of(atlas)",
    "web.results_index": "atlas = an_atlas()",
    "web.security": "app = None",
    "web.site": "an_atlas('demo/atlas')",
    "web.viewed_pictures": "atlas, data = an_atlas(), Path('dog.jpg').read_bytes()",
}
