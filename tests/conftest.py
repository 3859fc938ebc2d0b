"""What all tests share: where the data is, and a word at the end about what was skipped for want of something."""

import os
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

# Machines differ in speed, and a red test should stay red when it runs again.
settings.register_profile("convscope", deadline=None, derandomize=True)
settings.load_profile("convscope")

DATA = "CONVSCOPE_DATA"
BESIDE = Path(__file__).parents[2] / "shared" / "data"
SETS = ("caltech101", "tiny-imagenet-100")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder that holds caltech101/ and tiny-imagenet-100/, unpacked once into the user's cache if need be."""
    given = Path(os.environ.get(DATA) or BESIDE).expanduser().resolve()
    if all((given / name).is_dir() for name in SETS):
        return given
    archives = [given / f"{name}.tar.gz" for name in SETS]
    if missing := [archive.name for archive in archives if not archive.is_file()]:
        pytest.skip(f"{', '.join(missing)} not in {given}: set {DATA}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convscope-tests"
    for archive, name in zip(archives, SETS, strict=True):
        if not (cache / name).is_dir():
            unpack(archive, cache, name)
    return cache


def unpack(archive: Path, cache: Path, name: str) -> None:
    """Into `cache`/`name`, whole or not at all, whoever else is at it."""
    halfway = cache / f".{name}-{os.getpid()}"
    with tarfile.open(archive) as tar:
        tar.extractall(halfway, filter="data")
    try:
        (halfway / name).rename(cache / name)
    except OSError:  # another process was faster
        assert (cache / name).is_dir()
    shutil.rmtree(halfway)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Skipped tests are easily overlooked: say why, also with -q."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in reasons.items():
        terminalreporter.write_line(f"SKIPPED {count} tests: {reason}", yellow=True, bold=True)
