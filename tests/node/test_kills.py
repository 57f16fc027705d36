"""A node killed at any moment, and started again: exactly one result, and nothing is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import store, wait_until

QUICK = ["stored", "running", "produced", "received"]
SLOW = ["arrived", "complete", "predicted", "outgoing", "sent"]
MOMENTS = [*QUICK, *(pytest.param(moment, marks=pytest.mark.slow) for moment in SLOW)]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_leaves_exactly_one_result(settings, start, scan, receiver, moment):
    script = Path(__file__).with_name("killed_node.py")
    killed = subprocess.Popen(
        [sys.executable, str(script), settings.model_dump_json(), moment],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    with killed:
        assert killed.stdout
        assert killed.stdout.readline() == b"ready\n"
        before = store(scan.files, settings.listen.port)
        assert killed.wait(60) == -signal.SIGKILL
    was_answered = set(before) == {0}
    assert was_answered == (moment not in ("stored", "arrived"))
    quiet = settings.quiet_seconds if was_answered else 5  # time for the rest of the series
    running = start(settings.model_copy(update={"quiet_seconds": quiet}))
    if not was_answered:  # a scanner sends again what was not answered
        store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["sent"])
    assert len({each.SOPInstanceUID for each in receiver.structure_sets}) == 1
    assert len(list((settings.folder / "results").glob("*/RS.dcm"))) == 2  # the prediction, and what was sent
    assert running.node.queue.series()[0].instances == 6
