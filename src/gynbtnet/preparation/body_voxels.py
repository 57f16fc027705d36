"""Voxels of the patient's body, to draw the patches of stage 1 around."""

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.preparation.body_mask import find_body
from gynbtnet.preparation.downsampled_scan import downsample_scan

_VOXELS = 1_000  # of a scan: patches that overlap don't need more, and a large archive has thousands of scans


def body_voxels(ct: Volume, grid: Geometry) -> npt.NDArray[np.int32]:
    """Draw voxels inside the body: without the table, with air and lungs inside.

    Args:
        ct: the scan in HU, on its own grid.
        grid: the grid of the prepared scan, which covers the same box.

    Returns:
        At most 1,000 voxels (n, 3) of ``grid`` as (z, y, x), the same at every call. None of them if the scan shows no
        body.
    """
    coarse = downsample_scan(ct)
    body = find_body(coarse, margin=0)
    inside = np.argwhere(body) if body is not None else np.empty((0, 3), np.intp)
    chosen = np.sort(np.random.default_rng([0]).permutation(len(inside))[:_VOXELS])
    nearest = np.rint(grid.to_index(coarse.geometry.to_world(inside[chosen])))
    return np.clip(nearest, 0, np.asarray(grid.shape) - 1).astype(np.int32)
