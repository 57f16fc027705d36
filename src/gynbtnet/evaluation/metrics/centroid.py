"""Distance between the centres of mass of two masks, in mm."""

import numpy as np
import numpy.typing as npt

from gynbtnet.runtime.array_types import Mask, Spacing


def centroid(mask: Mask) -> npt.NDArray[np.float64]:
    """Return the mean index (z, y, x) of the voxels of a mask that is not empty."""
    n_voxels = int(np.count_nonzero(mask))
    profiles = (mask.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3))
    return np.array([profile @ np.arange(len(profile)) for profile in profiles]) / n_voxels


def centroid_shift(truth: Mask, prediction: Mask, spacing: Spacing) -> float:
    """Return the distance in mm between the centroids of two masks.

    Args:
        truth: mask (z, y, x), not empty.
        prediction: mask (z, y, x) on the same grid, not empty.
        spacing: voxel spacing (z, y, x) in mm.
    """
    return float(np.linalg.norm((centroid(truth) - centroid(prediction)) * np.asarray(spacing)))


def worst_shift(mask: Mask, spacing: Spacing, lower: tuple[int, ...], shape: tuple[int, ...]) -> float:
    """Return the largest possible centroid shift in mm: from the centroid of ``mask`` to the farthest grid corner.

    Args:
        mask: box of the grid (z, y, x), not empty.
        spacing: voxel spacing (z, y, x) in mm.
        lower: index (z, y, x) of the box's first voxel on the grid.
        shape: shape of the grid.
    """
    centre = centroid(mask) + np.asarray(lower)
    farthest = np.maximum(centre, np.asarray(shape) - 1 - centre) * np.asarray(spacing)
    return float(np.linalg.norm(farthest))
