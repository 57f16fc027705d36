"""The dose of a scan that is reviewed: in the scan's folder, or next to it as exports have it."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from gynbtnet.imaging import CTSeries, Geometry, Volume, read_ct_series, write_ct_series, write_rtdose
from gynbtnet.review.case_dose import find_dose
from gynbtnet.runtime import BadInput

from .conftest import AXIAL, FLIPPED, SHAPE


def write_scan(folder: Path, geometry: Geometry = AXIAL, *, seed: int = 1, patient_id: str = "SYNTHETIC-1") -> CTSeries:
    words = {"patient_id": patient_id, "study_description": "SYNTHETIC", "series_description": "SYNTHETIC"}
    write_ct_series(Volume(np.zeros(SHAPE, np.int16), geometry), folder, seed=seed, **words)
    return read_ct_series(folder)


def write_constant_dose(gray: float, scan: CTSeries, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = scan.volume.geometry
    write_rtdose(Volume(np.full(grid.shape, gray, np.float32), grid), scan, path, description="a test")


@pytest.mark.parametrize("where", ["CT/RD.dcm", "CT/more/RD.dcm", "RD.dcm", "RTDOSE/RD.dcm"])
def test_a_dose_in_or_next_to_the_folder_of_the_scan_is_found(tmp_path: Path, where: str) -> None:
    fraction = tmp_path / "fraction 1"
    scan = write_scan(fraction / "CT")
    write_constant_dose(7, scan, fraction / where)
    ((dose,), notes) = find_dose(None, fraction / "CT", scan)
    assert dose.array.max() == pytest.approx(7, abs=1e-3) and notes == ()


def test_a_dose_of_another_scan_is_not_taken(tmp_path: Path) -> None:
    """A second scan of the patient has another frame of reference."""
    scan, other = write_scan(tmp_path / "CT"), write_scan(tmp_path / "CT 2", FLIPPED, seed=2)
    write_constant_dose(7, other, tmp_path / "RD.dcm")
    assert find_dose(None, tmp_path / "CT", scan) == ((), ())
    with pytest.raises(BadInput, match="has no RTDOSE in the frame of reference of the scan"):
        find_dose(tmp_path / "RD.dcm", tmp_path / "CT", scan)


def with_identifiers(folder: Path, **identifiers: str) -> None:
    """Give all DICOM files below a folder the same identifiers, as an anonymiser does."""
    for path in folder.rglob("*.dcm"):
        file = pydicom.dcmread(path)
        for keyword, value in identifiers.items():
            setattr(file, keyword, value)
        file.save_as(path)


@pytest.fixture
def neighbours(tmp_path: Path) -> Path:
    """Two patients next to each other; the second has a dose."""
    write_scan(tmp_path / "CT 1", patient_id="SYNTHETIC-1")
    other = write_scan(tmp_path / "CT 2", seed=2, patient_id="SYNTHETIC-2")
    write_constant_dose(7, other, tmp_path / "dose 2" / "RD.dcm")
    return tmp_path


@pytest.mark.parametrize(
    "identifiers",
    [
        {"FrameOfReferenceUID": ""},
        {"FrameOfReferenceUID": "", "PatientID": ""},
        {"FrameOfReferenceUID": "1.2.3"},
        {"FrameOfReferenceUID": "1.2.3", "PatientID": ""},
    ],
    ids=lambda identifiers: " ".join(f"{name}={value}" for name, value in identifiers.items()),
)
def test_the_dose_of_another_anonymised_patient_is_not_taken(neighbours: Path, identifiers: dict[str, str]) -> None:
    with_identifiers(neighbours, **identifiers)
    assert find_dose(None, neighbours / "CT 1", read_ct_series(neighbours / "CT 1")) == ((), ())
    ((dose,), notes) = find_dose(None, neighbours / "CT 2", read_ct_series(neighbours / "CT 2"))
    assert dose.array.max() == pytest.approx(7, abs=1e-3) and notes == ()


def test_a_dose_of_another_patient_is_named_and_not_taken(tmp_path: Path) -> None:
    """Its frame of reference is that of the scan, but no other scan has it."""
    scan = write_scan(tmp_path / "CT")
    write_constant_dose(7, scan, tmp_path / "RD.dcm")
    with_identifiers(tmp_path, PatientID="SYNTHETIC-2")
    with_identifiers(tmp_path / "CT", PatientID="SYNTHETIC-1")
    scan = read_ct_series(tmp_path / "CT")
    doses, (note,) = find_dose(None, tmp_path / "CT", scan)
    assert doses == () and "RD.dcm has another PatientID than the CT" in note
    with pytest.raises(BadInput, match="another PatientID"):
        find_dose(tmp_path / "RD.dcm", tmp_path / "CT", scan)


def test_scans_in_one_frame_and_study_have_the_doses_of_their_patients(neighbours: Path) -> None:
    with_identifiers(neighbours, FrameOfReferenceUID="1.2.3", StudyInstanceUID="1.2.4")
    assert find_dose(None, neighbours / "CT 1", read_ct_series(neighbours / "CT 1")) == ((), ())
    ((dose,), _) = find_dose(None, neighbours / "CT 2", read_ct_series(neighbours / "CT 2"))
    assert dose.array.max() == pytest.approx(7, abs=1e-3)


def test_files_without_any_identifier_have_no_dose(neighbours: Path) -> None:
    with_identifiers(neighbours, FrameOfReferenceUID="", PatientID="", StudyInstanceUID="")
    scan = read_ct_series(neighbours / "CT 1")
    assert find_dose(None, neighbours / "CT 1", scan) == ((), ())
    with pytest.raises(BadInput, match="their patient or study must be the same"):
        find_dose(neighbours / "dose 2" / "RD.dcm", neighbours / "CT 1", scan)


def test_the_dose_in_the_folder_of_the_scan_comes_first(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "CT")
    write_constant_dose(7, scan, tmp_path / "CT" / "RD.dcm")
    write_constant_dose(5, scan, tmp_path / "RD.dcm")
    ((dose,), _) = find_dose(None, tmp_path / "CT", scan)
    assert dose.array.max() == pytest.approx(7, abs=1e-3)


def test_two_doses_are_named_and_not_added(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "CT")
    write_constant_dose(7, scan, tmp_path / "RD 1.dcm")
    write_constant_dose(5, scan, tmp_path / "RD 2.dcm")
    doses, (note,) = find_dose(None, tmp_path / "CT", scan)
    assert doses == () and note.startswith("The dose isn't shown.") and note.endswith("Or give one with --dose.")
    assert "RD 1.dcm" in note and "RD 2.dcm are different PLAN doses" in note
