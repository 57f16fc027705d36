from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from gynbtnet.datasets.adapters import dicom_rt_export
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion import ingest as ingestion
from gynbtnet.imaging.files.volume_files import read_volume, write_volume
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput

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
    cohort = dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
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
    cohort = dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    first = cohort.cases[0].source.ct_folder
    assert first is not None
    assert first.parent.name == "fraction-10"  # which has no date


def test_a_missing_structure_is_kept_and_noted(export: Path, tmp_path: Path, write_export: WriteExport) -> None:
    write_export(export / "C", "C", {"Blase": "bladder", "Rectum": "rectum"}, seed=5)
    cohort = dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    assert cohort.case("patient-003_f1").missing == ("bladder",)
    assert cohort.case("patient-003_f1").unmapped == ("Blase",)
    assert "bladder" not in cohort.case("patient-003_f1").volumes_cm3

    (tmp_path / "aliases.yaml").write_text("bladder: [blase]")
    names = StructureNames.load(tmp_path / "aliases.yaml")
    again = dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES, names=names)
    assert again.case("patient-003_f1").missing == ()


def test_names_that_nothing_maps_are_told_with_the_folder(
    export: Path, tmp_path: Path, write_export: WriteExport
) -> None:
    write_export(export / "C", "C", {"Blase": "bladder"}, seed=5)
    with pytest.raises(BadInput, match=r"export/C.*Blase.*alias"):
        dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    with pytest.raises(BadInput, match="interrupted"):
        Cohort.load(tmp_path / "cohort")


def test_a_structure_that_no_case_has_is_told(export: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"None of the 3 cases .* sigmoid.*alias"):
        dicom_rt_export.ingest(export, tmp_path / "cohort", structures=(*STRUCTURES, "sigmoid"))


def test_patients_from_folders(export: Path, tmp_path: Path, write_export: WriteExport) -> None:
    write_export(export / "C", "", BOTH, seed=5)
    with pytest.raises(BadInput, match=r"export/C.*no PatientID.*--patients-from folder"):
        dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    cohort = dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES, patients_from="folder")
    assert cohort.patients == ("patient-001", "patient-002", "patient-003")


def test_patients_whose_ids_differ_in_forbidden_letters_only(tmp_path: Path, write_export: WriteExport) -> None:
    for seed, patient in enumerate(["A 1", "A/1", "a-1"]):
        write_export(tmp_path / "export" / str(seed), patient, BOTH, seed)
    cohort = dicom_rt_export.ingest(tmp_path / "export", tmp_path / "cohort", structures=STRUCTURES)
    assert len(cohort.patients) == 3
    assert len({case.id.lower() for case in cohort.cases}) == 3


def test_the_ct_of_the_same_frame_stands_in_for_one_not_referred_to(export: Path, tmp_path: Path) -> None:
    path = export / "B" / "fraction-1" / "RS.dcm"
    rtstruct = pydicom.dcmread(path)
    del rtstruct.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    rtstruct.save_as(path)
    cohort = dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    assert cohort.case("patient-002_f1").source.ct_folder == export / "B" / "fraction-1" / "CT"


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
    cohort = dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
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
        dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)


def test_contours_of_another_patient_are_refused_without_ids(export: Path, tmp_path: Path) -> None:
    path = export / "B" / "fraction-1" / "RS.dcm"
    rtstruct = pydicom.dcmread(path)
    rtstruct.PatientID = "Secret"
    rtstruct.save_as(path)
    with pytest.raises(BadInput, match=r"RS.dcm has another PatientID than the CT .*--patients-from") as caught:
        dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    assert "Secret" not in str(caught.value)
    by_folder = dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES, patients_from="folder")
    assert by_folder.patients == ("patient-001", "patient-002")
    rtstruct.PatientID = ""  # says nothing of the patient
    rtstruct.save_as(path)
    assert len(dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES).cases) == 3


