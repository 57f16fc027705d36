"""Repairs of a stack of CT slices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import shift

from gynbtnet.imaging.volume import AIR
from gynbtnet.runtime.array_types import FloatArray

LONGEST_GAP = 3
"""Maximum number of consecutive missing slices that may be interpolated."""


@dataclass(frozen=True)
class Repairs:
    """Faults of a series that are repaired instead of refused; none by default.

    Attributes:
        missing_slices: interpolate up to ``LONGEST_GAP`` consecutive slices between their neighbours.
        unequal_spacing: interpolate slices onto equal spacing, the usual one; every value keeps its position.
        gantry_tilt: shift slices within their own planes until they are aligned along the slice normal.
    """

    missing_slices: bool = False
    unequal_spacing: bool = False
    gantry_tilt: bool = False


def interpolate_slices(slices: npt.NDArray[Any], z: FloatArray, count: int) -> npt.NDArray[Any]:
    """Interpolate equally spaced planes linearly between slices.

    Args:
        slices: (n, y, x).
        z: (n,) ascending positions of the slices, in planes.
        count: number of planes, at z = 0 to ``count`` - 1.

    Returns:
        Planes (count, y, x). Planes beyond the first or last slice have its values.
    """
    result = np.empty((count, *slices.shape[1:]), slices.dtype)
    upper = np.searchsorted(z, np.arange(count), side="left").clip(1, len(z) - 1)
    for target, (number, above) in zip(result, enumerate(upper.tolist()), strict=True):
        weight = float(np.clip((number - z[above - 1]) / (z[above] - z[above - 1]), 0, 1))
        mixed = slices[above - 1] * np.float32(1 - weight) + slices[above] * np.float32(weight)
        target[...] = np.rint(mixed) if slices.dtype.kind in "iu" else mixed
    return result


def shift_slices(slices: npt.NDArray[Any], by: FloatArray) -> npt.NDArray[Any]:
    """Shift each slice within its plane, with linear interpolation; voxels from outside are air.

    Args:
        slices: (n, y, x) in HU.
        by: (n, 2) shift of each slice along (y, x), in voxels.
    """
    shifted = np.empty_like(slices)
    for target, pixels, (y, x) in zip(shifted, slices, by, strict=True):
        values = shift(pixels.astype(np.float32), (y, x), order=1, mode="constant", cval=AIR)
        target[...] = np.rint(values) if slices.dtype.kind in "iu" else values
    return shifted
