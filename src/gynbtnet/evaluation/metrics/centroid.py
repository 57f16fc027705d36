"""How far the centre of mass of one mask lies from another's, in mm."""

import numpy as np

from gynbtnet.imaging.mask_measures import centroid
from gynbtnet.runtime.array_types import Mask, Spacing


def centroid_shift(truth: Mask, prediction: Mask, spacing: Spacing) -> float:
    """The distance in mm between the centroids of two masks (z, y, x), neither empty, on one grid."""
    return float(np.linalg.norm((centroid(truth) - centroid(prediction)) * np.asarray(spacing)))


def worst_shift(mask: Mask, spacing: Spacing, lower: tuple[int, ...], shape: tuple[int, ...]) -> float:
    """The largest distance in mm from the centroid of ``mask`` to that of anything on the scan's grid: in a corner.

    Arguments as of :func:`gynbtnet.evaluation.metrics.surface_distance.worst_distance`.
    """
    centre = centroid(mask) + np.asarray(lower)
    farthest = np.maximum(centre, np.asarray(shape) - 1 - centre) * np.asarray(spacing)
    return float(np.linalg.norm(farthest))
