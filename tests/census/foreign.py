"""Files of the user's with the names of ours, the commands that could meet them, and a census."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from random import Random

import numpy as np
import torch
from PIL import Image

import convscope
from convscope.cli import main
from convscope.disk.output_folder import HIDDEN
from convscope.models.network import Network, save
from convscope.models.variants import build
from tests.contract.cases import CASES

SHAPE = {"base": "zfnet", "side": 64, "maps": (4, 4, 4, 4, 4), "fc": (8, 8), "classes": 2}
TRAIN = [
    "--architecture",
    "zfnet128",
    "--side",
    "64",
    "--set",
    "maps=[4,4,4,4,4]",
    "--set",
    "fc=[8,8]",
    "--epochs",
    "2",
]
TRAIN += ["--set", "warmup=0", "--batch-size", "4", "--accelerator", "cpu"]
DECODE = ["--epochs", "1", "--set", "schedule=constant", "--set", "maps=[4,4]", "--set", "dense=16"]
DECODE += ["--accelerator", "cpu"]
NAMES = (  # of every file that a command writes
    *("result.json", "figure.png", "arrays.npz", "overlap.csv", "atlas.json", "top.parquet", "channels.parquet"),
    *("pictures.parquet", "building/plan.json", "building/0.png", "building/top-000000.parquet", "report.json"),
    *("index.html", "glossary.html", "static/convscope.css", "layers/relu1/0.html", "pictures/0.png"),
    *("network.safetensors", "decoders.safetensors", "log.csv", "training.json", "state.ckpt", "state.ckpt.part"),
    *("snapshots/epoch-001.safetensors", "snapshots/epoch-9.safetensors", "tensorboard/events.out", "key.json"),
    *("architecture.svg", "architecture.json", "ascent.svg", "switch.json", "experiments/occlude/001/result.json"),
    *(".job-1/notes.txt", ".writing-1/notes.txt", "computing-1/notes.txt", "run/network.safetensors", "thesis.tex"),
)

COMMANDS = {  # but for the experiments: its words without `-o OUT`
    "atlas": ["net.safetensors", "pictures", "--layers", "relu1", "--layers", "relu3", "--top", "2"],
    "report": ["atlas"],
    "figure2": ["atlas", "--maps", "2"],
    "overlap": ["pictures", "pictures/a"],
    "schematics": ["net.safetensors", "--picture", "pictures/a/0.png"],
    "evaluate": ["net.safetensors", "pictures"],
    "train": ["pictures", *TRAIN, "--snapshots", "1"],
    "train --decode": ["pictures", "--decode", "net.safetensors", "--layers", "relu5", *DECODE],
}
NOWHERE = {"layers", "view", "demo"}  # commands without an OUT


def words(name: str) -> list[str]:
    """The words of a command, `-o OUT` apart."""
    if name in COMMANDS:
        return [name.split()[0], *COMMANDS[name], *([] if name == "schematics" or name == "figure2" else ["--quiet"])]
    case = CASES[name]
    network = ["py:tests.contract.cases:network"] if case.network else []
    spelled = [word.replace("PICTURE", "picture.png").replace("RUN", "run") for word in case.arguments]
    return [name.replace("_", "-"), *network, *spelled, "--quiet"]


def furnish(desk: Path) -> None:
    """A folder with a network, pictures in two classes, one beside them, and an atlas."""
    generator = np.random.default_rng(0)
    for number in range(6):
        folder = desk / "pictures" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    Image.fromarray(generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(desk / "picture.png")
    torch.manual_seed(0)
    save(Network(build(SHAPE), (3, 64, 64), name="tiny", classes=["a", "b"]), desk / "net.safetensors", SHAPE, {})
    os.chdir(desk)
    assert main(["atlas", *COMMANDS["atlas"], "-o", "atlas", "--quiet"]) == 0


def plant(folder: Path) -> dict[str, bytes]:
    """Put files of the user's into the folder, under all the names that are free there; returns what they hold."""
    for name in NAMES:
        file = folder / name
        free = not file.exists() and all(not above.is_file() for above in file.parents)
        if free and not (file.parent.exists() and file.parent != folder and HIDDEN in file.parts):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(f"{name} is mine".encode())
    return {name: content for name, content in census(folder).items() if content.endswith(b" is mine")}


def census(folder: Path) -> dict[str, bytes]:
    """What every file holds, by path."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def start(line: Sequence[str]) -> int:
    """A command in a process of its own, silent; returns its number."""
    process = os.fork()
    if process == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(silent, stream)
        os._exit(main(line))
    return process


def killed(desk: Path, names: Sequence[str]) -> None:
    """Kill every command twice at random moments in a folder with its own and with foreign files, and finish it."""
    moments = Random(0)
    for name in names:
        out = desk / "out" / name.replace(" ", "")
        line = [*words(name), "-o", str(out)]
        begin = time.perf_counter()
        assert os.waitpid(start(line), 0)[1] == 0, f"{name} fails"
        took = time.perf_counter() - begin
        mine = plant(out)
        for _ in range(2):
            process = start(line)
            time.sleep(took * moments.random())
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            lost = {path for path, content in mine.items() if census(out).get(path) != content}
            assert not lost, f"{name}, killed, loses {lost}"
        assert os.waitpid(start(line), 0)[1] == 0, f"{name} fails after it was killed"
        assert census(out).items() >= mine.items(), f"{name}, finished, loses files"


if __name__ == "__main__":
    torch.set_num_threads(1)
    for module in walk_packages(convscope.__path__, "convscope."):  # once, and not in every process
        import_module(module.name)
    furnish(Path(sys.argv[1]))
    killed(Path(sys.argv[1]), sys.argv[2:])
