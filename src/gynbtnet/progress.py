"""Progress bars with the time left, for anything that may take more than two seconds."""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gynbtnet.processes import is_first_process

T = TypeVar("T")

console = Console(stderr=True, quiet=not is_first_process())
_shown = Lock()


@contextmanager
def silent() -> Iterator[None]:
    """Print nothing on :data:`console` inside; afterwards it prints as before."""
    before = console.quiet
    console.quiet = True
    try:
        yield
    finally:
        console.quiet = before


@contextmanager
def advancing(description: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
    """Show a bar for ``total`` steps of which ``done`` are done; yield ``advance(steps=1, note="")``.

    ``note`` is a few words shown behind the bar, a loss for instance. Where the output is no terminal the bar is
    printed once, when it ends, so that a log holds one line a task. Of bars within one another, or in several threads,
    only the first is shown.
    """
    outermost = _shown.acquire(blocking=False)
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    try:
        with Progress(*columns, console=console, expand=True, disable=not outermost) as bars:
            task = bars.add_task(description, total=total, completed=done, note="")

            def advance(steps: int = 1, note: str = "") -> None:
                bars.update(task, advance=steps, note=note)

            yield advance
    finally:
        if outermost:
            _shown.release()


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` under a bar; ``total`` is needed where ``items`` has no length."""
    if total is None:
        if not isinstance(items, Sized):
            raise TypeError("track() needs total= for an iterable without a length")
        total = len(items)
    with advancing(description, total) as advance:
        for item in items:
            yield item
            advance()
