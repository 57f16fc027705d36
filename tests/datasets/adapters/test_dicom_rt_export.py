import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from gynbtnet.datasets import dry_run, ingest, inspect_folder
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion import ingest_found as ingestion
from gynbtnet.imaging import Conversion, StructureNames, convert, read_volume, write_volume
from gynbtnet.runtime import BadInput

from ..conftest import GRID, WriteExport, scan, sphere

BOTH = {"Bladder": "bladder", "RECTUM": "rectum"}
STRUCTURES = ("bladder", "rectum")


@pytest.fixture
def export(tmp_path: Path, write_export: WriteExport) -> Path:
    for seed, (patient, fraction) in enumerate([("A/1", 2), ("A/1", 10), ("B", 1)]):
        write_export(
            tmp_path / "export" / patient.replace("/", "") / f"fraction-{fraction}", patient, BOTH, seed, "Synthetic"
        )
    return tmp_path / "export"


def test_voxels_masks_and_fractions(export: Path, tmp_path: Path) -> None:
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    assert Cohort.load(tmp_path / "cohort") == cohort
    assert [(case.patient, case.fraction, case.id) for case in cohort.cases] == [
        ("patient-001", 1, "patient-001_f1"),
        ("patient-001", 2, "patient-001_f2"),  # fraction-10 comes after fraction-2
        ("patient-002", 1, "patient-002_f1"),
    ]
    assert cohort.cases[1].source.rtstruct == export / "A1" / "fraction-10" / "RS.dcm"
    assert cohort.synthetic
    for seed, case in enumerate(cohort.cases):
        assert case.labels
        image, labels = read_volume(case.image), read_volume(case.labels)
        assert image.array.dtype == np.int16
        np.testing.assert_array_equal(image.array, scan(seed).array)
        assert image.geometry.offset(GRID) < 1e-4
        for label, name in enumerate(STRUCTURES, start=1):
            truth = sphere(name)
            assert (truth & (labels.array == label)).sum() * 2 / (truth.sum() + (labels.array == label).sum()) > 0.97
            assert case.volumes_cm3[name] == pytest.approx((labels.array == label).sum() * 12 / 1000, abs=1e-4)


def test_dates_come_before_folders(export: Path, tmp_path: Path) -> None:
    for path in (export / "A1" / "fraction-2" / "CT").iterdir():
        header = pydicom.dcmread(path)
        header.StudyDate = "20260102"
        header.save_as(path)
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    first = cohort.cases[0].source.ct_folder
    assert first is not None
    assert first.parent.name == "fraction-10"  # which has no date


def test_a_case_without_a_structure_is_kept_with_a_note(
    export: Path, tmp_path: Path, write_export: WriteExport
) -> None:
    write_export(export / "C", "C", {"Hohlraum": "bladder", "Rectum": "rectum"}, seed=5)
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    assert cohort.case("patient-003_f1").missing == ("bladder",)
    assert cohort.case("patient-003_f1").unmapped == ("Hohlraum",)
    assert "bladder" not in cohort.case("patient-003_f1").volumes_cm3

    (tmp_path / "aliases.yaml").write_text("bladder: [hohlraum]")
    names = StructureNames.load(tmp_path / "aliases.yaml")
    again = ingest(export, tmp_path / "cohort", structures=STRUCTURES, names=names).cohort
    assert again.case("patient-003_f1").missing == ()


def test_unmapped_names_are_reported_with_the_folder(export: Path, tmp_path: Path, write_export: WriteExport) -> None:
    write_export(export / "C", "C", {"Hohlraum": "bladder"}, seed=5)
    with pytest.raises(BadInput, match=r"export/C.*Hohlraum.*alias"):
        ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    with pytest.raises(BadInput, match="interrupted"):
        Cohort.load(tmp_path / "cohort")


def test_a_structure_that_no_case_has_is_reported(export: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"None of 3 cases .* sigmoid.*alias"):
        ingest(export, tmp_path / "cohort", structures=(*STRUCTURES, "sigmoid"))


def test_patients_by_folders(export: Path, tmp_path: Path, write_export: WriteExport) -> None:
    write_export(export / "C", "", BOTH, seed=5)
    with pytest.raises(BadInput, match=r"export/C.*no PatientID.*--patient-id-from folder"):
        ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES, patient_id_from="folder").cohort
    assert cohort.patients == ("patient-001", "patient-002", "patient-003")


