"""Train the bundled network and its decoders on one GPU in minutes, from what `tools/bundled_pack.py` packed.

    PYTHONPATH=. python tools/train_bundled.py --pack pack-1 pack-2 --out out --budget 450

Distillation: the student sees what the teacher sees (EfficientNet-Lite0, which saw ImageNet), and learns its
probabilities of ImageNet's classes, its pooled features, and the probabilities of a linear classifier of Caltech-101's
classes on those features, which is fitted to the 30 training pictures a class. Schedules follow the clock, so that the
training ends when the budget does, whatever the machine. Batch normalisation, folded into the weights at the end,
and the heads for all but Caltech-101's classes serve the training only: what is written is a plain `zfnet128`.

Written: `zfnet128.safetensors` and `decoders.safetensors` (what convscope reads), `log.csv`, `filters.png`,
`result.json`, `student.safetensors` (with normalisation and heads). The network and the log from the start on.
"""

import argparse
import copy
import csv
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from bundled_pack import Source, read
from bundled_teacher import Teacher, fold, uniform, views
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from convscope.models.network import Network, save
from convscope.models.network import read as read_network
from convscope.models.upconvnet import UNIT, Decoders, write
from convscope.models.variants import ZFNET128, build
from convscope.models.zfnet import LRN, Chain
from convscope.probe.filters import spectrum

SIDE = 128
STD = 58 / 255  # of the network's inputs: what `convscope train --recipe scaled` divides by
TEACHER_SIDES = {"tiny": 160, "caltech": 224, "unlabelled": 224}  # 64 pixels hold no more than 160 show (62 % and 61 %)
TEMPERATURE = 2.0
WEIGHTS = {"imagenet": 1.0, "features": 3.0, "caltech": 1.5, "labels": 0.3}  # of the losses
DROPOUT = 0.2
LR, MOMENTUM, CLIP = 0.1, 0.9, 5.0
DECAY = {"conv1": 3e-3, "heads": 2e-4, "others": 1e-3}  # conv1's makes its filters smooth: noise in them fades first
AVERAGE = (8, 0.01)  # every so many steps the average of the weights moves by this share towards them
NOISE = 0.15  # at most, in units of `STD`, on what the student sees: makes noisy filters cost something
DECODED = ("pool2", "pool5", "relu7")
DECODERS = {"maps": [128, 128, 64, 32], "dense": 512, "side": 64, "colours": 3}


@dataclass(frozen=True)
class Phase:
    """Until which share of the training: shares of the sources in a batch, smallest crops, share of mixed pictures."""

    until: float
    shares: Mapping[str, float]
    areas: Mapping[str, float]
    mixed: float


PHASES = (
    Phase(
        0.6,
        {"tiny": 0.68, "caltech": 0.23, "unlabelled": 0.09},
        {"tiny": 0.45, "caltech": 0.25, "unlabelled": 0.25},
        0.5,
    ),
    Phase(  # as the network will be used: whole objects of Caltech-101
        1.0,
        {"tiny": 0.5, "caltech": 0.42, "unlabelled": 0.08},
        {"tiny": 0.6, "caltech": 0.4, "unlabelled": 0.3},
        0.3,
    ),
)


class Clock:
    """Seconds since it was made, and the share of a stretch of time that has gone by."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.start

    def stretch(self, until: float) -> Callable[[], float]:
        """A function that gives the progress from now (0) to `until` seconds after the start (1 or more)."""
        now = self.seconds
        return lambda: (self.seconds - now) / max(until - now, 1e-3)


def cosine(progress: float, warmup: float = 0.03) -> float:
    """Share of the largest rate: a linear warm-up, then half a cosine down to 0."""
    if progress < warmup:
        return max(progress, 1e-4) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * min(1, (progress - warmup) / (1 - warmup)))


def half_precision(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where it is fast."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


# --- the student ---


class Student(nn.Module):
    """The network with batch normalisation before its rectifiers, and heads for what the teacher says."""

    def __init__(self, architecture: Mapping[str, Any], features: int, labels: int) -> None:
        super().__init__()
        self.net = build(architecture)
        layers = dict(self.net.named_children())
        self.norms = nn.ModuleDict()
        for name, layer in layers.items():
            if isinstance(layer, nn.Conv2d):
                self.norms[name] = nn.BatchNorm2d(layer.out_channels)
            elif isinstance(layer, nn.Linear) and name != "fc8":
                self.norms[name] = nn.BatchNorm1d(layer.out_features)
        width = int(architecture["fc"][-1])
        sizes = {"imagenet": 1000, "features": features, "labels": labels}
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})
        with torch.no_grad():  # small, so that the first steps overwrite what is random in it
            self.net.get_parameter("conv1.weight").mul_(0.2)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Scores of Caltech-101's classes, `caltech`, and of every head."""
        x = inputs
        for name, layer in self.net.named_children():
            if name == "fc8":
                return {"caltech": layer(x), **{head: module(x) for head, module in self.heads.items()}}
            x = response_norm(x) if isinstance(layer, nn.LocalResponseNorm) else layer(x)
            if name in self.norms:
                x = self.norms[name](x)
        raise AssertionError("no fc8")

    def folded(self) -> Chain:
        """The plain network that does the same in evaluation mode, in float32 on the CPU."""
        net, norms = copy.deepcopy(self.net).cpu().float(), copy.deepcopy(self.norms).cpu()
        for name, norm in norms.items():
            fold(net.get_submodule(name), norm)
        return equalised(net).eval()


