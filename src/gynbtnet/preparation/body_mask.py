"""Where in a scan the patient is, so that air isn't looked at."""

import edt
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.volume import Volume

TISSUE = -400
"""HU; above it, half of a voxel at the skin is tissue."""

MARGIN = 20.0
"""mm around what is found."""

_THIN = 10.0  # mm: more than half of what a table's top, a mask or a cable measures; arms and legs are thicker
_LUNG = 25.0  # mm: more than half of what a hollow table's inside measures; a chest wall over a lung may be thin
_SMALL = 0.02  # of the largest part; smaller ones are no limb


def find_body(coarse: Volume, margin: float = MARGIN) -> npt.NDArray[np.bool_] | None:
    """The patient with a margin and with all air inside, or None where a scan shows none.

    What is thicker than 20 mm everywhere around, the largest part and those that compare with it: arms and legs beside
    the trunk. A table's top is thinner, and what lies outside the field of view is air or below.

    Args:
        coarse: as :func:`~gynbtnet.preparation.downsampled_scan.downsample_scan` makes it.
        margin: mm around the skin.

    Returns:
        A mask on its grid.
    """
    tissue = coarse.array > TISSUE
    if not tissue.any():
        return None
    core = depth_within(tissue | _lungs(tissue, coarse), coarse) > _THIN
    parts, count = ndimage.label(core)
    if not count:
        return None
    sizes = np.bincount(parts.ravel())[1:]
    kept = np.isin(parts, 1 + np.flatnonzero(sizes >= _SMALL * sizes.max()))
    grown = depth_within(~kept, coarse) <= _THIN + margin
    return np.stack([ndimage.binary_fill_holes(plane) for plane in grown])


def _lungs(tissue: npt.NDArray[np.bool_], scan: Volume) -> npt.NDArray[np.bool_]:
    """Air that tissue encloses in its slice, where it is thick."""
    enclosed = np.stack([ndimage.binary_fill_holes(plane) for plane in tissue]) & ~tissue
    parts, count = ndimage.label(enclosed)
    depths = ndimage.maximum(depth_within(enclosed, scan), parts, np.arange(1, count + 1))
    return np.isin(parts, 1 + np.flatnonzero(np.asarray(depths) > _LUNG))


def depth_within(mask: npt.NDArray[np.bool_], scan: Volume) -> npt.NDArray[np.float32]:
    """mm from each voxel of a mask to the nearest that isn't of it; the scan's edge is none, and 0 outside the mask."""
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    distance: npt.NDArray[np.float32] = edt.edt(
        np.ascontiguousarray(mask), anisotropy=scan.geometry.spacing, black_border=False
    )
    return distance
