"""The patient of a review, so that her fractions are not treated as independent of each other.

A ``review.json`` doesn't name the patient. The RTSTRUCT or SEG next to it does, for the planning system.
"""

from collections.abc import Sequence
from pathlib import Path

from gynbtnet.datasets.ingestion.scan_numbering import CASE_NAME
from gynbtnet.imaging.dicom.objects import dicom_errors_as_bad_input, read_header
from gynbtnet.inference.prediction_files import RTSTRUCT_FILE, SEG_FILE
from gynbtnet.review.record import ReviewRecord
from gynbtnet.runtime.errors import BadInput


def reviewed_patient(folders: Sequence[Path], review: ReviewRecord) -> str | None:
    """Return what identifies the patient of a review among others; it can be the PatientID, so it is never written.

    It is the PatientID in the contours of the review or of its prediction. If there is none, it is the patient in the
    name of the prediction's folder (``patient-003_f2``). An image file whose name has no fraction is its own patient.

    Args:
        folders: folder of the review, and that of its prediction as the last one.
        review: record of the review.

    Returns:
        The patient; None if unknown.
    """
    for path in (folder / name for folder in folders for name in (RTSTRUCT_FILE, SEG_FILE)):
        if path.is_file() and (patient := _patient_id(path)):
            return patient
    folder = folders[-1].absolute()
    match = CASE_NAME.fullmatch(folder.name)
    if review.series_uid is None:
        return match["patient"] if match else folder.name
    # study IDs of DICOM scans are numbered in each folder of predictions
    return str(folder.with_name(match["patient"])) if match else None


def _patient_id(path: Path) -> str:
    """Return the PatientID of a DICOM file; empty if it has none or is damaged."""
    try:
        with dicom_errors_as_bad_input(path):
            return str(read_header(path, "contours", ["PatientID"]).get("PatientID") or "").strip()
    except BadInput:
        return ""