def test_patients_whose_ids_differ_only_in_characters_forbidden_in_file_names(
    tmp_path: Path, write_export: WriteExport
) -> None:
    for seed, patient in enumerate(["A 1", "A/1", "a-1"]):
        write_export(tmp_path / "export" / str(seed), patient, BOTH, seed)
    cohort = ingest(tmp_path / "export", tmp_path / "cohort", structures=STRUCTURES).cohort
    assert len(cohort.patients) == 3
    assert len({case.id.lower() for case in cohort.cases}) == 3


def test_an_rtstruct_without_reference_gets_the_ct_of_its_frame(export: Path, tmp_path: Path) -> None:
    path = export / "B" / "fraction-1" / "RS.dcm"
    rtstruct = pydicom.dcmread(path)
    del rtstruct.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    rtstruct.save_as(path)
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    assert cohort.case("patient-002_f1").source.ct_folder == export / "B" / "fraction-1" / "CT"


def test_contours_of_another_series_in_the_frame_are_noted(export: Path, tmp_path: Path) -> None:
    folder = export / "B" / "fraction-1"
    for path in (folder / "CT").iterdir():
        header = pydicom.dcmread(path)
        header.SeriesInstanceUID = "1.2.3"
        header.save_as(path)
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    assert ["refers to another series" in " ".join(case.notes) for case in cohort.cases] == [False, False, True]
    items = inspect_folder(export, StructureNames.load()).items
    assert sum("refers to another series" in item.contents for item in items) == 1
    notes = convert([folder / "RS.dcm"], tmp_path / "labels.nii.gz", Conversion(ct=folder / "CT"))
    assert any("refers to another series" in note for note in notes)


def test_values_that_are_not_hu_are_noted(export: Path, tmp_path: Path, write_export: WriteExport) -> None:
    for path in (export / "B" / "fraction-1" / "CT").iterdir():
        header = pydicom.dcmread(path)
        header.RescaleIntercept = 0
        header.save_as(path)
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    noted = ["Its CT is a CT without its rescale" in " ".join(case.notes) for case in cohort.cases]
    assert noted == [False, False, True]
    items = inspect_folder(export, StructureNames.load()).items
    assert sum("It is a CT without its rescale" in item.contents for item in items) == 1


def edit(folder: Path, **values: str) -> None:
    for path in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        if "ReferencedFrameOfReferenceSequence" in dataset and "SeriesInstanceUID" in values:
            frame = dataset.ReferencedFrameOfReferenceSequence[0]
            frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = ""
        dataset.save_as(path)


def test_emptied_series_uids_leave_the_frame_of_reference(export: Path, tmp_path: Path) -> None:
    edit(export, SeriesInstanceUID="")
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    assert [case.source.ct_folder for case in cohort.cases] == [
        export / "A1" / "fraction-2" / "CT",
        export / "A1" / "fraction-10" / "CT",
        export / "B" / "fraction-1" / "CT",
    ]
    for path in export.rglob("RS.dcm"):
        rtstruct = pydicom.dcmread(path)
        rtstruct.ReferencedFrameOfReferenceSequence = []
        for roi in rtstruct.StructureSetROISequence:
            roi.ReferencedFrameOfReferenceUID = ""
        rtstruct.save_as(path)
    with pytest.raises(BadInput, match=r"refers to no CT series in .* 0 of the 3 CT series"):
        ingest(export, tmp_path / "cohort", structures=STRUCTURES)


def test_contours_of_another_patient_are_refused_without_ids(export: Path, tmp_path: Path) -> None:
    path = export / "B" / "fraction-1" / "RS.dcm"
    rtstruct = pydicom.dcmread(path)
    rtstruct.PatientID = "Secret"
    rtstruct.save_as(path)
    with pytest.raises(BadInput, match=r"RS.dcm has another PatientID than the CT .*--patient-id-from") as caught:
        ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    assert "Secret" not in str(caught.value)
    by_folder = ingest(export, tmp_path / "cohort", structures=STRUCTURES, patient_id_from="folder").cohort
    assert by_folder.patients == ("patient-001", "patient-002")
    rtstruct.PatientID = ""  # doesn't identify the patient
    rtstruct.save_as(path)
    assert len(ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort.cases) == 3


