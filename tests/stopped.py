"""Interrupt a command at random moments and finish it each time: `python stopped.py COMMAND … -o OUT …`.

A process of its own, because it forks: torch must have started no threads. Prints, as JSON, the exit code and the words
on standard error of every run that was interrupted. Fails where a finished folder differs from an undisturbed one.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch

from convscope.cli import main

RUNS = 14


def start(words: Sequence[str]) -> tuple[int, int]:
    """Run a command in a process of its own; return its number and a pipe that has its standard error."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.dup2(writer, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv[1:] = words
        sys.stderr = os.fdopen(2, "w", buffering=1)
        os._exit(main())
    os.close(writer)
    return process, reader


def ended(process: int, reader: int) -> tuple[int, str]:
    """Wait for the end of a command; return its exit code and its words."""
    with os.fdopen(reader, encoding="utf-8") as stream:
        words = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), words


def contents(folder: Path) -> dict[str, bytes]:
    """What the files in a folder hold; names that begin with a dot, and their contents, aside."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith(".")}


def interrupted(words: Sequence[str], out: Path) -> list[tuple[int, str]]:
    """Interrupt the command `RUNS` times."""
    moments, ends = Random(0), []
    ended(*start(words))  # what is read for the first time takes longer
    shutil.rmtree(out)
    begin = time.perf_counter()
    assert ended(*start(words))[0] == 0
    took, whole = time.perf_counter() - begin, contents(out)
    for _ in range(RUNS):
        shutil.rmtree(out)
        process, reader = start(words)
        time.sleep(took * moments.random())
        number = moments.choice([signal.SIGINT, signal.SIGTERM])
        for _ in range(moments.choice([1, 1, 3])):  # pressed again, impatiently
            os.kill(process, number)
            time.sleep(0.02 * moments.random())
        ends.append(ended(process, reader))
        assert ended(*start(words))[0] == 0
        assert contents(out) == whole
    return ends


if __name__ == "__main__":
    torch.set_num_threads(1)
    line = sys.argv[1:]
    print(json.dumps(interrupted(line, Path(line[line.index("-o") + 1]))))
