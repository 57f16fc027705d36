"""The images that a structure set refers to."""

from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID

from gynbtnet.imaging.dicom.objects import CT_IMAGE, MULTI_FRAME_CT, dicom_errors_as_bad_input, read_header, uid_value


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
        """Whether nothing says that its images are no CT."""
        return not self.classes or not self.classes.isdisjoint((CT_IMAGE, *MULTI_FRAME_CT))

    @property
    def kind(self) -> str:
        """What its images are, such as "MR Image Storage"."""
        return ", ".join(sorted(UID(one).name for one in self.classes)) or "unknown"


def referenced_series(rtstruct: Path) -> tuple[ReferencedSeries, ...]:
    """Return every series that an RTSTRUCT refers to, with its images.

    Source: DICOM PS3.3 C.8.8.5, Structure Set module.

    Raises:
        BadInput: If the file can't be read.
    """
    with dicom_errors_as_bad_input(rtstruct):
        header = read_header(rtstruct, "an RTSTRUCT", ["ReferencedFrameOfReferenceSequence"])
        found = []
        for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
            for study in frame.get("RTReferencedStudySequence") or ():
                for series in study.get("RTReferencedSeriesSequence") or ():
                    images = series.get("ContourImageSequence") or ()
                    found.append(
                        ReferencedSeries(
                            uid_value(series, "SeriesInstanceUID"),
                            frozenset(uid_value(one, "ReferencedSOPInstanceUID") for one in images),
                            frozenset(uid_value(one, "ReferencedSOPClassUID") for one in images),
                        )
                    )
        return tuple(found)


def referenced_frames(rtstruct: Path) -> frozenset[str]:
    """Return the frames of reference that an RTSTRUCT and its ROIs name.

    Raises:
        BadInput: If the file can't be read.
    """
    with dicom_errors_as_bad_input(rtstruct):
        wanted = ["ReferencedFrameOfReferenceSequence", "StructureSetROISequence"]
        header = read_header(rtstruct, "an RTSTRUCT", wanted)
        named = {uid_value(one, "FrameOfReferenceUID") for one in header.get(wanted[0]) or ()}
        named |= {uid_value(one, "ReferencedFrameOfReferenceUID") for one in header.get(wanted[1]) or ()}
        return frozenset(named - {""})
