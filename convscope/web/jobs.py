"""Long work beside the server: a queue, and one process that does what is in it, one after the other.

The process starts with the first job and keeps the last network loaded. It writes into a folder whose name begins with
a dot, which becomes NAME/001, 002, ... when it is complete; a job that is cancelled, or fails, leaves nothing. What an
app left that was killed itself is cleared away by the next one.
"""

import atexit
import multiprocessing
import os
import pickle
import secrets
import signal
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from typing import Any

from convscope.disk.scratch_dirs import hold, release
from convscope.errors import ArgumentError, ConvscopeError
from convscope.progress import listened, silenced
from convscope.runner import experiment
from convscope.runner import perform as perform_it
from convscope.web.contexts.experiments import Step

WAITING = 16  # jobs in the queue at most
REMEMBERED = 100  # jobs that are over
PART = ".job-"  # begins the names of folders that jobs write into
RESULT = "result"  # the folder in such a one that becomes NAME/001
OFTEN = 0.1  # seconds between two reports of progress

Told = tuple[str, Any]  # what the process says: "step" (doing, done, total), "done" what was skipped, "failed" a line
Asked = Mapping[str, Sequence[str]]  # what stood in the form


@dataclass
class _Job:
    step: Step
    values: Mapping[str, Any]
    places: Sequence[Path]  # for the result: the first that can be written
    asked: Asked = field(default_factory=dict)
    folder: Path | None = None  # of the result


