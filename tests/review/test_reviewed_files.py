"""Files of a review: exactly the drawn voxels, untouched contours to the byte, and what the correction was."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest

from gynbtnet.imaging import (
    Segmentation,
    StructureNames,
    Volume,
    read_mask_folder,
    read_rtstruct,
    read_seg,
    read_volume,
    write_rtstruct,
)
from gynbtnet.review import find_predictions, measure_edited, open_case, write_review
from gynbtnet.review.case import ReviewCase
from gynbtnet.review.opened_case import open_session
from gynbtnet.review.patches import Patch, patches_between
from gynbtnet.review.session import ReviewSession
from gynbtnet.runtime import BadInput, sha256_of

from .conftest import GRIDS, SHAPE, STRUCTURES, phantom_masks

NAMES = StructureNames.load()


def scribble(session: ReviewSession, structure: str, planes: Sequence[tuple[int, int]], seed: int = 0) -> None:
    """Change a random block of voxels in some planes, given by axis and index."""
    random = np.random.default_rng(seed)
    for axis, index in planes:
        plane = np.take(session.displayed(structure), index, axis)
        changed = np.zeros_like(plane)
        changed[3:12, 4:20] = random.random(changed[3:12, 4:20].shape) < 0.5
        session.edit(structure, "brush", [Patch.of(changed, axis, index)])


def contour_bytes(path: Path, roi: str) -> dict[int, list[bytes]]:
    """Return the stored points of the contours of a ROI by instance number of the slice."""
    rtstruct = pydicom.dcmread(path)
    number = next(item.ROINumber for item in rtstruct.StructureSetROISequence if item.ROIName == roi)
    contours: dict[int, list[bytes]] = {}
    for item in rtstruct.ROIContourSequence:
        if item.ReferencedROINumber == number:
            for contour in item.get("ContourSequence") or ():
                uid = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
                contours.setdefault(uid, []).append(bytes(contour.get_item("ContourData").value))
    return contours


@pytest.mark.parametrize("grid", GRIDS)
def test_the_rtstruct_has_exactly_the_drawn_voxels(make_prediction: Callable[..., Path], grid: str) -> None:
    folder = make_prediction(geometry=GRIDS[grid])
    case = open_case(folder)
    with open_session(case) as session:
        scribble(session, "bladder", [(0, 4), (0, 5), (1, 13), (2, 20)])
        out = write_review(case, session)
        expected = {name: mask.copy() for name, mask in session.masks.items()}
    read, _ = read_rtstruct(out / "RS.dcm", case.series, STRUCTURES, NAMES)
    for name in STRUCTURES:
        assert np.array_equal(read.mask(name), expected[name])
    masks = read_mask_folder(out / "masks", STRUCTURES) if (out / "masks").is_dir() else None
    assert masks is not None, "the scribble overlaps the HR-CTV"
    assert all(np.array_equal(masks.mask(name), expected[name]) for name in STRUCTURES)


def test_untouched_contours_are_identical_to_the_byte(make_prediction: Callable[..., Path]) -> None:
    folder = make_prediction()
    case = open_case(folder)
    before = (folder / "RS.dcm").read_bytes()
    with open_session(case) as session:
        scribble(session, "bladder", [(0, 4), (0, 6)])
        out = write_review(case, session)
    assert (folder / "RS.dcm").read_bytes() == before
    for roi in ("CTV_High", "Rectum"):
        assert contour_bytes(out / "RS.dcm", roi) == contour_bytes(folder / "RS.dcm", roi)
    old, new = (contour_bytes(path, "Bladder") for path in (folder / "RS.dcm", out / "RS.dcm"))
    touched = {case.series.slices[z].sop_instance_uid for z in (4, 6)}
    assert {uid for uid in old.keys() | new.keys() if old.get(uid) != new.get(uid)} == touched


def test_the_header_says_what_was_done(make_prediction: Callable[..., Path]) -> None:
    folder = make_prediction()
    case = open_case(folder)
    with open_session(case) as session:
        scribble(session, "bladder", [(0, 4)])
        for name in ("bladder", "rectum"):
            session.accept(name, accepted=True, sure=True)
        first = write_review(case, session, seg=True)
        with pytest.raises(BadInput, match="Only accepted contours can be approved; accept HR-CTV first"):
            write_review(case, session, reviewer="Doe^Jane")
        session.accept("hr_ctv", accepted=True, sure=True)
        second = write_review(case, session, reviewer="Doe^Jane")
        for name in ("", "A\\B", "x" * 65):
            with pytest.raises(BadInput):
                write_review(case, session, reviewer=name or "  ")
    assert (first.name, second.name) == ("001", "002")
    assert sorted(path.name for path in (folder / "review").iterdir()) == [".lock", "001", "002", "journal.jsonl"]
    automatic, drawn, approved = (pydicom.dcmread(path / "RS.dcm") for path in (folder, first, second))
    assert len({rtstruct.SOPInstanceUID for rtstruct in (automatic, drawn, approved)}) == 3
    for rtstruct in (drawn, approved):
        assert rtstruct.file_meta.MediaStorageSOPInstanceUID == rtstruct.SOPInstanceUID
        (predecessor,) = rtstruct.PredecessorStructureSetSequence
        assert predecessor.ReferencedSOPInstanceUID == automatic.SOPInstanceUID
        algorithms = [roi.ROIGenerationAlgorithm for roi in rtstruct.StructureSetROISequence]
        assert algorithms == ["AUTOMATIC", "SEMIAUTOMATIC", "AUTOMATIC"]
    remarks = [roi.ROIDescription for roi in drawn.StructureSetROISequence]
    assert remarks == [
        "NOT REVIEWED. Automatic contour.",
        "Automatic contour, edited and accepted.",
        "Automatic contour, accepted unchanged.",
    ]
    assert drawn.ApprovalStatus == "UNAPPROVED" and "ReviewerName" not in drawn
    assert (approved.ApprovalStatus, approved.ReviewerName) == ("APPROVED", "Doe^Jane")
    assert approved.ReviewDate and approved.ReviewTime
    seg = pydicom.dcmread(first / "SEG.dcm")
    types = [segment.SegmentAlgorithmType for segment in seg.SegmentSequence]
    assert types == ["AUTOMATIC", "SEMIAUTOMATIC", "AUTOMATIC"]
    record = json.loads((second / "review.json").read_text())
    assert record["approved_by"] == "Doe^Jane"
    statuses = {name: review["status"] for name, review in record["structures"].items()}
    assert statuses == {
        "hr_ctv": "accepted unchanged",
        "bladder": "accepted edited",
        "rectum": "accepted unchanged",
    }


def test_review_json_says_what_the_correction_was(make_prediction: Callable[..., Path]) -> None:
    folder = make_prediction()
    case = open_case(folder)
    with open_session(case) as session:
        changed = np.zeros(SHAPE[1:], bool)
        changed[9, 18:20] = True  # inside the bladder: a hole of two voxels in one slice
        session.edit("bladder", "eraser", [Patch.of(changed, 0, 6)])
        scribble(session, "bladder", [(0, 3), (0, 3), (2, 20)])
        for _ in range(3):
            session.undo()
        session.redo()
        session.undo()
        out = write_review(case, session)
        scribble(session, "bladder", [(0, 3), (0, 3), (0, 4), (2, 20)])
        session.undo()
        second = write_review(case, session)
    structures = [json.loads((folder / "review.json").read_text())["structures"] for folder in (out, second)]
    assert [review["bladder"]["tools"] for review in structures] == [
        {"eraser": {"strokes": 1, "planes": 1}},
        {"brush": {"strokes": 3, "planes": 2}, "eraser": {"strokes": 1, "planes": 1}},
    ]
    assert structures[1]["rectum"]["tools"] == {}
    correction = structures[0]["bladder"]["correction"]
    assert (correction["voxels_added"], correction["voxels_removed"], correction["slices_touched"]) == (0, 2, 1)
    # The hole has six neighbours in the slice, which become contour voxels of 1.5 mm.
    assert correction["added_path_length_mm"] == pytest.approx(6 * 1.5)
    assert correction["volume_before_cm3"] - correction["volume_after_cm3"] == pytest.approx(2 * 6.75 / 1000, abs=1e-3)
    assert 0.9 < correction["surface_dsc"] <= 1 and correction["dose"] == []


def test_a_structure_that_was_deleted_has_no_contours(make_prediction: Callable[..., Path]) -> None:
    folder = make_prediction()
    case = open_case(folder)
    with open_session(case) as session:
        before = session.displayed("rectum").copy()
        session.edit("rectum", "eraser", list(patches_between(before, before & False, 0)))
        out = write_review(case, session)
    assert contour_bytes(out / "RS.dcm", "Rectum") == {}
    correction = json.loads((out / "review.json").read_text())["structures"]["rectum"]["correction"]
    assert (correction["added_path_length_share"], correction["surface_dsc"]) == (None, None)


def test_overlapping_predictions_stay_overlapping(make_prediction: Callable[..., Path]) -> None:
    masks = phantom_masks()
    masks["rectum"][4:8, 15:30, 15:20] = True  # into the HR-CTV
    case = open_case(make_prediction(overlapping=True, masks=masks))
    with open_session(case) as session:
        assert all(np.array_equal(session.masks[name], masks[name]) for name in STRUCTURES)
        out = write_review(case, session, seg=True)
    read, _ = read_seg(out / "SEG.dcm", case.series, STRUCTURES, NAMES)
    assert all(np.array_equal(read.mask(name), masks[name]) for name in STRUCTURES)


def test_without_an_rtstruct_there_is_no_predecessor(make_prediction: Callable[..., Path]) -> None:
    case = open_case(make_prediction(rtstruct=False))
    with open_session(case) as session:
        scribble(session, "bladder", [(0, 4)])
        out = write_review(case, session)
    rtstruct = pydicom.dcmread(out / "RS.dcm")
    assert "PredecessorStructureSetSequence" not in rtstruct
    assert rtstruct.StructureSetROISequence[1].ROIGenerationAlgorithm == "SEMIAUTOMATIC"


def test_an_image_file_gets_a_label_map(make_prediction: Callable[..., Path]) -> None:
    folder = make_prediction(dicom=False)
    case = open_case(folder)
    with open_session(case) as session:
        out = write_review(case, session)
        with pytest.raises(BadInput, match="needs a DICOM scan"):
            write_review(case, session, seg=True)
    assert sorted(path.name for path in out.iterdir()) == ["labels.nii.gz", "review.json"]
    labels, before = (read_volume(path / "labels.nii.gz").array for path in (out, folder))
    assert np.array_equal(labels, before)


def test_a_second_program_is_kept_out(make_prediction: Callable[..., Path]) -> None:
    case = open_case(make_prediction())
    with (
        open_session(case),
        pytest.raises(BadInput, match="open in another program"),
        open_session(case),
    ):
        pass


def edited_elsewhere(case: ReviewCase, path: Path, masks: dict[str, np.ndarray]) -> Path:
    labels = np.zeros(SHAPE, np.uint8)
    for number, mask in enumerate(masks.values(), start=1):
        labels[mask] = number
    write_rtstruct(
        Segmentation(Volume(labels, case.scan.geometry), tuple(masks)),
        case.series,
        path,
        names=NAMES,
        label="TPS",
        description="SYNTHETIC",
        software_version="9",
        automatic=False,
    )
    return path


def test_contours_that_were_edited_elsewhere_are_measured(make_prediction: Callable[..., Path], tmp_path: Path) -> None:
    case = open_case(make_prediction())
    masks = {name: case.automatic.mask(name) for name in ("hr_ctv", "bladder")}
    masks["bladder"][6, 9, 18:20] = False
    record = measure_edited(case, edited_elsewhere(case, tmp_path / "TPS.dcm", masks))
    assert {name: review.status for name, review in record.structures.items()} == {
        "hr_ctv": "unchanged",
        "bladder": "edited elsewhere",
        "rectum": "missing",
    }
    correction = record.structures["bladder"].correction
    assert (correction.voxels_removed, correction.slices_touched, correction.added_path_length_mm) == (2, 1, 9.0)


def test_contours_of_another_scan_are_refused(make_prediction: Callable[..., Path], tmp_path: Path) -> None:
    case, other = open_case(make_prediction("a")), open_case(make_prediction("another"))
    path = edited_elsewhere(other, tmp_path / "TPS.dcm", phantom_masks())
    with pytest.raises(BadInput, match="another frame of reference"):
        measure_edited(case, path)


def test_a_scan_that_changed_or_moved(make_prediction: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_prediction()
    scan = tmp_path / "scans" / "case-1"
    moved = scan.rename(tmp_path / "moved")
    with pytest.raises(BadInput, match="no longer exists; give its folder or file with --scan"):
        open_case(folder)
    assert open_case(folder, scan=tmp_path).series is not None
    first = sorted(moved.iterdir())[0]
    slice_ = pydicom.dcmread(first)
    slice_.PatientComments = "changed"
    slice_.save_as(first)
    with pytest.raises(BadInput, match="changed since"):
        open_case(folder, scan=moved)


def test_a_channel_that_moved_is_named(make_prediction: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_prediction(dicom=False)
    scan, channel = tmp_path / "scans" / "case-1.nii.gz", tmp_path / "scans" / "mri.nii.gz"
    shutil.copy(scan, channel)
    manifest = json.loads((folder / "prediction.json").read_text())
    manifest["scan"]["channels"] = [str(channel)]
    manifest["input"]["sha256"] = sha256_of(scan, channel)
    (folder / "prediction.json").write_text(json.dumps(manifest))
    assert open_case(folder).scan.array.shape == SHAPE
    channel.rename(tmp_path / "mri.nii.gz")
    for given in (None, scan, tmp_path):
        with pytest.raises(BadInput, match=r"channel of the scan of .* was .*/mri.nii.gz, which no longer exists"):
            open_case(folder, scan=given)


def test_the_worklist_begins_with_what_needs_eyes(make_prediction: Callable[..., Path], tmp_path: Path) -> None:
    make_prediction("good", flags=(), low=0.9)
    make_prediction("uncertain", flags=(), low=0.3)
    make_prediction("flagged", flags=(("rectum", "edge"), ("rectum", "fragmented")))
    make_prediction("worst", flags=(("rectum", "edge"), ("bladder", "missing")))
    reviewed = make_prediction("reviewed", flags=(("rectum", "edge"), ("bladder", "missing"), ("hr_ctv", "edge")))
    case = open_case(reviewed)
    with open_session(case) as session:
        write_review(case, session)
    (tmp_path / "predictions" / "damaged").mkdir()
    (tmp_path / "predictions" / "damaged" / "prediction.json").write_text("{")
    items = find_predictions(tmp_path / "predictions")
    assert [item.name for item in items] == ["worst", "flagged", "uncertain", "good", "reviewed", "damaged"]
    assert items[0].structures_flagged == 2 and items[-1].problem and items[4].is_written
    assert items[0].name == "worst" and find_predictions(tmp_path)[0].name == "predictions/worst"
    with pytest.raises(BadInput, match="contains no prediction"):
        find_predictions(tmp_path / "scans")
