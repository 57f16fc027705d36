"""Contours that were corrected with `gynbtnet review` are sent on."""

import json
import shutil

import numpy as np
import pydicom
import pytest

from gynbtnet.node.delivery import send
from gynbtnet.node.status import status_rows
from gynbtnet.review import open_case, open_session, patches_between, write_review

from .conftest import store, wait_until, with_changes


@pytest.mark.parametrize("reviewer", ["Doe^Jane", None])
def test_a_corrected_result_is_sent_on(settings, start, scan, receiver, reviewer):
    """A voxel is added, the structure accepted and written, as the page does it."""
    running = start(settings)
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["sent"])
    row = running.node.queue.series()[0]
    case = open_case(running.node.folder.result(row.key, row.version))
    with open_session(case) as session:
        before = session.displayed("hr_ctv").copy()
        after = before.copy()
        after[2, 8, 4] = True
        session.edit("hr_ctv", "brush", list(patches_between(before, after, 0)))
        session.accept("hr_ctv", accepted=True, sure=True)
        folder = write_review(case, session, reviewer=reviewer)
    wait_until(lambda: len(receiver.structure_sets) == 2)
    automatic, corrected = receiver.structure_sets
    assert automatic.ApprovalStatus == "UNAPPROVED"
    assert corrected.ApprovalStatus == ("APPROVED" if reviewer else "UNAPPROVED")
    assert corrected.SOPInstanceUID == pydicom.dcmread(folder / "RS.dcm").SOPInstanceUID != automatic.SOPInstanceUID
    assert corrected.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID == automatic.SOPInstanceUID
    assert corrected.PatientID == scan.patient_id
    assert corrected.StructureSetROISequence[0].ROIGenerationAlgorithm == "SEMIAUTOMATIC"
    assert json.loads((folder / "review.json").read_text())["structures"]["hr_ctv"]["correction"]["voxels_added"] == 1
    wait_until(lambda: {delivery.state for delivery in running.node.queue.deliveries()} == {"sent"})
    running.node.step()
    running.node.deliver()
    assert len(receiver.structure_sets) == 2  # and only once
    assert np.array_equal(session.automatic["hr_ctv"], case.automatic.mask("hr_ctv"))


def test_a_review_goes_to_those_who_receive_such_files_and_only_when_it_is_whole(settings, start, scan, receiver):
    """Without a SEG in the review, the archive that receives nothing else gets nothing, and the others don't wait."""
    planning = settings.destinations["planning"].model_dump()
    destinations = {"archive": planning | {"send": ["seg"]}, "planning": planning}
    rules = [{"model": "pelvis", "destinations": ["archive", "planning"]}]
    running = start(with_changes(settings, destinations=destinations, rules=rules))
    store(scan.files, settings.listen.port)
    wait_until(lambda: running.states() == ["sent"])
    row = running.node.queue.series()[0]
    result = running.node.folder.result(row.key, row.version)
    partial = result / "review" / ".partial-001"  # as it is while `gynbtnet review` writes
    shutil.copytree(result, partial, ignore=shutil.ignore_patterns("review", "SEG.dcm"))
    running.node.step()
    assert {delivery.version for delivery in running.node.queue.deliveries()} == {row.version}
    partial.rename(result / "review" / "001")
    wait_until(lambda: len(receiver.structure_sets) == 2)
    deliveries = running.node.queue.deliveries()
    assert [each.destination for each in deliveries if each.version != row.version] == ["planning"]


def test_a_delivery_that_fails_unexpectedly_does_not_stop_the_others(settings, start, scan, receiver, monkeypatch):
    planning = settings.destinations["planning"].model_dump()
    destinations = {"broken": planning | {"ae_title": "BROKEN"}, "planning": planning}
    rules = [{"model": "pelvis", "destinations": ["broken", "planning"]}]

    def send_or_break(files, destination, ae_title):
        if destination.ae_title == "BROKEN":
            raise RuntimeError("unexpected")
        send(files, destination, ae_title)

    monkeypatch.setattr("gynbtnet.node.service.send", send_or_break)
    running = start(with_changes(settings, destinations=destinations, rules=rules))
    store(scan.files, settings.listen.port)
    wait_until(lambda: len(receiver.structure_sets) == 1)
    wait_until(lambda: "RuntimeError" in status_rows(running.node.queue)[0].details)
    assert running.states() == ["produced"]
