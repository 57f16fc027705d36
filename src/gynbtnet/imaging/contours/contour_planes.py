"""Assignment of contours to the planes of a scan if they were drawn slightly off them."""

import numpy as np

from gynbtnet.runtime.array_types import FloatArray

SAME_PLANE = 0.05
"""Largest distance, in slices, between contours that were drawn on one plane."""

_HALF = 0.48  # distance from a plane, in slices, from which both neighbours count as equally near
_TIE = 0.02  # slices; of two planes that are equally near, the lower one is used in spite of rounding noise


def snap_to_planes(heights: FloatArray, last: int) -> tuple[FloatArray, float]:
    """Shift all contours together if all are off the planes by the same distance.

    If the distances differ, contours keep their heights, but half-way ones are moved closer to the lower plane.

    Args:
        heights: position of each contour along z, in slices (n,); planes are whole numbers.
        last: index of the last plane.

    Returns:
        The new heights, and the common shift in slices; 0 if the contours were not shifted together.
    """
    offsets = heights - np.rint(heights)
    mean = float(np.angle(np.exp(2j * np.pi * offsets).mean())) / (2 * np.pi)
    deviations = (offsets - mean + 0.5) % 1 - 0.5
    if np.abs(deviations).max() > SAME_PLANE:
        return np.where(np.abs(offsets) > 0.5 - _TIE, heights - 2 * _TIE, heights), 0.0
    shift = -mean
    if abs(mean) >= _HALF:  # down, but not below the first plane
        shift = -(mean % 1)
        if (heights + shift).min() < -0.5 and (heights + shift + 1).max() <= last + 0.5:
            shift += 1
    return heights + shift, shift
