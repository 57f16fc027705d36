"""Locks between processes."""

import signal
import subprocess
import sys
from pathlib import Path

from gynbtnet.runtime import file_lock

HOLDER = """
import sys, time
from pathlib import Path
from gynbtnet.runtime import file_lock
with file_lock(Path(sys.argv[1])) as held:
    print(held, flush=True)
    time.sleep(60)
"""


def test_another_process_waits_or_is_refused_until_the_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout
        assert holder.stdout.readline().strip() == "True"
        with file_lock(path, wait=False) as held:
            assert not held
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with file_lock(path) as held:
        assert held
    with file_lock(path, wait=False) as held:
        assert held
