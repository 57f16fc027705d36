"""One bad file affects only its own scan: an export of three patients, the second one damaged in many ways."""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gynbtnet.datasets import Cohort, dry_run, ingest, inspect_folder
from gynbtnet.evaluation import find_doses
from gynbtnet.imaging import (
    Geometry,
    StructureNames,
    Volume,
    assess_completeness,
    read_ct_files,
    read_ct_series,
    read_volume,
    search_series,
    write_volume,
)
from gynbtnet.inference import find_scans
from gynbtnet.runtime import BadInput

from .battery import CASES
from .builders import CT, MR_CLASS, rtdose, rtplan, rtstruct, uid

P = "CLOSED_PLANAR"
BLADDER: dict[str, Any] = {"structures": ("bladder",)}
NAMES = StructureNames.load()
VOXELS = 10 * 8 * 8
"""Size of the bladder in every patient: 8 slices of 10 × 8 voxels."""


def patient(folder: Path, name: str, seed: int) -> None:
    ct = CT(
        f"{folder}/CT", patient=name, hu=lambda k, i, j: np.random.default_rng((seed, k)).integers(-200, 200, i.shape)
    )
    rtstruct(f"{folder}/RS.dcm", ct, [(1, "Bladder", [(P, ct.box(k, 10, 19, 8, 15)) for k in range(2, 10)])])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "export"
    for seed, name in enumerate(("p1", "p2", "p3")):
        patient(folder / name, name.upper(), seed)
    return folder


@pytest.fixture
def export(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "export")


def slice_of(p2: Path, number: int = 11) -> Path:
    """Return a slice of the second patient; by default the last one, whose absence isn't visible in the geometry."""
    return p2 / "CT" / f"CT{number:03d}.dcm"


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def link(path: Path) -> None:
    """Replace a file by a link to nothing, as after a deletion in the store of a cluster."""
    path.unlink()
    path.symlink_to(path.with_name("deleted.dcm"))


def edit(path: Path, **values: object) -> None:
    """Set elements; None deletes one."""
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)


def header_end(path: Path) -> int:
    return path.read_bytes().index(b"\xe0\x7f\x10\x00")


def random_bytes(count: int) -> bytes:
    return np.random.default_rng(1).integers(0, 256, count, dtype=np.uint8).tobytes()


def in_place_of_rtstruct(p2: Path, change: Callable[[pydicom.Dataset], None]) -> None:
    dataset = pydicom.dcmread(p2 / "RS.dcm")
    change(dataset)
    dataset.save_as(p2 / "RS.dcm")


def second_set(p2: Path, **values: object) -> None:
    shutil.copy(p2 / "RS.dcm", p2 / "RS2.dcm")
    edit(p2 / "RS2.dcm", SOPInstanceUID=uid("second"), **values)


def of_another_image(dataset: pydicom.Dataset) -> None:
    frame = dataset.ReferencedFrameOfReferenceSequence[0]
    frame.FrameOfReferenceUID = uid("elsewhere")
    frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = uid("absent")
    dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = uid("elsewhere")


