"""Build atlases in processes that are killed at random moments, and finish them: `python killed.py FOLDER`.

A process of its own, because it forks: torch must have started no threads. Prints how many builds were unfinished
after two kills.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from tests.atlases.tiny_network import build


def start(out: Path) -> int:
    process = os.fork()
    if process == 0:
        build(out)
        os._exit(0)
    return process


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    build(folder / "warm-up")
    begin = time.perf_counter()
    build(folder / "whole")
    took = time.perf_counter() - begin
    moments, unfinished = random.Random(0), 0
    for attempt in range(10):
        out = folder / str(attempt)
        for _ in range(2):
            process = start(out)
            time.sleep(took * moments.random())
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        unfinished += not (out / "atlas.json").exists()
        build(out)
    print(unfinished)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
