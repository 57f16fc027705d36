"""Metal in a CT, by its HU."""

from typing import Any

import numpy as np
import numpy.typing as npt

METAL_HU = 2500.0
"""Lowest HU of metal: cortical bone stays below 2,000 HU, and 12-bit scanners end at 3,071."""


def is_metal(hu: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return True for each voxel that is metal.

    Args:
        hu: HU of voxels, of any shape.

    Returns:
        Booleans of the same shape.
    """
    metal: npt.NDArray[np.bool_] = np.asarray(hu >= METAL_HU)
    return metal