# What costs the second patient's CT, so that it is neither ingested nor predicted, and what names it.
SLICES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut in its preamble": (lambda p: cut(slice_of(p), 100), "CT011.dcm"),
    "cut in its file meta": (lambda p: cut(slice_of(p), 150), "CT011.dcm"),
    "cut at 300 bytes": (lambda p: cut(slice_of(p), 300), "CT011.dcm"),
    "cut behind Modality": (lambda p: cut(slice_of(p), slice_of(p).read_bytes().index(b"P2") - 8), "CT011.dcm"),
    "cut within PatientID": (lambda p: cut(slice_of(p), slice_of(p).read_bytes().index(b"P2") + 1), "CT011.dcm"),
    "cut within its UIDs": (
        lambda p: cut(slice_of(p), slice_of(p).read_bytes().index(b"\x20\0\x0e\0") + 20),
        "CT011.dcm",
    ),
    "cut before its pixels": (lambda p: cut(slice_of(p), header_end(slice_of(p))), "CT011.dcm"),
    "cut in its pixels": (lambda p: cut(slice_of(p), header_end(slice_of(p)) + 500), "CT011.dcm"),
    "a link without its file": (lambda p: link(slice_of(p)), "CT011.dcm"),
    "links without their files": (lambda p: [link(slice_of(p, k)) for k in (10, 11)], "CT010.dcm"),
    "not named in UTF-8": (lambda p: slice_of(p).rename(p / "CT" / os.fsdecode(b"CT\xfc11.dcm")), "CT?11.dcm"),
    "of no length": (lambda p: cut(slice_of(p), 0), "CT011.dcm"),
    "of zeros": (lambda p: slice_of(p).write_bytes(bytes(3000)), "CT011.dcm"),
    "of no length without a suffix": (lambda p: cut(slice_of(p).rename(p / "CT" / "IM11"), 0), "IM11"),
    "of random bytes": (lambda p: slice_of(p).write_bytes(random_bytes(3000)), "CT011.dcm"),
    "of random bytes behind DICM": (
        lambda p: slice_of(p).write_bytes(bytes(128) + b"DICM" + random_bytes(3000)),
        "CT011.dcm",
    ),
    "without Modality": (lambda p: edit(slice_of(p), Modality=None), "CT011.dcm"),
    "without SeriesInstanceUID": (lambda p: edit(slice_of(p), SeriesInstanceUID=None), "CT011.dcm"),
    "without ImagePositionPatient": (lambda p: edit(slice_of(p), ImagePositionPatient=None), "CT011.dcm"),
    "without Rows": (lambda p: edit(slice_of(p), Rows=None), "CT011.dcm"),
    "of odd depth": (lambda p: edit(slice_of(p), BitsAllocated=13), "CT011.dcm"),
    "a middle one cut": (lambda p: cut(slice_of(p, 5), 300), "CT005.dcm"),
    "several cut": (lambda p: [cut(slice_of(p, k), 300) for k in (3, 10, 11)], "CT003.dcm"),
    "all cut": (lambda p: [cut(slice_of(p, k), 300) for k in range(12)], "CT000.dcm"),
}

# What costs the second patient's contours alone.
CONTOURS: dict[str, tuple[Callable[[Path], object], str]] = {
    "RTSTRUCT cut in its header": (lambda p: cut(p / "RS.dcm", 400), "RS.dcm"),
    "RTSTRUCT cut in its contours": (lambda p: cut(p / "RS.dcm", 3000), "RS.dcm"),
    "RTSTRUCT of no length": (lambda p: cut(p / "RS.dcm", 0), "RS.dcm"),
    "RTSTRUCT without ROIs": (lambda p: edit(p / "RS.dcm", StructureSetROISequence=None), "RS.dcm"),
    "RTSTRUCT without Modality": (lambda p: edit(p / "RS.dcm", Modality=None), "RS.dcm"),
    "two RTSTRUCTs": (second_set, "RS2.dcm"),
    "RTSTRUCT of another image": (lambda p: in_place_of_rtstruct(p, of_another_image), "RS.dcm"),
    "RTSTRUCT without its CT": (lambda p: shutil.rmtree(p / "CT"), "RS.dcm"),
}

# What is listed and costs no scan.
BESIDE: dict[str, tuple[Callable[[Path], object], str]] = {
    "RTPLAN cut": (lambda p: cut(with_plan(p), 500), "RP.dcm"),
    "RTPLAN cut in its header": (lambda p: cut(with_plan(p), 250), "RP.dcm"),
    "RTDOSE cut in its header": (lambda p: cut(with_dose(p), 300), "RD.dcm"),
    "a CT file without Modality elsewhere": (
        lambda p: edit(Path(shutil.copy(slice_of(p), p.parent / "UN.dcm")), Modality=None, SeriesInstanceUID=None),
        "UN.dcm",
    ),
    "random bytes behind DICM elsewhere": (
        lambda p: (p.parent / "odd").write_bytes(bytes(128) + b"DICM" + random_bytes(900)),
        "odd",
    ),
    "an empty file elsewhere": (lambda p: (p.parent / "empty.dcm").write_bytes(b""), "empty.dcm"),
    "a cut MR slice": (
        lambda p: cut(Path(str(with_mr(p).sop and f"{p}/MR/CT003.dcm")), 400),
        "CT003.dcm",
    ),
    "a DICOMDIR of random bytes": (lambda p: (p.parent / "DICOMDIR").write_bytes(random_bytes(500)), "DICOMDIR"),
}