def response_norm(maps: Tensor) -> Tensor:
    """The network's contrast normalisation (METHODS M9), summed by a convolution, which is faster."""
    place = torch.arange(maps.shape[1], device=maps.device)
    band = ((place[:, None] - place[None, :]).abs() <= LRN["size"] // 2).to(maps.dtype)
    power = F.conv2d(maps * maps, band[:, :, None, None]) * LRN["alpha"] + LRN["k"]
    root = power.rsqrt()
    return maps * (root * root.sqrt()).to(maps.dtype)  # beta = 3/4


@torch.no_grad()
def equalised(net: Chain, low: float = 0.25, high: float = 4.0) -> Chain:
    """Bring filters of conv1 that are much weaker or stronger (RMS) than the median one within these multiples of it.

    What conv2 reads of them is divided by as much: rectifier, pool and, to 0.1 %, normalisation pass a factor on.
    """
    filters, biases, readers = (net.get_parameter(name) for name in ("conv1.weight", "conv1.bias", "conv2.weight"))
    rms = filters.square().mean((1, 2, 3)).sqrt()
    factor = rms.clamp(low * rms.median(), high * rms.median()) / rms.clamp(min=1e-12)
    factor[rms < 1e-4 * rms.median()] = 1.0  # these are dead, and stay so
    filters.mul_(factor[:, None, None, None])
    biases.mul_(factor)
    readers.div_(factor[None, :, None, None])
    return net


def normalised(pictures: Tensor, mean: Tensor) -> Tensor:
    """Pictures in [0, 1] in network space."""
    return ((pictures - mean[:, None, None]) / STD).contiguous(memory_format=torch.channels_last)


# --- training ---


def centres(source: Source) -> Tensor:
    """The central `SIDE` pixels of held-out squares, in [0, 1]."""
    cut = (source.pixels.shape[2] - SIDE) // 2
    return source.pixels[:, :, cut : cut + SIDE, cut : cut + SIDE].float() / 255


def mean_per_class(scores: Tensor, labels: Tensor) -> float:
    """Mean over the classes of the percentage of pictures whose largest score is their class's."""
    right = (scores.argmax(1) == labels).float()
    counts = torch.bincount(labels, minlength=scores.shape[1])
    sums = torch.bincount(labels, weights=right, minlength=scores.shape[1])
    return float(100 * (sums[counts > 0] / counts[counts > 0]).mean())


@dataclass
class Lesson:
    """What the student is taught: pictures by source, the facts of the pack, the teacher, the mean colour (3,)."""

    sources: dict[str, Source]
    facts: dict[str, Any]
    teacher: Teacher
    mean: Tensor

    def batch(self, size: int, phase: Phase) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Inputs (N, 3, SIDE, SIDE), the teacher's targets, and labels of the first rows, those of Tiny ImageNet."""
        pictures, targets, labels = [], [], []
        for name, share in phase.shares.items():
            sides = [SIDE, TEACHER_SIDES[name]]
            count = max(2, round(size * share))
            (seen, asked), places = views(self.sources[name], count, phase.areas[name], phase.mixed, sides)
            pictures.append(seen)
            targets.append(self.teacher(asked))
            labels.append(self.sources[name].labels[places])
        inputs = normalised(torch.cat(pictures), self.mean)
        noise = uniform(len(inputs), 0, NOISE, inputs.device)[:, :, None, None]
        inputs = inputs + torch.randn_like(inputs) * noise
        return inputs, {key: torch.cat([t[key] for t in targets]) for key in targets[0]}, labels[0]


def losses(said: Mapping[str, Tensor], targets: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    """In the order of `WEIGHTS`: distance from the teacher's features (1: as far as their mean), divergence from its
    probabilities, and cross-entropy of the labels, which a mixed picture has of its larger part.
    """
    found = {"features": F.mse_loss(said["features"].float(), targets["features"])}
    for name in ("imagenet", "caltech"):
        mine, its = (F.log_softmax(scores.float() / TEMPERATURE, 1) for scores in (said[name], targets[name]))
        found[name] = F.kl_div(mine, its, reduction="batchmean", log_target=True) * TEMPERATURE**2
    found["labels"] = F.cross_entropy(said["labels"][: len(labels)].float(), labels)
    return torch.stack([found[name] for name in WEIGHTS])


def groups(student: Student) -> list[dict[str, Any]]:
    """Parameters by their weight decay: none for biases and normalisations."""
    found: dict[float, list[nn.Parameter]] = {}
    for name, parameter in student.named_parameters():
        kind = "conv1" if "conv1" in name else "heads" if name.startswith("heads") or "fc8" in name else "others"
        found.setdefault(DECAY[kind] if parameter.dim() > 1 else 0.0, []).append(parameter)
    return [{"params": parameters, "weight_decay": decay} for decay, parameters in found.items()]


class Average:
    """A running average of a student's weights."""

    def __init__(self, student: Student) -> None:
        self.student = copy.deepcopy(student).requires_grad_(False).eval()
        self.updates = 0

    @torch.no_grad()
    def update(self, student: Student) -> None:
        """Move towards the student."""
        self.updates += 1
        weight = max(AVERAGE[1], 1 / (self.updates + 1))
        for mine, its in zip(self.student.parameters(), student.parameters(), strict=True):
            mine.lerp_(its, weight)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Measure the statistics of its normalisations on these inputs, without dropout."""
        for norm in self.student.norms.values():
            assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over the batches
            norm.train()
        for inputs in batches:
            with half_precision(inputs.device):
                self.student(inputs)
        self.student.eval()


@torch.no_grad()
def accuracy(module: Callable[[Tensor], Tensor], lesson: Lesson) -> float:
    """Mean per class, in per cent, on the held-out pictures in the pack."""
    source = lesson.sources["test"]
    parts = normalised(centres(source), lesson.mean).split(256)
    return mean_per_class(torch.cat([module(part) for part in parts]).float(), source.labels)


def train(lesson: Lesson, folder: Path, clock: Clock, until: float, size: int, recipe: Mapping[str, Any]) -> Network:
    """Train a student until `until` seconds; write the network and a row of the log sixteen times on the way."""
    device, rows = lesson.mean.device, list[dict[str, float]]()
    architecture = {**ZFNET128, "dropout": DROPOUT, "classes": len(lesson.facts["classes"])}
    labels = int(lesson.sources["tiny"].labels.max()) + 1
    student = Student(architecture, len(lesson.teacher.mean), labels).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average, recent, steps, seen = Average(student), deque[Tensor](maxlen=8), 0, 0
    optimizer = torch.optim.SGD(groups(student), LR, MOMENTUM, nesterov=True)
    weights = torch.tensor(list(WEIGHTS.values()), device=device)
    progress = clock.stretch(until)
    while (now := progress()) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LR * cosine(now)
        inputs, targets, own = lesson.batch(size, next(phase for phase in PHASES if now < phase.until))
        student.train()
        with half_precision(device):
            said = student(inputs)
        parts = losses(said, targets, own)
        optimizer.zero_grad(set_to_none=True)
        (parts @ weights).backward()
        nn.utils.clip_grad_norm_(student.parameters(), CLIP)
        optimizer.step()
        recent.append(inputs)
        steps, seen = steps + 1, seen + len(inputs)
        if steps % AVERAGE[0] == 0:
            average.update(student)
        if now * 16 >= len(rows):
            said_of = dict(zip(WEIGHTS, parts.tolist(), strict=True))
            row = {"seconds": clock.seconds, "progress": now, "steps": steps, "views": seen, **said_of}
            rows.append(row | report(average, recent, lesson, folder, recipe))
            table(rows, folder / "log.csv")
    average.update(student)
    rows.append({"seconds": clock.seconds, "progress": 1, "steps": steps, "views": seen})
    rows[-1] |= report(average, recent, lesson, folder, recipe)
    table(rows, folder / "log.csv")
    halves = {key: value.half().cpu().contiguous() for key, value in average.student.state_dict().items()}
    save_file(halves, folder / "student.safetensors")
    return read_network(folder / "zfnet128.safetensors", build)


def report(
    average: Average, recent: Iterable[Tensor], lesson: Lesson, folder: Path, recipe: Mapping[str, Any]
) -> dict[str, float]:
    """Write the average as a plain network, with its filters as a picture, and measure it.

    `accuracy` is of the student, `plain` of the network as it is read back, in half precision, `apart` the largest
    difference that folding alone makes to a score.
    """
    average.calibrate(recent)
    student, net, device = average.student, average.student.folded(), lesson.mean.device
    made = Network(net, (3, SIDE, SIDE), lesson.mean.cpu(), STD, lesson.facts["classes"], "zfnet128")
    path = folder / "zfnet128.safetensors"
    save(made, path, net.architecture, {**recipe, "data": lesson.facts["data"]}, half=True)
    filters = net.get_parameter("conv1.weight").detach()
    picture(filters).save(folder / "filters.png")
    few = normalised(centres(lesson.sources["test"])[:64], lesson.mean)
    with torch.no_grad():
        apart = (student(few)["caltech"] - net.to(device)(few)).abs().max()
    plain = read_network(path, build).module.to(device).eval()
    return {
        "accuracy": accuracy(lambda inputs: student(inputs)["caltech"], lesson),
        "plain": accuracy(plain, lesson),
        "apart": float(apart),
        **selective(filters),
    }


def table(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write rows as a table, and print the last."""
    print(" ".join(f"{key} {value:.5g}" for key, value in rows[-1].items()), flush=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({key: f"{value:.5g}" for key, value in row.items()} for row in rows)


def picture(filters: Tensor, scale: int = 8, columns: int = 8) -> Image.Image:
    """Filters (N, 3, h, w) in rows, each from black to white."""
    low, high = filters.amin((1, 2, 3), keepdim=True), filters.amax((1, 2, 3), keepdim=True)
    shown = F.pad(F.interpolate((filters - low) / (high - low), scale_factor=scale), (2, 2, 2, 2), value=0.5)
    tiles = [torch.cat(list(row), 2) for row in shown.split(columns)]
    return Image.fromarray((torch.cat(tiles, 1).permute(1, 2, 0) * 255).byte().numpy())


def selective(filters: Tensor) -> dict[str, float]:
    """Percentages of the filters above the floors of noise (METHODS F6): for orientation, for frequency, for both."""
    shares, floors = spectrum.power(filters), spectrum.noise_floors(*filters.shape[1:])
    oriented = spectrum.orientation_selectivity(shares) > floors[0]
    tuned = spectrum.frequency_selectivity(shares) > floors[1]
    above = {"oriented": oriented, "tuned": tuned, "selective": oriented & tuned}
    return {name: float(100 * chosen.double().mean()) for name, chosen in above.items()}


# --- decoders ---


def features_of(net: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """What the layers in `DECODED` say of inputs."""
    found, x = {}, inputs
    for name, layer in net.named_children():
        x = layer(x)
        if name in DECODED:
            found[name] = x
    return found


def decoding_losses(decoders: Decoders, net: nn.Module, inputs: Tensor) -> Tensor:
    """Mean square of each layer's error, 1 is 128 levels, as in `convscope train --decode`."""
    with torch.no_grad():
        features = features_of(net, inputs)
    with half_precision(inputs.device):
        decoded = decoders(features)
    found = []
    for layer in decoders.layers:
        target = F.interpolate(inputs, decoded[layer].shape[2:], mode="bilinear", antialias=True) * (255 * STD / UNIT)
        found.append(F.mse_loss(decoded[layer].float(), target))
    return torch.stack(found)


def train_decoders(
    network: Network, lesson: Lesson, folder: Path, clock: Clock, until: float, size: int = 128, lr: float = 1.5e-3
) -> dict[str, Any]:
    """Train the decoders until `until` seconds and write them; their recipe and held-out losses."""
    device = lesson.mean.device
    net = copy.deepcopy(network.module).to(device).eval().requires_grad_(False)
    test = normalised(centres(lesson.sources["test"]), lesson.mean)
    with torch.no_grad():
        features = features_of(net, test[:64])
    decoders = Decoders({layer: features[layer].shape[1:] for layer in DECODED}, **DECODERS)
    generator = torch.Generator().manual_seed(0)
    for layer in DECODED:
        decoders[layer].initialise(generator)
        decoders[layer].scale.copy_(features[layer].square().mean().sqrt())
    decoders.to(device)
    optimizer = torch.optim.Adam(decoders.parameters(), lr)
    progress, seen = clock.stretch(until), 0
    while (now := progress()) < 1:
        for group in optimizer.param_groups:
            group["lr"] = lr * cosine(now)
        pictures = [views(lesson.sources[name], size // 2, 0.5, 0, [SIDE])[0][0] for name in ("tiny", "caltech")]
        parts = decoding_losses(decoders, net, normalised(torch.cat(pictures), lesson.mean))
        optimizer.zero_grad(set_to_none=True)
        parts.sum().backward()
        nn.utils.clip_grad_norm_(decoders.parameters(), 2.0)
        optimizer.step()
        seen += size
    with torch.no_grad():
        held_out = torch.stack([decoding_losses(decoders, net, part) for part in test.split(64)]).mean(0)
    losses = dict(zip(DECODED, held_out.tolist(), strict=True))
    recipe = {"views": seen, "batch_size": size, "lr": lr, "optimizer": "adam", "schedule": "cosine", "clip": 2.0}
    write(decoders.cpu(), folder / "decoders.safetensors", network, {**recipe, "data": lesson.facts["data"]}, half=True)
    return {**recipe, "loss": losses}


def main() -> None:
    """Read the packs, teach, and write everything."""
    clock = Clock()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, nargs="+", required=True, help="what bundled_pack.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--budget", type=float, default=450, help="seconds that all of it may take")
    parser.add_argument("--decoders", type=float, default=0.13, help="share of them for the decoders")
    parser.add_argument("--batch", type=int, default=512, help="pictures of a step")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    sources, facts = read(given.pack)  # by processes, which are started before CUDA is
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    print({name: tuple(source.pixels.shape) for name, source in sources.items()}, f"{clock.seconds:.1f} s", flush=True)
    sources = {name: source.to(device) for name, source in sources.items()}
    mean = sources["tiny"].pixels[:5000].float().mean((0, 2, 3)) / 255
    teacher = Teacher(load_file(given.pack[0] / "teacher.safetensors"), device)
    sides = TEACHER_SIDES["caltech"], TEACHER_SIDES["tiny"]
    penalty = teacher.fit(sources["caltech"], sides[0], len(facts["classes"]), sources["tiny"], sides[1])
    torch.set_float32_matmul_precision("high")
    lesson = Lesson(sources, facts, teacher, mean)
    test = torch.cat(
        [teacher(F.interpolate(x, 224, mode="bilinear"))["caltech"] for x in centres(sources["test"]).split(128)]
    )
    result: dict[str, Any] = {
        "teacher": {"accuracy": mean_per_class(test, sources["test"].labels), "penalty": penalty},
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "pictures": {name: len(source) for name, source in sources.items()},
        "settings": {
            "losses": WEIGHTS,
            "temperature": TEMPERATURE,
            "lr": LR,
            "momentum": MOMENTUM,
            "clip": CLIP,
            "decay": DECAY,
            "dropout": DROPOUT,
            "noise": NOISE,
            "teacher_sides": TEACHER_SIDES,
            "batch_size": given.batch,
            "phases": [asdict(phase) for phase in PHASES],
        },
    }
    print(json.dumps(result["teacher"]), f"{clock.seconds:.1f} s", flush=True)
    ends = given.budget * (1 - given.decoders) - 3
    recipe = {"tool": "tools/train_bundled.py", "teacher": "efficientnet-lite0", **result["settings"]}
    network = train(lesson, given.out, clock, ends, given.batch, recipe)
    (given.out / "result.json").write_text(json.dumps(result, indent=1))
    result["decoders"] = train_decoders(network, lesson, given.out, clock, given.budget - 3)
    result["seconds"] = clock.seconds
    (given.out / "result.json").write_text(json.dumps(result, indent=1))
    print(json.dumps(result["decoders"]["loss"]), f"{clock.seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
