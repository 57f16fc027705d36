"""The regions of interest in an RTSTRUCT, with their contours as the file stores them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from gynbtnet.imaging.dicom.objects import code_value, integer_value, uid_value
from gynbtnet.imaging.printed_names import as_one_line

_LONGEST_NAME = 64  # characters of a ROIName, value representation LO


@dataclass(frozen=True)
class DrawnContour:
    """One contour as DICOM has it: what kind, how many points it claims, and its coordinates as text."""

    kind: str
    count: str
    text: bytes


@dataclass(frozen=True)
class Region:
    """A ROI with its contours but points, which enclose nothing.

    Attributes:
        number: its ROINumber.
        name: on one line.
        kind: its RT ROI Interpreted Type, empty where unknown.
        frame_of_reference_uid: of the image that it was drawn on, empty where unknown.
        contours: of all its items, in the order of the file.
        image_uids: images that its first contour refers to.
    """

    number: str
    name: str
    kind: str
    frame_of_reference_uid: str
    contours: tuple[DrawnContour, ...]
    image_uids: tuple[str, ...] = ()


def read_regions(rtstruct: Dataset) -> list[Region]:
    """The ROIs of an RTSTRUCT that was read, in its order; one that is listed twice with its name counts once."""
    drawn: dict[str, list[Dataset]] = {}
    for item in rtstruct.get("ROIContourSequence") or ():
        drawn.setdefault(integer_value(item, "ReferencedROINumber"), []).extend(item.get("ContourSequence") or ())
    kinds = {
        integer_value(item, "ReferencedROINumber"): code_value(item, "RTROIInterpretedType")
        for item in rtstruct.get("RTROIObservationsSequence") or ()
    }
    contours = {number: tuple(_drawn(one) for one in items) for number, items in drawn.items()}
    found: dict[tuple[str, str], Region] = {}
    for roi in rtstruct.get("StructureSetROISequence") or ():
        number = integer_value(roi, "ROINumber")
        region = Region(
            number=number,
            name=as_one_line(_name(roi, rtstruct))[:_LONGEST_NAME],
            kind=kinds.get(number, ""),
            frame_of_reference_uid=uid_value(roi, "ReferencedFrameOfReferenceUID"),
            contours=tuple(one for one in contours.get(number, ()) if one.kind != "POINT"),
            image_uids=_images(drawn.get(number, ())),
        )
        first = found.setdefault((number, region.name), region)
        if not first.frame_of_reference_uid:
            found[number, region.name] = replace(first, frame_of_reference_uid=region.frame_of_reference_uid)
    return list(found.values())


def _name(roi: Dataset, rtstruct: Dataset) -> str:
    """The ROI's name; without a stated character set UTF-8 where its bytes are that."""
    found = roi.get("ROIName") or ""
    name = "\\".join(map(str, found)) if isinstance(found, MultiValue) else str(found)  # a backslash separates values
    if roi.get("SpecificCharacterSet") or rtstruct.get("SpecificCharacterSet"):
        return name
    try:
        return name.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return name


def _images(contours: Sequence[Dataset]) -> tuple[str, ...]:
    """UIDs of the images that the first contour refers to."""
    images = contours[0].get("ContourImageSequence") if contours else None
    return tuple(found for image in images or () if (found := uid_value(image, "ReferencedSOPInstanceUID")))


def _drawn(contour: Dataset) -> DrawnContour:
    element = contour.get_item("ContourData")
    text = element.value if element is not None else None
    return DrawnContour(
        kind=code_value(contour, "ContourGeometricType").upper(),
        count=integer_value(contour, "NumberOfContourPoints"),
        text=text if isinstance(text, bytes) else b"\\".join(str(value).encode() for value in text or ()),
    )
