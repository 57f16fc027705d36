"""What may be mended in a stack of slices, and how."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import shift

from gynbtnet.imaging.volume import AIR
from gynbtnet.runtime.array_types import FloatArray

LONGEST_GAP = 3
"""Slices missing in a row that may be interpolated."""


@dataclass(frozen=True)
class Repairs:
    """Which flaws of a series are mended instead of refused; none unless the user says so.

    Attributes:
        missing_slices: up to ``LONGEST_GAP`` slices in a row are interpolated between their neighbours.
        unequal_spacing: slices are interpolated onto equal spacing, the usual one; every value keeps its own position.
        gantry_tilt: slices are shifted within their own planes until they stand one behind the other.
    """

    missing_slices: bool = False
    unequal_spacing: bool = False
    gantry_tilt: bool = False


def interpolate_slices(slices: npt.NDArray[Any], z: FloatArray, count: int) -> npt.NDArray[Any]:
    """``count`` equally spaced planes, at 0 to ``count`` - 1, from slices (n, y, x) at ascending ``z``.

    Planes beyond the first or last slice take its values.
    """
    result = np.empty((count, *slices.shape[1:]), slices.dtype)
    upper = np.searchsorted(z, np.arange(count), side="left").clip(1, len(z) - 1)
    for target, (number, above) in zip(result, enumerate(upper.tolist()), strict=True):
        weight = float(np.clip((number - z[above - 1]) / (z[above] - z[above - 1]), 0, 1))
        mixed = slices[above - 1] * np.float32(1 - weight) + slices[above] * np.float32(weight)
        target[...] = np.rint(mixed) if slices.dtype.kind in "iu" else mixed
    return result


def shift_slices(slices: npt.NDArray[Any], by: FloatArray) -> npt.NDArray[Any]:
    """Slices (n, y, x), each moved by its own (y, x) voxels with linear interpolation; what comes in is air."""
    moved = np.empty_like(slices)
    for target, one, (y, x) in zip(moved, slices, by, strict=True):
        values = shift(one.astype(np.float32), (y, x), order=1, mode="constant", cval=AIR)
        target[...] = np.rint(values) if slices.dtype.kind in "iu" else values
    return moved
