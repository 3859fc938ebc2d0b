"""What covering a picture place by place costs: `python benchmarks/occlude.py`, or `--curve` for its second half alone.

Time: `occlude` on a picture of 224 pixels, an occluder of 32 every 16, against Captum's `Occlusion` with 32 positions
at a time, on two threads, in interleaved rounds after a warm-up; the ratio is the median over rounds. Beside it the
ratio to running the whole network for each position in the same memory format (channels-last), the bound on that from
counting multiplications, and the peak memory of a process that only runs `occlude`, with what that adds to the
network, its copy in channels-last and the libraries. Random weights: time does not depend on them. With `--approximate`
VGG16 in the approximate modes as well. `--cpu-time --threads 1` for a machine that is busy.

Curve: speed against rank correlation with the exact map of the class's probability, in each approximate mode, on the
bundled network and pictures; written to docs/results/occlude.
"""

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from resident import resident

from convscope.data.sources import images
from convscope.disk.results import write_csv
from convscope.experiments.occlude import occlude
from convscope.models.catalog import load
from convscope.models.network import Network
from convscope.models.occluder import Approach, Occluder
from convscope.probe.windows.changed_boxes import multiplications
from convscope.probe.windows.occluder_grid import grid, rank_correlation

LIMITS = {  # what must hold, what is aimed at
    "vgg16": (7.5, 9.0),
    "squeezenet1_1": (4.0, 4.0),
    "alexnet": (3.0, 3.0),
    "resnet18": (2.3, 2.3),
}
SIZE, TOGETHER = 32, 32
APPROXIMATE = [Approach("capped", cap=cap) for cap in (0.2, 0.3, 0.4)] + [Approach("drill", share=0.05)]
CURVE = [Approach("exact"), *(Approach("capped", cap=cap / 10) for cap in range(2, 10))]
CURVE += [
    Approach("drill", share=share, coarser=coarser) for coarser in (3, 2) for share in (0.02, 0.05, 0.1, 0.2, 0.4)
]
RESULTS = Path(__file__).parents[1] / "docs/results/occlude"


def picture() -> torch.Tensor:
    coarse = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, size=224, mode="bilinear")


def network(name: str) -> Network:
    return load(f"torchvision:{name}@random")


