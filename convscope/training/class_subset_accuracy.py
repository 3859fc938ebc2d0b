"""Three ways to read an accuracy over a few classes off a network that knows many (METHODS M7).

found = readings(load("keras:vgg16@vgg16.npz"), images("five/test"), images("five/train"), layer="fc2_relu")
found["restricted"], found["unrestricted"], found["frozen"]
"""

import torch
from torch import Tensor

from convscope.data.batches import batches
from convscope.data.picture_set import Pictures
from convscope.device import resolve
from convscope.errors import ArgumentError, DataError
from convscope.models.network import Network
from convscope.probe.trace.record import run

PUBLISHED = 0.927  # of VGG16 on five classes of ImageNet; its reading is not stated


def readings(
    network: Network,
    test: Pictures,
    train: Pictures | None = None,
    *,
    layer: str | None = None,
    device: str | None = None,
) -> dict[str, float]:
    """Shares of `test` that are right, 0 to 1 (METHODS M7), its classes found among the network's by name.

    "restricted": the largest logit among these classes (the default reading); "unrestricted": among all; with `train`
    and a `layer`, "frozen": logistic regression on that layer's output. Raises DataError for pictures without classes,
    or of classes that the network has not; ArgumentError for `train` without `layer`.
    """
    if (train is None) != (layer is None):
        raise ArgumentError("layer", layer, "expected a layer for the pictures to train on, and these for a layer")
    names = network.classes or ()
    missing = [name for name in test.classes or () if name not in names]
    if not test.classes or missing:
        raise DataError(f"{test.name} has classes the network has not: {', '.join(missing) or 'it has none'}")
    columns = torch.tensor([names.index(name) for name in test.classes])
    last = next(reversed(network.graph().taps))
    wanted = [last] if layer is None else [layer, last]
    outputs, labels = _outputs(network, test, wanted, device)
    found = {
        "restricted": _share(outputs[last][:, columns].argmax(1) == labels),
        "unrestricted": _share(outputs[last].argmax(1) == columns[labels]),
    }
    if train is None or layer is None:
        return found
    if train.classes != test.classes:
        raise DataError(f"{train.name} and {test.name} differ in their classes")
    from sklearn.linear_model import LogisticRegression  # a second that nobody else need wait for

    known, answers = _outputs(network, train, [layer], device)
    fitted = LogisticRegression(max_iter=1000).fit(known[layer].numpy(), answers.numpy())
    return {**found, "frozen": float(fitted.score(outputs[layer].numpy(), labels.numpy()))}


def _share(right: Tensor) -> float:
    return float(right.double().mean())


def _outputs(
    network: Network, pictures: Pictures, layers: list[str], device: str | None
) -> tuple[dict[str, Tensor], Tensor]:
    place, labels = resolve(device), torch.tensor(pictures.labels)
    module, times = network.working(place), network.graph().times
    found: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    seen = []
    for batch in batches(pictures, network.transform, 16):
        with torch.no_grad():
            now = run(module, batch.inputs.to(place, network.dtype), layers, times=times)
        for layer, values in now.items():
            found[layer].append(values.flatten(1).float().cpu())
        seen.append(batch.indices)
    return {layer: torch.cat(values) for layer, values in found.items()}, labels[torch.cat(seen)]
