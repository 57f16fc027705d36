"""Distance between the centres of mass of two masks, in mm."""

import numpy as np

from gynbtnet.imaging.mask_measures import centroid
from gynbtnet.runtime.array_types import Mask, Spacing


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
