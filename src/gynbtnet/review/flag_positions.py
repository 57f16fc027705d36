"""Voxel to which a flag speaks, so that a reviewer can jump to it."""

import numpy as np
from scipy import ndimage

from gynbtnet.inference.quality.failure_flags import FlagKind
from gynbtnet.runtime.array_types import Mask, Triple


def flag_position(kind: FlagKind, mask: Mask) -> Triple:
    """Return the voxel (z, y, x) that shows what a flag is about.

    Args:
        kind: rule that raised the flag.
        mask: predicted structure (z, y, x).

    Returns:
        For a structure in parts, a voxel of the largest part that isn't connected to the main one. For one that is cut
        by the scan, a voxel at the edge. Otherwise a voxel of its largest slice; the middle of the scan if it is empty.
    """
    if not mask.any():
        z, y, x = (n // 2 for n in mask.shape)
        return z, y, x
    if kind == "fragmented":
        numbers, count = ndimage.label(mask)
        sizes = np.bincount(numbers.ravel())[1:]
        if count > 1:
            return _voxel_of(numbers == np.argsort(sizes)[-2] + 1)
    if kind == "edge":
        for axis in range(3):
            for index in (0, mask.shape[axis] - 1):
                side = np.take(mask, index, axis)
                if side.any():
                    first, second = (int(i) for i in np.argwhere(side)[len(np.argwhere(side)) // 2])
                    point = [first, second]
                    point.insert(axis, index)
                    return point[0], point[1], point[2]
    return _voxel_of(mask)


def _voxel_of(mask: Mask) -> Triple:
    """Return the voxel of a mask's largest slice that is nearest to the centroid of this slice."""
    z = int(mask.sum(axis=(1, 2)).argmax())
    voxels = np.argwhere(mask[z])
    y, x = voxels[((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1).argmin()].tolist()
    return z, y, x
