"""A progress bar on standard error with a rate and an estimate, silent where nobody looks.

with progress(len(pictures), "scanning") as advance:
    for batch in batches:
        ...
        advance(len(batch))

with listened(tell): ...         # tell(description, done, total) hears of it too, quiet or not
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Advance = Callable[[int], None]
Listener = Callable[[str, int, int | None], None]  # description, steps done, steps in all

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def silenced(quiet: bool = True) -> Iterator[None]:
    """No progress bars inside this block (what `--quiet` means); a block within a silenced one stays silent."""
    token = _quiet.set(quiet or _quiet.get())
    try:
        yield
    finally:
        _quiet.reset(token)


@contextmanager
def listened(listener: Listener) -> Iterator[None]:
    """Every `progress` inside this block tells `listener` of its beginning and of each step, under `silenced` too."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def progress(total: int | None, description: str) -> Iterator[Advance]:
    """A bar over `total` steps (None: unknown); yields `advance(n)`.

    Silent when standard error is no terminal, and under `silenced`; who has `listened` hears of it all the same.
    """
    with _bar(total, description) as show:
        listener, done = _listener.get(), 0
        if listener:
            listener(description, 0, total)

        def advance(n: int) -> None:
            nonlocal done
            done += n
            show(n)
            if listener:
                listener(description, done, total)

        yield advance


@contextmanager
def _bar(total: int | None, description: str) -> Iterator[Advance]:
    """The bar itself, where somebody looks."""
    if _quiet.get():
        yield lambda n: None
        return
    from rich.console import Console  # a tenth of a second that `import convscope` need not pay

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda n: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(description, total=total, rate="")

        def advance(n: int) -> None:
            speed = bars.tasks[0].speed
            bars.update(task, advance=n, rate=f"{speed:.1f}/s" if speed else "")

        yield advance
