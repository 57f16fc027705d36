"""Choice of the fastest of several equal ways to compute, by measurement in the first steps."""

import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

_LOG = logging.getLogger(__name__)


class MeasuredChoice:
    """Fastest of several ways to compute the same, measured while the first steps are computed.

    The ways take turns. The first step of each isn't measured, because libraries prepare themselves in it. The way with
    the lowest median time is then used for all further steps, without any measurement.

    Args:
        what: Title of the times in the log.
        ways: Names of the ways. If there is only one, nothing is measured.
        clock: Function that returns the time in seconds. On a GPU it must wait for the work that was launched.
        rounds: Measured steps of each way.
        agree: Function that returns the choice of all processes from that of this one.
    """

    def __init__(
        self,
        what: str,
        ways: Sequence[str],
        *,
        clock: Callable[[], float] = time.perf_counter,
        rounds: int = 3,
        agree: Callable[[str], str] = str,
    ) -> None:
        self._what, self._clock, self._agree = what, clock, agree
        self._seconds: dict[str, list[float]] = {way: [] for way in ways}
        self._turns = list(ways) * (rounds + 1) if len(ways) > 1 else []
        self._elapsed = 0.0
        self._chosen = ways[0]

    @property
    def chosen(self) -> str | None:
        """The fastest way; None as long as it isn't known."""
        return None if self._turns else self._chosen

    @property
    def way(self) -> str:
        """Way in which the present step is computed."""
        return self._turns[0] if self._turns else self._chosen

    @contextmanager
    def timed(self) -> Iterator[str]:
        """Add the time inside of the context to that of the present step, and give its way."""
        if not self._turns:
            yield self._chosen
            return
        start = self._clock()
        yield self.way
        self._elapsed += self._clock() - start

    def end_step(self) -> None:
        """Take the next way for the next step, or choose the fastest after the last measured step."""
        if not self._turns:
            return
        self._seconds[self._turns.pop(0)].append(self._elapsed)
        self._elapsed = 0.0
        if not self._turns:
            medians = {way: statistics.median(seconds[1:]) for way, seconds in self._seconds.items()}
            self._chosen = self._agree(min(medians, key=medians.__getitem__))
            times = ", ".join(f"{way} {seconds:.3g} s" for way, seconds in medians.items())
            _LOG.info("%s: %s. From now on: %s.", self._what, times, self._chosen)
