"""Instances whose end is missing, as of a copy that isn't finished."""

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from gynbtnet.imaging import CTSeries, read_ct_series
from gynbtnet.node.completeness import judge_series
from gynbtnet.node.configuration import Rule, Watch
from gynbtnet.node.folders import hashed
from gynbtnet.node.inbox import Inbox, Unusable
from gynbtnet.node.intake import Intake
from gynbtnet.node.queue import Queue, State
from gynbtnet.node.watched_folder import take_in


def compressed(content: bytes) -> bytes:
    dataset = pydicom.dcmread(BytesIO(content))
    dataset.compress(RLELossless, generate_instance_uid=False)
    written = BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


def test_an_incomplete_instance_is_refused_and_the_complete_one_is_stored(inbox: Inbox, scan: CTSeries) -> None:
    content = scan.files[0].read_bytes()
    with pytest.raises(Unusable, match="end is missing") as caught:
        inbox.store(content[:-1])
    assert scan.patient_id not in str(caught.value)
    assert inbox.keys() == ()
    assert [inbox.store(content)[1] for _ in range(2)] == ["new", "known"]


@pytest.mark.parametrize(
    ("shorten", "write"),
    [(lambda content: content[:-90], bytes), (lambda content: content[:-3], compressed)],
)
def test_a_stored_instance_without_its_end_is_completed(
    inbox: Inbox, scan: CTSeries, shorten: Callable[[bytes], bytes], write: Callable[[bytes], bytes]
) -> None:
    """Such as one that was stored before its end was checked, or lacks a part of its last delimiter."""
    content = write(scan.files[0].read_bytes())
    inbox.store(content)
    (path,) = inbox.files(hashed(scan.series_uid))
    path.write_bytes(shorten(content))
    assert [inbox.store(content)[1] for _ in range(2)] == ["completed", "known"]
    assert path.read_bytes() == content


def test_a_complete_instance_is_never_replaced(inbox: Inbox, scan: CTSeries) -> None:
    content = scan.files[0].read_bytes()
    inbox.store(content)
    changed = content[:-2] + bytes(byte ^ 1 for byte in content[-2:])
    with pytest.raises(Unusable, match="another instance"):
        inbox.store(changed)
    with pytest.raises(Unusable, match="end is missing"):
        inbox.store(content[:-1])
    (path,) = inbox.files(hashed(scan.series_uid))
    assert path.read_bytes() == content


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_watched_copy_that_stalls_and_goes_on_is_taken_in(scan: CTSeries, tmp_path: Path, *, is_stored: bool) -> None:
    folder, notes = tmp_path / "incoming", []
    folder.mkdir()
    for path in scan.files:
        (folder / path.name).write_bytes(path.read_bytes())
    late = folder / scan.files[2].name
    content = late.read_bytes()
    inbox, queue = Inbox(tmp_path / "inbox"), Queue(tmp_path / "queue.sqlite")
    intake, watch, key = Intake(inbox, queue), Watch(folder=folder, quiet_seconds=0), hashed(scan.series_uid)

    def take() -> State:
        take_in(watch, queue, intake.store, lambda event, **values: notes.append((event, values)))
        return judge_series(inbox, key, (Rule(model="m"),), "watch", released=False).state

    if is_stored:
        intake.store(content, "watch")
        inbox.files(key)[0].write_bytes(content[:-100])
    late.write_bytes(content[:-100])
    time.sleep(0.01)
    assert take() == State.held
    assert ["end is missing" in values["reason"] for _, values in notes] == [True]
    late.write_bytes(content)
    time.sleep(0.01)
    assert take() == State.complete
    assert len(notes) == 1
    assert [row.instances for row in queue.series()] == [len(scan.files)]
    np.testing.assert_array_equal(read_ct_series(inbox.series(key)).volume.array, scan.volume.array)
    queue.close()