class Jobs:
    """Jobs by number. `perform` does one; it is `perform.perform` but in tests."""

    def __init__(self, perform: Callable[..., Any] = perform_it) -> None:
        self._perform = perform
        self._jobs: OrderedDict[int, _Job] = OrderedDict()
        self._queue: deque[int] = deque()
        self._changed = Condition()
        self._worker: tuple[Any, Connection] | None = None
        self._thread: Thread | None = None
        self._numbers = count(1)
        self.closed = False

    def submit(
        self, name: str, values: Mapping[str, Any], given: str, places: Sequence[Path], asked: Asked | None = None
    ) -> int:
        """Put a job in the queue; returns its number. Raises ArgumentError where the queue is full."""
        with self._changed:
            if len(self._queue) >= WAITING or self.closed:
                raise ArgumentError("job", name, f"{WAITING} are waiting already; cancel one, or try again later")
            number = next(self._numbers)
            step = Step(number, name, given, "waiting", 0, "", 0, None, "")
            self._jobs[number] = _Job(step, values, places, asked or {})
            self._queue.append(number)
            for old in [n for n, job in self._jobs.items() if job.step.over][:-REMEMBERED]:
                del self._jobs[old]
            if self._thread is None:
                self._thread = Thread(target=self._attend, name="jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return number

    def step(self, number: int) -> Step:
        """How far a job is. Raises ArgumentError for one that is not known (any more)."""
        with self._changed:
            found = self._known(number).step
            before = self._queue.index(number) + 1 if number in self._queue else 0
            return replace(found, before=before - 1 + self._busy if before else 0)

    def steps(self, name: str | None = None) -> tuple[Step, ...]:
        """The jobs that are not over, of one experiment or of all."""
        with self._changed:
            wanted = [n for n, job in self._jobs.items() if not job.step.over and name in (None, job.step.experiment)]
        return tuple(self.step(number) for number in wanted)

    def asked(self, number: int) -> Asked:
        """What stood in the form of a job."""
        with self._changed:
            return self._known(number).asked

    def folder(self, number: int) -> Path | None:
        """Where the result of a job is, once it is done."""
        with self._changed:
            return self._known(number).folder

    def cancel(self, number: int) -> None:
        """Take a job out of the queue, or stop it."""
        with self._changed:
            job = self._known(number)
            if number in self._queue:
                self._queue.remove(number)
            elif job.step.state == "running":
                self._stop()
            if not job.step.over:
                self._set(job, state="cancelled", line="cancelled")

    def close(self) -> None:
        """Stop everything."""
        with self._changed:
            self.closed = True
            self._queue.clear()
            self._stop()
            self._changed.notify_all()
        if self._thread:
            self._thread.join()

    @property
    def _busy(self) -> int:
        return sum(job.step.state == "running" for job in self._jobs.values())

    def _known(self, number: int) -> _Job:
        if number not in self._jobs:
            raise ArgumentError("job", number, "no such job; the app remembers the last ones until it ends")
        return self._jobs[number]

    def _set(self, job: _Job, **changes: Any) -> None:
        job.step = replace(job.step, **changes)
        self._changed.notify_all()

    def _stop(self) -> None:
        """Kill the process; the next job starts another."""
        if self._worker:
            process, _ = self._worker
            process.kill()
            atexit.unregister(process.kill)
            self._worker = None

    def _attend(self) -> None:
        """The thread that hands out the jobs."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self.closed)
                if self.closed:
                    return
                job = self._jobs[self._queue.popleft()]
                self._set(job, state="running", doing="starting")
            try:
                self._do(job)
            except Exception as error:  # a full disk, a folder that is gone
                with self._changed:
                    if not job.step.over:
                        self._set(job, state="failed", line=_line(error))

    def _do(self, job: _Job) -> None:
        """One job from beginning to end."""
        place, part = _part(job.places)
        try:
            process, connection = self._started()
            if self._over(job):  # cancelled meanwhile
                return
            try:
                connection.send_bytes(pickle.dumps((job.step.experiment, dict(job.values), str(part / RESULT))))
                kind, told = self._followed(job, connection)
            except (EOFError, OSError):
                process.join()
                why = "it was killed, perhaps for want of memory" if process.exitcode == -9 else "it broke off"
                kind, told = "failed", f"the process that runs experiments has ended: {why}"
                with self._changed:
                    self._worker = None if self._worker and self._worker[0] is process else self._worker
            with self._changed:
                if self._over(job):
                    return
                if kind == "done":
                    job.folder = _kept(part / RESULT, place / job.step.experiment)
                self._set(job, state=kind, line=told)
        finally:
            release(part)
            with suppress(OSError):
                place.rmdir()  # where it was made for this job, and nothing came of it

    def _over(self, job: _Job) -> bool:
        return job.step.over

    def _followed(self, job: _Job, connection: Connection) -> Told:
        """What the process says at last; on the way the job's progress is kept."""
        while True:
            kind, told = pickle.loads(connection.recv_bytes())
            if kind != "step":
                return kind, told
            doing, done, total = told
            with self._changed:
                if not job.step.over:
                    self._set(job, doing=doing, done=done, total=total)

    def _started(self) -> tuple[Any, Connection]:
        with self._changed:
            if self._worker is None or not self._worker[0].is_alive():
                spawn = multiprocessing.get_context("spawn")
                ours, theirs = spawn.Pipe()
                # no daemon, which could have no processes of its own; it ends with `close`, at the exit, or with us
                process = spawn.Process(target=work, args=(theirs, self._perform), name="convscope jobs", daemon=False)
                process.start()
                atexit.register(process.kill)
                theirs.close()  # so that its end is seen here
                self._worker = process, ours
            return self._worker


def _part(places: Sequence[Path]) -> tuple[Path, Path]:
    """The first of the places that can be written, and a folder in it, held."""
    for place in places:
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            part = place / f"{PART}{secrets.token_hex(8)}"
            part.mkdir()
            hold(part)
            (part / RESULT).mkdir()
            return place, part
    raise ArgumentError("results", str(places[-1]), "expected a folder that can be written")


def _kept(result: Path, folder: Path) -> Path:
    """The finished folder under the next number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        target = folder / f"{number:03d}"
        if not target.exists():
            with suppress(FileExistsError, NotADirectoryError):
                return result.rename(target)
    raise AssertionError


def _line(error: BaseException) -> str:
    words = " ".join(str(error).split()) or "no reason given"
    return words if isinstance(error, ConvscopeError) else f"{type(error).__name__}: {words}"


def work(connection: Connection, perform: Callable[..., Any]) -> None:
    """What the process does: jobs that come through the connection, until nobody is at its other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which ends this process
    Thread(target=_end_too, name="end", daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(5)  # pages and the lens go first
    networks: dict[str, Any] = {}
    with suppress(EOFError, OSError):
        while True:
            name, values, out = pickle.loads(connection.recv_bytes())
            connection.send_bytes(pickle.dumps(_done(connection, perform, name, values, out, networks)))


def _end_too() -> None:
    """End with the server, also when it is killed in the middle of a job."""
    server = multiprocessing.parent_process()
    if server:
        server.join()
        os._exit(1)


def _done(
    connection: Connection,
    perform: Callable[..., Any],
    name: str,
    values: dict[str, Any],
    out: str,
    networks: dict[str, Any],
) -> Told:
    told = -OFTEN

    def tell(doing: str, done: int, total: int | None) -> None:
        nonlocal told
        if monotonic() - told >= OFTEN or done in (0, total):
            told = monotonic()
            connection.send_bytes(pickle.dumps(("step", (doing, done, total))))

    try:
        with silenced(), listened(tell):
            done = perform(name, _loaded(name, values, networks), out)
        lines = [f"{path} was left out: {reason}" for path, reason in getattr(done, "skipped", ())]
        return "done", "; ".join(lines[:3]) + (f" and {len(lines) - 3} more" if len(lines) > 3 else "")
    except (EOFError, BrokenPipeError):
        raise
    except Exception as error:  # the network and its pictures are the user's
        return "failed", _line(error)


def _loaded(name: str, values: dict[str, Any], networks: dict[str, Any]) -> dict[str, Any]:
    """The values with the network opened; the last one is remembered."""
    from convscope.models.catalog import load

    for one in experiment(name).inputs:
        spec = values.get(one.name)
        if one.kind == "network" and isinstance(spec, str):
            if spec not in networks:
                networks.clear()
                networks[spec] = load(spec)
            values = {**values, one.name: networks[spec]}
    return values