def test_what_is_no_export_is_told(export: Path, tmp_path: Path, write_export: WriteExport) -> None:
    def told(match: str, source: Path) -> None:
        with pytest.raises(BadInput, match=match):
            dicom_rt_export.ingest(source, tmp_path / "cohort", structures=STRUCTURES)

    (tmp_path / "empty").mkdir()
    told("no DICOM file", tmp_path / "empty")
    told("no folder", tmp_path / "absent")
    write_export(tmp_path / "scans", "A")
    told("holds CT; expected", tmp_path / "scans")
    told("holds RTSTRUCT; expected", _only_the_rtstruct(export, tmp_path / "contours"))
    second = export / "B" / "fraction-1" / "RS2.dcm"
    rtstruct = pydicom.dcmread(export / "B" / "fraction-1" / "RS.dcm")
    rtstruct.SOPInstanceUID = rtstruct.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    rtstruct.save_as(second)
    told(r"RS.dcm .* and .*RS2.dcm .* are both drawn on one CT.*--rtstruct", export)
    write_export(tmp_path / "scans", "B", seed=9)
    second.rename(tmp_path / "scans" / "RS.dcm")
    told(r"scans/RS.dcm refers to a CT series that is not in", tmp_path / "scans")


def _only_the_rtstruct(export: Path, folder: Path) -> Path:
    folder.mkdir()
    (folder / "RS.dcm").write_bytes((export / "B" / "fraction-1" / "RS.dcm").read_bytes())
    return folder


def test_scans_without_contours_are_left_out_and_noted(export: Path, tmp_path: Path, write_export: WriteExport) -> None:
    write_export(export / "C", "C", seed=5)
    cohort = dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    assert len(cohort.patients) == 2
    assert "1 CT series" in cohort.notes[0]


def test_out_must_be_free_and_outside_the_source(export: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="inside its source"):
        dicom_rt_export.ingest(export, tmp_path / "other" / ".." / "export" / "cohort", structures=STRUCTURES)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.docx").write_text("precious")
    with pytest.raises(BadInput, match="no cohort"):
        dicom_rt_export.ingest(export, tmp_path / "mine", structures=STRUCTURES)


def test_an_interrupted_ingestion_goes_on(export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def recorded(volume: object, path: Path) -> None:
        if len(written) == 3:  # the second scan's labels
            raise KeyboardInterrupt
        written.append(path.name)
        write_volume(volume, path)  # type: ignore[arg-type]

    monkeypatch.setattr(ingestion, "write_volume", recorded)
    with pytest.raises(KeyboardInterrupt):
        dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    with pytest.raises(BadInput, match="interrupted"):
        Cohort.load(tmp_path / "cohort")
    monkeypatch.setattr(
        ingestion, "write_volume", lambda volume, path: (written.append(path.name), write_volume(volume, path))
    )
    dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    assert written[3:] == [
        f"{one}{end}" for one in ("patient-001_f2", "patient-002_f1") for end in ("_0000.nii.gz", ".nii.gz")
    ]
    Cohort.load(tmp_path / "cohort")


def test_a_changed_source_is_noticed_and_a_removed_one_forgotten(
    export: Path, tmp_path: Path, write_export: WriteExport
) -> None:
    before = dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    (export / "B" / "fraction-1" / "RS.dcm").unlink()
    write_export(export / "B" / "fraction-1", "B", BOTH, seed=7)
    for path in (export / "A1" / "fraction-10").rglob("*.dcm"):
        path.unlink()
    after = dicom_rt_export.ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    assert [case.id for case in after.cases] == ["patient-001_f1", "patient-002_f1"]
    assert after.cases[0] == before.cases[0]
    np.testing.assert_array_equal(read_volume(after.cases[1].image).array, scan(7).array)
    assert len(list((tmp_path / "cohort" / "labelsTr").iterdir())) == 2


def test_real_export_equals_the_publishers_masks(data: Path, tmp_path: Path) -> None:
    folders = [data / "sts" / name for name in ("STS_003", "STS_015", "STS_044")]
    cohort = dicom_rt_export.ingest(folders, tmp_path / "sts", structures=["GTV_Mass_CT"])
    assert cohort.patients == ("patient-001", "patient-002", "patient-003")
    assert not cohort.synthetic
    for case, folder in zip(cohort.cases, folders, strict=True):
        assert case.labels
        reference, labels = read_volume(folder / "reference_mask.nii.gz"), read_volume(case.labels)
        np.testing.assert_array_equal(labels.array > 0, reference.array > 0)
        assert labels.geometry.offset(reference.geometry) < 0.01