def with_plan(p2: Path) -> Path:
    ct = CT(f"{p2.parent.parent}/scratch", patient="P2")
    rtplan(f"{p2}/RP.dcm", ct)
    return p2 / "RP.dcm"


def with_dose(folder: Path) -> Path:
    ct = CT(f"{folder.parent.parent}/scratch", patient=folder.name.upper())
    rtdose(f"{folder}/RD.dcm", ct, np.ones((3, 4, 5)), (-10, -10, -10))
    return folder / "RD.dcm"


def with_mr(p2: Path) -> CT:
    def mr(dataset: pydicom.Dataset, _number: int) -> None:
        dataset.Modality, dataset.SOPClassUID = "MR", MR_CLASS
        dataset.file_meta.MediaStorageSOPClassUID = UID(MR_CLASS)

    return CT(f"{p2}/MR", patient="P2", series="mr", frame="mr frame", study="mr study", change=mr)


def ingested(export: Path, out: Path, **options: Any) -> tuple[Cohort, list[str]]:
    """Return the cohort and the reasons of its problems."""
    done = ingest(export, out, **{**BLADDER, **options}, leave_out_failing=True)
    return done.cohort, [one.reason for one in done.report.problems]


def came_through(cohort: Cohort, export: Path, *numbers: int) -> None:
    """Check that the cohort has exactly these patients, with their original voxels and contours."""
    positions = {case.source.rtstruct.parent.name: case for case in cohort.cases if case.source.rtstruct}
    assert sorted(positions) == [f"p{number}" for number in numbers]
    for number in numbers:
        case = positions[f"p{number}"]
        image, labels = read_volume(case.image).array, read_volume(case.labels).array
        for k in range(12):
            np.testing.assert_array_equal(
                image[k], np.random.default_rng((number - 1, k)).integers(-200, 200, (40, 32))
            )
        assert (labels > 0).sum() == VOXELS
        assert (labels[2:10, 10:20, 8:16] > 0).all()


def names_once(reasons: list[str], name: str) -> None:
    assert sum(name in reason for reason in reasons) == 1, reasons
    assert not any("P2" in reason.replace("p2", "") for reason in reasons), reasons  # its PatientID


@pytest.mark.parametrize("kind", [*SLICES, *CONTOURS])
def test_ingest_takes_the_others(kind: str, export: Path, tmp_path: Path) -> None:
    harm, name = (SLICES | CONTOURS)[kind]
    harm(export / "p2")
    cohort, reasons = ingested(export, tmp_path / "cohort")
    came_through(cohort, export, 1, 3)
    names_once(reasons, name)
    seen = dry_run(export, tmp_path / "dry", "dicom-rt", **BLADDER)
    assert {one.scan.folder.parent.name for one in seen.scans} >= {"p1", "p3"}
    assert not (tmp_path / "dry").exists()


@pytest.mark.parametrize("kind", BESIDE)
def test_ingest_takes_all_and_lists_what_is_next_to(kind: str, export: Path, tmp_path: Path) -> None:
    harm, name = BESIDE[kind]
    harm(export / "p2")
    cohort, reasons = ingested(export, tmp_path / "cohort")
    came_through(cohort, export, 1, 2, 3)
    names_once(reasons, name)
    if "RTPLAN" in kind:
        (reported,) = [case.notes for case in cohort.cases if case.notes]
        assert "RTPLAN next to its structure set can't be read" in reported[0]


SOME_SLOW = [
    pytest.param(kind, marks=pytest.mark.slow if number % 2 else ())
    for number, kind in enumerate([*SLICES, *CONTOURS, *BESIDE])
]
"""All kinds; every other one is a slow test."""


@pytest.mark.parametrize("kind", SOME_SLOW)
def test_inspect_shows_it_as_a_row(kind: str, export: Path) -> None:
    harm, name = (SLICES | CONTOURS | BESIDE)[kind]
    harm(export / "p2")
    rows = inspect_folder(export, NAMES).items
    for number in (1, 3):
        assert {(one.path, one.kind, one.problem) for one in rows if one.path.startswith(f"p{number}")} == {
            (f"p{number}/CT", "CT", ""),
            (f"p{number}/RS.dcm", "RTSTRUCT", ""),
        }
    if kind != "RTSTRUCT without ROIs":  # which is whole, and holds none
        assert any(name in f"{one.path} {one.problem}" and one.problem for one in rows), rows


