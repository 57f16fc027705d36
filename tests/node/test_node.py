"""A node from the scanner to the planning system, over real associations on this computer."""

import json
import os
import shutil
from unittest import mock

import numpy as np
import pydicom
import pytest

from gynbtnet.imaging import read_ct_series
from gynbtnet.node.configuration import NodeConfiguration
from gynbtnet.node.folders import NodeFolder, hashed
from gynbtnet.node.queue import Queue, State
from gynbtnet.node.status import status_rows
from gynbtnet.runtime import BadInput

from .conftest import free_port, put, store, wait_until, with_changes, work, write_scan
from .fake_prediction import predictions

# pynetdicom leaves the socket of a rejected association to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in.*socket:pytest.PytestUnraisableExceptionWarning")


def audit(settings: NodeConfiguration) -> list[dict[str, object]]:
    return [json.loads(line) for line in NodeFolder(settings.folder).audit.read_text().splitlines()]


def test_a_scan_comes_back_as_contours(settings, start, scan, receiver):
    running = start(settings, process=True)
    assert set(store(scan.files, settings.listen.port)) == {0}
    wait_until(lambda: running.states() == ["sent"])
    (contours,) = receiver.structure_sets
    assert contours.PatientID == scan.patient_id
    assert contours.StudyInstanceUID == scan.study_uid
    assert contours.ApprovalStatus == "UNAPPROVED"
    assert [roi.ROIName for roi in contours.StructureSetROISequence]
    inbox = running.node.inbox.series(hashed(scan.series_uid))
    assert np.array_equal(read_ct_series(inbox).volume.array, scan.volume.array)
    events = [event["event"] for event in audit(settings)]
    assert events == ["received"] * 6 + ["complete", "running", "produced", "sent"]
    text = NodeFolder(settings.folder).audit.read_text()
    assert not any(identifier in text for identifier in (scan.patient_id, scan.series_uid, scan.study_uid))


def test_the_same_series_twice_makes_one_result(settings, start, scan, receiver, tmp_path):
    running = start(settings)
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["sent"])
    assert set(store(scan.files, settings.listen.port)) == {0}
    running.node.step()
    assert running.states() == ["sent"]
    assert len(receiver.structure_sets) == len(predictions(tmp_path / "model")) == 1
    running.node.queue.retry(hashed(scan.series_uid))  # asked for
    wait_until(lambda: len(receiver.structure_sets) == 2)
    first, second = receiver.structure_sets
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert second.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_a_late_slice_replaces_the_result(settings, start, scan, receiver):
    running = start(settings)
    store(scan.files[:4], settings.listen.port)
    wait_until(lambda: running.states() == ["sent"])
    store(scan.files[4:], settings.listen.port)
    wait_until(lambda: len(receiver.structure_sets) == 2)
    first, second = receiver.structure_sets
    assert second.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert "PredecessorStructureSetSequence" not in first
    images = second.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert len(images.ContourImageSequence) == 6


def test_a_gap_is_held_until_the_slice_comes(settings, start, scan, receiver):
    running = start(settings)
    store([*scan.files[:2], *scan.files[3:]], settings.listen.port)
    wait_until(lambda: running.states() == ["held"])
    (row,) = status_rows(running.node.queue)
    assert "this series" in row.details
    assert not receiver.received
    store([scan.files[2]], settings.listen.port)
    wait_until(lambda: running.states() == ["sent"])


@pytest.mark.parametrize("order", ["", "refuse"])
def test_a_held_series_is_released_by_a_person(settings, start, scan, receiver, tmp_path, order):
    """The gap is interpolated and gets no contour, unless the prediction refuses the scan for another reason."""
    (tmp_path / "model" / "orders").write_text(order)
    running = start(settings)
    store([*scan.files[:2], *scan.files[3:]], settings.listen.port)
    wait_until(lambda: running.states() == ["held"])
    running.node.queue.release(hashed(scan.series_uid)[:8])
    wait_until(lambda: running.states() == ["failed" if order else "sent"])
    if order:
        assert not receiver.received
        return
    (contours,) = receiver.structure_sets
    images = contours.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    sent = {pydicom.dcmread(path).SOPInstanceUID for path in [*scan.files[:2], *scan.files[3:]]}
    assert {item.ReferencedSOPInstanceUID for item in images.ContourImageSequence} == sent
    drawn = [
        contour.ContourImageSequence[0].ReferencedSOPInstanceUID
        for contour in contours.ROIContourSequence[0].ContourSequence
    ]
    assert len(set(drawn)) == 3  # the cube is in four slices


