"""Time budget of a training run, counted from the start of the command."""

import math
import time

import psutil


class RunClock:
    """Clock of a run, read at the end of each epoch: does the time budget allow another one?

    Args:
        hours: hours from the start of this process; None: no limit.
    """

    def __init__(self, hours: float | None) -> None:
        self._end = math.inf if hours is None else psutil.Process().create_time() + 3600 * hours
        self._last, self._longest = time.time(), 0.0

    def is_over(self) -> bool:
        """Return whether another epoch, if it takes as long as the longest so far, would exceed the budget.

        Call it once at the end of each epoch.
        """
        now = time.time()
        self._last, self._longest = now, max(self._longest, now - self._last)
        return now + self._longest > self._end


def hours_until(end: float) -> float:
    """Return the time budget of a run that ends at a given time.

    Args:
        end: time in seconds since the epoch, as :func:`time.time` returns it.

    Returns:
        Hours from the start of this process, for :class:`RunClock`.
    """
    return (end - psutil.Process().create_time()) / 3600
