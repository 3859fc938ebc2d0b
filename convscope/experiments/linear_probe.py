"""How discriminative is each layer? A linear classifier on every layer's features (METHODS TB7).

    found = linear_probe(network, "pictures/", layers=["relu5"], train=2, folds=2, cache="cache")
    found.measured["relu5", "svm"].mean

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013), table 7.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

from convscope.data.sources import images as open_images
from convscope.data.splits import Split, table
from convscope.data.standard_datasets import recognised
from convscope.disk.results import against, shown
from convscope.errors import ArgumentError
from convscope.models.network import Network
from convscope.parameters import Exclude, Folder, Images, Labels
from convscope.training.cross_validation import Measured, explained, labelled_task, measured
from convscope.training.feature_store import features, kept
from convscope.training.linear import STRENGTHS
from convscope.training.published import LAYERWISE

LAYERS = 7  # of weights below the classifier, in the network of the published table
PASSED_ON = {"max_pool2d", "avg_pool2d", "local_response_norm"}  # what a stage may end with after its rectifier


@dataclass(frozen=True)
class Probed:
    """What linear classifiers make of the layers of one network, in the order of the network, HOG last where asked for.

    measured: (layer, classifier) -> its folds; sizes: layer -> numbers a picture; stages: layer -> its place among the
    layers of weights, from 1, as the published table counts. train: pictures of a class to train on; classes: their
    names; data: which well-known data set it is, or None; splits: the folds, as places in the source in the order of
    paths.
    """

    measured: Mapping[tuple[str, str], Measured]
    sizes: Mapping[str, int]
    stages: Mapping[str, int]
    train: int
    classes: tuple[str, ...]
    data: str | None
    notes: tuple[str, ...]
    splits: Sequence[Split] = ()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record for every layer and classifier: accuracy in per cent, its deviation between folds, the strength
        chosen (C, or λ) and the share of all pictures that is right.
        """
        published = (
            LAYERWISE.get((self.data or "", self.train), {}) if max(self.stages.values(), default=0) == LAYERS else {}
        )
        return [
            {"layer": layer, "features": self.sizes[layer], "classifier": kind}
            | {"train": self.train, "folds": len(found.confusion)}
            | against(found.mean, published.get(self.stages.get(layer, 0), {}).get(kind, (None,))[0])
            | {"std": found.std, "overall": found.overall, "strength": found.strength}
            for (layer, kind), found in self.measured.items()
        ]

    @property
    def arrays(self) -> dict[str, Tensor]:
        """Confusion matrices (folds, classes, classes), rows the classes that pictures are of; (folds, pictures) which
        trained, and which were tested.
        """
        found = {f"{layer}.{kind}.confusion": each.confusion for (layer, kind), each in self.measured.items()}
        return found | table(self.splits)

    @property
    def text(self) -> str:
        """The table, a line a layer, published accuracies in brackets; then what its numbers are."""
        kinds = list(dict.fromkeys(kind for _, kind in self.measured))
        published = {(row["layer"], row["classifier"]): row["reference"] for row in self.rows if "reference" in row}
        wide = max(12, *(len(layer) + 2 for layer in self.sizes))
        lines = ["".join([f"{'layer':<{wide}}{'features':>10}", *(f"{kind:>20}" for kind in kinds)])]
        for layer, size in self.sizes.items():
            known = ((self.measured[layer, kind], published.get((layer, kind))) for kind in kinds)
            cells = [shown(found.mean, found.std, reference) for found, reference in known]
            lines.append("".join([f"{layer:<{wide}}{size:>10,}", *(f"{cell:>20}" for cell in cells)]))
        lines.append(explained(len(self.classes), next(iter(self.measured.values()))))
        lines += ["in brackets: published, another network"] if published else []
        return "\n".join([*lines, *self.notes])


def linear_probe(
    network: Network,
    images: Images,
    *,
    layers: Annotated[
        Sequence[str], "layers; HOG: the hand-crafted descriptor [default: what each stage hands on]"
    ] = (),
    classifiers: Annotated[Sequence[str], "svm or softmax [default: both]"] = (),
    train: Annotated[int, "pictures of a class to train on"] = 30,
    folds: Annotated[int, "draws of these, each tested on others"] = 5,
    test_cap: Annotated[int, "most pictures of a class to test on"] = 50,
    exclude: Exclude = (),
    labels: Labels = None,
    cache: Annotated[Folder | None, "where features and finished folds are kept for the next run"] = None,
    batch_size: int = 64,
    seed: int = 0,
    device: str | None = None,
) -> Probed:
    """Linear classifiers on the features of every layer, accuracy as a mean over the classes (METHODS TB7, E0).

    Per fold and class `train` pictures are drawn, and up to `test_cap` of the others tested. Features are the whole
    output of a layer for the centre crop, scaled to length one; the support vector machines are one-vs-rest with
    squared hinge. How strongly the weights are penalised is chosen on the first fold's training pictures by
    five-fold cross-validation. Of a layer with more numbers than there are pictures only inner products are kept, so
    that memory does not grow with the layer.

    Raises LayerError, ArgumentError for other classifiers or numbers below 1, DataError for pictures without classes
    and for a class that is too small.
    """
    kinds = list(classifiers) or ["svm", "softmax"]
    for kind in kinds:
        if kind not in STRENGTHS:
            raise ArgumentError("classifiers", kind, f"expected {' or '.join(STRENGTHS)}")
    stages = _stages(network)
    chosen = list(dict.fromkeys(layers)) or list(stages)
    task = labelled_task(open_images(images, labels=labels), exclude)
    task.folds(train, folds, test_cap, seed)  # before anything long: a class may be too small
    found: dict[tuple[str, str], Measured] = {}
    with kept(cache) as store:
        known = features(
            network, task.pictures, chosen, store, content=task.content, batch_size=batch_size, device=device
        )
        splits = task.folds(train, folds, test_cap, seed)
        for layer in chosen:
            found |= {(layer, kind): each for kind, each in measured(task, known[layer], splits, kinds, store).items()}
    sizes = {layer: known[layer].size for layer in chosen}
    known_as = recognised(len(task.pictures), len(task.pictures.classes or ()))
    return Probed(found, sizes, stages, train, task.classes, known_as, task.remarks(splits), splits)


def _stages(network: Network) -> dict[str, int]:
    """What each stage hands to the next, counted from 1: its rectified output, after the pooling and the normalisation
    that follow it.
    """
    graph = network.graph()
    name_of: dict[int, str] = {}
    for name, index in graph.taps.items():
        name_of.setdefault(index, name)
    found: dict[str, int] = {}
    for layer in network.rectified(maps=False):
        index = graph.node(layer).index
        while len(readers := [node for node in graph.nodes if index in node.inputs]) == 1:
            if readers[0].op not in PASSED_ON:
                break
            index = readers[0].index
        found[name_of.get(index, layer)] = len(found) + 1
    return found
