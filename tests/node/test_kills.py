"""A node killed at any moment, and started again: exactly one result, and nothing is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gynbtnet.node.configuration import NodeConfiguration

from .conftest import store, wait_until, with_changes

QUICK = ["produced"]
SLOW = ["stored", "arrived", "running", "received", "complete", "predicted", "outgoing", "sent"]
MOMENTS = [*QUICK, *(pytest.param(moment, marks=pytest.mark.slow) for moment in SLOW)]


def killed_at(moment: str, settings: NodeConfiguration, files: list[Path] | tuple[Path, ...]) -> list[int | None]:
    """Send files to a node that kills itself at a moment; return the status of each file."""
    script = Path(__file__).with_name("killed_node.py")
    killed = subprocess.Popen(
        [sys.executable, str(script), settings.model_dump_json(), moment],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    with killed:
        assert killed.stdout
        assert killed.stdout.readline() == b"ready\n"
        answers = store(files, settings.listen.port)
        assert killed.wait(60) == -signal.SIGKILL
    return answers


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_leaves_exactly_one_result(settings, start, scan, receiver, moment):
    before = killed_at(moment, settings, scan.files)
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


@pytest.mark.parametrize(
    "state", ["held", pytest.param("failed", marks=pytest.mark.slow), pytest.param("ignored", marks=pytest.mark.slow)]
)
def test_a_kill_in_a_state_that_waits_for_a_person(settings, start, scan, receiver, tmp_path, state):
    """The state is the same after the restart, nothing is sent by itself, and the person's answer makes one result."""
    files = [*scan.files[:2], *scan.files[3:]] if state == "held" else scan.files
    orders = tmp_path / "model" / "orders"
    orders.write_text("refuse" if state == "failed" else "")
    rules = {"rules": [{"ignore": True}]} if state == "ignored" else {}
    quiet = with_changes(settings, quiet_seconds=3, **rules)  # also a slow computer sends the whole series before that
    assert set(killed_at(state, quiet, files)) == {0}
    running = start(settings)
    wait_until(lambda: running.states() == [state])
    running.node.step()
    assert running.states() == [state]
    assert not receiver.received
    orders.write_text("")
    (row,) = running.node.queue.series()
    assert row.instances == len(files)
    if state == "held":
        running.node.queue.release(row.key)
    else:
        running.node.queue.retry(row.key)
    wait_until(lambda: running.states() == ["sent"])
    assert len({each.SOPInstanceUID for each in receiver.structure_sets}) == len(receiver.structure_sets) == 1
    assert len(list((settings.folder / "results").glob("*/RS.dcm"))) == 2  # the prediction, and what was sent
