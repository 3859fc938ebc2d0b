"""What a projection costs: `python benchmarks/project.py`.

Projecting the top nine of every map of AlexNet's conv3 and conv5 (torchvision's `features.6` and `features.10`) against
calling Captum's `NeuronDeconvolution` once an activation, on two threads, in interleaved rounds after a warm-up; the
ratio of rates is the median over rounds. Two sets of pictures: few, so that a picture has many units and its forward
pass is shared, and many, so that nearly every unit computes its own cone. Random weights: time does not depend on them.
"""

import argparse
import time
import warnings
from statistics import median

import torch
from captum.attr import NeuronDeconvolution

from convscope.atlases.scan import scan
from convscope.data.sources import images
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.probe.projection import Reverse, Units

LIMITS = {"features.6": (15, 30), "features.10": (7, 15)}  # what must hold, what is aimed at
CALLS = 12  # of Captum a round


class Noise(torch.utils.data.Dataset[torch.Tensor]):
    """Smooth noise as float tensors in network space, made when asked."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        if index >= self.count:
            raise IndexError(index)
        coarse = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(index))
        return torch.nn.functional.interpolate(coarse, size=224, mode="bilinear")[0]


def top_nine(network: Network, layer: str, count: int) -> tuple[torch.Tensor, Units]:
    """The pictures and the units of the nine strongest activations of every map."""
    source = Noise(count)
    top = scan(network, images(source), [layer], device="cpu")[layer]
    channels, nine = top.images.shape
    units = Units(top.images.flatten(), torch.arange(channels).repeat_interleave(nine), top.positions.reshape(-1, 2))
    pictures = torch.stack([source[i] for i in range(count)])
    return pictures.contiguous(memory_format=torch.channels_last), units.rows(units.picture.argsort(stable=True))


def ratio(network: Network, layer: str, count: int, rounds: int) -> None:
    pictures, units = top_nine(network, layer, count)
    reverse = Reverse(network.working("cpu"), network.graph(), network.geometry(), [layer])
    captum = NeuronDeconvolution(network.module.eval(), network.module.get_submodule(layer))

    def theirs(calls: int) -> float:
        start = time.perf_counter()
        for row in torch.linspace(0, len(units) - 1, calls).long().tolist():
            place = units.position[row].tolist()
            captum.attribute(pictures[units.picture[row]][None].contiguous(), (int(units.channel[row]), *place))
        return (time.perf_counter() - start) / calls

    def ours() -> float:
        start = time.perf_counter()
        reverse(pictures, {layer: units})
        return (time.perf_counter() - start) / len(units)

    theirs(2)
    reverse(pictures, {layer: units.rows(torch.arange(64))})
    pairs = [(theirs(CALLS), ours()) for _ in range(rounds)]
    rate, (must, aim) = median(a / b for a, b in pairs), LIMITS[layer]
    a, b = (1e3 * median(column) for column in zip(*pairs, strict=True))
    shared = int(reverse._sharing_pays(len(pictures), {layer: units})[units.picture].sum())
    print(
        f"{layer:12s} {len(units)} units on {count:4d} pictures ({shared} share a pass): "
        f"Captum {a:6.2f} ms, ours {b:5.2f} ms, ratio {rate:5.1f} (must {must}, aim {aim})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    warnings.filterwarnings("ignore", module="captum")
    torch.set_num_threads(2)
    network = load("torchvision:alexnet@random")
    for layer in LIMITS:
        for count in (64, 1024):
            ratio(network, layer, count, rounds)


if __name__ == "__main__":
    main()
