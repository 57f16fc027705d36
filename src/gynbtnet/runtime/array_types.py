"""Names of the array, shape and box types that several packages use. Axis order is (z, y, x) unless stated."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

Triple = tuple[int, int, int]
"""Voxels per axis, (z, y, x): a shape, a patch, a stride."""
Spacing = tuple[float, float, float]
"""Distance between voxel centres per axis, (z, y, x), in mm."""
Box = tuple[slice, ...]
"""Part of a grid: a slice per axis, (z, y, x)."""
