"""Time budget of a run, counted from the start of the process."""

import time
from unittest.mock import Mock

import psutil
import pytest

from gynbtnet.training.cost.run_clock import RunClock, hours_until


@pytest.fixture(autouse=True)
def started_an_hour_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    created = time.time() - 3600
    monkeypatch.setattr(psutil, "Process", lambda: Mock(create_time=lambda: created))


@pytest.mark.parametrize(("hours", "over"), [(None, False), (0.5, True), (0.99, True), (1.1, False)])
def test_hours_count_from_the_start_of_the_command(hours: float | None, over: bool) -> None:
    assert RunClock(hours).is_over() == over


@pytest.mark.parametrize(("seconds", "over"), [(-1, True), (0, True), (60, False)])
def test_a_run_in_an_old_process_ends_at_the_given_time(seconds: float, over: bool) -> None:
    end = time.time() + seconds
    assert hours_until(end) == pytest.approx(1 + seconds / 3600, abs=1e-3)
    assert RunClock(hours_until(end)).is_over() == over


def test_no_epoch_begins_that_would_end_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr("gynbtnet.training.cost.run_clock.time.time", lambda: now)
    clock = RunClock(hours_until(now + 100))
    now += 40
    assert not clock.is_over(), "60 s are left, for an epoch of 40 s"
    now += 30
    assert clock.is_over(), "30 s are left, and the longest epoch took 40 s"
