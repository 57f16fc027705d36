"""Voxels of the patient's body, around which stage 1 draws patches."""

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.preparation.body_mask import find_body
from gynbtnet.preparation.downsampled_scan import downsample_scan

_VOXELS = 1_000  # per scan: overlapping patches don't need more, and a large archive has thousands of scans


def body_voxels(ct: Volume, grid: Geometry) -> npt.NDArray[np.int32]:
    """Draw voxels inside the body at random, air and lungs included and the table excluded.

    Args:
        ct: scan (z, y, x) in HU, on its own grid.
        grid: grid of the prepared scan, which covers the same box.

    Returns:
        At most 1,000 voxel indices (n, 3) of ``grid`` as (z, y, x), the same at every call. The array is empty if the
        scan shows no body.
    """
    coarse = downsample_scan(ct)
    body = find_body(coarse, margin=0)
    inside = np.argwhere(body) if body is not None else np.empty((0, 3), np.intp)
    chosen = np.sort(np.random.default_rng([0]).permutation(len(inside))[:_VOXELS])
    nearest = np.rint(grid.to_index(coarse.geometry.to_world(inside[chosen])))
    return np.clip(nearest, 0, np.asarray(grid.shape) - 1).astype(np.int32)
