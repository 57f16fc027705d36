"""ROIs of an RTSTRUCT, with their contours as stored in the file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from gynbtnet.imaging.dicom.objects import code_value, dicom_errors_as_bad_input, integer_value, uid_value
from gynbtnet.imaging.dicom.rtstruct_reference import read_rtstruct_object
from gynbtnet.imaging.printed_names import as_one_line

_MAX_NAME_LENGTH = 64  # characters of a ROIName, value representation LO


@dataclass(frozen=True)
class StoredContour:
    """One contour as stored in DICOM.

    Attributes:
        geometric_type: ContourGeometricType in capitals.
        point_count: NumberOfContourPoints as text; empty if absent.
        data: ContourData as text.
    """

    geometric_type: str
    point_count: str
    data: bytes


@dataclass(frozen=True)
class StoredROI:
    """A ROI with all its contours except single points, which enclose nothing.

    Attributes:
        number: the ROINumber.
        name: the ROIName on one line.
        interpreted_type: the RTROIInterpretedType; empty if unknown.
        frame_of_reference_uid: frame of reference of the image on which it was drawn; empty if unknown.
        contours: contours of all its items, in the order of the file.
        image_uids: SOPInstanceUIDs of the images that its first contour refers to.
    """

    number: str
    name: str
    interpreted_type: str
    frame_of_reference_uid: str
    contours: tuple[StoredContour, ...]
    image_uids: tuple[str, ...] = ()


@dataclass(frozen=True)
class ROISummary:
    """A ROI in a list of ROIs.

    Attributes:
        name: the ROIName on one line.
        interpreted_type: the RTROIInterpretedType; empty if unknown.
        contours: number of contours, without single points.
    """

    name: str
    interpreted_type: str
    contours: int


def list_rois(path: Path) -> tuple[ROISummary, ...]:
    """Return the ROIs of an RTSTRUCT, in its order.

    Raises:
        BadInput: If ``path`` isn't a readable RTSTRUCT.
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        rois = parse_rois(read_rtstruct_object(path))
    return tuple(ROISummary(roi.name, roi.interpreted_type, len(roi.contours)) for roi in rois)


def parse_rois(rtstruct: Dataset) -> list[StoredROI]:
    """Return the ROIs of an RTSTRUCT object, in its order.

    A ROI that is listed twice with the same number and name counts once.
    """
    contour_items: dict[str, list[Dataset]] = {}
    for item in rtstruct.get("ROIContourSequence") or ():
        number = integer_value(item, "ReferencedROINumber")
        contour_items.setdefault(number, []).extend(item.get("ContourSequence") or ())
    types = {
        integer_value(item, "ReferencedROINumber"): code_value(item, "RTROIInterpretedType")
        for item in rtstruct.get("RTROIObservationsSequence") or ()
    }
    contours = {number: tuple(_stored_contour(item) for item in items) for number, items in contour_items.items()}
    rois: dict[tuple[str, str], StoredROI] = {}
    for item in rtstruct.get("StructureSetROISequence") or ():
        number = integer_value(item, "ROINumber")
        roi = StoredROI(
            number=number,
            name=as_one_line(_roi_name(item, rtstruct))[:_MAX_NAME_LENGTH],
            interpreted_type=types.get(number, ""),
            frame_of_reference_uid=uid_value(item, "ReferencedFrameOfReferenceUID"),
            contours=tuple(contour for contour in contours.get(number, ()) if contour.geometric_type != "POINT"),
            image_uids=_image_uids(contour_items.get(number, ())),
        )
        first = rois.setdefault((number, roi.name), roi)
        if not first.frame_of_reference_uid:
            rois[number, roi.name] = replace(first, frame_of_reference_uid=roi.frame_of_reference_uid)
    return list(rois.values())


def _roi_name(item: Dataset, rtstruct: Dataset) -> str:
    """Return the ROIName; UTF-8 if no character set is given and the bytes are valid UTF-8."""
    value = item.get("ROIName") or ""
    name = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)  # a backslash separates values
    if item.get("SpecificCharacterSet") or rtstruct.get("SpecificCharacterSet"):
        return name
    try:
        return name.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return name


def _image_uids(contours: Sequence[Dataset]) -> tuple[str, ...]:
    """Return the UIDs of the images that the first contour refers to."""
    images = contours[0].get("ContourImageSequence") if contours else None
    return tuple(uid for image in images or () if (uid := uid_value(image, "ReferencedSOPInstanceUID")))


def _stored_contour(item: Dataset) -> StoredContour:
    element = item.get_item("ContourData")
    data = element.value if element is not None else None
    return StoredContour(
        geometric_type=code_value(item, "ContourGeometricType").upper(),
        point_count=integer_value(item, "NumberOfContourPoints"),
        data=data if isinstance(data, bytes) else b"\\".join(str(value).encode() for value in data or ()),
    )
