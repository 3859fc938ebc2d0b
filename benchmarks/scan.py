"""What scanning costs: `python benchmarks/scan.py [--memory]`.

Time: scanning all convolutional layers against plain channels-last inference of the same network over the same loader,
on two threads, in interleaved pairs; the ratio is the median over pairs. Beside it the cost of a hook that only takes
each map's maximum. Memory (`--memory`): the peak of a process that scans 20,000 pictures against one that scans 2,000.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
import torchvision
from torch import nn

from convscope.atlases.scan import scan
from convscope.data.sources import Pictures, batches
from convscope.models.network import Network
from convscope.probe import record

LIMITS = {"alexnet": 1.15, "vgg16": 1.15, "resnet18": 1.15, "squeezenet1_1": 1.3}
PICTURES = {"alexnet": 512, "vgg16": 64, "resnet18": 128, "squeezenet1_1": 128}
BATCH = 32


def convolutions(network: Network) -> list[str]:
    return [name for name, module in network.module.named_modules() if isinstance(module, nn.Conv2d)]


def plain(network: Network, pictures: Pictures) -> None:
    module = network.working("cpu")
    with torch.inference_mode():
        for batch in batches(pictures, network.transform, BATCH):
            module(batch.inputs)


def maximum(network: Network, pictures: Pictures) -> None:
    module = network.working("cpu")
    reducers = dict.fromkeys(convolutions(network), lambda maps: maps.amax((2, 3)))
    with torch.inference_mode():
        for batch in batches(pictures, network.transform, BATCH):
            record.run(module, batch.inputs, reducers)


def scanned(network: Network, pictures: Pictures) -> None:
    scan(network, pictures, convolutions(network), batch_size=BATCH, device="cpu")


def seconds(work: Callable[[Network, Pictures], None], network: Network, pictures: Pictures) -> float:
    start = time.perf_counter()
    work(network, pictures)
    return time.perf_counter() - start


def ratios(pairs: int) -> None:
    print(f"{'network':14} {'plain, s':>9} {'maximum':>9} {'scan':>7} {'limit':>7}")
    for name, limit in LIMITS.items():
        torch.manual_seed(0)
        network = Network(torchvision.models.get_model(name, weights=None), name=name)
        pictures = Pictures("noise", list(torch.randn(PICTURES[name], 3, 224, 224)))
        works = (plain, maximum, scanned)
        for work in works:
            work(network, pictures)  # a warm-up
        times = [[seconds(work, network, pictures) for work in works] for _ in range(pairs)]
        hook, ours = (median(row[k] / row[0] for row in times) for k in (1, 2))
        print(f"{name:14} {median(row[0] for row in times):9.2f} {hook:9.3f} {ours:7.3f} {limit:7.2f}", flush=True)


class Noise:
    """Small synthetic pictures, made when asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(index))


def peak(count: int) -> None:
    """Scan `count` pictures and print this process's peak memory in MiB."""
    module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 128, 3, stride=2), nn.ReLU())
    network = Network(module, input_size=(3, 32, 32))
    scan(network, Noise(count), batch_size=BATCH, device="cpu")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def memory() -> None:
    few, many = (
        float(subprocess.check_output([sys.executable, __file__, "--peak", str(count)])) for count in (2_000, 20_000)
    )
    print(f"peak memory: {few:.0f} MiB for 2,000 pictures, {many:.0f} MiB for 20,000: {many / few:.3f} (limit 1.05)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="memory only")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(2)
    if options.peak:
        peak(options.peak)
    elif options.memory:
        memory()
    else:
        ratios(options.pairs)
        memory()
