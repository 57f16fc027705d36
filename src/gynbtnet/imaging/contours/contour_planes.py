"""On which plane of a scan contours lie that were drawn a little beside it."""

import numpy as np

from gynbtnet.runtime.array_types import FloatArray

SAME_PLANE = 0.05
"""Slices between contours that were drawn on one plane."""

_HALF = 0.48  # slices beside a plane from which the other neighbour is as near
_TIE = 0.02  # slices; of two planes that are equally near, the lower one is taken in spite of rounding noise


def snap_to_planes(heights: FloatArray, last: int) -> tuple[FloatArray, float]:
    """Move contours that all lie off the planes by one distance onto them, all the same way.

    Contours of another kind keep their height, except for half-way ones, which get nearer to the lower plane.

    Args:
        heights: (n,) of each contour along z, in slices; planes are whole numbers.
        last: the last plane.

    Returns:
        The new heights, and by how many slices all of them were moved; 0 if they weren't moved together.
    """
    off = heights - np.rint(heights)
    mean = float(np.angle(np.exp(2j * np.pi * off).mean())) / (2 * np.pi)
    apart = (off - mean + 0.5) % 1 - 0.5
    if np.abs(apart).max() > SAME_PLANE:
        return np.where(np.abs(off) > 0.5 - _TIE, heights - 2 * _TIE, heights), 0.0
    move = -mean
    if abs(mean) >= _HALF:  # down, but not below the first plane
        move = -(mean % 1)
        if (heights + move).min() < -0.5 and (heights + move + 1).max() <= last + 0.5:
            move += 1
    return heights + move, move
