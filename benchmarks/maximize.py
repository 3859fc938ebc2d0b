"""What an optimum costs: `python benchmarks/maximize.py`.

The first 64 channels of VGG16's third stage (torchvision's `features.10`) maximised at 128 pixels in one batch, in
Fourier space with decorrelated colours and shaken at each step, against lucent's `render_vis`, which makes them one by
one with its own of each; on two threads, in interleaved rounds after a warm-up, as many steps each. The ratio of times
for a step of one channel is the median over rounds. Random weights: time does not depend on them.

lucent is not among this project's packages. Where it is not found:

    pip install --target peers --no-deps torch-lucent decorator kornia==0.4.1
    pip install --target peers ipython
    PYTHONPATH=peers python benchmarks/maximize.py
"""

import argparse
import copy
import sys
import time
import warnings
from statistics import median
from typing import Any

import torch

from convscope.experiments.maximize import maximize
from convscope.models.catalog import load
from convscope.progress import silenced

LAYER, SIDE, CHANNELS = "features.10", 128, 64
MUST = 2.5


def peer() -> Any:
    """lucent's modules, or how to have them."""
    try:
        from lucent.optvis import param, render
    except ImportError as error:
        sys.exit(f"{error}\n{__doc__}")
    return param, render


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--calls", type=int, default=8, help="channels that lucent makes in a round")
    parser.add_argument("--channels", type=int, default=CHANNELS, help="channels in our batch")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    param, render = peer()
    torch.set_num_threads(2)
    network = load("torchvision:vgg16@random")
    network = type(network)(network.module, (3, SIDE, SIDE), name="vgg16")
    module = copy.deepcopy(network.module).eval()  # lucent leaves its hooks there
    units = [f"{LAYER}:{k}" for k in range(options.channels)]

    def theirs(calls: int, steps: int) -> float:
        start = time.perf_counter()
        for k in range(calls):
            render.render_vis(
                module,
                f"{LAYER.replace('.', '_')}:{k}",
                lambda: param.image(SIDE),
                thresholds=(steps,),
                progress=False,
                show_image=False,
                fixed_image_size=SIDE,  # it would be enlarged to 224 otherwise
            )
        return (time.perf_counter() - start) / (calls * steps)

    def ours(steps: int) -> float:
        start = time.perf_counter()
        with silenced():
            maximize(network, units, steps=steps, device="cpu")
        return (time.perf_counter() - start) / (len(units) * steps)

    theirs(1, 1)
    ours(1)
    pairs = []
    for _ in range(options.rounds):
        pairs.append((theirs(options.calls, options.steps), ours(options.steps)))
        a, b = pairs[-1]
        print(f"lucent {1e3 * a:6.1f} ms, ours {1e3 * b:6.1f} ms a step of a channel, ratio {a / b:.2f}", flush=True)
    print(f"{LAYER} at {SIDE} pixels, {len(units)} in a batch: {median(a / b for a, b in pairs):.2f} (must {MUST})")


if __name__ == "__main__":
    main()