def test_a_source_that_is_not_an_export_is_refused(export: Path, tmp_path: Path, write_export: WriteExport) -> None:
    def check_refused(match: str, source: Path) -> None:
        with pytest.raises(BadInput, match=match):
            ingest(source, tmp_path / "cohort", structures=STRUCTURES)

    (tmp_path / "empty").mkdir()
    check_refused("no DICOM file", tmp_path / "empty")
    check_refused("no folder", tmp_path / "absent")
    write_export(tmp_path / "scans", "A")
    check_refused("contains CT; expected", tmp_path / "scans")
    check_refused("contains RTSTRUCT; expected", _only_the_rtstruct(export, tmp_path / "contours"))
    second = export / "B" / "fraction-1" / "RS2.dcm"
    rtstruct = pydicom.dcmread(export / "B" / "fraction-1" / "RS.dcm")
    rtstruct.SOPInstanceUID = rtstruct.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    rtstruct.save_as(second)
    check_refused(r"RS.dcm .* and .*RS2.dcm .* are both drawn on one CT.*--rtstruct", export)
    write_export(tmp_path / "scans", "B", seed=9)
    second.rename(tmp_path / "scans" / "RS.dcm")
    check_refused(r"scans/RS.dcm refers to a CT series that is not in", tmp_path / "scans")


def _only_the_rtstruct(export: Path, folder: Path) -> Path:
    folder.mkdir()
    (folder / "RS.dcm").write_bytes((export / "B" / "fraction-1" / "RS.dcm").read_bytes())
    return folder


def test_scans_without_contours_are_left_out_and_noted(export: Path, tmp_path: Path, write_export: WriteExport) -> None:
    write_export(export / "C", "C", seed=5)
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    assert len(cohort.patients) == 2
    assert "1 CT series" in cohort.notes[0]


def test_out_must_be_empty_and_outside_the_source(export: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="inside its source"):
        ingest(export, tmp_path / "other" / ".." / "export" / "cohort", structures=STRUCTURES)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.docx").write_text("precious")
    with pytest.raises(BadInput, match="not a cohort"):
        ingest(export, tmp_path / "mine", structures=STRUCTURES)
    export.rename(tmp_path / "mine" / "cases")
    with pytest.raises(BadInput, match=r"source .* is inside the folder"):
        ingest(tmp_path / "mine" / "cases", tmp_path / "mine", structures=STRUCTURES)


@pytest.mark.parametrize(
    ("own", "match"),
    [
        (("cases/notes.xlsx",), "not a cohort"),
        (("cases/notes.json",), "not a cohort"),
        (("cases/P1/list.csv",), "not a cohort"),
        (("cases/.hidden", "thesis.docx"), "not a cohort"),
        (("cases/notes.json", "patients.csv"), "not a cohort"),
        (("patients.csv",), "not a cohort"),
        (("cases/.hidden", "patients.csv", "imagesTr/mine_0000.nii.gz"), "mine_0000.nii.gz is not from an ingestion"),
        (("cases/.hidden", "patients.csv", "labelsTr/mine.nii.gz"), "mine.nii.gz is not from an ingestion"),
    ],
)
def test_a_folder_of_the_user_stays_as_it_is(export: Path, tmp_path: Path, own: tuple[str, ...], match: str) -> None:
    out = tmp_path / "mine"
    for name in own:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("study_id,patient\n" if name == "patients.csv" else "{}")
    before = sorted(out.rglob("*"))
    for call in (ingest, dry_run):
        with pytest.raises(BadInput, match=match):
            call(export, out, structures=STRUCTURES)
    assert sorted(out.rglob("*")) == before


def test_other_files_in_a_cohort_are_kept(export: Path, tmp_path: Path) -> None:
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    kept = [cohort.folder / name for name in ("cases/notes.json", "cases/notes.txt", "labelsTr/patient-002_f1.csv")]
    for path in kept:
        path.write_text("{}")
    shutil.rmtree(export / "B")
    assert len(ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort.cases) == 2
    assert all(path.exists() for path in kept)
    assert len(list((tmp_path / "cohort").rglob("patient-002_f1*"))) == 1
    (cohort.folder / "labelsTr" / "mine.nii.gz").write_text("")
    with pytest.raises(BadInput, match=r"mine.nii.gz is not from an ingestion"):
        ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    Cohort.load(tmp_path / "cohort")


