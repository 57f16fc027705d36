"""Progress with the time left, for anything that may take more than two seconds: bars, or lines in a log."""

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

SECONDS_A_LINE = 10.0
"""Time between two lines of a task without a terminal."""

# Names and paths are printed as they are: nothing in them is markup, and no line is broken.
console = Console(stderr=True, quiet=not is_main_process(), markup=False, highlight=False, emoji=False, soft_wrap=True)
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
def progress_bar(description: str, total: int, done: int = 0, *, steps_a_line: int | None = None) -> Iterator[Advance]:
    """Show how far a task is; yield ``advance(steps=1, note="")``.

    A terminal shows a bar. Anything else, such as the log of Slurm, a CI or ``| tee``, gets plain lines on stderr, the
    last one at the end. If bars are nested or in several threads, only the first is shown.

    Args:
        description: the name of the task, without identifiers of patients or scans.
        total: steps of the task.
        done: steps that were done before.
        steps_a_line: without a terminal, steps between two lines; None: a line every ten seconds; 0: no line,
            for a task that calls :func:`write_log_line` itself.
    """
    outermost = _shown.acquire(blocking=False)
    try:
        if outermost and not on_terminal():
            with _lines(description, total, done, steps_a_line) as advance:
                yield advance
        else:
            with _bar(description, total, done, shown=outermost) as advance:
                yield advance
    finally:
        if outermost:
            _shown.release()


def on_terminal() -> bool:
    """Whether bars can be drawn where :data:`console` writes; a variable such as FORCE_COLOR makes no terminal."""
    if console.is_jupyter:
        return True
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()


def write_log_line(line: str) -> None:
    """Write a plain line to stderr if no terminal shows a bar."""
    if not on_terminal():
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` under a bar; ``total`` is needed where ``items`` has no length."""
    if total is None:
        if not isinstance(items, Sized):
            raise TypeError("track() needs total= for an iterable without a length")
        total = len(items)
    with progress_bar(description, total) as advance:
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
def _lines(description: str, total: int, done: int, steps_a_line: int | None) -> Iterator[Advance]:
    begun, ended = time.monotonic(), Event()
    reached, words, said = done, "", -1

    def say() -> None:
        nonlocal said
        said = reached
        taken = time.monotonic() - begun
        line = f"{description} {reached}/{total}, {_clock(taken)}"
        if done < reached < total:
            line += f", left {_clock(taken * (total - reached) / (reached - done))}"
        write_log_line(f"{line}, {words}" if words else line)

    def say_by_the_clock() -> None:
        while not ended.wait(SECONDS_A_LINE):
            say()

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal reached, words
        before, reached, words = reached, reached + steps, note
        if steps_a_line and reached // steps_a_line > before // steps_a_line:
            say()

    clock = Thread(target=say_by_the_clock, daemon=True)
    if steps_a_line is None:
        clock.start()
    try:
        yield advance
    finally:
        ended.set()
        if steps_a_line is None:
            clock.join()
        if said != reached and steps_a_line != 0:
            say()


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
