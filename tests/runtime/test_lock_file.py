"""Locks between processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gynbtnet.runtime import file_lock

HOLDER = """
import os, sys, time
from pathlib import Path
from gynbtnet.runtime import file_lock
with file_lock(Path(sys.argv[1])) as held:
    worker = os.fork() if sys.argv[2] else None
    if not worker:  # the forked process, if there is one: by now it has closed its lock
        print(held, os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("forks", ["", pytest.param("forks", marks=pytest.mark.skipif(os.name == "nt", reason="fork"))])
def test_another_process_waits_or_is_refused_until_the_holder_is_killed(tmp_path: Path, forks: str) -> None:
    """Also if a worker that it has forked lives on."""
    path = tmp_path / "folder" / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), forks], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout
        held, worker = holder.stdout.readline().split()
        assert held == "True"
        with file_lock(path, wait=False) as held_here:
            assert not held_here
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    try:
        with file_lock(path, wait=False) as held_here:
            assert held_here
    finally:
        if forks:
            os.kill(int(worker), signal.SIGKILL)
    with file_lock(path) as held_here:
        assert held_here
