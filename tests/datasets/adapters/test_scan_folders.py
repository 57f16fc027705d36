from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from gynbtnet.datasets import ingest
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging import Volume, read_volume, to_sitk, write_volume
from gynbtnet.runtime import BadInput

from ..conftest import GRID, WriteExport, scan, sphere


def test_dicom_and_files_mixed(tmp_path: Path, write_export: WriteExport) -> None:
    source = tmp_path / "scans"
    write_export(source / "dicom", "P1", seed=1)
    write_export(source / "nameless", "", seed=2)
    write_volume(scan(3), source / "low-dose_scan.nii.gz")
    write_volume(Volume(scan(4).array.astype(np.float32) + 0.5, GRID), source / "s0001" / "ct.nii.gz")
    for name in ("s0001/segmentations/liver.nii.gz", "CT_labels_v2.nii.gz", "reference_mask.nii.gz", "dose.nii.gz"):
        write_volume(Volume(sphere("bladder"), GRID), source / name)
    (source / "notes.txt").write_text("no scan")
    cohort = ingest(source, tmp_path / "cohort", "scans").cohort
    assert Cohort.load(tmp_path / "cohort") == cohort
    assert cohort.structures == ()
    assert sorted(cohort.patients) == ["low-dose_scan", "patient-001", "patient-002", "s0001"]
    assert all(case.labels is None for case in cohort.cases)
    for patient, expected in (
        ("patient-002", scan(1).array),
        ("low-dose_scan", scan(3).array),
        ("s0001", scan(4).array + 0.5),
    ):
        (case,) = cohort.of_patients([patient]).cases
        np.testing.assert_array_equal(read_volume(case.image).array, expected)


def test_the_scans_of_some_patients_are_added(tmp_path: Path, write_export: WriteExport) -> None:
    for seed, patient in enumerate(["train", "test"]):
        write_export(tmp_path / "export" / patient, patient, {"bladder": "bladder"}, seed, "synthetic")
    task = ingest(tmp_path / "export", tmp_path / "task", structures=["bladder"]).cohort
    write_volume(scan(5), tmp_path / "scans" / "other.nrrd")
    cohort = ingest(
        tmp_path / "scans", tmp_path / "cohort", "scans", include_cohort=task.of_patients(["patient-002"])
    ).cohort
    assert cohort.patients == ("other", "patient-002")
    assert cohort.case("patient-002_f1").synthetic and not cohort.case("other_f1").synthetic
    np.testing.assert_array_equal(read_volume(cohort.case("patient-002_f1").image).array, scan(0).array)
    alone = ingest((), tmp_path / "alone", "scans", include_cohort=task).cohort
    assert alone.patients == ("patient-001", "patient-002")


def test_a_header_can_mark_a_scan_as_synthetic(tmp_path: Path) -> None:
    image = to_sitk(scan())
    image.SetMetaData("ITK_FileNotes", "SYNTHETIC PHANTOM")
    (tmp_path / "scans").mkdir()
    sitk.WriteImage(image, str(tmp_path / "scans" / "a.nii.gz"))
    write_volume(scan(1), tmp_path / "scans" / "b.nii.gz")
    assert [case.synthetic for case in ingest(tmp_path / "scans", tmp_path / "cohort", "scans").cohort.cases] == [
        True,
        False,
    ]


def test_a_folder_without_a_ct_is_refused(tmp_path: Path) -> None:
    write_volume(Volume(sphere("bladder"), GRID), tmp_path / "scans" / "labels.nii.gz")
    with pytest.raises(BadInput, match=r"no CT below .*scans"):
        ingest(tmp_path / "scans", tmp_path / "cohort", "scans")


@pytest.mark.parametrize("folder", ["labelsTr", "s0000/segmentations"])
def test_a_folder_of_label_maps_is_refused(tmp_path: Path, folder: str) -> None:
    write_volume(Volume(sphere("bladder"), GRID), tmp_path / folder / "case.nii.gz")
    with pytest.raises(BadInput, match=r"no CT below .* \(labels, masks or doses .*: 1 image file\)"):
        ingest(tmp_path / folder, tmp_path / "cohort", "scans")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_label_map_is_recognised_by_its_values(tmp_path: Path, dtype: type) -> None:
    write_volume(scan(), tmp_path / "scans" / "a.nii.gz")
    write_volume(Volume(sphere("bladder").astype(dtype) * 7, GRID), tmp_path / "scans" / "liver.nii.gz")
    with pytest.raises(BadInput, match=r"scans/liver.nii.gz contains a few whole numbers from 0 to 7"):
        ingest(tmp_path / "scans", tmp_path / "cohort", "scans")


def test_an_unreadable_scan_is_reported_with_its_path(tmp_path: Path) -> None:
    write_volume(scan(), tmp_path / "scans" / "a.nii.gz")
    (tmp_path / "scans" / "b.nii.gz").write_bytes((tmp_path / "scans" / "a.nii.gz").read_bytes()[:200])
    with pytest.raises(BadInput, match=r"scans/b.nii.gz"):
        ingest(tmp_path / "scans", tmp_path / "cohort", "scans")


def test_real_folders_mixed(data: Path, tmp_path: Path) -> None:
    cohort = ingest(data / "totalsegmentator_example", tmp_path / "cohort", "scans").cohort
    assert [(case.id, case.geometry.shape) for case in cohort.cases] == [
        ("patient-001_f1", (20, 512, 512)),  # its series UID and PatientID are empty
        ("s0000_f1", (112, 101, 122)),
    ]
