"""Mask of the patient's body in a CT, so that air around it is skipped."""

import edt
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.volume import Volume

TISSUE = -400
"""HU; above it, half of a voxel at the skin is tissue."""

MARGIN = 20.0
"""mm around the skin."""

_THIN = 10.0  # mm: more than half the thickness of a table's top, a mask or a cable; arms and legs are thicker
_LUNG = 25.0  # mm: more than half the inner width of a hollow table; a chest wall over a lung may be thin
_SMALL = 0.02  # of the largest component's voxels; smaller components are no limb


def find_body(coarse: Volume, margin: float = MARGIN) -> npt.NDArray[np.bool_] | None:
    """Return a mask of the patient with a margin and all air inside the body, or None if the scan shows no patient.

    The mask covers tissue that is thicker than 20 mm in every direction. It keeps the largest component and components
    of comparable size, such as arms and legs next to the trunk. A table's top is thinner, and voxels outside the field
    of view have the value of air or less.

    Args:
        coarse: CT in HU as :func:`~gynbtnet.preparation.downsampled_scan.downsample_scan` returns it, axes (z, y, x).
        margin: margin around the skin in mm.

    Returns:
        Mask (z, y, x) on the grid of ``coarse``, or None.
    """
    tissue = coarse.array > TISSUE
    if not tissue.any():
        return None
    core = depth_within(tissue | _lungs(tissue, coarse), coarse) > _THIN
    components, count = ndimage.label(core)
    if not count:
        return None
    sizes = np.bincount(components.ravel())[1:]
    kept = np.isin(components, 1 + np.flatnonzero(sizes >= _SMALL * sizes.max()))
    grown = depth_within(~kept, coarse) <= _THIN + margin
    return np.stack([ndimage.binary_fill_holes(plane) for plane in grown])


def _lungs(tissue: npt.NDArray[np.bool_], scan: Volume) -> npt.NDArray[np.bool_]:
    """Return thick regions of air that tissue encloses within a slice."""
    enclosed = np.stack([ndimage.binary_fill_holes(plane) for plane in tissue]) & ~tissue
    components, count = ndimage.label(enclosed)
    depths = ndimage.maximum(depth_within(enclosed, scan), components, np.arange(1, count + 1))
    return np.isin(components, 1 + np.flatnonzero(np.asarray(depths) > _LUNG))


def depth_within(mask: npt.NDArray[np.bool_], scan: Volume) -> npt.NDArray[np.float32]:
    """Return the distance in mm from each voxel of a mask to the nearest voxel outside the mask.

    The edge of the scan doesn't count as outside.

    Args:
        mask: (z, y, x) on the grid of ``scan``.
        scan: scan that gives the voxel spacing.

    Returns:
        Distances (z, y, x) in mm; 0 outside the mask, infinite if the mask covers the whole scan.
    """
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    distance: npt.NDArray[np.float32] = edt.edt(
        np.ascontiguousarray(mask), anisotropy=scan.geometry.spacing, black_border=False
    )
    return distance
