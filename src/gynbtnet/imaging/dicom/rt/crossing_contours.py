"""Check for contours of a ROI that cross, so that XOR removes voxels between them."""

from collections.abc import Sequence

import numpy as np

from gynbtnet.imaging.contours.contour_nesting import XorLoss, nesting_losses
from gynbtnet.imaging.contours.contours_to_mask import Contour
from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.rt.contour_placement import PlacedROI
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

_MAX_LOSS = 0.2  # share of a structure that crossing contours may take from each other
_MAX_LOSS_PER_SLICE = 0.5  # share of a slice
_NEGLIGIBLE_LOSS = 0.01  # share of a structure; a smaller loss on a slice is never an error


def check_crossing_contours(
    contours: Sequence[Contour], mask: Mask, placed: PlacedROI, ct: CTSeries
) -> tuple[str, ...]:
    """Refuse contours that take too much from each other by crossing; return a note on smaller losses.

    Args:
        contours: contours of the ROI without copies.
        mask: their mask on the slice positions, (positions, y, x).
        placed: the ROI, for messages.
        ct: the CT on which they were drawn.

    Raises:
        BadInput: If the structure or one of its slices loses too much.
    """
    losses = nesting_losses(contours, ct.slice_grid)
    if not losses:
        return ()
    lost = sum(loss.lost for loss in losses)
    enclosed = int(np.count_nonzero(mask)) + lost
    worst = max(losses, key=lambda loss: loss.lost)
    voxel_cm3 = ct.volume.geometry.voxel_volume / 1000
    finding = (
        "has contours that cross others on their slice or enclose nearly the same, on "
        f"{counted(len(losses), 'slice')}, most on slice {worst.z + 1} of {len(ct.slice_positions)}"
    )
    most = max((loss for loss in losses if loss.lost > _NEGLIGIBLE_LOSS * enclosed), key=_lost_share, default=None)
    if lost > _MAX_LOSS * enclosed or (most is not None and _lost_share(most) > _MAX_LOSS_PER_SLICE):
        raise BadInput(
            f"{placed.title} {finding}; {lost * voxel_cm3:.2f} of {enclosed * voxel_cm3:.2f} cm³ would be lost, since "
            "voxels in two contours count as a hole: delete the duplicate contours."
        )
    return (f"“{placed.roi_name}” {finding}; {lost * voxel_cm3:.2f} cm³ inside two of them count as a hole.",)


def _lost_share(loss: XorLoss) -> float:
    return loss.lost / loss.enclosed
