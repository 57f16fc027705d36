"""Reading of structures from DICOM RTSTRUCT.

A contour belongs to the slice nearest to its plane, by position and never by UID. Contours that are all off their
slices by the same distance are moved together. If contours were drawn on a finer scan, planes at several heights may be
nearest to one slice. The nearest of them counts, with a note on the others. Copies of a contour count once.

Slices between contours stay empty, with a note; if the structure is drawn on every second or third slice, they are
interpolated. A contour of another scan is an error. It is recognised by more than half a slice beyond the ends of the
scan, or more than a voxel outside the image. A structure with contours but without a voxel is an error too.
"""

from collections.abc import Sequence
from pathlib import Path

from gynbtnet.imaging.contour_report import ContourReport
from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.objects import dicom_errors_as_bad_input
from gynbtnet.imaging.dicom.rt.contour_placement import align_with_slices, place_contours
from gynbtnet.imaging.dicom.rt.roi_mask import roi_mask
from gynbtnet.imaging.dicom.rt.roi_reference import reason_unusable
from gynbtnet.imaging.dicom.rt.rtstruct_rois import StoredROI, parse_rois
from gynbtnet.imaging.dicom.rtstruct_reference import parse_reference, read_rtstruct_object
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.roi_matching import match_rois
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput

_OTHER_SERIES = (
    "The structure set refers to another series than this CT, in the same frame of reference; check that the contours "
    "fit."
)


def read_rtstruct(
    path: Path, ct: CTSeries, structures: Sequence[str], names: StructureNames
) -> tuple[Segmentation, ContourReport]:
    """Read structures from an RTSTRUCT onto the grid of its CT.

    If structures overlap, the later one in ``structures`` gets the voxels. On a repaired scan, contours on an
    interpolated plane count; a plane without contours gets the shape between its neighbours.

    Args:
        path: the RTSTRUCT.
        ct: the CT on which it was drawn.
        structures: structures to read; label 1, 2, … in this order.
        names: names of structures, to match ROI names.

    Returns:
        The segmentation on the grid of ``ct``, and a report.

    Raises:
        BadInput: If the file isn't an RTSTRUCT, has another frame of reference, or has none of the structures. If
            several ROIs match one structure, or have one number. If a contour is open, not finite, tilted against the
            slices or outside the scan. If contours enclose no voxel, or take too much from each other.

    Example:
        >>> fraction = export / "PHANTOM-001" / "fraction-1"
        >>> ct = read_ct_series(fraction)
        >>> contours, report = read_rtstruct(fraction / "RS.dcm", ct, ("bladder", "rectum"), StructureNames.load())
        >>> contours.structures, contours.labels.geometry == ct.volume.geometry
        (('bladder', 'rectum'), True)
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        rtstruct = read_rtstruct_object(path)
        reference, rois = parse_reference(rtstruct), parse_rois(rtstruct)
    reasons = [reason_unusable(roi, reference, ct) for roi in rois]
    match = match_rois([roi.name for roi in rois], [not reason for reason in reasons], structures, names, path, reasons)
    _refuse_shared_numbers(list(match.rois.values()), rois, path)
    placed = {structure: place_contours(rois[i], ct, path) for structure, i in match.rois.items()}
    aligned, alignment_notes = align_with_slices(placed, ct)
    masks: dict[str, Mask] = {}
    interpolated: dict[str, int] = {}
    notes = [*match.passed_over, *match.unusable, *alignment_notes]
    if ct.series_uid and reference.series_uids and ct.series_uid not in reference.series_uids:
        notes.append(_OTHER_SERIES)
    for structure, roi in aligned.items():
        read = roi_mask(roi, ct)
        masks[structure] = read.mask
        notes += read.notes
        if read.interpolated:
            interpolated[structure] = read.interpolated
    segmentation, overlaps = paint_label_map(masks, structures, ct.volume.geometry)
    roi_names = {structure: roi.roi_name for structure, roi in aligned.items()}
    report = ContourReport(roi_names, match.missing, match.unmapped, overlaps, tuple(notes), interpolated)
    return segmentation, report


def _refuse_shared_numbers(matched: Sequence[int], rois: Sequence[StoredROI], path: Path) -> None:
    """Raise BadInput if another ROI has the number of a matched one, since the contours could belong to either."""
    for index in matched:
        sharing = [roi.name for roi in rois if roi.number == rois[index].number]
        if len(sharing) > 1:
            listed = " and ".join(f"“{name}”" for name in sharing)
            raise BadInput(
                f"{path} has {len(sharing)} ROIs with the number {rois[index].number}: {listed}; it is unknown which "
                "contours belong to which: number the ROIs differently in the planning system and export it again."
            )
