"""Progress of long work: bars in a terminal, plain lines in a log."""

import io
import os
import pty
import queue
import re
import subprocess
import sys
import time

import pytest
import torch
from rich.console import Console

from gynbtnet.experiment import parallel_folds
from gynbtnet.runtime import progress
from gynbtnet.runtime.progress import progress_bar, without_progress

SLOW = """
import sys, time
from gynbtnet.runtime import progress
from gynbtnet.runtime.parallel import map_scans, pipeline_scans

def work(scan):
    time.sleep(0.5)
    return scan

name = lambda scan: f"PATIENT_{scan}"
map_scans(work, range(3), name=name, title="Preparing")
pipeline_scans(str, work, str, range(3), name=name, title="Segmenting [bold]")
for scan in progress.track(range(3), "Tracking", seconds_per_line=0.3):
    work(scan)
with progress.progress_bar("Stuck", 5, done=1, seconds_per_line=0.3) as advance:
    time.sleep(0.8)
    with progress.progress_bar("Inner", 2) as inner:
        inner(2)
    advance(4, note="loss 0.500")
with progress.progress_bar("Folds", 4, steps_per_line=2) as advance:
    for _ in range(4):
        advance()
print("case,dice")
"""


def run(script: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """In a process whose output goes into pipes."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.mark.parametrize(
    "environment",
    [
        {},
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in ({"FORCE_COLOR": "1"}, {"TERM": "dumb"}, {"COLUMNS": "20"})
        ),
    ],
)
def test_without_a_terminal_long_work_prints_a_line_every_few_seconds(environment: dict[str, str]) -> None:
    ended = run(SLOW, **environment)
    assert ended.stdout == "case,dice\n"
    lines = ended.stderr.splitlines()
    assert all(re.fullmatch(r"[\w\[\] ]+ \d/\d, 0:00:\d\d(, left 0:00:\d\d)?(, loss 0.500)?", line) for line in lines)
    assert "PATIENT" not in ended.stderr
    for title, fewest, most in (("Preparing", 1, 1), ("Segmenting [bold]", 1, 1), ("Tracking", 3, 7)):
        of_task = [line for line in lines if line.startswith(f"{title} ")]
        assert fewest <= len(of_task) <= most, lines  # 1.5 s with one line per 0.3 s, otherwise per 10 s
        assert of_task[-1].startswith(f"{title} 3/3, ")
    stuck = [line for line in lines if line.startswith("Stuck ")]
    assert stuck[0] == "Stuck 1/5, 0:00:00"  # while a single step takes its time
    assert stuck[-1].startswith("Stuck 5/5, ")
    assert stuck[-1].endswith("loss 0.500")
    assert not any("Inner" in line for line in lines)
    assert [line[:9] for line in lines if line.startswith("Folds")] == ["Folds 2/4", "Folds 4/4"]


@pytest.mark.slow
def test_a_terminal_keeps_the_bars() -> None:
    main, side = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=side, text=True) as process:
        os.close(side)
        output = b""
        while True:
            try:
                part = os.read(main, 4096)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            output += part
        assert process.stdout is not None
        assert process.stdout.read() == "case,dice\n"
    os.close(main)
    assert process.returncode == 0
    assert b"\x1b[" in output
    assert "━".encode() in output
    assert not re.search(rb"Preparing \d/\d, 0:00", output)


def test_a_short_task_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Short", 2) as advance:
        advance()
        advance()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "Short 2/2, 0:00:00\n")


def test_a_task_that_fails_prints_its_progress(capsys: pytest.CaptureFixture[str]) -> None:
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt), progress_bar("Failing", 3) as advance:
        advance()
        raise KeyboardInterrupt
    assert time.monotonic() - before < 5  # the thread that says lines has ended
    assert capsys.readouterr().err.startswith("Failing 1/3, 0:00:00, left ")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=file))
    return file


def test_silence_ends_with_its_block_and_with_an_error_in_it(written: io.StringIO) -> None:
    with without_progress():
        progress.console.print("inside")
        with without_progress():
            pass
        progress.console.print("still inside")
    with pytest.raises(ZeroDivisionError), without_progress():
        1 / 0  # noqa: B018
    progress.console.print("after")
    assert written.getvalue() == "after\n"


def test_a_fold_side_by_side_is_silent_and_its_process_is_not(written: io.StringIO) -> None:
    places: queue.Queue[str | None] = queue.Queue()
    places.put(None)
    threads = torch.get_num_threads()
    try:
        parallel_folds._set_up_process(places, 1)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(threads)
    progress.console.print("settled")
    parallel_folds._run_without_progress(lambda fold: progress.console.print(f"fold {fold}"), 3)
    progress.console.print("done")
    assert written.getvalue() == "settled\ndone\n"
