"""Check that a DICOM file is of the same patient as a scan."""

from pathlib import Path

from gynbtnet.imaging.dicom.objects import dicom_errors_as_bad_input, read_header


def is_of_other_patient(path: Path, patient_id: str) -> bool:
    """Return whether a file has another PatientID than a scan; an empty one doesn't identify a patient.

    Args:
        path: DICOM file, such as an RTSTRUCT.
        patient_id: PatientID of the scan.

    Raises:
        BadInput: If the file can't be read.
    """
    with dicom_errors_as_bad_input(path):
        own = str(read_header(path, "a DICOM file", ["PatientID"]).get("PatientID") or "").strip()
    return bool(own and patient_id.strip()) and own != patient_id.strip()


def other_patient_note(path: Path) -> str:
    """Return the sentence on a file with another PatientID than the CT on which it is converted."""
    return f"{path} has another PatientID than the CT. Check that both are of one patient."
