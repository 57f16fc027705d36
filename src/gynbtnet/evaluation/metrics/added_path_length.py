"""Added path length: the length of contour that has to be drawn to correct a structure.

Vaassen et al. 2020 (doi 10.1016/j.phro.2019.12.001): in each slice, the contour voxels of the corrected structure that
aren't contour voxels of the structure before the correction. A contour voxel has at least one of its four neighbours
in the slice outside the structure; beyond the image counts as outside. The number of voxels is multiplied by the mean
spacing within the slice.

With a tolerance of n voxels, a contour voxel up to n voxels away from the other contour, diagonals included, isn't
added. Small differences that nobody would correct then cost nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gynbtnet.runtime.array_types import Mask, Spacing


@dataclass(frozen=True)
class AddedPathLength:
    """Length of contour to draw, and the length of the whole contour.

    Attributes:
        added_mm: length of the corrected contour that the other one lacks, mm.
        total_mm: length of the whole corrected contour, mm.
    """

    added_mm: float
    total_mm: float

    @property
    def share(self) -> float:
        """Added part of the corrected contour, 0 to 1; NaN if it is empty."""
        return self.added_mm / self.total_mm if self.total_mm else math.nan


def slice_contours(mask: Mask) -> Mask:
    """Return the contour voxels of a mask (z, y, x): those with one of four neighbours in their slice outside it."""
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    inside = padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1] & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    return mask & ~inside


def added_path_length(before: Mask, after: Mask, spacing: Spacing, tolerance_voxels: int = 0) -> AddedPathLength:
    """Compute the added path length of a correction.

    Args:
        before: structure before the correction (z, y, x); slices are along z.
        after: corrected structure on the same grid.
        spacing: distance between voxel centres along (z, y, x) in mm.
        tolerance_voxels: distance within a slice up to which contour voxels agree.

    Returns:
        The added and the total length.

    Example:
        >>> import numpy as np
        >>> before = np.zeros((1, 6, 6), bool)
        >>> before[0, 1:4, 1:4] = True  # a square of 3 × 3 voxels with 8 contour voxels
        >>> length = added_path_length(before, np.roll(before, 2, axis=2), (3.0, 1.0, 1.0))
        >>> length.added_mm, length.total_mm  # the shared column has 3 voxels
        (5.0, 8.0)
    """
    old, new = slice_contours(before), slice_contours(after)
    if tolerance_voxels:
        reach = np.ones((1, *(2 * tolerance_voxels + 1,) * 2), bool)
        old = ndimage.binary_dilation(old, reach)
    millimetres = (spacing[1] + spacing[2]) / 2
    return AddedPathLength(int((new & ~old).sum()) * millimetres, int(new.sum()) * millimetres)