@pytest.mark.parametrize("kind", SOME_SLOW)
def test_predict_finds_the_others(kind: str, export: Path) -> None:
    harm, name = (SLICES | CONTOURS | BESIDE)[kind]
    harm(export / "p2")
    found = find_scans([export], ("CT",), export.with_name("out"))
    scans = {scan.path.parent.name for scan in found.scans.values()}
    assert scans >= {"p1", "p3"}
    if "p2" not in scans and kind != "RTSTRUCT without its CT":
        assert any(name in reason for _, reason in found.failed)
    if kind in CONTOURS and kind != "RTSTRUCT without its CT":
        assert "p2" in scans


def test_a_flat_folder_of_all_patients(export: Path, tmp_path: Path) -> None:
    """References of structure sets identify the patient of the damaged slice, and the complete scans."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted(export.rglob("*.dcm")):
        path.rename(flat / f"{path.relative_to(export).parts[0]}_{path.name}")
    cut(flat / "p2_CT011.dcm", 300)
    done = ingest(flat, tmp_path / "cohort", "dicom-rt", **BLADDER, leave_out_failing=True)
    assert [case.source.rtstruct.name for case in done.cohort.cases if case.source.rtstruct] == [
        "p1_RS.dcm",
        "p3_RS.dcm",
    ]
    assert not any(case.notes for case in done.cohort.cases)
    # Without a structure set nobody knows whose it is: each is taken, and says so.
    for path in flat.glob("*RS.dcm"):
        path.unlink()
    cut(flat / "p2_CT011.dcm", 100)
    found = find_scans([flat], ("CT",), tmp_path / "out")
    assert len(found.scans) == 3
    assert all("the scan is shorter than it was" in scan.warnings[0] for scan in found.scans.values())
    assert "p2_CT011.dcm" in found.failed[0][1]
    scans = ingest(flat, tmp_path / "scans", "scans", leave_out_failing=True)
    assert all("the scan is shorter than it was" in case.notes[0] for case in scans.cohort.cases)
    assert len(scans.cohort.cases) == 3


def test_a_copy_of_a_patient_counts_once(export: Path, tmp_path: Path) -> None:
    shutil.copytree(export / "p2", export / "p2 copy")
    done = ingest(export, tmp_path / "cohort", "dicom-rt", **BLADDER, leave_out_failing=True)
    assert (len(done.cohort.cases), done.report.problems) == (3, ())
    (notes,) = [case.notes for case in done.cohort.cases if case.notes]
    assert notes == ("Left out 12 file(s) that are exact copies of others.",)
    assert len(find_scans([export], ("CT",), export.with_name("out")).scans) == 3
    copies = [one for one in inspect_folder(export, NAMES).items if "exact copy" in one.contents]
    assert len(copies) == 13
    # A damaged copy of a slice that is there whole costs nothing.
    cut(export / "p2 copy" / "CT" / "CT011.dcm", 300)
    again = ingest(export, tmp_path / "cohort", "dicom-rt", **BLADDER, leave_out_failing=True)
    assert len(again.cohort.cases) == 3
    assert "p2 copy/CT/CT011.dcm" in again.report.problems[0].reason


def test_patients_without_an_id(export: Path, tmp_path: Path) -> None:
    for path in (export / "p2").rglob("*.dcm"):
        edit(path, PatientID="")
    cohort, reasons = ingested(export, tmp_path / "cohort")
    came_through(cohort, export, 1, 3)
    assert "no PatientID" in reasons[0]
    edit(slice_of(export / "p2", 5), PatientID="P2")  # one slice that says it is enough
    cohort, reasons = ingested(export, tmp_path / "cohort")
    came_through(cohort, export, 1, 2, 3)
    assert reasons == []


def test_contours_of_another_patient(export: Path, tmp_path: Path) -> None:
    edit(export / "p2" / "RS.dcm", PatientID="P9")
    cohort, reasons = ingested(export, tmp_path / "cohort")
    came_through(cohort, export, 1, 3)
    assert "has another PatientID than the CT" in reasons[0]


RULES = {
    ("latest",): "RS2.dcm",
    ("approved",): "RS.dcm",
    ("approved", "latest"): "RS.dcm",
    ("*2.dcm",): "RS2.dcm",
    ("rev*",): "RS2.dcm",
}


@pytest.mark.parametrize("rules", RULES)
def test_a_rule_chooses_between_structure_sets(rules: tuple[str, ...], export: Path, tmp_path: Path) -> None:
    edit(export / "p2" / "RS.dcm", ApprovalStatus="APPROVED")
    second_set(export / "p2", StructureSetDate="20260102", StructureSetLabel="Revised", ApprovalStatus="UNAPPROVED")
    cohort, reasons = ingested(export, tmp_path / "cohort", rtstruct=rules)
    came_through(cohort, export, 1, 2, 3)
    assert reasons == []
    (case,) = [case for case in cohort.cases if case.notes]
    assert case.source.rtstruct == export / "p2" / RULES[rules]
    assert case.notes == (f"Took one of 2 structure sets on its CT by --rtstruct {','.join(rules)}.",)


def test_no_rule_and_one_that_leaves_two_name_both(export: Path, tmp_path: Path) -> None:
    second_set(export / "p2", StructureSetDate="20251231", StructureSetTime="120000")
    _, (reason,) = ingested(export, tmp_path / "cohort")
    assert "RS.dcm (“CASE”, 20260101 000000) and " in reason
    assert "RS2.dcm (“CASE”, 20251231 120000) are both drawn on one CT" in reason
    assert "--rtstruct latest, approved, label=PATTERN, or a pattern" in reason
    _, (reason,) = ingested(export, tmp_path / "cohort", rtstruct=("case",))
    assert "--rtstruct case leaves 2 of them" in reason
    with pytest.raises(BadInput, match="doesn't use --rtstruct"):
        ingest(export, tmp_path / "scans", "scans", rtstruct=("latest",))


def built(kind: str, folder: Path) -> Path:
    CASES[kind][0](str(folder))
    return folder


def test_mr_with_own_structures(tmp_path: Path) -> None:
    source = built("mr_with_own_structures", tmp_path / "in")
    done = ingest(source, tmp_path / "cohort", "dicom-rt", **BLADDER, leave_out_failing=True)
    (case,) = done.cohort.cases
    assert case.volumes_cm3["bladder"] == pytest.approx(640 * 3 / 1000)
    assert done.report.problems == ()
    assert "1 structure set(s) drawn on MR, not on a CT, were left out." in done.cohort.notes
    rows = {one.path: one for one in inspect_folder(source, NAMES).items}
    assert rows["mr/RS_MR.dcm"].problem == ""
    assert "drawn on MR" in rows["mr/RS_MR.dcm"].contents
    # The MR itself was not exported: what the structure set calls its images says what they are.
    for path in (source / "mr").glob("CT*.dcm"):
        path.unlink()
    rtstruct_mr = pydicom.dcmread(source / "mr" / "RS_MR.dcm")
    study = rtstruct_mr.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    for image in study.RTReferencedSeriesSequence[0].ContourImageSequence:
        image.ReferencedSOPClassUID = MR_CLASS
    rtstruct_mr.save_as(source / "mr" / "RS_MR.dcm")
    done = ingest(source, tmp_path / "cohort", "dicom-rt", **BLADDER, leave_out_failing=True)
    assert (len(done.cohort.cases), done.report.problems) == (1, ())
    assert "1 structure set(s) drawn on MR Image Storage, not on a CT, were left out." in done.cohort.notes


def test_structures_on_an_mr_in_the_frame_of_the_ct(tmp_path: Path) -> None:
    """If the CT has its own structure set, they are omitted with a note."""
    ct = CT(tmp_path / "in" / "ct")
    rtstruct(f"{tmp_path}/in/RS.dcm", ct, [(1, "Bladder", [(P, ct.box(k, 10, 19, 8, 15)) for k in range(2, 10)])])
    mr = CT(
        tmp_path / "in" / "mr",
        series="mr",
        change=lambda d, k: (setattr(d, "Modality", "MR"), setattr(d, "SOPClassUID", MR_CLASS)),
    )
    rtstruct(f"{tmp_path}/in/RS_MR.dcm", mr, [(1, "Bladder", [(P, mr.box(k, 2, 4, 8, 15)) for k in range(2, 10)])])
    done = ingest(tmp_path / "in", tmp_path / "cohort", "dicom-rt", **BLADDER, leave_out_failing=True)
    (case,) = done.cohort.cases
    assert case.volumes_cm3["bladder"] == pytest.approx(640 * 3 / 1000)
    assert "Left out 1 structure set(s) drawn on other images in the CT's frame of reference." in case.notes


def test_two_structure_sets(tmp_path: Path) -> None:
    source = built("two_structure_sets", tmp_path / "in")
    done = ingest(source, tmp_path / "cohort", "dicom-rt", **BLADDER, leave_out_failing=True)
    (case,) = done.cohort.cases
    assert case.source.rtstruct == source / "a" / "RS.dcm"
    (problem,) = done.report.problems
    assert problem.kind == "ambiguous"
    assert "b/RS1.dcm" in problem.reason and "b/RS2.dcm" in problem.reason


def test_image_without_position(tmp_path: Path) -> None:
    source = built("image_without_position", tmp_path / "in" / "p1")
    patient(tmp_path / "in" / "p2", "P2", 1)
    done = ingest(source.parent, tmp_path / "cohort", "dicom-rt", **BLADDER, leave_out_failing=True)
    came_through(done.cohort, source, 2)
    (problem,) = done.report.problems
    assert "extra.dcm" in problem.reason


@dataclass(frozen=True)
class Unusual:
    """An unexpected error of a library."""

    error: type[BaseException]

    def __call__(self, *_: object) -> None:
        raise self.error("Roe^Jane")


@pytest.mark.parametrize("error", [AttributeError, ValueError, NotImplementedError, OverflowError, RecursionError])
def test_an_unexpected_error_costs_one_scan(
    error: type[Exception], export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gynbtnet.imaging import read_ct_files as read

    monkeypatch.setattr(
        "gynbtnet.datasets.adapters.dicom_rt_export.read_ct_files",
        lambda files, repairs: Unusual(error)() if "p2" in str(files[0]) else read(files, repairs),
    )
    cohort, (reason,) = ingested(export, tmp_path / "cohort")
    came_through(cohort, export, 1, 3)
    assert f"An unexpected {error.__name__} in test_folders.py, line" in reason
    assert "p2" in reason and "Roe" not in reason


def test_the_user_stops_all_at_once(export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gynbtnet.datasets.adapters.dicom_rt_export.read_ct_files", Unusual(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ingested(export, tmp_path / "cohort")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_last_slice_cut_at_any_byte_is_never_missed(syntax: UID, tmp_path: Path) -> None:
    """The series is omitted or can't be read, however much of the slice remains; another patient's is complete."""
    for name in ("p1", "p2"):
        CT(f"{tmp_path}/{name}", n=3, rows=8, cols=8, patient=name.upper())
    path = tmp_path / "p2" / "CT002.dcm"
    dataset = pydicom.dcmread(path)
    list(dataset.iterall())
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    content = path.read_bytes()
    missed = []
    for length in [*range(0, len(content) - 8, 3), len(content) - 1]:
        path.write_bytes(content[:length])
        search = search_series(tmp_path)
        usable = assess_completeness(search).usable
        assert tmp_path / "p1" / "CT000.dcm" in {one.files[0] for one in usable}
        for one in usable:
            if one.files[0].parent.name == "p2":
                try:
                    read_ct_files(one.files)
                except BadInput:
                    continue
                missed.append(length)
    assert missed == []


def test_a_cut_uid_is_no_other_slice(tmp_path: Path) -> None:
    """The rest of 1.2.3.12 is 1.2.3.1, the UID of an existing slice."""
    ct = CT(f"{tmp_path}/p", n=13, rows=8, cols=8)
    for number in range(len(ct.sop)):
        path = tmp_path / "p" / f"CT{number:03d}.dcm"
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}")
        dataset.save_as(path)
    path = tmp_path / "p" / "CT012.dcm"
    cut(path, path.read_bytes().index(b"1.2.3.12") + 7)
    assert assess_completeness(search_series(tmp_path)).usable == ()


SCAN = Geometry((6, 12, 10), (3.0, 1.0, 1.0))


def voxels_of(number: int) -> Volume:
    return Volume(np.random.default_rng(number).integers(-900, 900, SCAN.shape).astype(np.int16), SCAN)


def labels_of(number: int) -> Volume:
    array = np.zeros(SCAN.shape, np.uint8)
    array[1:4, 2:8, 2:5] = 1
    return Volume(array, SCAN)


LAYOUT_FILES = {  # scan, contours, structures wanted
    "totalsegmentator": ("s000{}/ct.nii.gz", "s000{}/segmentations/liver.nii.gz", ("liver",)),
    "flare22": ("FLARE22_Tr_000{}_0000.nii.gz", "FLARE22_Tr_000{}.nii.gz", ("liver",)),
    "ribfrac": ("RibFrac{}-image.nii.gz", "RibFrac{}-label.nii.gz", ("rib_fracture",)),
    "tcia-covid": ("volume-covid19-A-000{}.nii.gz", None, None),
    "nnunet": ("imagesTr/c{}_0000.nii.gz", "labelsTr/c{}.nii.gz", ("liver",)),
    "decathlon": ("imagesTr/c{}.nii.gz", "labelsTr/c{}.nii.gz", ("liver",)),
    "scans": ("c{}.nii.gz", None, None),
}


def build_layout(layout: str, folder: Path) -> None:
    image, contours, _ = LAYOUT_FILES[layout]
    for number in (1, 2, 3):
        write_volume(voxels_of(number), folder / image.format(number))
        if contours:
            write_volume(labels_of(number), folder / contours.format(number))
    described: dict[str, object] = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}}
    if layout == "decathlon":
        pairs = [{"image": image.format(n), "label": str(contours).format(n)} for n in (1, 2, 3)]
        described |= {"modality": {"0": "CT"}, "training": pairs}
    if layout in ("nnunet", "decathlon"):
        (folder / "dataset.json").write_text(json.dumps(described))


def flat_image(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 6), np.int16)), str(path))


def four_dimensions(path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6, 3), np.int16), np.eye(4)), path)


def bad_header(path: Path, offset: int, value: bytes) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[offset : offset + len(value)] = value
    path.write_bytes(gzip.compress(bytes(content)))


FILES: dict[str, Callable[[Path], object]] = {
    "of no length": lambda path: cut(path, 0),
    "cut in its header": lambda path: cut(path, 100),
    "cut in its voxels": lambda path: cut(path, path.stat().st_size - 30),
    "text": lambda path: path.write_text("<html>Sign in</html>"),
    "random bytes": lambda path: path.write_bytes(random_bytes(2000)),
    "random bytes, compressed": lambda path: path.write_bytes(gzip.compress(random_bytes(2000))),
    "of two dimensions": flat_image,
    "of four dimensions": four_dimensions,
    "an unknown data type": lambda path: bad_header(path, 70, b"\x63\x00"),
    "spacing that is no number": lambda path: bad_header(path, 80, b"\x00\x00\xc0\x7f"),
    "units nobody knows": lambda path: bad_header(path, 123, b"\xff"),
    "a description of odd bytes": lambda path: bad_header(path, 148, b"\xff\xfe\x80"),
}


@pytest.mark.parametrize("layout", LAYOUT_FILES)
@pytest.mark.parametrize("kind", FILES)
def test_one_bad_image_file_costs_its_case_alone(layout: str, kind: str, tmp_path: Path) -> None:
    image, contours, structures = LAYOUT_FILES[layout]
    for number, which in enumerate(filter(None, (image, contours))):
        source = tmp_path / str(number)
        build_layout(layout, source)
        FILES[kind](source / which.format(2))
        done = ingest(source, tmp_path / f"c{number}", layout, structures=structures, leave_out_failing=True)
        taken = {
            case.id: next(n for n in (1, 2, 3) if (read_volume(case.image).array == voxels_of(n).array).all())
            for case in done.cohort.cases
        }
        assert {1, 3} <= set(taken.values())
        if 2 not in taken.values():
            (problem,) = done.report.problems
            assert which.format(2).split("/")[-1] in problem.reason
        dry_run(source, tmp_path / "dry", layout, structures=structures)


@pytest.mark.parametrize("layout", ["nnunet", "decathlon"])
@pytest.mark.parametrize("entry", [None, "c2", {"image": 3, "images": 3, "label": None}, {"images": [], "label": ""}])
def test_one_bad_entry_of_a_list_costs_its_case_alone(layout: str, entry: object, tmp_path: Path) -> None:
    source = tmp_path / "source"
    build_layout(layout, source)
    described = json.loads((source / "dataset.json").read_text())
    if layout == "decathlon":
        described["training"][1] = entry
    else:
        files = {f"c{n}": {"images": [f"imagesTr/c{n}_0000.nii.gz"], "label": f"labelsTr/c{n}.nii.gz"} for n in (1, 3)}
        described["dataset"] = files | {"c2": entry}
    (source / "dataset.json").write_text(json.dumps(described))
    done = ingest(source, tmp_path / "cohort", layout, leave_out_failing=True)
    ending = "" if layout == "nnunet" else "_f1"
    assert [case.id for case in done.cohort.cases] == [f"c1{ending}", f"c3{ending}"]
    (problem,) = done.report.problems
    assert "dataset.json" in problem.reason


def test_public_files_next_to_patients_stop_none(export: Path, tmp_path: Path) -> None:
    """Files of pydicom's own tests, of every kind and with odd headers."""
    names: tuple[str, ...] = (
        "UN_sequence.dcm",
        "rtplan_truncated.dcm",
        "JPEGLSNearLossless_08.dcm",
        "MR_truncated.dcm",
        "CT_small.dcm",
    )
    names += ("MR_small.dcm", "rtdose.dcm", "rtplan.dcm", "SC_rgb_jpeg_app14_dcmd.dcm", "priv_SQ.dcm", "reportsi.dcm")
    positions = [get_testdata_file(name, download=False) for name in names]
    for path in filter(None, positions):
        shutil.copy(str(path), export)
        shutil.copy(str(path), export / "p2")
    cohort, reasons = ingested(export, tmp_path / "cohort")
    came_through(cohort, export, 1, 2, 3)
    assert {Path(reason.split(" ")[0]).name for reason in reasons} <= {"UN_sequence.dcm", "rtplan_truncated.dcm"}
    assert any("UN_sequence.dcm has no Modality; its SOP class is CT Image Storage" in reason for reason in reasons)
    rows = {one.path: one for one in inspect_folder(export, NAMES).items}
    assert rows["UN_sequence.dcm"].problem and not rows["p2/CT"].problem
    assert {
        scan.path.parent.name for scan in find_scans([export], ("CT",), export.with_name("out")).scans.values()
    } >= {"p1", "p2", "p3"}


