"""The queue and its process: progress, failure, cancelling, a process that dies, nothing half-written."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convscope.atlases.store import Atlas, open_atlas
from convscope.errors import ArgumentError
from convscope.progress import progress
from convscope.web.app import app
from convscope.web.jobs import WAITING, Jobs
from convscope.web.results_index import FOLDER

SOON = 60.0  # seconds


def act(name: str, values: dict[str, Any], out: str) -> Any:
    """What stands in for an experiment: it does as it is told."""
    folder = Path(out)
    (folder / "begun").write_text("")
    for order in values["orders"]:
        if order == "step":
            with progress(4, "stepping") as advance:
                time.sleep(0.2)  # told of no oftener than that
                advance(1)
                time.sleep(0.5)
                advance(3)
        elif order == "sleep":
            with progress(None, "sleeping"):
                time.sleep(600)
        elif order == "die":
            os._exit(3)
        elif order == "mistake":
            raise ArgumentError("size", -1, "expected at least 0")
        else:
            raise RuntimeError(order)
    (folder / "result.json").write_text(str(os.getpid()))
    return SimpleNamespace(skipped=(("a.png", "broken"),))


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs(act)
    yield made
    made.close()


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def submit(jobs: Jobs, place: Path, *orders: str) -> int:
    return jobs.submit("project", {"orders": orders}, given="a picture", places=[place])


def finished(jobs: Jobs, number: int) -> str:
    until(lambda: jobs.step(number).over)
    return jobs.step(number).state


def test_jobs_are_done_in_one_process_and_keep_their_results(jobs: Jobs, tmp_path: Path) -> None:
    first, second = submit(jobs, tmp_path, "step"), submit(jobs, tmp_path)
    assert jobs.step(second).before == 1
    until(lambda: jobs.step(first).doing == "stepping" and jobs.step(first).done == 1)
    assert (jobs.step(first).state, jobs.step(first).total) == ("running", 4)
    assert finished(jobs, first) == finished(jobs, second) == "done"
    assert jobs.step(first).line == "a.png was left out: broken"
    assert [jobs.folder(n) for n in (first, second)] == [tmp_path / "project" / n for n in ("001", "002")]
    made = [(tmp_path / "project" / n / "result.json").read_text() for n in ("001", "002")]
    assert made[0] == made[1] != str(os.getpid())
    assert jobs.steps() == ()


def test_a_running_job_is_stopped_and_the_next_one_done(jobs: Jobs, tmp_path: Path) -> None:
    first, second, third = submit(jobs, tmp_path, "sleep"), submit(jobs, tmp_path, "sleep"), submit(jobs, tmp_path)
    until(lambda: jobs.step(first).doing == "sleeping")
    jobs.cancel(second)
    assert [step.number for step in jobs.steps("project")] == [first, third]
    jobs.cancel(first)
    assert jobs.step(first).state == jobs.step(second).state == "cancelled"
    assert finished(jobs, third) == "done"
    jobs.cancel(third)  # over already
    assert jobs.step(third).state == "done"
    assert [path.name for path in tmp_path.iterdir()] == ["project"]
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["001"]


@pytest.mark.parametrize(
    ("order", "line"),
    [
        ("mistake", "size is -1: expected at least 0"),
        ("nonsense", "RuntimeError: nonsense"),
        ("die", "the process that runs experiments has ended: it broke off"),
    ],
)
def test_a_job_that_fails_says_so_and_leaves_nothing(jobs: Jobs, tmp_path: Path, order: str, line: str) -> None:
    number = submit(jobs, tmp_path / "new", order)
    assert finished(jobs, number) == "failed"
    assert jobs.step(number).line == line
    until(lambda: not (tmp_path / "new").exists())
    if order == "die":
        assert finished(jobs, submit(jobs, tmp_path)) == "done"


def test_results_go_where_they_can_be_written(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    number = jobs.submit("project", {"orders": ()}, "", [tmp_path / "file" / "no", tmp_path / "yes"])
    assert finished(jobs, number) == "done"
    assert jobs.folder(number) == tmp_path / "yes" / "project" / "001"


def test_the_queue_is_bounded_and_ends(tmp_path: Path) -> None:
    jobs = Jobs(act)
    number = submit(jobs, tmp_path / "new", "sleep")
    until(lambda: jobs.step(number).doing == "sleeping")
    for _ in range(WAITING):
        submit(jobs, tmp_path / "new")
    with pytest.raises(ArgumentError, match="are waiting already"):
        submit(jobs, tmp_path / "new")
    jobs.close()
    assert not (tmp_path / "new").exists()


SERVE = """
import sys
from pathlib import Path
from tests.web.test_jobs import act
from convscope.web.jobs import Jobs
if __name__ == "__main__":
    jobs = Jobs(act)
    jobs.submit("project", {"orders": ("sleep",)}, "", [Path(sys.argv[1])])
    while jobs.step(1).doing != "sleeping":
        pass
    print(jobs._worker[0].pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks of Unix")
def test_what_a_killed_server_left_ends_and_is_cleared_away(atlas: Atlas, tmp_path: Path) -> None:
    copy = shutil.copytree(atlas.path, tmp_path / "atlas")
    (tmp_path / "serve.py").write_text(SERVE)
    command = [sys.executable, str(tmp_path / "serve.py"), str(copy / FOLDER)]
    root = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | root
    ) as run:
        assert run.stdout is not None
        worker = int(run.stdout.readline())
        app(open_atlas(copy))  # another app beside it leaves its work alone
        assert len([*(copy / FOLDER).iterdir()]) == 1
        run.kill()
        run.wait()
    until(lambda: not alive(worker))
    assert len([*(copy / FOLDER).iterdir()]) == 1
    app(open_atlas(copy))
    assert not [*(copy / FOLDER).iterdir()]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")  # one that has ended may wait for somebody to ask after it
    return not (status.is_file() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def test_an_unknown_job_is_a_mistake(jobs: Jobs) -> None:
    for ask in (jobs.step, jobs.cancel, jobs.folder, jobs.asked):
        with pytest.raises(ArgumentError, match="no such job"):
            ask(7)
