"""Patient, series and frames of reference that an RTSTRUCT refers to."""

import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset

from gynbtnet.imaging.dicom.objects import (
    CT_IMAGE,
    MULTI_FRAME_CT,
    code_value,
    dicom_errors_as_bad_input,
    integer_value,
    read_object,
    uid_value,
)
from gynbtnet.runtime.errors import BadInput

_END_WARNING = ".*(nexpected end of file|No tag to read)"  # pydicom's warnings about a truncated value


@dataclass(frozen=True)
class RTStructReference:
    """References of an RTSTRUCT; empty if unknown.

    A structure set may list several images, MR first and then CT, and its ROIs may belong to different ones.

    Attributes:
        patient_id: the PatientID.
        study_uid: the StudyInstanceUID.
        frame_of_reference_uid: the frame of its ROIs that has CT images; otherwise that of most ROIs; otherwise the
            first listed one.
        series_uid: the first series in that frame that may be a CT by its SOP classes; otherwise the first one.
        series_uids: all series that it lists.
        listed_frames: all frames of reference that it lists.
    """

    patient_id: str = field(repr=False)
    study_uid: str
    frame_of_reference_uid: str
    series_uid: str
    series_uids: tuple[str, ...] = ()
    listed_frames: tuple[str, ...] = ()


def read_reference(path: Path) -> RTStructReference:
    """Read the patient, frames of reference and series that an RTSTRUCT refers to.

    Args:
        path: the RTSTRUCT.

    Returns:
        The references of the RTSTRUCT.

    Raises:
        BadInput: If ``path`` isn't a readable RTSTRUCT.
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        return parse_reference(read_rtstruct_object(path))


def read_rtstruct_object(path: Path) -> FileDataset:
    """Read the DICOM object of an RTSTRUCT.

    Call it inside :func:`~gynbtnet.imaging.dicom.objects.dicom_errors_as_bad_input`.

    Raises:
        BadInput: If ``path`` isn't an RTSTRUCT, or was cut short.
    """
    rtstruct = read_object(path, "an RTSTRUCT")
    modality = code_value(rtstruct, "Modality")
    if modality != "RTSTRUCT":
        raise BadInput(f"{path} is of modality {modality or 'unknown'}; expected an RTSTRUCT.")
    if "RTROIObservationsSequence" not in rtstruct and _ends_early(path, rtstruct):
        raise BadInput(
            f"{path} ends before or within its contours: it was cut short, or it has no contours; export it again."
        )
    return rtstruct


def _ends_early(path: Path, rtstruct: Dataset) -> bool:
    """Check if a file without the sequence that usually follows the contours ends before or within them."""
    if "ROIContourSequence" not in rtstruct:
        return True
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=_END_WARNING)
        try:
            read_object(path, "an RTSTRUCT")
        except BadInput:
            return True
    return False


def parse_reference(rtstruct: Dataset) -> RTStructReference:
    """Return the references of an RTSTRUCT object."""
    listed = _listed_series(rtstruct)
    frames = _roi_frames(rtstruct) or tuple(dict.fromkeys(item.frame for item in listed))
    on_ct = [frame for frame in frames if any(item.frame == frame and item.is_ct for item in listed)]
    frame = next(iter((*on_ct, *frames)), "")
    series = sorted(listed, key=lambda item: (item.frame != frame, item.is_other))
    return RTStructReference(
        patient_id=str(rtstruct.get("PatientID", "")),
        study_uid=uid_value(rtstruct, "StudyInstanceUID"),
        frame_of_reference_uid=frame,
        series_uid=next((item.series for item in series if item.series), ""),
        series_uids=tuple(dict.fromkeys(item.series for item in listed if item.series)),
        listed_frames=tuple(dict.fromkeys(item.frame for item in listed if item.frame)),
    )


@dataclass(frozen=True)
class _ListedSeries:
    """A frame of reference that an RTSTRUCT lists, with a series and the SOP classes of its images, if any."""

    frame: str
    series: str = ""
    classes: frozenset[str] = frozenset()

    @property
    def is_ct(self) -> bool:
        return not self.classes.isdisjoint((CT_IMAGE, *MULTI_FRAME_CT))

    @property
    def is_other(self) -> bool:
        return bool(self.classes - {""}) and not self.is_ct


def _listed_series(rtstruct: Dataset) -> list[_ListedSeries]:
    listed = []
    for frame in rtstruct.get("ReferencedFrameOfReferenceSequence") or ():
        frame_uid = uid_value(frame, "FrameOfReferenceUID")
        series = [
            _ListedSeries(
                frame_uid,
                uid_value(item, "SeriesInstanceUID"),
                frozenset(uid_value(image, "ReferencedSOPClassUID") for image in item.get("ContourImageSequence") or ())
                - {""},
            )
            for study in frame.get("RTReferencedStudySequence") or ()
            for item in study.get("RTReferencedSeriesSequence") or ()
        ]
        listed += series or [_ListedSeries(frame_uid)]
    return listed


def _roi_frames(rtstruct: Dataset) -> tuple[str, ...]:
    """Return the frames of reference of ROIs with contours, the most frequent first."""
    numbers = {
        integer_value(item, "ReferencedROINumber")
        for item in rtstruct.get("ROIContourSequence") or ()
        if item.get("ContourSequence")
    }
    frames = Counter(
        uid_value(roi, "ReferencedFrameOfReferenceUID")
        for roi in rtstruct.get("StructureSetROISequence") or ()
        if integer_value(roi, "ROINumber") in numbers
    )
    return tuple(frame for frame, _ in frames.most_common() if frame)
