"""Mask of a ROI on the grid of its CT."""

import numpy as np

from gynbtnet.imaging.contours.contour_copies import COPY_DISTANCE, drop_copies
from gynbtnet.imaging.contours.contours_to_mask import contours_to_mask
from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.rt.contour_placement import PlacedROI, assign_to_slices
from gynbtnet.imaging.dicom.rt.crossing_contours import check_crossing_contours
from gynbtnet.imaging.dicom.rt.slices_without_contour import interpolate_gaps
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted


def roi_mask(placed: PlacedROI, ct: CTSeries) -> tuple[Mask, tuple[str, ...]]:
    """Rasterise the contours of a ROI.

    Args:
        placed: contours with their positions along the scan.
        ct: the CT on which they were drawn.

    Returns:
        Mask (z, y, x) on the grid of the CT, and notes.

    Raises:
        BadInput: If the contours enclose no voxel, take too much from each other, or are too sparse.
    """
    contours, placement_notes = assign_to_slices(placed, ct)
    drawn = np.unique([contour.z for contour in contours])
    geometry = ct.slice_grid
    contours, copies = drop_copies(contours, min(COPY_DISTANCE, min(geometry.spacing[1:]) / 2))
    copy_notes: tuple[str, ...] = ()
    if copies:
        of_others = f"{counted(copies, 'copy', 'copies')} of other contours on their slices"
        copy_notes = (f"“{placed.roi_name}” has {of_others}; each contour counts once.",)
    mask = contours_to_mask(contours, geometry)
    if not mask.any():
        raise BadInput(
            f"{placed.title} has {counted(len(contours), 'contour')}, and no voxel centre of the CT is inside (voxels "
            f"of {' × '.join(f'{value:.3g}' for value in geometry.spacing[1:])} mm within a slice). Expected a "
            "structure larger than a voxel, whose contours don't cancel each other. Draw it again, or delete the ROI."
        )
    crossing_notes = check_crossing_contours(contours, mask, placed, ct)
    mask, gap_notes = interpolate_gaps(mask, drawn, placed, ct)
    notes = (*placed.notes, *placement_notes, *copy_notes, *crossing_notes, *gap_notes)
    return ct.mask_on_planes(mask), notes
