"""The same work done for every scan, side by side on one machine or on a cluster, whichever of them fail."""

import errno
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from gynbtnet.runtime.available_memory import available_bytes
from gynbtnet.runtime.errors import BadInput, ScansFailed
from gynbtnet.runtime.progress import console, track

Scan = TypeVar("Scan")
Result = TypeVar("Result")
Read = TypeVar("Read")
Worked = TypeVar("Worked")

_OURS = 0.8  # of the memory that is free when we start
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

    Runs on joblib: on this machine in ``jobs`` processes, or, within :func:`use_cluster`, on its workers. ``work`` and
    what it takes and returns must be picklable then, and files lie where all workers see them under the same path.

    Args:
        work: what is done; files that it writes are whole or absent.
        scans: one for each call.
        name: what a report calls a scan.
        title: what the progress bar says.
        jobs: processes at once, see :func:`limit_jobs_to_memory`.

    Returns:
        What ``work`` returned, in the order of ``scans``.

    Raises:
        ScansFailed: at the end, where any failed: which, and why.
        OSError: at once, where the disk is full, since all further scans would fail too.
        MemoryError: at once likewise.
        BadInput: where the system killed a process, most likely for want of memory.
    """
    run = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs")
    calls = (joblib.delayed(_attempt)(work, number, scan) for number, scan in enumerate(scans))
    results: dict[int, Result] = {}
    reasons: dict[int, str] = {}
    try:
        for number, done, reason in track(run(calls), title, total=len(scans)):
            if reason is None:
                results[number] = done
            else:
                reasons[number] = reason
    except TerminatedWorkerError as error:
        raise BadInput(
            f"The system killed one of {jobs} processes that worked side by side, most likely for want of memory; run "
            "it again with fewer --jobs or less --memory, and it goes on where it stopped."
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

    While one is worked on, a thread reads the next one and another writes the one before: three scans at most are in
    memory.

    Args:
        read, work, write: what is done; files that are written are whole or absent.
        scans, name, title: see :func:`map_scans`.

    Returns:
        What ``write`` returned, in the order of ``scans``.

    Raises:
        ScansFailed: at the end, where any failed: which, and why.
        OSError: at once, where the disk is full.
    """
    results: dict[int, Result] = {}
    reasons: dict[int, str] = {}

    def settle(writing: "Future[tuple[int, Result | None, str | None]] | None") -> None:
        if writing is not None:
            number, done, reason = writing.result()
            if reason is None:
                results[number] = cast(Result, done)
            else:
                reasons[number] = reason

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        reading = [reader.submit(_attempt, read, 0, scans[0])] if scans else []
        writing = None
        for number in track(range(len(scans)), title):
            _, found, reason = reading.pop().result()
            if number + 1 < len(scans):
                reading.append(reader.submit(_attempt, read, number + 1, scans[number + 1]))
            if reason is None:
                _, worked, reason = _attempt(work, number, cast(Read, found))
            settle(writing)
            if reason is None:
                writing = writer.submit(_attempt, write, number, cast(Worked, worked))
            else:
                writing, reasons[number] = None, reason
        settle(writing)
    return _in_order(results, reasons, scans, name)


def failure_reason(error: Exception) -> str:
    """Why a scan failed, as a sentence for the list of those that did; the log has the whole traceback.

    What an unexpected error says itself is not repeated: it may hold a patient's name.

    Args:
        error: what was raised while one scan was worked on.

    Raises:
        Exception: ``error`` itself, if it would stop all other scans too: the disk is full.
    """
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        raise error
    if isinstance(error, MemoryError):
        return f"Memory ran out ({error}); crop the scan, or take a machine with more memory."
    if isinstance(error, BadInput):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename or 'a file'} can't be used: {error.strerror or error}"
    _LOG.debug("A scan failed unexpectedly:", exc_info=error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"An unexpected {type(error).__name__} in {Path(where.filename).name}, line {where.lineno}, stopped it; take "
        "it out, or report this line."
    )


def limit_jobs_to_memory(jobs: int, scan_gb: float, memory_gb: float | None = None) -> int:
    """How many of ``jobs`` processes fit into memory, at least one; says so where it is fewer.

    Args:
        jobs: processes that are asked for.
        scan_gb: what one of them takes at its peak with the largest scan, in GB (1e9 bytes).
        memory_gb: what all of them may take together; None: four fifths of what is free now.

    Raises:
        BadInput: where ``memory_gb`` is given and doesn't hold a single one.
    """
    if memory_gb is not None and scan_gb > memory_gb:
        raise BadInput(
            f"The largest scan takes about {scan_gb:.1f} GB and the limit is {memory_gb:.1f} GB; raise --memory to "
            "that, or leave it out."
        )
    limit = memory_gb if memory_gb is not None else _OURS * available_bytes() / 1e9
    affordable = max(1, min(jobs, int(limit / scan_gb)))
    if affordable < jobs:
        console.print(
            f"{affordable} instead of {jobs} scans at once: the largest takes about {scan_gb:.1f} GB, and all together "
            f"may take {limit:.1f} GB."
        )
    return affordable


@contextmanager
def use_cluster(scheduler: str | None) -> Iterator[None]:
    """Let :func:`map_scans` run on the workers of a Dask cluster; None: on this machine, as without.

    Each worker thread takes one scan at a time: start workers with one thread and the memory of a scan.

    Args:
        scheduler: its address, such as ``tcp://node1:8786``, or the path of its ``--scheduler-file``.

    Raises:
        BadInput: where Dask isn't installed, or nothing answers there.
    """
    if scheduler is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise BadInput("A cluster needs Dask, which isn't installed; install gynbtnet[cluster].") from error
    where = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = Client(**where)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"No Dask scheduler answers at {scheduler}; expected the address that `dask scheduler` printed, or the "
            "file that its --scheduler-file names."
        ) from error
    with client, joblib.parallel_config(backend="dask"):
        yield


def _in_order(
    results: Mapping[int, Result], reasons: Mapping[int, str], scans: Sequence[Scan], name: Callable[[Scan], str]
) -> list[Result]:
    if reasons:
        failed = [(name(scans[number]), reasons[number]) for number in sorted(reasons)]
        raise ScansFailed(failed, len(scans))
    return [results[number] for number in range(len(scans))]


def _attempt(work: Callable[[Scan], Result], number: int, scan: Scan) -> tuple[int, Result | None, str | None]:
    """The number of a scan, and its result or why there is none."""
    try:
        return number, work(scan), None
    except Exception as error:  # a fault of ours in one scan is no reason to lose a night's work on the others
        return number, None, failure_reason(error)
