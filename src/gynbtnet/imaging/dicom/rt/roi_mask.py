"""Mask of a ROI on the grid of its CT."""

from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class ROIMask:
    """Mask of a ROI.

    Attributes:
        mask: the mask (z, y, x) on the grid of the CT.
        interpolated: number of slices without a contour that were interpolated.
        notes: a sentence for each decision.
    """

    mask: Mask
    interpolated: int
    notes: tuple[str, ...]


def roi_mask(placed: PlacedROI, ct: CTSeries) -> ROIMask:
    """Rasterise the contours of a ROI.

    Args:
        placed: contours with their positions along the scan.
        ct: the CT on which they were drawn.

    Returns:
        The mask on the grid of the CT.

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
    filled = interpolate_gaps(mask, drawn, placed, ct)
    notes = (*placed.notes, *placement_notes, *copy_notes, *crossing_notes, *filled.notes)
    return ROIMask(ct.mask_on_planes(filled.mask), filled.interpolated, notes)
