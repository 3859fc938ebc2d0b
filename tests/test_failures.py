"""Failures as one line: whose they are, whether memory ran out, what to report."""

import errno
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from convscope.errors import ArgumentError, NetworkError, resumable
from convscope.failures import advice, bug_line, one_line, shortage
from convscope.printable import printable


def raised(call: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - any
        call()
    return caught.value


def wrapped() -> None:
    try:
        torch.empty(2**60, dtype=torch.uint8)
    except RuntimeError as error:
        raise NetworkError("the network fails on this picture") from error


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.empty(2**60, dtype=torch.uint8),
        lambda: np.empty(2**60, np.uint8),
        lambda: bytearray(2**60),
        wrapped,
    ],
    ids=["torch", "numpy", "python", "wrapped"],
)
def test_memory_that_runs_out_is_known_whoever_asks_for_it(call: Callable[[], object]) -> None:
    line = shortage(raised(call))
    assert line is not None
    assert line.startswith("out of memory")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has", "out of memory of the GPU (allocate 20.00 GiB)"),
        ("MPS backend out of memory (MPS allocated: 3 GB)", "out of memory of the GPU"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling", "out of memory of the GPU"),
        (
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
            "(allocate 8 bytes)",
        ),
    ],
)
def test_memory_in_the_words_of_backends(text: str, line: str) -> None:
    assert line in str(shortage(RuntimeError(text)))
    assert shortage(torch.OutOfMemoryError(text)) is not None


def test_other_errors_are_not_about_memory() -> None:
    for error in (ArgumentError("name", "out of memory", "x"), ValueError("out of memory"), RuntimeError("no")):
        assert shortage(error) is None


def test_errors_in_one_line() -> None:
    assert one_line(ArgumentError("top", 0, "expected at least 1")) == "top is 0: expected at least 1"
    assert one_line(FileNotFoundError(errno.ENOENT, "No such file", "a/b")) == "a/b: No such file"
    assert one_line(OSError(errno.ENOSPC, "No space left on device", "a/b")).startswith(
        "a/b: no space left on the disk; "
    )
    assert one_line(KeyError()) == "KeyError: no reason given"
    assert one_line(RuntimeError("two\nlines")) == "RuntimeError: two lines"


def test_advice_is_noted_on_whatever_ends_the_block() -> None:
    for kind in (KeyboardInterrupt, NetworkError):
        with pytest.raises(kind) as caught, resumable("go on"):
            raise kind
        assert advice(caught.value) == ["go on"]
    assert advice(KeyError()) == []


def test_a_bug_leaves_its_traceback_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    line = bug_line(raised(lambda: printable(7)), ["convscope", "atlas", "\udce9"])  # type: ignore[arg-type]
    [report] = tmp_path.iterdir()
    found = re.fullmatch(r"TypeError: .*: a bug in convscope, please report it; the traceback is in (\S+)", line)
    assert found
    assert found[1] == str(report)
    text = report.read_text()
    assert "'atlas'" in text
    assert "in printable" in text
    assert torch.__version__ in text
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert "could not be written" in bug_line(raised(lambda: 1 / 0))


def test_code_of_the_users_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = tmp_path / "mine.py"
    file.write_text("import json\n\n\ndef load():\n    json.loads('{')\n")
    mine = ModuleType("mine")
    exec(compile(file.read_text(), file, "exec"), mine.__dict__)
    assert f"in your own code, {file}, line 5;" in bug_line(raised(mine.load))
