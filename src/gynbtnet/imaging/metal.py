"""Which voxels of a CT are metal."""

from typing import Any

import numpy as np
import numpy.typing as npt

METAL_HU = 2500.0
"""A voxel of at least so many HU is metal: cortical bone stays below 2,000 HU, and scanners of 12 bits end at 3,071."""


def is_metal(hu: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """True for each voxel (HU) that is metal; of the same shape."""
    metal: npt.NDArray[np.bool_] = np.asarray(hu >= METAL_HU)
    return metal
