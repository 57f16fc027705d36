"""Deletion of scans and results that were sent: never of an instance that has just arrived."""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from unittest import mock

import pydicom
import pytest

from gynbtnet.node.delivery import NotSent
from gynbtnet.node.folders import NodeFolder, hashed
from gynbtnet.node.inbox import Inbox
from gynbtnet.node.queue import Queue
from gynbtnet.node.service import Node
from gynbtnet.node.status import status_rows
from gynbtnet.runtime import BadInput

from .conftest import put, store, wait_until, with_changes, work, write_scan
from .fake_prediction import DirectWorker


def test_old_scans_are_deleted_after_sending(settings, start, scan, receiver):
    running = start(with_changes(settings, retention={"received_days": 0, "results_days": 0}, quiet_seconds=2))
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["deleted"])
    assert not running.node.inbox.keys()
    assert not list(NodeFolder(settings.folder).results.iterdir())
    assert not status_rows(running.node.queue)
    with pytest.raises(BadInput, match="was deleted; send it again"):
        running.node.queue.retry(hashed(scan.series_uid))
    store(scan.files, settings.listen.port)  # nothing is contoured twice
    wait_until(lambda: running.node.inbox.keys())
    wait_until(lambda: running.states() == ["deleted"] and not running.node.inbox.keys())
    assert len(receiver.structure_sets) == 1


@pytest.mark.parametrize("moment", ["before the row is changed", "before the deletion"])
def test_a_slice_that_arrives_between_listing_and_deletion_is_kept(settings, start, scan, receiver, moment):
    """The last slice arrives at the worst moments, and is the only one that is kept if the others are being deleted."""
    running = start(settings)
    store(scan.files[:-1], settings.listen.port)
    wait_until(lambda: running.states() == ["sent"])
    running.end()
    node = Node(with_changes(settings, retention={"received_days": 0}), DirectWorker())
    target, method = (Queue, "note_deleted") if moment == "before the row is changed" else (Inbox, "delete")
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


def refuse_to_send(*_):
    raise NotSent("PLANNING can't be reached.")


def write_review(node, key):
    """Write a review that is the result, as a person who approves it."""
    (row,) = (row for row in node.queue.series() if row.key == key)
    result = node.folder.result(key, row.version)
    shutil.copytree(result, result / "review" / "001", ignore=shutil.ignore_patterns("review"))
    return result / "review" / "001" / "RS.dcm"


def make_older(node, days):
    with closing(sqlite3.connect(node.queue.path)) as database, database:
        database.execute("UPDATE series SET changed = changed - ?", (days * 86400,))


def test_a_review_is_kept_until_it_is_sent(idle, scan, receiver, monkeypatch):
    """Sent 30 days ago, reviewed today, and the destination is down."""
    node = idle(retention={"received_days": 20, "results_days": 20})
    key = put(node, scan)
    work(node)
    assert [row.state for row in node.queue.series()] == ["sent"]
    review = write_review(node, key)
    make_older(node, 30)
    with monkeypatch.context() as down:
        down.setattr("gynbtnet.node.service.send", refuse_to_send)
        work(node)
    assert review.is_file()
    assert node.inbox.keys() == (key,)
    (status,) = status_rows(node.queue)
    assert (status.state, "planning, review 001: waiting" in status.details) == ("produced", True)
    node.queue.retry(key)
    work(node)
    assert len(receiver.structure_sets) == 2
    node.step()
    assert review.is_file()  # the days are counted from the last sending
    assert [row.state for row in node.queue.series()] == ["sent"]
    make_older(node, 30)
    node.step()
    assert review.is_file()  # and from the last edit of a review
    for path in review.parents[1].iterdir():
        os.utime(path, (time.time() - 30 * 86400,) * 2)
    node.step()
    assert [row.state for row in node.queue.series()] == ["deleted"]
    assert not list(node.folder.results.iterdir())


def test_a_review_of_a_deleted_scan_is_sent_when_the_scan_comes_again(idle, scan, receiver):
    node = idle(retention={"received_days": 0})
    key = put(node, scan)
    work(node)
    node.step()
    assert not node.inbox.keys()
    write_review(node, key)
    work(node)
    (status,) = status_rows(node.queue)
    assert (status.state, status.details.partition(";")[0]) == ("failed", "No instance of the scan is left")
    with pytest.raises(BadInput, match="was deleted; send it again"):
        node.queue.retry(key)
    put(node, scan)
    work(node)
    assert len(receiver.structure_sets) == 2
    assert [row.state for row in node.queue.series()] == ["sent"]


def test_nothing_is_deleted_while_reviews_cannot_be_noted(idle, scan, receiver, monkeypatch):
    node = idle(retention={"received_days": 1, "results_days": 1})
    key = put(node, scan)
    work(node)
    make_older(node, 2)
    with monkeypatch.context() as broken:
        broken.setattr(NodeFolder, "reviews", mock.Mock(side_effect=OSError("unexpected")))
        node.step()
        assert node.inbox.keys() == (key,)
    node.step()
    assert not node.inbox.keys()


def test_a_retry_between_listing_and_deletion_is_kept(idle, scan, receiver):
    """Another process may retry a series at any moment."""
    node = idle(retention={"received_days": 0})
    key = put(node, scan)
    work(node)
    (row,) = node.queue.series()
    node.queue.retry(key)
    assert not node.queue.note_deleted(row, row.state)
    assert node.queue.series()[0].state == "complete"


def test_an_error_of_the_disk_stops_neither_the_node_nor_other_series(idle, scan, receiver, tmp_path, monkeypatch):
    node = idle(retention={"received_days": 0, "results_days": 0})
    kept = put(node, scan)
    put(node, write_scan(tmp_path / "second", 2, "PATIENT-2"))
    remove = shutil.rmtree

    def fail_for_one(path):
        if kept in path.name:
            raise PermissionError(13, "Permission denied", str(path))
        remove(path)

    with monkeypatch.context() as broken:
        broken.setattr("gynbtnet.node.service.shutil.rmtree", fail_for_one)
        for _ in range(3):
            work(node)
    assert {row.key: str(row.state) for row in node.queue.series()}[kept] == "sent"
    assert sorted(str(row.state) for row in node.queue.series()) == ["deleted", "sent"]
    log = node.folder.audit.read_text()
    assert log.count('"error"') == 1
    assert "Permission denied" in log
    node.step()
    assert [str(row.state) for row in node.queue.series()] == ["deleted", "deleted"]
