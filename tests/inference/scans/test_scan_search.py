"""Every scan below what is named is found once, and its prediction gets a name that stays."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from gynbtnet.imaging import CTSeries, Geometry, Volume, write_ct_series, write_volume
from gynbtnet.inference.scans.scan_search import find_scans
from gynbtnet.runtime import BadInput

SCAN = Volume(np.zeros((4, 6, 6), np.int16), Geometry((4, 6, 6), (3.0, 1.0, 1.0)))
CT = ("CT",)


def dicom(folder: Path, seed: int, patient: str = "A", slices: int = 4) -> CTSeries:
    volume = Volume(np.zeros((slices, 6, 6), np.int16), Geometry((slices, 6, 6), (3.0, 1.0, 1.0)))
    words = {"study_description": "SYNTHETIC", "series_description": "SYNTHETIC"}
    return write_ct_series(volume, folder, patient_id=patient, seed=seed, **words)


def names(*inputs: Path) -> list[str]:
    search = find_scans(inputs, CT)
    assert search.failed == ()
    return list(search.scans)


def test_patients_nested_and_image_files_mixed(tmp_path: Path) -> None:
    for number, relative in enumerate(("A/fraction-1", "A/fraction-2", "B/fraction-1")):
        dicom(tmp_path / "export" / relative / "CT", number, relative[0])
    write_volume(SCAN, tmp_path / "export" / "C.nii.gz")
    write_volume(SCAN, tmp_path / "export" / "C_labels.nii.gz")
    search = find_scans([tmp_path / "export"], CT).scans
    assert list(search) == ["A_fraction-1_CT", "A_fraction-2_CT", "B_fraction-1_CT", "C"]
    assert [scan.series is None for scan in search.values()] == [False, False, False, True]


def test_a_folder_with_one_scan_gives_its_own_name_and_files_keep_theirs(tmp_path: Path) -> None:
    dicom(tmp_path / "patient" / "CT" / "1", 1)
    write_volume(SCAN, tmp_path / "scan.nrrd")
    assert names(tmp_path / "patient", tmp_path / "scan.nrrd") == ["patient", "scan"]


def test_names_stay_when_another_patient_comes(tmp_path: Path) -> None:
    for number, relative in enumerate(("A/1", "A/2")):
        dicom(tmp_path / relative, number)
    before = names(tmp_path)
    dicom(tmp_path / "B" / "1", 7, "B")
    assert names(tmp_path) == [*before, "B_1"]


def test_series_mixed_in_one_folder_are_identified_by_their_uids(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    series = [dicom(tmp_path / str(seed), seed, str(seed)) for seed in (1, 2)]
    for item in series:
        for path in item.files:
            path.rename(tmp_path / "flat" / f"{item.patient_id}-{path.name}")
    assert names(tmp_path / "flat") == sorted(f"flat_{item.series_uid}" for item in series)


def test_of_one_acquisition_one_series_is_taken(tmp_path: Path) -> None:
    """A second reconstruction: the same study and frame of reference, fewer slices."""
    thin, thick = dicom(tmp_path / "in" / "thin", 1), dicom(tmp_path / "in" / "thick", 2, slices=3)
    for path in thick.files:
        header = pydicom.dcmread(path)
        header.StudyInstanceUID, header.FrameOfReferenceUID = thin.study_uid, thin.frame_of_reference_uid
        header.save_as(path)
    (scan,) = find_scans([tmp_path / "in"], CT).scans.values()
    assert scan.series and scan.series.series_uid == thin.series_uid
    assert scan.note and "Selected the largest" in scan.note
    (scan,) = find_scans([tmp_path / "in"], CT, series_uid=thick.series_uid).scans.values()
    assert scan.series and scan.series.series_uid == thick.series_uid


def test_damaged_scans_are_reported_and_the_others_found(tmp_path: Path) -> None:
    dicom(tmp_path / "in" / "good", 1)
    bad = dicom(tmp_path / "in" / "bad", 2, "B").files[0]
    bad.write_bytes(bad.read_bytes()[:300])
    search = find_scans([tmp_path / "in"], CT)
    assert list(search.scans) == ["in"]
    ((relative, reason),) = search.failed
    assert relative.endswith("bad") and bad.name in reason
    with pytest.raises(BadInput, match=bad.name):
        find_scans([tmp_path / "in" / "bad"], CT)


def test_an_mr_alone_is_no_ct(tmp_path: Path) -> None:
    for path in dicom(tmp_path / "mr", 1).files:
        header = pydicom.dcmread(path)
        header.Modality, header.SOPClassUID = "MR", pydicom.uid.MRImageStorage
        header.save_as(path)
    with pytest.raises(BadInput, match=r"There is no CT below .*mr \(found: MR\)"):
        find_scans([tmp_path / "mr"], CT)


def test_options_of_one_scan_are_refused_for_several(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--series is for one scan, but 2 inputs are given"):
        find_scans([tmp_path, tmp_path], CT, series_uid="1.2")
    dicom(tmp_path / "in", 1)
    with pytest.raises(BadInput, match="one channel, but the model reads CT, T2"):
        find_scans([tmp_path / "in"], ("CT", "T2"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no DICOM file at all"):
        find_scans([tmp_path / "empty"], CT)


def test_several_channels_are_found_next_to_their_first(tmp_path: Path) -> None:
    for number in range(2):
        for channel in range(2):
            write_volume(SCAN, tmp_path / "in" / f"two_{number}_{channel:04d}.nii.gz")
    search = find_scans([tmp_path / "in"], ("CT", "T2")).scans
    assert [scan.channels[0].name for scan in search.values()] == ["two_0_0001.nii.gz", "two_1_0001.nii.gz"]
