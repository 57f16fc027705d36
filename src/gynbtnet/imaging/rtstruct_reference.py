"""What an RTSTRUCT was drawn on."""

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset

from gynbtnet.errors import BadInput
from gynbtnet.imaging.dicom_objects import code, read_object, reading, uid


@dataclass(frozen=True)
class RTStructReference:
    """What an RTSTRUCT says it was drawn on; empty where it doesn't say."""

    patient_id: str
    study_uid: str
    frame_of_reference_uid: str
    series_uid: str


def read_reference(path: Path) -> RTStructReference:
    """Which patient, frame of reference and CT series an RTSTRUCT refers to.

    Raises:
        BadInput: where ``path`` is no readable RTSTRUCT.
    """
    path = Path(path)
    with reading(path):
        return reference_of(open_rtstruct(path))


def open_rtstruct(path: Path) -> FileDataset:
    """Read a whole RTSTRUCT; call it under :func:`~gynbtnet.imaging.dicom_objects.reading`.

    Raises:
        BadInput: where ``path`` is no RTSTRUCT, or was cut short.
    """
    rtstruct = read_object(path, "an RTSTRUCT")
    modality = code(rtstruct, "Modality")
    if modality != "RTSTRUCT":
        raise BadInput(f"{path} is of modality {modality or 'unknown'}; expected an RTSTRUCT.")
    if "RTROIObservationsSequence" not in rtstruct:
        raise BadInput(
            f"{path} has no RTROIObservationsSequence, which every RTSTRUCT has behind its contours; "
            "it was cut short: export it again."
        )
    return rtstruct


def reference_of(rtstruct: Dataset) -> RTStructReference:
    """What an RTSTRUCT that was read refers to."""
    frame = _first(rtstruct, "ReferencedFrameOfReferenceSequence")
    study = _first(frame, "RTReferencedStudySequence")
    series = _first(study, "RTReferencedSeriesSequence")
    return RTStructReference(
        patient_id=str(rtstruct.get("PatientID", "")),
        study_uid=uid(rtstruct, "StudyInstanceUID"),
        frame_of_reference_uid=uid(frame, "FrameOfReferenceUID"),
        series_uid=uid(series, "SeriesInstanceUID"),
    )


def _first(dataset: Dataset, keyword: str) -> Dataset:
    items = dataset.get(keyword)
    return items[0] if items else Dataset()
