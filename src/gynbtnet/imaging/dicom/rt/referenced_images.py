"""The images that a structure set refers to."""

from dataclasses import dataclass
from pathlib import Path

from gynbtnet.imaging.dicom.objects import (
    CT_IMAGE,
    MULTI_FRAME_CT,
    dicom_errors_as_bad_input,
    read_header,
    uid_value,
    unchecked_uid,
)


@dataclass(frozen=True)
class ReferencedSeries:
    """A series that a structure set refers to.

    Attributes:
        series_uid: its SeriesInstanceUID.
        images: SOPInstanceUIDs of its images, as far as the structure set lists them.
        classes: their SOP classes.
    """

    series_uid: str
    images: frozenset[str]
    classes: frozenset[str]

    @property
    def is_ct(self) -> bool:
        """Return True unless the SOP classes of its images exclude a CT."""
        return not self.classes or not self.classes.isdisjoint((CT_IMAGE, *MULTI_FRAME_CT))

    @property
    def kind(self) -> str:
        """The SOP classes of its images by name, such as "MR Image Storage"."""
        return ", ".join(sorted(unchecked_uid(uid).name for uid in self.classes)) or "unknown"


def referenced_series(rtstruct: Path) -> tuple[ReferencedSeries, ...]:
    """Return every series that an RTSTRUCT refers to, with its images.

    Source: DICOM PS3.3 C.8.8.5, Structure Set module.

    Raises:
        BadInput: If the file can't be read.
    """
    with dicom_errors_as_bad_input(rtstruct):
        header = read_header(rtstruct, "an RTSTRUCT", ["ReferencedFrameOfReferenceSequence"])
        referenced = []
        for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
            for study in frame.get("RTReferencedStudySequence") or ():
                for series in study.get("RTReferencedSeriesSequence") or ():
                    images = series.get("ContourImageSequence") or ()
                    referenced.append(
                        ReferencedSeries(
                            uid_value(series, "SeriesInstanceUID"),
                            frozenset(uid_value(image, "ReferencedSOPInstanceUID") for image in images),
                            frozenset(uid_value(image, "ReferencedSOPClassUID") for image in images),
                        )
                    )
        return tuple(referenced)


def referenced_frames(rtstruct: Path) -> frozenset[str]:
    """Return the frames of reference that an RTSTRUCT and its ROIs name.

    Raises:
        BadInput: If the file can't be read.
    """
    with dicom_errors_as_bad_input(rtstruct):
        keywords = ["ReferencedFrameOfReferenceSequence", "StructureSetROISequence"]
        header = read_header(rtstruct, "an RTSTRUCT", keywords)
        uids = {uid_value(item, "FrameOfReferenceUID") for item in header.get(keywords[0]) or ()}
        uids |= {uid_value(item, "ReferencedFrameOfReferenceUID") for item in header.get(keywords[1]) or ()}
        return frozenset(uids - {""})