def test_a_broken_file_elsewhere_stops_neither_conversion_nor_dose(export: Path, tmp_path: Path) -> None:
    (export / "p2" / "odd").write_bytes(bytes(128) + b"DICM" + random_bytes(900))
    assert read_ct_series(export / "p2").volume.array.shape == (12, 40, 32)
    cut(slice_of(export / "p2"), 300)
    with pytest.raises(BadInput, match=r"CT011\.dcm"):
        read_ct_series(export / "p2")
    with_dose(export / "p1")
    cohort, _ = ingested(export, tmp_path / "cohort")
    cut(slice_of(export / "p1", 4), 1000)
    found = find_doses(cohort.cases)
    assert [path.name for files in found.values() for path in files.paths] == ["RD.dcm"]
    cut(export / "p1" / "RD.dcm", 300)
    with pytest.raises(BadInput, match=r"RD\.dcm can't be parsed"):
        find_doses(cohort.cases)


def test_one_of_several_sources_that_holds_nothing_stops_no_other(export: Path, tmp_path: Path) -> None:
    (export / "p2" / "RS.dcm").unlink()
    sources = [export / f"p{number}" for number in (1, 2, 3)]
    done = ingest(sources, tmp_path / "cohort", "dicom-rt", **BLADDER, leave_out_failing=True)
    came_through(done.cohort, export, 1, 3)
    assert [(one.kind, one.path) for one in done.report.problems] == [("missing", str(export / "p2"))]
    with pytest.raises(BadInput, match="p2 contains CT; expected CT series and the RTSTRUCTs"):
        ingest(export / "p2", tmp_path / "other", "dicom-rt", **BLADDER, leave_out_failing=True)
    assert not (tmp_path / "other").exists()


def test_slices_that_share_their_uid_are_no_copies(tmp_path: Path) -> None:
    CT(f"{tmp_path}/p", rows=8, cols=8, change=lambda d, k: setattr(d, "SOPInstanceUID", "1.2.3"))
    (series,) = search_series(tmp_path).series
    assert (len(series.files), series.copies) == (12, ())
