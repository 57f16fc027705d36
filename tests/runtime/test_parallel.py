"""The same work for every scan: results in order, failures reported at the end, memory, a cluster."""

import errno
import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cloudpickle
import pytest

from gynbtnet.runtime.errors import BadInput, ScansFailed
from gynbtnet.runtime.parallel import limit_jobs_to_memory, map_scans, pipeline_scans, use_cluster

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test


def doubled(scan: int, out: Path | None = None) -> int:
    if scan == 3:
        raise BadInput("its slices are unequally spaced.")
    if scan == 5:
        raise ZeroDivisionError("a fault")
    if scan == 7:
        raise FileNotFoundError(errno.ENOENT, "No such file", "scan_7.dcm")
    if scan == 9:
        os.kill(os.getpid(), 9)
    if scan == 11:
        raise OSError(errno.ENOSPC, "No space left on device")
    if out is not None:
        (out / f"{scan}").write_text(str(os.getpid()))
        time.sleep(0.3)
    return 2 * scan


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_scans(jobs: int) -> None:
    scans = [8, 1, 6, 2, 4]
    assert map_scans(doubled, scans, name=str, title="Doubling", jobs=jobs) == [16, 2, 12, 4, 8]


@pytest.mark.parametrize("jobs", [1, 2])
def test_who_fails_is_listed_and_the_others_are_done(jobs: int, tmp_path: Path) -> None:
    with pytest.raises(ScansFailed) as error:
        map_scans(
            partial(doubled, out=tmp_path), range(1, 8), name=lambda scan: f"case_{scan}", title="Doubling", jobs=jobs
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "4", "6"]
    reasons = dict(error.value.failed)
    assert list(reasons) == ["case_3", "case_5", "case_7"]
    assert reasons["case_3"] == "its slices are unequally spaced."
    assert reasons["case_5"].startswith("An unexpected ZeroDivisionError in ")
    assert "a fault" not in reasons["case_5"]  # it might be a patient's name
    assert reasons["case_7"] == "scan_7.dcm can't be used: No such file"
    assert str(error.value).startswith("3 of 7 scans failed")


def test_steps_overlap_with_three_scans_in_memory_at_most() -> None:
    """While a scan is worked on the next is read and the one before written; each step waits for both others."""
    held: set[int] = set()
    most, together = 0, threading.Barrier(3, timeout=10)

    def read(scan: int) -> int:
        nonlocal most
        held.add(scan)
        most = max(most, len(held))
        if 2 <= scan <= 5:
            together.wait()
        return scan

    def work(scan: int) -> int:
        if 1 <= scan <= 4:
            together.wait()
        return scan

    def write(scan: int) -> int:
        if scan <= 3:
            together.wait()
        held.remove(scan)
        return 2 * scan

    done = pipeline_scans(read, work, write, range(6), name=str, title="Doubling")
    assert done == [0, 2, 4, 6, 8, 10]
    assert most == 3


@pytest.mark.parametrize("step", range(3))
def test_whichever_step_fails_the_others_are_done(step: int) -> None:
    written = []

    def passing(number: int) -> Callable[[int], int]:
        def do(scan: int) -> int:
            if number == step:
                doubled(scan)
            if number == 2:
                written.append(scan)
            return scan

        return do

    with pytest.raises(ScansFailed) as error:
        pipeline_scans(passing(0), passing(1), passing(2), range(8), name=lambda scan: f"case_{scan}", title="Doubling")
    assert [name for name, _ in error.value.failed] == ["case_3", "case_5", "case_7"]
    assert written == [0, 1, 2, 4, 6]
    with pytest.raises(OSError, match="No space left"):
        pipeline_scans(passing(0), passing(1), passing(2), [1, 11, 2], name=str, title="Doubling")


def test_a_full_disk_stops_at_once() -> None:
    with pytest.raises(OSError, match="No space left"):
        map_scans(doubled, [1, 11, 2], name=str, title="Doubling")


def unexpected(scan: int) -> int:
    if scan == 2:
        try:
            int("PATIENT NAME")
        except ValueError as error:
            raise KeyError("PATIENT NAME") from error
    return scan


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_log_keeps_the_traceback_of_an_unexpected_error(jobs: int, caplog: pytest.LogCaptureFixture) -> None:
    """Also one of another process, and without its message, which may hold a name."""
    caplog.set_level(logging.DEBUG, "gynbtnet")
    with pytest.raises(ScansFailed) as failed:
        map_scans(unexpected, [1, 2, 3], name=str, title="Failing", jobs=jobs)
    assert "An unexpected KeyError in " in str(failed.value)
    (message,) = caplog.messages
    assert message.startswith("An unexpected KeyError:") and "in unexpected" in message
    assert "after ValueError:" in message
    assert "PATIENT" not in str(failed.value) + message.replace('("PATIENT NAME")', "")  # the line of the source


def test_a_killed_process_is_reported() -> None:
    with pytest.raises(BadInput, match=r"killed one of 2 parallel processes.* memory"):
        map_scans(doubled, [1, 9, 2, 4], name=str, title="Doubling", jobs=2)


def test_memory_limits_the_jobs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gynbtnet")
    assert limit_jobs_to_memory(4, scan_gb=0.5, memory_gb=2) == 4
    assert caplog.messages == []
    assert limit_jobs_to_memory(4, scan_gb=0.75, memory_gb=2) == 2
    assert caplog.messages == [
        "2 instead of 4 scans in parallel: the largest needs about 0.8 GB, and 2.0 GB may be used."
    ]
    with pytest.raises(BadInput, match=r"needs about 3\.0 GB and the limit is 2\.0 GB"):
        limit_jobs_to_memory(4, scan_gb=3, memory_gb=2)
    assert limit_jobs_to_memory(4, scan_gb=1e6) == 1


WORK = """
import os, time
from pathlib import Path
def noted(scan, out):
    time.sleep(0.3)
    (out / str(scan)).write_text(str(os.getpid()))
    return 12 // scan
"""


@pytest.mark.slow
def test_two_workers_of_a_dask_cluster_share_the_work(
    scheduler: str, cluster_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cluster_folder / "noted_by_workers.py").write_text(WORK)
    (tmp_path / "out").mkdir()
    monkeypatch.syspath_prepend(cluster_folder)
    work = partial(importlib.import_module("noted_by_workers").noted, out=tmp_path / "out")
    with use_cluster(scheduler):
        results = map_scans(work, [1, 2, 3, 4, 6, 12], name=str, title="Dividing")
        with pytest.raises(ScansFailed, match=r"1 of 3 scans failed.*\n  0: An unexpected ZeroDivisionError"):
            map_scans(work, [5, 0, 7], name=str, title="Dividing")
    assert results == [12, 6, 4, 3, 2, 1]
    done = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert sorted(map(int, done)) == [0, 1, 2, 3, 4, 5, 6, 7, 12]
    assert len(set(done.values())) == 2
    assert str(os.getpid()) not in done.values()


def test_no_cluster_is_this_machine_and_a_silent_one_is_reported() -> None:
    with use_cluster(None):
        assert map_scans(doubled, [1], name=str, title="Doubling") == [2]
    pytest.importorskip("distributed")
    with pytest.raises(BadInput, match="No Dask scheduler answers at nonsense"), use_cluster("nonsense"):
        pass
