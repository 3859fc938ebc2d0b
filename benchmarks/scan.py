"""What scanning costs: `python benchmarks/scan.py`, or `--memory` for its second half alone.

Time: scanning all convolutional layers against plain channels-last inference of the same network over the same loader,
on two threads, in interleaved rounds; the ratio is the median over rounds. Beside it the cost of a hook that only takes
each map's maximum, and of the scan that an atlas makes, with the statistics of every channel and checkpoints.
Memory: the peak of a process that scans 20,000 pictures against that of one that scans 2,000.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
import torchvision
from noise import Noise
from resident import peaks, resident
from torch import nn

from convscope.atlases.build import scan_units
from convscope.atlases.checkpoints import Spans
from convscope.atlases.scan import UNIT, Scanner, chosen_layers, scan
from convscope.data.batches import batches
from convscope.data.picture_set import Pictures
from convscope.models.network import Network
from convscope.probe.trace import record

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


def tallied(network: Network, pictures: Pictures) -> None:
    scanner = Scanner(network, chosen_layers(network, convolutions(network)), batch_size=BATCH, device="cpu")
    units = -(-len(pictures) // UNIT)
    with TemporaryDirectory() as folder:
        scan_units(scanner, pictures, Spans(Path(folder), units), 9, UNIT, range(units))


def seconds(work: Callable[[Network, Pictures], None], network: Network, pictures: Pictures) -> float:
    start = time.perf_counter()
    work(network, pictures)
    return time.perf_counter() - start


def ratios(rounds: int) -> None:
    print(f"{'network':14} {'plain, s':>9} {'maximum':>9} {'scan':>7} {'limit':>7} {'atlas':>7}")
    for name, limit in LIMITS.items():
        torch.manual_seed(0)
        network = Network(torchvision.models.get_model(name, weights=None), name=name)
        pictures = Pictures("noise", list(torch.randn(PICTURES[name], 3, 224, 224)))
        works = (plain, maximum, scanned, tallied)
        for work in works:
            work(network, pictures)  # a warm-up
        times = [[seconds(work, network, pictures) for work in works] for _ in range(rounds)]
        hook, ours, all_of_it = (median(row[k] / row[0] for row in times) for k in (1, 2, 3))
        start = f"{name:14} {median(row[0] for row in times):9.2f} {hook:9.3f}"
        print(f"{start} {ours:7.3f} {limit:7.2f} {all_of_it:7.3f}", flush=True)


def peak(count: int) -> None:
    """Scan `count` pictures and print this process's peak memory in MiB."""
    module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 128, 3, stride=2), nn.ReLU())
    network = Network(module, input_size=(3, 32, 32))
    scan(network, Noise(count, 32), batch_size=BATCH, device="cpu")
    print(resident())


def memory() -> None:
    few, many = peaks(__file__, (2_000, 20_000))
    print(f"peak memory: {few:.0f} MiB for 2,000 pictures, {many:.0f} MiB for 20,000: {many / few:.3f} (limit 1.05)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="memory only")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(2)
    if options.peak:
        peak(options.peak)
    elif options.memory:
        memory()
    else:
        ratios(options.rounds)
        memory()
