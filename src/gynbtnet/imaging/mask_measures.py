"""Bounding boxes and centroids of masks."""

from collections.abc import Iterable

import numpy as np

from gynbtnet.runtime.array_types import Box, FloatArray, Mask


def bounding_box(mask: Mask) -> Box | None:
    """Return the smallest box, one slice per axis, that contains all True voxels; None if there are none."""
    axes = range(mask.ndim)
    shadows = [np.flatnonzero(mask.any(axis=tuple({*axes} - {axis}))) for axis in axes]
    if not all(map(len, shadows)):
        return None
    return tuple(slice(int(indices[0]), int(indices[-1]) + 1) for indices in shadows)


def union_of_boxes(boxes: Iterable[Box | None]) -> Box | None:
    """Return the smallest box that contains all given boxes; None if there are none."""
    sides = list(zip(*(box for box in boxes if box is not None), strict=True))
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in sides) or None


def centroid(mask: Mask) -> FloatArray:
    """Return the mean index (z, y, x) of a mask's voxels; the mask must not be empty."""
    voxels = int(np.count_nonzero(mask))
    profiles = (mask.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3))
    return np.array([profile @ np.arange(len(profile)) for profile in profiles]) / voxels
