"""The same work for every scan, in parallel on one machine or a cluster; a scan that fails doesn't stop the others."""

import errno
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from gynbtnet.runtime.available_memory import available_bytes
from gynbtnet.runtime.errors import BadInput, ScansFailed, traceback_without_message
from gynbtnet.runtime.progress import track
from gynbtnet.runtime.worker_log import captured_log, emit_records

Scan = TypeVar("Scan")
Result = TypeVar("Result")
Read = TypeVar("Read")
Worked = TypeVar("Worked")

_USABLE_SHARE = 0.8  # of the memory that is free at the start
_LOG = logging.getLogger(__name__)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def map_scans(
    work: Callable[[Scan], Result],
    scans: Sequence[Scan],
    *,
    name: Callable[[Scan], str],
    title: str,
    jobs: int = 1,
) -> list[Result]:
    """Call ``work`` with every scan under a progress bar; one that fails doesn't stop the others.

    joblib runs the calls: on this machine in ``jobs`` processes, or on a cluster's workers within :func:`use_cluster`.
    Then ``work``, its arguments and its results must be picklable, and all workers must see files under the same path.

    Args:
        work: the function to call; it writes files atomically.
        scans: one argument per call.
        name: returns the name of a scan for reports.
        title: text of the progress bar.
        jobs: number of processes, see :func:`limit_jobs_to_memory`.

    Returns:
        The results, in the order of ``scans``.

    Raises:
        ScansFailed: At the end, if any scan failed; it lists them with the reasons. Too little memory for one scan is
            such a reason, since smaller ones may fit.
        OSError: At once if the disk is full, because all further scans would fail too.
        BadInput: If the system killed a process, most likely because memory ran out.

    Example:
        >>> map_scans(len, ["one", "three"], name=str, title="Lengths")
        [3, 5]
    """
    run = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs")
    caller = os.getpid()
    calls = (joblib.delayed(_attempt)(work, number, scan, caller) for number, scan in enumerate(scans))
    results: dict[int, Result] = {}
    reasons: dict[int, str] = {}
    try:
        for attempt in track(run(calls), title, total=len(scans)):
            attempt.record(results, reasons)
    except TerminatedWorkerError as error:
        raise BadInput(
            f"The system killed one of {jobs} parallel processes, probably because memory ran out; run the same "
            "command with fewer --jobs or less --memory-gb."
        ) from error
    return _in_order(results, reasons, scans, name)


def pipeline_scans(
    read: Callable[[Scan], Read],
    work: Callable[[Read], Worked],
    write: Callable[[Worked], Result],
    scans: Sequence[Scan],
    *,
    name: Callable[[Scan], str],
    title: str,
) -> list[Result]:
    """Do three steps for every scan in this process, overlapped; one that fails doesn't stop the others.

    While one scan is worked on, one thread reads the next and another writes the previous. At most three scans are in
    memory.

    Args:
        read: the first step.
        work: the second step.
        write: the third step; it writes files atomically.
        scans: one argument of ``read`` per call.
        name: returns the name of a scan for reports.
        title: text of the progress bar.

    Returns:
        The results of ``write``, in the order of ``scans``.

    Raises:
        ScansFailed: At the end, if any scan failed; it lists them with the reasons.
        OSError: At once if the disk is full.
    """
    results: dict[int, Result] = {}
    reasons: dict[int, str] = {}

    def finish(writing: "Future[_Attempt[Result]] | None") -> None:
        if writing is not None:
            writing.result().record(results, reasons)

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        reading = [reader.submit(_attempt, read, 0, scans[0])] if scans else []
        writing = None
        for number in track(range(len(scans)), title):
            loaded = reading.pop().result()
            if number + 1 < len(scans):
                reading.append(reader.submit(_attempt, read, number + 1, scans[number + 1]))
            reason, worked = loaded.reason, None
            if reason is None:
                attempt = _attempt(work, number, cast(Read, loaded.result))
                reason, worked = attempt.reason, attempt.result
            finish(writing)
            if reason is None:
                writing = writer.submit(_attempt, write, number, cast(Worked, worked))
            else:
                writing, reasons[number] = None, reason
        finish(writing)
    return _in_order(results, reasons, scans, name)