def test_a_wrong_option_leaves_the_cohort_as_it_was(export: Path, tmp_path: Path) -> None:
    ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    with pytest.raises(BadInput, match="The priority is recum"):
        ingest(export, tmp_path / "cohort", structures=STRUCTURES, priority=("recum",))
    Cohort.load(tmp_path / "cohort")


def test_a_patient_id_like_a_study_id_is_another_patient(
    export: Path, tmp_path: Path, write_export: WriteExport
) -> None:
    ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    write_export(export / "C", "patient-001", BOTH, seed=5)
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    assert cohort.patients == ("patient-001", "patient-002", "patient-003")
    assert [case.source.ct_folder for case in cohort.of_patient("patient-003").cases] == [export / "C" / "CT"]


def test_an_interrupted_ingestion_resumes(export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def recorded(volume: object, path: Path) -> None:
        if len(written) == 3:  # the second scan's labels
            raise KeyboardInterrupt
        written.append(path.name)
        write_volume(volume, path)  # type: ignore[arg-type]

    monkeypatch.setattr(ingestion, "write_volume", recorded)
    with pytest.raises(KeyboardInterrupt):
        ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    with pytest.raises(BadInput, match="interrupted"):
        Cohort.load(tmp_path / "cohort")
    monkeypatch.setattr(
        ingestion, "write_volume", lambda volume, path: (written.append(path.name), write_volume(volume, path))
    )
    ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    assert written[3:] == [
        f"{case}{ending}" for case in ("patient-001_f2", "patient-002_f1") for ending in ("_0000.nii.gz", ".nii.gz")
    ]
    Cohort.load(tmp_path / "cohort")


def test_files_of_an_interrupted_case_are_removed_with_its_source(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(volume: object, path: Path) -> None:
        if path.name == "patient-001_f2.nii.gz":
            raise KeyboardInterrupt
        write_volume(volume, path)  # type: ignore[arg-type]

    monkeypatch.setattr(ingestion, "write_volume", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    monkeypatch.undo()
    (tmp_path / "cohort" / "split.json").write_text("{}")
    shutil.rmtree(export / "A1" / "fraction-10")
    cohort = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    assert [path.name for path in sorted((cohort.folder / "imagesTr").iterdir())] == [
        "patient-001_f1_0000.nii.gz",
        "patient-002_f1_0000.nii.gz",
    ]
    assert (tmp_path / "cohort" / "split.json").exists()


def test_a_changed_case_is_written_again_and_a_removed_one_deleted(
    export: Path, tmp_path: Path, write_export: WriteExport
) -> None:
    before = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    (export / "B" / "fraction-1" / "RS.dcm").unlink()
    write_export(export / "B" / "fraction-1", "B", BOTH, seed=7)
    for path in (export / "A1" / "fraction-10").rglob("*.dcm"):
        path.unlink()
    after = ingest(export, tmp_path / "cohort", structures=STRUCTURES).cohort
    assert [case.id for case in after.cases] == ["patient-001_f1", "patient-002_f1"]
    assert after.cases[0] == before.cases[0]
    np.testing.assert_array_equal(read_volume(after.cases[1].image).array, scan(7).array)
    assert len(list((tmp_path / "cohort" / "labelsTr").iterdir())) == 2


def test_real_export_equals_the_publishers_masks(data: Path, tmp_path: Path) -> None:
    folders = [data / "sts" / name for name in ("STS_003", "STS_015", "STS_044")]
    cohort = ingest(folders, tmp_path / "sts", structures=["GTV_Mass_CT"]).cohort
    assert cohort.patients == ("patient-001", "patient-002", "patient-003")
    assert not cohort.synthetic
    for case, folder in zip(cohort.cases, folders, strict=True):
        assert case.labels
        reference, labels = read_volume(folder / "reference_mask.nii.gz"), read_volume(case.labels)
        np.testing.assert_array_equal(labels.array > 0, reference.array > 0)
        assert labels.geometry.offset(reference.geometry) < 0.01


def test_a_misspelt_structure_gets_a_proposal(export: Path, tmp_path: Path) -> None:
    for structures in (("blader",), ("rectum", "blader")):
        with pytest.raises(BadInput, match=r"Did you mean bladder\?"):
            ingest(export, tmp_path / "cohort", structures=structures)