def test_two_patients_slice_by_slice(settings, start, tmp_path, receiver):
    scans = [write_scan(tmp_path / name, seed, name) for seed, name in ((1, "A"), (2, "B"))]
    running = start(settings)
    interleaved = [path for pair in zip(*(scan.files for scan in scans), strict=True) for path in pair]
    store(interleaved, settings.listen.port)
    wait_until(lambda: running.states() == ["sent", "sent"])
    assert sorted((each.PatientID, each.StudyInstanceUID) for each in receiver.structure_sets) == sorted(
        (scan.patient_id, scan.study_uid) for scan in scans
    )


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "FrameOfReferenceUID"])
def test_slices_of_two_identities_in_one_series_are_held(settings, start, scan, tmp_path, receiver, keyword):
    other = pydicom.dcmread(scan.files[-1])
    setattr(other, keyword, "1.2.3")
    other.save_as(tmp_path / "other.dcm")
    running = start(settings)
    store([*scan.files[:-1], tmp_path / "other.dcm"], settings.listen.port)
    wait_until(lambda: running.states() == ["held"])
    assert "belong to 2" in status_rows(running.node.queue)[0].details
    assert not receiver.received


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "ApprovalStatus"])
def test_a_result_of_another_identity_is_never_sent(settings, start, scan, receiver, keyword):
    receiver.status = 0xA700  # it waits
    running = start(settings)
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["produced"])
    running.end()
    path = next(iter(NodeFolder(settings.folder).results.glob("*[!g]/RS.dcm")))
    shutil.rmtree(f"{path.parent}.outgoing", ignore_errors=True)
    changed = pydicom.dcmread(path)
    if keyword == "FrameOfReferenceUID":
        changed.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "1.2.3"
    else:
        setattr(changed, keyword, "APPROVED" if keyword == "ApprovalStatus" else "1.2.3")
    changed.save_as(path)
    receiver.status = 0
    running = start(settings)
    wait_until(lambda: running.states() == ["failed"])
    assert not receiver.received


def test_what_cannot_be_sent_is_tried_again_and_shown(settings, start, scan, receiver):
    receiver.status = 0xA700
    running = start(settings)
    store(scan.files, settings.listen.port)
    wait_until(lambda: "PLANNING" in (status_rows(running.node.queue) or [None])[0].details if running.states() else 0)
    assert "0xA700" in status_rows(running.node.queue)[0].details
    receiver.status = 0
    wait_until(lambda: running.states() == ["sent"])
    assert len(receiver.structure_sets) == 1


def test_a_refused_scan_is_reported_and_has_no_contours(settings, start, scan, receiver, tmp_path):
    (tmp_path / "model" / "orders").write_text("refuse")
    running = start(settings)
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["failed"])
    assert status_rows(running.node.queue)[0].details == "The scan in this series shows no pelvis."
    (report,) = NodeFolder(settings.folder).results.glob("*.not_contoured.txt")
    assert report.read_text() == "The scan in this series shows no pelvis.\n"
    assert not receiver.received


def test_the_report_of_a_refused_scan_is_deleted_after_a_retry(idle, scan, receiver, tmp_path):
    orders = tmp_path / "model" / "orders"
    orders.write_text("refuse")
    node = idle()
    key = put(node, scan)
    work(node)
    assert list(node.folder.results.glob("*.not_contoured.txt"))
    orders.write_text("")
    node.queue.retry(key)
    work(node)
    assert len(receiver.structure_sets) == 1
    assert not list(node.folder.results.glob("*.not_contoured.txt"))


def test_a_report_that_cannot_be_written_stops_nothing(idle, scan, tmp_path, monkeypatch):
    (tmp_path / "model" / "orders").write_text("refuse")
    node = idle()
    put(node, scan)
    monkeypatch.setattr("gynbtnet.node.service.atomic_write", mock.Mock(side_effect=OSError(28, "No space left")))
    work(node)
    (status,) = status_rows(node.queue)
    assert (status.state, status.details) == ("failed", "The scan in this series shows no pelvis.")
    assert "No space left" in node.folder.audit.read_text()


def test_an_unexpected_error_of_the_check_holds_the_series(idle, scan, tmp_path, receiver, monkeypatch):
    node = idle()
    key, other = put(node, scan), put(node, write_scan(tmp_path / "second", 2, "PATIENT-2"))

    def fail_for_one(folder):
        if folder.name == key:
            raise ZeroDivisionError
        return read_ct_series(folder)

    with monkeypatch.context() as broken:
        broken.setattr("gynbtnet.node.completeness.read_ct_series", fail_for_one)
        work(node)
    states = {row.key: (str(row.state), row.details) for row in status_rows(node.queue)}
    assert states[key] == ("held", "An unexpected error stopped the check (ZeroDivisionError).")
    assert states[other][0] == "sent"
    node.queue.retry(key)
    work(node)
    assert len(receiver.structure_sets) == 2


