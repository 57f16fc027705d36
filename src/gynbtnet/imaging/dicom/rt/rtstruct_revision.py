"""Writing of an RTSTRUCT that revises another one: changed slices get new contours, all others keep theirs.

A contour that isn't changed is copied with its points as they are stored, byte for byte. The new object has its own
UIDs and names the revised one as its predecessor (PS3.3 C.8.8.5).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from gynbtnet.imaging.contours.mask_to_contours import ContourStyle, HoleStyle, mask_to_contours
from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.objects import (
    check_overwrite,
    current_date_and_time,
    dicom_errors_as_bad_input,
    lenient_pydicom,
    new_uid,
    series_description,
    uid_value,
    write_object,
)
from gynbtnet.imaging.dicom.rt.rtstruct_writer import contour_items, short_text
from gynbtnet.imaging.dicom.rtstruct_reference import read_rtstruct_object
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput

_LONGEST_NAME = 64  # characters of a ROIName and of a ReviewerName's parts


@dataclass(frozen=True, eq=False)
class RevisedStructure:
    """A structure before and after its revision, on the grid of the CT.

    Attributes:
        before: mask (z, y, x) of the RTSTRUCT that is revised.
        after: revised mask (z, y, x).
        remark: the ROIDescription.
    """

    before: Mask
    after: Mask
    remark: str


def write_rtstruct_revision(
    source: Path,
    ct: CTSeries,
    structures: Mapping[str, RevisedStructure],
    path: Path,
    *,
    names: StructureNames,
    description: str,
    software_version: str,
    reviewer: str | None = None,
    has_predecessor: bool = True,
    contour_style: ContourStyle = "smooth",
    hole_style: HoleStyle = "keyhole",
) -> None:
    """Write the revision of an RTSTRUCT.

    A structure that changed has the ROIGenerationAlgorithm SEMIAUTOMATIC, any other keeps its own. Only slices whose
    voxels changed get new contours.

    Args:
        source: the RTSTRUCT to revise, as :func:`write_rtstruct` wrote it for ``ct``.
        ct: the scan.
        structures: structures by identifier; other ROIs are copied.
        path: file to write; it must not exist.
        names: names of the structures, to find their ROIs.
        description: the SeriesDescription.
        software_version: version of the software.
        reviewer: name of the person who approves the contours: the ApprovalStatus becomes APPROVED, with the name, date
            and time of the review. None: UNAPPROVED.
        has_predecessor: name ``source`` as the predecessor; False if it was only made for this call.
        contour_style: style of new contours.
        hole_style: style of holes in new contours.

    Raises:
        BadInput: If ``path`` exists, ``source`` can't be read, belongs to another scan or lacks a structure, or the
            name of the reviewer can't be stored.
        ValueError: If a mask isn't on the grid of ``ct``.
    """
    check_overwrite(path, force=False)
    _check_name(reviewer)
    with lenient_pydicom(), dicom_errors_as_bad_input(source):
        rtstruct = read_rtstruct_object(source)
        if uid_value(rtstruct, "FrameOfReferenceUID") not in ("", ct.frame_of_reference_uid):
            raise BadInput(f"{source} has another frame of reference than the scan; expected the scan's own RTSTRUCT.")
        predecessor = Dataset()
        predecessor.ReferencedSOPClassUID = rtstruct.SOPClassUID
        predecessor.ReferencedSOPInstanceUID = rtstruct.SOPInstanceUID
        rtstruct.SOPInstanceUID = rtstruct.file_meta.MediaStorageSOPInstanceUID = new_uid()
        rtstruct.SeriesInstanceUID = new_uid()
        rtstruct.update(current_date_and_time("InstanceCreation", "StructureSet"))
        rtstruct.SoftwareVersions = software_version
        rtstruct.SeriesDescription = series_description(rtstruct, description)
        if has_predecessor:
            rtstruct.PredecessorStructureSetSequence = [predecessor]
        rtstruct.ApprovalStatus = "APPROVED" if reviewer else "UNAPPROVED"
        for keyword in ("ReviewDate", "ReviewTime", "ReviewerName"):
            if keyword in rtstruct:
                delattr(rtstruct, keyword)
        if reviewer:
            rtstruct.update(current_date_and_time("Review"))
            rtstruct.ReviewerName = reviewer
        rois = {str(item.ROIName): item for item in rtstruct.StructureSetROISequence}
        contours = {int(item.ReferencedROINumber): item for item in rtstruct.ROIContourSequence}
        for structure, revised in structures.items():
            roi = rois.get(names.tg263(structure)[:_LONGEST_NAME])
            if roi is None:
                raise BadInput(
                    f"{source} has no ROI {names.tg263(structure)}; expected the RTSTRUCT of this prediction: predict "
                    "the scan again."
                )
            roi.ROIDescription = short_text(revised.remark)
            if _revise(contours[int(roi.ROINumber)], revised, ct, contour_style, hole_style):
                roi.ROIGenerationAlgorithm = "SEMIAUTOMATIC"
        write_object(rtstruct, path)


def _revise(
    roi_contour: Dataset, revised: RevisedStructure, ct: CTSeries, contour_style: ContourStyle, hole_style: HoleStyle
) -> bool:
    """Replace the contours on changed slices; return whether there are any."""
    if revised.after.shape != ct.volume.geometry.shape or revised.before.shape != revised.after.shape:
        raise ValueError("a mask is not on the grid of the CT")
    before, after = ct.mask_on_slices(revised.before), ct.mask_on_slices(revised.after)
    changed = (before != after).any(axis=(1, 2))
    if not changed.any():
        return bool((revised.before != revised.after).any())
    drawn = mask_to_contours(
        after & changed[:, None, None], ct.scanned_grid, contour_style=contour_style, hole_style=hole_style
    )
    items = [(_slice_of(item, ct), item) for item in roi_contour.get("ContourSequence") or ()]
    items = [(number, item) for number, item in items if not changed[number]]
    items += [(_slice_of(item, ct), item) for item in contour_items(drawn, ct)]
    items.sort(key=lambda numbered: numbered[0])
    if items:
        roi_contour.ContourSequence = Sequence([item for _, item in items])
    elif "ContourSequence" in roi_contour:
        del roi_contour.ContourSequence
    return True


def _slice_of(item: Dataset, ct: CTSeries) -> int:
    """Return the index of the scanned slice that is nearest to a contour's first point."""
    element = item.get_item("ContourData")
    value = element.value if element is not None else b""
    first = value.split(b"\\")[:3] if isinstance(value, bytes) else list(value)[:3]
    z = float(ct.volume.geometry.to_index([float(number) for number in first])[0])
    return int(np.abs(np.asarray([image.z for image in ct.slices]) - z).argmin())


def _check_name(reviewer: str | None) -> None:
    """Raise BadInput if a name can't be a DICOM person's name (PN)."""
    if reviewer is None:
        return
    if not reviewer.strip() or len(reviewer) > _LONGEST_NAME or not reviewer.isprintable() or "\\" in reviewer:
        raise BadInput(
            f"“{reviewer}” can't be the name of a reviewer in DICOM; expected 1 to {_LONGEST_NAME} characters without "
            "a backslash, such as “Doe^Jane”."
        )
