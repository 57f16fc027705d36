"""Measurement of the computation that a training run uses."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children

import psutil
import torch
from lightning_fabric import Fabric


@dataclass(frozen=True)
class ClockTimes:
    """Times of a process at one moment, each from an arbitrary start.

    Attributes:
        cpu_seconds: CPU time of the process, with all its threads.
        worker_cpu_seconds: CPU time of the processes that read and augment its batches.
        seconds: wall time.
    """

    cpu_seconds: float
    worker_cpu_seconds: float
    seconds: float


Clock = Callable[[], ClockTimes]


class ProcessClock:
    """Clock of this process and of the worker processes that it starts after the clock is created."""

    def __init__(self) -> None:
        self._others = {process.pid for process in active_children()}
        self._workers: dict[int, float] = {}

    def __call__(self) -> ClockTimes:
        """Return the times at this moment."""
        for pid in {process.pid for process in active_children()} - self._others:
            try:
                times = psutil.Process(pid).cpu_times()
            except psutil.Error:  # it has just ended; its last known time stays
                continue
            if pid is not None:
                self._workers[pid] = times.user + times.system
        return ClockTimes(time.process_time(), sum(self._workers.values()), time.perf_counter())


@dataclass(frozen=True)
class UsedTime:
    """Time that a run has used for training, without validation, summed over its processes.

    Attributes:
        cpu_seconds: CPU time, with the worker processes; None if an earlier version began the run without measuring.
        gpu_seconds: wall time multiplied by the number of GPUs; None if the run didn't begin on a GPU.
    """

    cpu_seconds: float | None = None
    gpu_seconds: float | None = None


class CostMeter:
    """Meter of the time that a run uses; it counts inside of :meth:`running`.

    Worker processes count always, since they read nothing but training patches.

    Args:
        fabric: processes and devices.
        clock: clock of this process.
        before: time that the run has used until its last checkpoint.
    """

    def __init__(self, fabric: Fabric, clock: Clock, before: UsedTime) -> None:
        self._fabric, self._clock, self._before = fabric, clock, before
        self._cpu = self._wall = 0.0
        self._start = self._last = clock()
        self._workers_before = self._start.worker_cpu_seconds
        self._runs = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside of the context."""
        self._start, self._runs = self._read(), True
        yield
        self._cpu, self._wall = self._times()
        self._runs = False

    def used(self) -> UsedTime:
        """Return the time that the run has used until now, identical on all processes, which must call it together."""
        cpu, wall = self._times()
        local = torch.tensor([cpu + self._last.worker_cpu_seconds - self._workers_before, wall], dtype=torch.float64)
        gathered = self._fabric.all_gather(local)  # summed in the same order on all processes
        assert isinstance(gathered, torch.Tensor)
        cpu_seconds, wall_seconds = gathered.reshape(-1, 2).sum(0).tolist()
        return UsedTime(
            None if self._before.cpu_seconds is None else self._before.cpu_seconds + cpu_seconds,
            None if self._before.gpu_seconds is None else self._before.gpu_seconds + wall_seconds * self._on_gpu,
        )

    @property
    def _on_gpu(self) -> bool:
        return self._fabric.device.type == "cuda"

    def _times(self) -> tuple[float, float]:
        """Return CPU time and wall time of training in this process since the meter was created."""
        if not self._runs:
            return self._cpu, self._wall
        now = self._read()
        return (
            self._cpu + now.cpu_seconds - self._start.cpu_seconds,
            self._wall + now.seconds - self._start.seconds,
        )

    def _read(self) -> ClockTimes:
        if self._on_gpu:
            torch.cuda.synchronize()  # the GPU may still compute the last step
        self._last = self._clock()
        return self._last