def test_a_result_that_cannot_be_noted_is_noted_in_the_next_step(idle, scan, receiver, monkeypatch):
    node = idle()
    put(node, scan)
    node.step()
    with monkeypatch.context() as broken:
        broken.setattr(Queue, "produced", mock.Mock(side_effect=BadInput("The queue can't be used.")))
        node.step()
        node.step()
    work(node)
    assert len(receiver.structure_sets) == 1
    assert node.folder.audit.read_text().count("The queue can't be used.") == 1


def test_a_job_that_cannot_begin_is_begun_in_the_next_step(idle, scan, receiver, monkeypatch):
    node = idle()
    put(node, scan)
    with monkeypatch.context() as broken:
        broken.setattr(node.worker, "submit", mock.Mock(side_effect=OSError(12, "Cannot allocate memory")))
        node.step()
    assert [row.state for row in node.queue.series()] == ["complete"]
    work(node)
    assert len(receiver.structure_sets) == 1


def test_a_destination_with_a_comma_in_its_name(idle, settings, scan, receiver):
    destinations = {"room 1, TPS": settings.destinations["planning"]}
    node = idle(destinations=destinations, rules=[{"model": "pelvis", "destinations": ["room 1, TPS"]}])
    put(node, scan)
    work(node)
    assert len(receiver.structure_sets) == 1


def test_a_destination_that_left_the_configuration_is_reported(idle, settings, scan, receiver):
    """The series was judged before; with a rule that names another destination, a retry sends it there."""
    node = idle()
    key = put(node, scan)
    node.step()
    renamed = {"destinations": {"new": settings.destinations["planning"]}}
    node = idle(**renamed, rules=[{"model": "pelvis", "destinations": ["new"]}])
    node.recover()
    work(node)
    (status,) = status_rows(node.queue)
    assert status.state == "failed"
    assert status.details == "The destination planning is not in the configuration any more."
    node.queue.retry(key)
    work(node)
    assert [str(row.state) for row in node.queue.series()] == ["sent"]
    assert len(receiver.structure_sets) == 1


def test_a_kind_of_file_that_joins_the_configuration_is_reported(idle, settings, scan, receiver, tmp_path):
    """The result was made without a SEG; a retry makes another one, which has it."""
    node = idle()
    key = put(node, scan)
    node.step()
    node.step()
    planning = settings.destinations["planning"].model_dump() | {"send": ["rtstruct", "seg"]}
    node = idle(destinations={"planning": planning})
    work(node)
    (status,) = status_rows(node.queue)
    assert (status.state, "no SEG.dcm" in status.details) == ("failed", True)
    assert not receiver.received
    node.queue.retry(key)
    work(node)
    assert sorted(dataset.Modality for dataset in receiver.received) == ["RTSTRUCT", "SEG"]
    assert len(predictions(tmp_path / "model")) == 2


@pytest.mark.parametrize(("kinds", "state"), [(["rtstruct", "seg"], "sent"), (["seg"], "failed")])
def test_a_result_without_structures_has_no_seg(idle, settings, scan, receiver, kinds, state):
    planning = settings.destinations["planning"].model_dump() | {"send": kinds}
    node = idle(destinations={"planning": planning})
    put(node, scan)
    node.step()
    node.step()
    next(node.folder.results.glob("*/SEG.dcm")).unlink()  # it was asked for, and nothing failed
    node.deliver()
    (status,) = status_rows(node.queue)
    assert status.state == state
    assert len(receiver.received) == (state == "sent")
    if state == "failed":
        assert status.details == "The result has no file that this destination receives; nothing is sent."


def test_a_refused_result_is_not_predicted_again(idle, scan, receiver, tmp_path):
    """After a retry, the result that exists is checked and sent."""
    node = idle()
    key = put(node, scan)
    node.step()
    node.step()
    (waiting,) = node.queue.deliveries("waiting")
    node.queue.refuse(waiting, "The patient of RS.dcm and of the scan differ; nothing is sent.")
    node.queue.retry(key)
    work(node)
    assert len(receiver.structure_sets) == len(predictions(tmp_path / "model")) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("order", "state"), [("die once", "sent"), ("die", "failed"), ("crash", "failed")])
