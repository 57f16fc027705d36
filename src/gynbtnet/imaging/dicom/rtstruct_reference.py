"""What an RTSTRUCT was drawn on."""

import warnings
from collections import Counter
from dataclasses import dataclass
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

_ENDED = ".*(nexpected end of file|No tag to read)"  # pydicom's warnings about a value without its end


@dataclass(frozen=True)
class RTStructReference:
    """What an RTSTRUCT says it was drawn on; empty where it doesn't say.

    A structure set may list several images, MR first and then CT, and its ROIs may have been drawn on different ones.

    Attributes:
        patient_id: the PatientID.
        study_uid: the StudyInstanceUID.
        frame_of_reference_uid: the frame of its ROIs that has CT images, else of most ROIs, else the first listed.
        series_uid: the first series in that frame that isn't known to be another kind than CT, else the first one.
        series_uids: all series that it lists.
        listed_frames: all frames of reference that it lists.
    """

    patient_id: str
    study_uid: str
    frame_of_reference_uid: str
    series_uid: str
    series_uids: tuple[str, ...] = ()
    listed_frames: tuple[str, ...] = ()


def read_reference(path: Path) -> RTStructReference:
    """Which patient, frames of reference and series an RTSTRUCT refers to.

    Raises:
        BadInput: where ``path`` is no readable RTSTRUCT.
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        return referenced_series_of(open_rtstruct(path))


def open_rtstruct(path: Path) -> FileDataset:
    """Read a whole RTSTRUCT; call it under :func:`~gynbtnet.imaging.dicom.objects.dicom_errors_as_bad_input`.

    Raises:
        BadInput: where ``path`` is no RTSTRUCT, or was cut short.
    """
    rtstruct = read_object(path, "an RTSTRUCT")
    modality = code_value(rtstruct, "Modality")
    if modality != "RTSTRUCT":
        raise BadInput(f"{path} is of modality {modality or 'unknown'}; expected an RTSTRUCT.")
    if "RTROIObservationsSequence" not in rtstruct and _ends_early(path, rtstruct):
        raise BadInput(
            f"{path} ends before its contours do, or has none; it was cut short or nothing was drawn: export it again."
        )
    return rtstruct


def _ends_early(path: Path, rtstruct: Dataset) -> bool:
    """Whether a file without the sequence that usually follows the contours was cut short before or within them."""
    if "ROIContourSequence" not in rtstruct:
        return True
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=_ENDED)
        try:
            read_object(path, "an RTSTRUCT")
        except BadInput:
            return True
    return False


def referenced_series_of(rtstruct: Dataset) -> RTStructReference:
    """What an RTSTRUCT that was read refers to."""
    listed = _listed(rtstruct)
    frames = _roi_frames(rtstruct) or tuple(dict.fromkeys(one.frame for one in listed))
    on_ct = [frame for frame in frames if any(one.frame == frame and one.is_ct for one in listed)]
    frame = next(iter((*on_ct, *frames)), "")
    series = sorted(listed, key=lambda one: (one.frame != frame, one.is_other))
    return RTStructReference(
        patient_id=str(rtstruct.get("PatientID", "")),
        study_uid=uid_value(rtstruct, "StudyInstanceUID"),
        frame_of_reference_uid=frame,
        series_uid=next((one.series for one in series if one.series), ""),
        series_uids=tuple(dict.fromkeys(one.series for one in listed if one.series)),
        listed_frames=tuple(dict.fromkeys(one.frame for one in listed if one.frame)),
    )


@dataclass(frozen=True)
class _Listed:
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


def _listed(rtstruct: Dataset) -> list[_Listed]:
    found = []
    for frame in rtstruct.get("ReferencedFrameOfReferenceSequence") or ():
        frame_uid = uid_value(frame, "FrameOfReferenceUID")
        series = [
            _Listed(
                frame_uid,
                uid_value(one, "SeriesInstanceUID"),
                frozenset(uid_value(image, "ReferencedSOPClassUID") for image in one.get("ContourImageSequence") or ())
                - {""},
            )
            for study in frame.get("RTReferencedStudySequence") or ()
            for one in study.get("RTReferencedSeriesSequence") or ()
        ]
        found += series or [_Listed(frame_uid)]
    return found


def _roi_frames(rtstruct: Dataset) -> tuple[str, ...]:
    """The frames of reference that ROIs with contours name, the most frequent first."""
    drawn = {
        integer_value(item, "ReferencedROINumber")
        for item in rtstruct.get("ROIContourSequence") or ()
        if item.get("ContourSequence")
    }
    named = Counter(
        uid_value(roi, "ReferencedFrameOfReferenceUID")
        for roi in rtstruct.get("StructureSetROISequence") or ()
        if integer_value(roi, "ROINumber") in drawn
    )
    return tuple(frame for frame, _ in named.most_common() if frame)
