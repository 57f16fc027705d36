"""Voxels of each structure, to draw patches around."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_VOXELS = 10_000  # of each label; as many as nnU-Net keeps


def foreground_voxels(labels: npt.NDArray[np.uint8]) -> dict[int, npt.NDArray[np.int32]]:
    """For each label that occurs in ``labels`` (z, y, x), some of its voxels (n, 3), drawn without repetition."""
    voxels = {}
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        inside = np.flatnonzero(labels[box] == label)
        chosen = np.random.default_rng([label]).permutation(len(inside))[:_VOXELS]
        found = np.stack(np.unravel_index(inside[np.sort(chosen)], labels[box].shape), axis=1)
        voxels[label] = (found + [side.start for side in box]).astype(np.int32)
    return voxels
