"""Deletion of scans and results that were sent: never of an instance that has just arrived."""

from contextlib import closing
from unittest import mock

import pydicom
import pytest

from gynbtnet.node.folders import NodeFolder
from gynbtnet.node.inbox import Inbox
from gynbtnet.node.queue import Queue
from gynbtnet.node.service import Node

from .conftest import store, wait_until, with_changes
from .fake_prediction import DirectWorker


def test_old_scans_are_deleted_after_sending(settings, start, scan, receiver):
    running = start(with_changes(settings, retention={"received_days": 0, "results_days": 0}, quiet_seconds=2))
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["sent"])
    wait_until(lambda: not running.node.inbox.keys())
    wait_until(lambda: not list(NodeFolder(settings.folder).results.iterdir()))
    store(scan.files, settings.listen.port)  # nothing is contoured twice
    wait_until(lambda: running.node.inbox.keys())
    wait_until(lambda: running.states() == ["sent"] and not running.node.inbox.keys())
    assert len(receiver.structure_sets) == 1


@pytest.mark.parametrize("moment", ["before the row is changed", "before the deletion"])
def test_a_slice_that_arrives_between_listing_and_deletion_is_kept(settings, start, scan, receiver, moment):
    """The last slice arrives at the worst moments, and is the only one that is kept if the others are being deleted."""
    running = start(settings)
    store(scan.files[:-1], settings.listen.port)
    wait_until(lambda: running.states() == ["sent"])
    running.end()
    node = Node(with_changes(settings, retention={"received_days": 0}), DirectWorker())
    target, method = (Queue, "set") if moment == "before the row is changed" else (Inbox, "delete")
    original, arrived = getattr(target, method), list[object]()

    def arriving(*arguments, **options):
        if not arrived:
            arrived.append(node.store(scan.files[-1].read_bytes(), "SCANNER"))
        return original(*arguments, **options)

    with closing(node.queue), closing(node.audit):
        with mock.patch.object(target, method, arriving):
            node.step()
        (row,) = node.queue.series()
        kept = {pydicom.dcmread(path).SOPInstanceUID for path in node.inbox.files(row.key)}
    assert arrived
    assert row.state == "receiving"
    uids = [image.sop_instance_uid for image in scan.slices]
    if moment == "before the deletion":
        assert (kept, row.instances) == ({uids[-1]}, 1)
        return
    assert kept == set(uids)
    start(settings)  # and the whole series makes a new result
    wait_until(lambda: len(receiver.structure_sets) == 2)