def test_a_dead_worker_is_started_once_more(settings, start, scan, tmp_path, order, state):
    (tmp_path / "model" / "orders").write_text(order)
    running = start(settings, process=True)
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == [state])
    events = [event["event"] for event in audit(settings)]
    assert events.count("worker died") == (order != "crash")
    if order != "die":
        return
    second = write_scan(tmp_path / "second", 7)  # the node works on
    (tmp_path / "model" / "orders").unlink()
    store(second.files, settings.listen.port)
    wait_until(lambda: running.states() == [state, "sent"])


@pytest.mark.slow
def test_a_hung_prediction_is_ended(settings, start, scan, tmp_path):
    (tmp_path / "model" / "orders").write_text("hang")
    running = start(with_changes(settings, job_minutes=0.05), process=True)
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["failed"])
    assert "minutes" in status_rows(running.node.queue)[0].details


@pytest.mark.parametrize(("caller", "called"), [("STRANGER", "GYNBTNET"), ("SCANNER", "OTHER"), ("", "GYNBTNET")])
def test_a_wrong_ae_title_is_rejected(settings, start, scan, caller, called):
    running = start(settings)
    assert store(scan.files, settings.listen.port, caller or "ANY", called) == [None]
    assert running.states() == []
    assert audit(settings)[-1]["event"] == "rejected"


def test_a_wrong_address_is_rejected(settings, start, scan):
    listen = settings.listen.model_dump() | {"callers": [{"ae_title": "SCANNER", "addresses": ["127.0.0.2"]}]}
    running = start(with_changes(settings, listen=listen))
    assert store(scan.files, listen["port"]) == [None]
    assert running.states() == []


def test_nobody_may_send_by_default(settings, start, scan):
    listen = {"port": free_port()}
    start(with_changes(settings, listen=listen))
    assert store(scan.files, listen["port"]) == [None]


def test_a_full_disk_is_reported_as_out_of_resources(settings, start, scan):
    running = start(with_changes(settings, minimum_free_gb=1e6))
    assert set(store(scan.files, settings.listen.port)) == {0xA700}
    assert running.states() == []


@pytest.mark.parametrize(
    "rule",
    [
        {"calling_ae": "OTHER"},
        {"modality": "MR"},
        {"series_description": "*brain*"},
        {"body_part": "HEAD"},
    ],
)
def test_a_series_without_a_rule_is_ignored(settings, start, scan, rule):
    running = start(with_changes(settings, rules=[rule | {"model": "pelvis"}]))
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["ignored"])


def test_rules_apply_in_their_order(settings, start, scan):
    rules = [{"series_description": "plan*", "ignore": True}, {"model": "pelvis"}]
    running = start(with_changes(settings, rules=rules))
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["ignored"])


def test_a_watched_folder(settings, start, scan, tmp_path, receiver):
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    (incoming / "notes.txt").write_text("no DICOM")
    running = start(with_changes(settings, watch={"folder": incoming, "quiet_seconds": 0}))
    for path in scan.files:
        shutil.copy(path, incoming)
    (incoming / "damaged.dcm").write_bytes(scan.files[0].read_bytes()[:300])
    wait_until(lambda: running.states() == ["sent"])
    assert len(list(incoming.iterdir())) == 8  # they stay
    assert len(receiver.structure_sets) == 1


def test_a_second_node_in_the_folder_is_refused(settings, start):
    start(settings)
    with pytest.raises(BadInput, match="Another node runs"):
        from gynbtnet.node.service import Node

        Node(settings).run(stop=None)


def test_a_port_in_use_is_one_sentence(settings, start):
    start(settings)
    from gynbtnet.node.service import Node

    with pytest.raises(BadInput, match="can't listen on"):
        Node(with_changes(settings, folder=settings.folder.parent / "second")).run(stop=None)


def test_metrics(settings, start, scan):
    from urllib.request import urlopen

    port = free_port()
    running = start(with_changes(settings, metrics_port=port))
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["sent"])
    text = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    assert 'gynbtnet_series{state="sent"} 1' in text
    assert 'gynbtnet_deliveries{destination="planning",state="sent"} 1' in text


def test_the_place_in_the_queue(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite")
    for key, seconds in (("a", 90.0), ("b", None), ("c", None)):
        queue.arrived(key, "SCANNER")
        queue.set(key, State.sent if seconds else State.complete, seconds=seconds)
    details = [row.details for row in status_rows(queue)]
    assert details[1:] == [
        "number 1 in the queue, about 2 min until the result",
        "number 2 in the queue, about 3 min until the result",
    ]


def test_a_node_needs_no_torch_to_listen(tmp_path):
    import subprocess
    import sys

    code = "import sys, gynbtnet.node.service; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
