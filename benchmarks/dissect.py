"""What dissection costs: `python benchmarks/dissect.py`, or `--memory` for its second half alone.

Time: dissecting all convolutional layers against two plain passes of the same network over the same loader, on two
threads, in interleaved rounds; the ratio is the median over rounds. What it costs beyond two passes is the sorting of
activations in the first and the comparison of every unit with every concept in the second.
Memory: the peak of a process that dissects 20,000 pictures against that of one that dissects 2,000.
"""

import argparse
import time
from statistics import median

import numpy as np
import torch
import torchvision
from noise import Noise
from resident import peaks, resident
from torch import nn

from convscope.data.batches import batches
from convscope.data.concepts import Concept, Concepts, Mark, Marks
from convscope.data.picture_set import Pictures
from convscope.experiments.dissect import dissect
from convscope.models.network import Network

PICTURES = {"alexnet": 256, "resnet18": 96, "vgg16": 32}
BATCH, KNOWN, EACH = 32, 200, 12  # pictures at a time; concepts; of them in a picture


def concepts(count: int, side: int, known: int = KNOWN) -> Concepts:
    """As many concepts in a picture as Broden has, each a rectangle."""

    def marks(index: int) -> Marks:
        random, own = np.random.default_rng(index), []
        for concept in random.choice(known, min(EACH, known), replace=False):
            mask = np.zeros((side, side), np.bool_)
            top, left = random.integers(side // 2, size=2)
            mask[top : top + side // 3, left : left + side // 3] = True
            own.append(Mark(int(concept), mask))
        return Marks(frozenset({"object"}), tuple(own))

    named = tuple(Concept(str(k), "object") for k in range(known))
    pictures = Pictures("noise", Noise(count, side))  # type: ignore[arg-type]
    return Concepts("noise", pictures, named, marks)


def plain(network: Network, source: Concepts) -> None:
    module = network.working("cpu")
    with torch.inference_mode():
        for _ in range(2):
            for batch in batches(source.pictures, network.transform, BATCH):
                module(batch.inputs)


def dissected(network: Network, source: Concepts) -> None:
    names = [name for name, module in network.module.named_modules() if isinstance(module, nn.Conv2d)]
    dissect(network, source, layers=names, batch_size=BATCH, device="cpu")


def ratios(rounds: int) -> None:
    print(f"{'network':10} {'two passes, s':>14} {'dissect':>9}")
    for name, count in PICTURES.items():
        torch.manual_seed(0)
        network = Network(torchvision.models.get_model(name, weights=None), name=name)
        source = concepts(count, 224)
        times = []
        for _ in range(rounds + 1):  # the first is a warm-up
            marks = [time.perf_counter()]
            for work in (plain, dissected):
                work(network, source)
                marks.append(time.perf_counter())
            times.append((marks[1] - marks[0], marks[2] - marks[1]))
        ratio = median(ours / two for two, ours in times[1:])
        print(f"{name:10} {median(two for two, _ in times[1:]):14.2f} {ratio:9.2f}", flush=True)


def peak(count: int) -> None:
    """Dissect `count` pictures and print this process's peak memory in MiB."""
    module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 128, 3, stride=2), nn.ReLU())
    dissect(Network(module, (3, 32, 32), 0.0, 1.0), concepts(count, 32, 20), batch_size=BATCH, device="cpu")
    print(resident())


def memory(few: int, many: int) -> None:
    small, large = peaks(__file__, (few, many))
    print(f"peak memory: {small:.0f} MiB for {few:,} pictures, {large:.0f} MiB for {many:,}: {large / small:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="memory only")
    parser.add_argument("--sizes", type=int, nargs=2, default=(2_000, 20_000), help="pictures to compare memory at")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(2)
    if options.peak:
        peak(options.peak)
    else:
        if not options.memory:
            ratios(options.rounds)
        memory(*options.sizes)
