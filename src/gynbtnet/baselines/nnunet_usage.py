"""Computation that a training of nnU-Net has used, and its share of the run."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import psutil

from gynbtnet.baselines.settings import NnUNetSettings


@dataclass(frozen=True)
class Usage:
    """Computation of a run from its start, without validation.

    Attributes:
        steps: optimiser steps.
        cpu_seconds: CPU time of the training process and of the processes that load its batches. NaN if the run
            began with an earlier version, which didn't record it.
        gpu_seconds: time of training on a GPU; 0 on a CPU.
    """

    steps: int = 0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0


class LoaderProcess(Protocol):
    """Process that loads batches."""

    @property
    def pid(self) -> int | None:
        """Process id; None before the process starts."""


class UsageMeter:
    """Meter of the computation of a run; it counts inside of :meth:`running`.

    Processes that load training batches count all the time, since they load nothing else.

    Args:
        start: computation of the run until its last checkpoint.
        loaders: function that returns the processes that load training batches.
        gpu: True if a GPU trains.
    """

    def __init__(self, start: Usage, loaders: Callable[[], Iterable[LoaderProcess]], *, gpu: bool) -> None:
        self._start, self._loaders, self._gpu = start, loaders, gpu
        self._steps, self._cpu, self._wall = 0, 0.0, 0.0
        self._since: tuple[float, float] | None = None
        self._loader_seconds: dict[int, float] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside of the context."""
        self._since = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            self._cpu, self._wall = self._times()
            self._since = None

    def count_step(self) -> None:
        """Count an optimiser step."""
        self._steps += 1

    @property
    def seconds(self) -> float:
        """Time of training since the start of this process, in seconds."""
        return self._times()[1]

    def usage(self) -> Usage:
        """Return the computation of the run until now."""
        cpu, wall = self._times()
        return Usage(
            self._start.steps + self._steps,
            self._start.cpu_seconds + cpu + self._cpu_seconds_of_loaders(),
            self._start.gpu_seconds + (wall if self._gpu else 0.0),
        )

    def _times(self) -> tuple[float, float]:
        """Return CPU time and time of training of this process."""
        if self._since is None:
            return self._cpu, self._wall
        cpu, wall = self._since
        return self._cpu + time.process_time() - cpu, self._wall + time.perf_counter() - wall

    def _cpu_seconds_of_loaders(self) -> float:
        for process in self._loaders():
            try:
                times = psutil.Process(process.pid).cpu_times()
            except psutil.Error:  # it has ended; its last known time stays
                continue
            if process.pid is not None:
                self._loader_seconds[process.pid] = times.user + times.system
        return sum(self._loader_seconds.values())


def used_share(settings: NnUNetSettings, usage: Usage) -> float:
    """Return the used share of a run, 0 at its start; the run ends at 1 or more."""
    return _used(settings, usage) / run_length(settings)


def used_units(settings: NnUNetSettings, usage: Usage) -> tuple[int, int]:
    """Return the used and the total number of steps or, with a budget in seconds, of whole seconds."""
    total = ceil(run_length(settings))
    return min(int(_used(settings, usage)), total), total


def run_length(settings: NnUNetSettings) -> float:
    """Return the length of a run: optimiser steps, or seconds if its budget is in seconds."""
    return settings.epochs * settings.steps_per_epoch if settings.budget is None else settings.budget.amount


def _used(settings: NnUNetSettings, usage: Usage) -> float:
    """Return the used part of the length of a run, in the same unit."""
    return float(getattr(usage, "steps" if settings.budget is None else settings.budget.unit))
