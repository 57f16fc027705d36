"""Lease of a case: one tab of the browser edits, every other one reads."""

import math
import time
from collections.abc import Callable

DURATION_S = 8.0
"""A tab that was not heard of for so long loses the lease to the next one that asks."""


class Lease:
    """The right to edit one case.

    Args:
        clock: returns a time in seconds that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._holder = ""
        self._until = -math.inf

    @property
    def is_held(self) -> bool:
        """True if a tab may edit."""
        return self._clock() <= self._until

    def claim(self, tab: str) -> bool:
        """Take the lease, or extend it, for a tab; return whether the tab holds it now."""
        if tab and (tab == self._holder or not self.is_held):
            self._holder, self._until = tab, self._clock() + DURATION_S
            return True
        return False

    def release(self, tab: str) -> None:
        """Give the lease back if the tab holds it."""
        if tab == self._holder:
            self._holder, self._until = "", -math.inf
