"""Voxels of each structure, around which training draws patches."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_VOXELS = 10_000  # per label, as many as nnU-Net keeps


def foreground_voxels(labels: npt.NDArray[np.uint8]) -> dict[int, npt.NDArray[np.int32]]:
    """Draw voxels of every label without replacement.

    Args:
        labels: label map (z, y, x); 0 is background.

    Returns:
        At most 10,000 voxel indices (n, 3) as (z, y, x) per label that occurs, the same at every call.
    """
    voxels = {}
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        inside = np.flatnonzero(labels[box] == label)
        chosen = np.random.default_rng([label]).permutation(len(inside))[:_VOXELS]
        indices = np.stack(np.unravel_index(inside[np.sort(chosen)], labels[box].shape), axis=1)
        voxels[label] = (indices + [extent.start for extent in box]).astype(np.int32)
    return voxels