def timed(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def ours(net: Network, stride: int, approach: Approach | None = None) -> Callable[[], Any]:
    how = {} if approach is None else vars(approach)
    return lambda: occlude(net, picture(), target=0, size=SIZE, stride=stride, device="cpu", **how)


def ratios(names: Sequence[str], rounds: int, stride: int, approximate: bool, clock: Callable[[], float]) -> None:
    from captum.attr import Occlusion  # here, so that the process whose memory is measured does without

    print(f"{'network':14} {'Captum, s':>9} {'ours, s':>8} {'ratio':>6} {'must':>5} {'aim':>5}"
          f" {'÷ whole':>8} {'bound':>6} {'peak, MiB':>10} {'of it ours':>10}")  # fmt: skip
    for name in names:
        net, x = network(name), picture()
        captum, steps = Occlusion(net.module.eval()), (3, stride, stride)
        options = {"target": 0, "perturbations_per_eval": TOGETHER}

        def theirs(captum: Any = captum, x: Any = x, steps: Any = steps, options: Any = options) -> None:
            captum.attribute(x, sliding_window_shapes=(3, SIZE, SIZE), strides=steps, **options)

        works = [theirs, ours(net, stride, Approach("whole")), ours(net, stride)]
        works += [ours(net, stride, each) for each in APPROXIMATE if approximate and name == "vgg16"]
        for work in works[2:]:
            work()  # a warm-up
        with torch.no_grad():
            net.module(x.expand(TOGETHER, -1, -1, -1))
        times = [[timed(work, clock) for work in works] for _ in range(rounds)]
        ratio, faster = (median(row[k] / row[2] for row in times) for k in (0, 1))
        must, aim = LIMITS[name]
        asked = [sys.executable, __file__, "--peak", name, "--stride", str(stride)]
        peak, added = map(float, subprocess.check_output(asked, text=True).split())
        spent, own = (median(row[k] for row in times) for k in (0, 2))
        print(f"{name:14} {spent:9.2f} {own:8.2f} {ratio:6.2f}"
              f" {must:5} {aim:5} {faster:8.2f} {bound(net, stride):6.2f} {peak:10.0f} {added:10.0f}",
              flush=True)  # fmt: skip
        for k, approach in enumerate(APPROXIMATE[: len(works) - 3], 3):
            print(f"  {said(approach):20} {median(row[0] / row[k] for row in times):.1f} times Captum (aim 20)")


def bound(net: Network, stride: int) -> float:
    """How many times fewer multiplications the exact boxes take, if nothing else took any time."""
    occluder = Occluder(net, picture(), device="cpu")
    plan = occluder.plan(grid((224, 224), (SIZE, SIZE), (stride, stride)))
    assert plan is not None
    return sum(multiplications(plan.graph.nodes[n]) for n in plan.needed) / plan.multiplications


def said(approach: Approach) -> str:
    """A mode with the settings that count in it."""
    if approach.mode == "capped":
        return f"capped at {approach.cap:.1f}"
    return f"drill {approach.share:.2f} of {approach.coarser}" if approach.mode == "drill" else approach.mode


def curve(count: int, stride: int, clock: Callable[[], float]) -> None:
    """Every mode on pictures that the network knows, of as many classes."""
    net, gallery = load("zfnet128"), images("gallery")
    places = grid((128, 128), (29, 29), (stride, stride))
    chosen: list[torch.Tensor] = []
    classes: set[str] = set()
    for index, path in enumerate(gallery.paths):
        if (folder := path.split("/")[0]) not in classes and len(chosen) < count:
            x = net.inputs(gallery.item(index))
            with torch.no_grad():
                known = net.classes is not None and net.classes[int(net.working("cpu")(x).argmax())] == folder
            if known:
                chosen.append(x)
                classes.add(folder)
    rows = []
    found: dict[str, list[tuple[float, float, float]]] = {}
    for x in chosen:
        exact = None
        whole = 0.0
        for approach in [Approach("whole"), *CURVE]:
            occluder = Occluder(net, x, approach=approach, device="cpu")
            target = [int(occluder.probabilities.argmax())]
            start = clock()
            swept = occluder.sweep(places, target)[0]
            seconds = clock() - start
            if approach.mode == "whole":
                exact, whole = swept, seconds
            assert exact is not None
            measures = (whole / seconds, rank_correlation(swept, exact), float((swept - exact).abs().max()))
            found.setdefault(said(approach), []).append(measures)
    for approach in CURVE:
        speed, correlation, error = zip(*found[said(approach)], strict=True)
        setting = {"capped": approach.cap, "drill": approach.share}.get(approach.mode)
        rows.append({
            "mode": approach.mode,
            "setting": setting,
            "coarser": approach.coarser if approach.mode == "drill" else None,
            "speed": round(median(speed), 2),
            "rank correlation": round(mean(correlation), 4),
            "lowest": round(min(correlation), 4),
            "largest error": round(max(error), 4),
        })  # fmt: skip
        print(rows[-1], flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_csv(RESULTS / "curve.csv", rows)
    drawn(rows, len(chosen), stride)


def drawn(rows: Sequence[dict[str, Any]], count: int, stride: int) -> None:
    """Speed across, rank correlation up, a line for each mode."""
    from convscope.figures.grid import FAINT, canvas, chart, heading
    from convscope.figures.svg import ACCENT, COOL

    figure = canvas(760, 486)
    heading(figure, "Approximate occlusion: what speed costs", 60, 36)
    lines_above = (
        f"zfnet128, {count} pictures of the gallery, an occluder of 29 pixels every {stride}.",
        "Dots: the mean over the pictures; lines down: to the picture where it is lowest.",
    )
    for number, line in enumerate(lines_above):
        heading(figure, line, 60, 58 + 17 * number, 9, FAINT)
    axes = chart(figure, 60, 100, 660, 320)
    lines: dict[str, tuple[str, str, int | None, str]] = {"": ("capped, number: cap", "capped", None, COOL)}
    for coarser, colour in ((3, ACCENT), (2, "#b7d67a")):
        words = "third" if coarser == 3 else "second"
        lines[words] = (f"drill, every {words} position, number: share", "drill", coarser, colour)
    for label, mode, step, colour in lines.values():
        own = [row for row in rows if row["mode"] == mode and row["coarser"] == step]
        x, y = [row["speed"] for row in own], [row["rank correlation"] for row in own]
        axes.plot(x, y, "o-", color=colour, label=label, markersize=5, linewidth=1.4)
        axes.vlines(x, [row["lowest"] for row in own], y, color=colour, linewidth=0.8, alpha=0.6)
        for row in own:
            at = (row["speed"], row["rank correlation"])
            axes.annotate(f"{row['setting']:g}", at, (4, 5), textcoords="offset points", color=colour, fontsize=7)
    exact = next(row for row in rows if row["mode"] == "exact")
    axes.axvline(exact["speed"], color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.text(exact["speed"], axes.get_ylim()[0], " exact", color=FAINT, fontsize=8, va="bottom")
    axes.set_xlabel("times as fast as whole passes", color=FAINT, fontsize=8)
    axes.set_ylabel("rank correlation with the exact map of the probability", color=FAINT, fontsize=8)
    axes.legend(fontsize=8, loc="center right", frameon=False, labelcolor=FAINT)
    axes.grid(color=FAINT, alpha=0.15, linewidth=0.6)
    figure.savefig(RESULTS / "curve.png", format="png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(LIMITS), choices=list(LIMITS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stride", type=int, help="of the occluder, pixels: 16; of the curve 4")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="count processor seconds, for a machine that is busy")
    parser.add_argument("--approximate", action="store_true")
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--pictures", type=int, default=12, help="of the curve")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="captum")
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    if options.peak:
        net = network(options.peak)
        net.working("cpu")
        before = resident("VmRSS")
        ours(net, options.stride)()
        print(resident("VmHWM"), resident("VmHWM") - before)
    elif options.curve:
        curve(options.pictures, options.stride or 4, clock)
    else:
        ratios(options.networks, options.rounds, options.stride or 16, options.approximate, clock)


if __name__ == "__main__":
    main()
