"""What a linear probe of a large layer takes: `python benchmarks/linear_probe.py`.

Prints the peak memory of a process that probes AlexNet's first layer, 290,400 numbers a picture, on as many pictures
and classes as Caltech-101 has, beside what those features would take whole.
"""

import argparse
import tempfile
import time

import torch
from noise import Noise
from resident import resident

from convscope.data.picture_set import Pictures
from convscope.experiments.linear_probe import linear_probe
from convscope.models.network import Network
from convscope.models.variants import build

LAYER = "relu1"


class Tinted(Noise):
    """Noise whose tint is that of its class."""

    def __init__(self, count: int, classes: int) -> None:
        super().__init__(count, 224)
        self.tints = torch.rand(classes, 3, 1, 1, generator=torch.Generator().manual_seed(0))

    def __getitem__(self, index: int) -> torch.Tensor:
        return (super().__getitem__(index) + self.tints[index % len(self.tints)]) / 2


def probed(count: int, classes: int, folder: str) -> None:
    torch.manual_seed(0)
    network = Network(build({"base": "alexnet"}), (3, 224, 224), 0.5, 0.25)
    names = tuple(f"class {k:03}" for k in range(classes))
    labels = [index % classes for index in range(count)]
    paths = [f"{names[label]}/{index:05}" for index, label in enumerate(labels)]
    pictures = Pictures("tinted noise", Tinted(count, classes), paths=paths, labels=labels, classes=names)  # type: ignore[arg-type]
    started = time.perf_counter()
    found = linear_probe(network, pictures, layers=[LAYER], classifiers=["svm"], folds=1, cache=folder, device="cpu")
    size = found.sizes[LAYER]
    print(
        f"{count:,} pictures, {size:,} features of {LAYER}: peak memory {resident():.0f} MiB, "
        f"whole they take {count * size * 4 / 2**20:,.0f} MiB; {time.perf_counter() - started:.0f} s; "
        f"{found.measured[LAYER, 'svm'].mean:.1f} % right"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=9_144)
    parser.add_argument("--classes", type=int, default=102)
    parser.add_argument("--folder", help="where the features go meanwhile  [default: the system's temporary folder]")
    options = parser.parse_args()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        probed(options.pictures, options.classes, folder)
