"""Bars, and how they are silenced."""

import io
import queue

import pytest
import torch
from rich.console import Console

from gynbtnet import cross_validation, progress
from gynbtnet.progress import silent


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=file))
    return file


def test_silence_ends_with_its_block_and_with_an_error_in_it(written: io.StringIO) -> None:
    with silent():
        progress.console.print("inside")
        with silent():
            pass
        progress.console.print("still inside")
    with pytest.raises(ZeroDivisionError), silent():
        1 / 0  # noqa: B018
    progress.console.print("after")
    assert written.getvalue() == "after\n"


def test_a_fold_side_by_side_is_silent_and_its_process_is_not(written: io.StringIO) -> None:
    places: queue.Queue[str | None] = queue.Queue()
    places.put(None)
    threads = torch.get_num_threads()
    try:
        cross_validation._settle(places, 1)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(threads)
    progress.console.print("settled")
    cross_validation._without_bars(lambda fold: progress.console.print(f"fold {fold}"), 3)
    progress.console.print("done")
    assert written.getvalue() == "settled\ndone\n"
