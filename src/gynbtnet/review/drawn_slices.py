"""Interpolation between slices that were drawn by hand."""

from collections.abc import Collection
from itertools import pairwise

import numpy as np

from gynbtnet.imaging.contours.shape_interpolation import interpolate_shapes
from gynbtnet.runtime.array_types import Mask, Spacing


def interpolate_between(mask: Mask, axis: int, index: int, drawn: Collection[int], spacing: Spacing) -> Mask:
    """Return a mask with the planes between the drawn ones around ``index`` interpolated.

    If the plane at ``index`` was drawn itself, both gaps next to it are filled. Planes between them that
    were not drawn are replaced, even if they contain a shape. The method is that of
    :mod:`gynbtnet.imaging.contours.shape_interpolation`.

    Args:
        mask: one structure (z, y, x).
        axis: axis that the planes are perpendicular to.
        index: index of a plane in the gap, or of a drawn plane at its end.
        drawn: indices of the planes that were drawn by hand.
        spacing: distance between voxel centres along (z, y, x) in mm.

    Returns:
        A new mask (z, y, x); equal to ``mask`` if no two drawn planes enclose a gap there.
    """
    result = mask.copy()
    planes, source = np.moveaxis(result, axis, 0), np.moveaxis(mask, axis, 0)
    order = (axis, *(other for other in range(3) if other != axis))
    known = sorted(drawn)
    for low, high in pairwise(known):
        if low <= index <= high and high - low > 1:
            between = np.arange(low + 1, high, dtype=float)
            lengths = (spacing[order[0]], spacing[order[1]], spacing[order[2]])
            planes[low + 1 : high] = interpolate_shapes(
                np.ascontiguousarray(source[[low, high]]), np.array([low, high], float), between, lengths
            )
    return result
