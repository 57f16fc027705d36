"""Progress with the time left, for tasks of more than two seconds: a bar, or lines in a log."""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Lock, Thread
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gynbtnet.runtime.processes import is_main_process

T = TypeVar("T")
Advance = Callable[..., None]

SECONDS_PER_LINE = 10.0
"""Time between two lines of a task without a terminal."""

# Names and paths are printed unchanged: without markup and without line breaks.
console = Console(stderr=True, quiet=not is_main_process(), markup=False, highlight=False, emoji=False, soft_wrap=True)
"""Console on stderr for progress and messages; silent in all processes of a training but the first."""
_shown = Lock()


@contextmanager
def without_progress() -> Iterator[None]:
    """Print nothing on :data:`console` inside; afterwards it prints as before."""
    before = console.quiet
    console.quiet = True
    try:
        yield
    finally:
        console.quiet = before


@contextmanager
def progress_bar(
    description: str,
    total: int,
    done: int = 0,
    *,
    steps_per_line: int | None = None,
    seconds_per_line: float = SECONDS_PER_LINE,
) -> Iterator[Advance]:
    """Show the progress of a task; yield ``advance(steps=1, note="")``.

    A terminal shows a bar. Anything else, such as the log of Slurm, a CI or ``| tee``, gets plain lines on stderr, the
    last one at the end. If bars are nested or in several threads, only the first is shown.

    Args:
        description: the name of the task, without identifiers of patients or scans.
        total: steps of the task.
        done: steps that were finished earlier.
        steps_per_line: without a terminal, steps between two lines; None: a line every ``seconds_per_line``; 0:
            no line, for a task that calls :func:`write_log_line` itself.
        seconds_per_line: without a terminal, time between two lines in seconds.

    Yields:
        A function that advances the bar by ``steps`` and may show a note.
    """
    outermost = _shown.acquire(blocking=False)
    try:
        if outermost and not on_terminal():
            with _lines(description, total, done, steps_per_line, seconds_per_line) as advance:
                yield advance
        else:
            with _bar(description, total, done, shown=outermost) as advance:
                yield advance
    finally:
        if outermost:
            _shown.release()


def on_terminal() -> bool:
    """Return whether :data:`console` can draw bars. A variable such as FORCE_COLOR does not make a terminal."""
    if console.is_jupyter:
        return True
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()


def write_log_line(line: str) -> None:
    """Write a plain line to stderr if no terminal shows a bar."""
    if not on_terminal():
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def track(
    items: Iterable[T], description: str, total: int | None = None, *, seconds_per_line: float = SECONDS_PER_LINE
) -> Iterator[T]:
    """Yield ``items`` under a progress bar; ``total`` is needed if ``items`` has no length.

    Args:
        items: values to go through.
        description: name of the task, without identifiers of patients or scans.
        total: number of items; None if ``items`` has a length.
        seconds_per_line: without a terminal, time between two lines in seconds.

    Yields:
        The items, in order.

    Raises:
        TypeError: If ``items`` has no length and ``total`` is None.
    """
    if total is None:
        if not isinstance(items, Sized):
            raise TypeError("track() needs total= for an iterable without a length")
        total = len(items)
    with progress_bar(description, total, seconds_per_line=seconds_per_line) as advance:
        for item in items:
            yield item
            advance()


@contextmanager
def _bar(description: str, total: int, done: int, *, shown: bool) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description:<22}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, expand=True, disable=not shown) as bars:
        task = bars.add_task(description, total=total, completed=done, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bars.update(task, advance=steps, note=note)

        yield advance


@contextmanager
def _lines(
    description: str, total: int, done: int, steps_per_line: int | None, seconds_per_line: float
) -> Iterator[Advance]:
    begun, ended = time.monotonic(), Event()
    reached, words, printed = done, "", -1

    def print_line() -> None:
        nonlocal printed
        printed = reached
        taken = time.monotonic() - begun
        line = f"{description} {reached}/{total}, {_clock(taken)}"
        if done < reached < total:
            line += f", left {_clock(taken * (total - reached) / (reached - done))}"
        write_log_line(f"{line}, {words}" if words else line)

    def print_regularly() -> None:
        while not ended.wait(seconds_per_line):
            print_line()

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal reached, words
        before, reached, words = reached, reached + steps, note
        if steps_per_line and reached // steps_per_line > before // steps_per_line:
            print_line()

    clock = Thread(target=print_regularly, daemon=True)
    if steps_per_line is None:
        clock.start()
    try:
        yield advance
    finally:
        ended.set()
        if steps_per_line is None:
            clock.join()
        if printed != reached and steps_per_line != 0:
            print_line()


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