def failure_reason(error: Exception) -> str:
    """Return why a scan failed, as a sentence for the list of failed scans. The log gets the traceback.

    The message of an unexpected error is not repeated, because it may contain a patient's name.

    Args:
        error: the exception of one scan.

    Raises:
        Exception: ``error`` itself if all other scans would fail too: the disk is full.
    """
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        raise error
    if isinstance(error, MemoryError):
        return f"Memory ran out ({error}); crop the scan, or use a machine with more memory."
    if isinstance(error, BadInput):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename or 'a file'} can't be used: {error.strerror or error}"
    frames = traceback.extract_tb(error.__traceback__)
    kind = type(error).__name__
    _LOG.debug("An unexpected %s", traceback_without_message(error))
    return (
        f"An unexpected {kind} in {Path(frames[-1].filename).name}, line {frames[-1].lineno}; remove this scan, or "
        "report this line (--log-file keeps the traceback)."
    )


def limit_jobs_to_memory(jobs: int, scan_gb: float, memory_gb: float | None = None) -> int:
    """Return how many of ``jobs`` processes fit into memory, at least one; log a line if they are fewer.

    Args:
        jobs: the requested number of processes.
        scan_gb: peak memory of one process with the largest scan, in GB (1e9 bytes).
        memory_gb: memory for all processes together; None: four fifths of the free memory.

    Raises:
        BadInput: If ``memory_gb`` is less than one process needs.
    """
    if memory_gb is not None and scan_gb > memory_gb:
        raise BadInput(
            f"The largest scan needs about {scan_gb:.1f} GB and the limit is {memory_gb:.1f} GB; raise --memory-gb to "
            "that, or leave it out."
        )
    limit = memory_gb if memory_gb is not None else _USABLE_SHARE * available_bytes() / 1e9
    affordable = max(1, min(jobs, int(limit / scan_gb)))
    if affordable < jobs:
        _LOG.info(
            "%d instead of %d scans in parallel: the largest needs about %.1f GB, and %.1f GB may be used.",
            *(affordable, jobs, scan_gb, limit),
        )
    return affordable


@contextmanager
def use_cluster(scheduler: str | None) -> Iterator[None]:
    """Let :func:`map_scans` run on the workers of a Dask cluster; None: on this machine.

    Each worker thread processes one scan at a time, so start workers with one thread and the memory of a scan.

    Args:
        scheduler: its address, such as ``tcp://node1:8786``, or the path of its ``--scheduler-file``.

    Raises:
        BadInput: If Dask isn't installed or no scheduler answers.
    """
    if scheduler is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise BadInput("A cluster needs Dask, which isn't installed; install gynbtnet[cluster].") from error
    address = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = Client(**address)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"No Dask scheduler answers at {scheduler}; expected the address that `dask scheduler` printed, or the "
            "file that its --scheduler-file names."
        ) from error
    with client, joblib.parallel_config(backend="dask"):
        yield


@dataclass(frozen=True)
class _Attempt(Generic[Result]):
    """Outcome of one call: a result, or the reason why there is none, and the log of another process."""

    number: int
    result: Result | None
    reason: str | None = None
    log: tuple[logging.LogRecord, ...] = ()

    def record(self, results: dict[int, Result], reasons: dict[int, str]) -> None:
        """Add the outcome to the results or the reasons, and emit the log here."""
        emit_records(self.log)
        if self.reason is None:
            results[self.number] = cast(Result, self.result)
        else:
            reasons[self.number] = self.reason


def _attempt(work: Callable[[Scan], Result], number: int, scan: Scan, caller: int | None = None) -> "_Attempt[Result]":
    """Call ``work``; any error in one scan becomes a reason, so that the other scans are still processed."""
    with captured_log(caller is not None and caller != os.getpid()) as log:
        try:
            result, reason = work(scan), None
        except Exception as error:
            result, reason = None, failure_reason(error)
    return _Attempt(number, result, reason, tuple(log))


def _in_order(
    results: Mapping[int, Result], reasons: Mapping[int, str], scans: Sequence[Scan], name: Callable[[Scan], str]
) -> list[Result]:
    if reasons:
        failed = [(name(scans[number]), reasons[number]) for number in sorted(reasons)]
        raise ScansFailed(failed, len(scans))
    return [results[number] for number in range(len(scans))]
