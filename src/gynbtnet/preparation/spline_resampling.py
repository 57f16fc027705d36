"""Spline resampling between grids with parallel axes, in any axis order and direction.

Spline interpolation is linear and separable, so it is one matrix per axis. The coefficients fade within a dozen voxels:
only the blocks around the diagonal are multiplied. The result equals that of ``scipy.ndimage``, which nnU-Net uses,
except for rounding, at a twentieth of the time.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.orientation import reorientation_between
from gynbtnet.runtime.array_types import Float32Array

SliceSelection = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

_ROWS = 48  # rows of a matrix that are multiplied at once
_FADED = 1e-7  # coefficient that counts as zero: times 3000 HU it is less than float32 resolves
_TIE = 1e-5  # voxels, or shares of a voxel: smaller differences are rounding


def resample(
    array: npt.NDArray[np.generic],
    source: Geometry,
    target: Geometry,
    order: int,
    *,
    separate: int | None = None,
) -> Float32Array:
    """Interpolate ``array`` at the voxel centres of ``target``; beyond the edge, edge values are repeated.

    The spline is sampled at points, as in nnU-Net: there is no smoothing before downsampling. Overshoot of a cubic
    spline is clipped to the lowest and highest value of the array.

    Args:
        array: (…, z, y, x) on the grid ``source``; each leading index is resampled the same way.
        source: grid of the array.
        target: grid of the result.
        order: order of the spline; 1 is linear, 3 is cubic.
        separate: axis of ``target`` along which the nearest slice is taken instead. Each slice is then clipped to its
            own values; see :func:`~gynbtnet.preparation.planning.anisotropy.separate_axis`.

    Returns:
        Array (…, z, y, x) on ``target`` as float32; it may share memory with ``array``.

    Raises:
        ValueError: If the grids are oblique to each other, or the shape of the array isn't that of ``source``.
    """
    if array.shape[-3:] != source.shape:
        raise ValueError(f"array of shape {array.shape} does not fit a grid of shape {source.shape}")
    reorientation = reorientation_between(source, target)
    grid = reorientation.geometry(source)
    take_before, take_after = _slice_selection(grid, target, separate)
    reoriented = take_before(reorientation.array(array))
    matrices = [None if axis == separate else _matrix(grid, target, axis, order) for axis in range(3)]
    result = _multiply_all(matrices, reoriented)
    if order > 1 and any(matrix is not None for matrix in matrices):
        axes = tuple(axis - 3 for axis in range(3) if axis != separate)
        lowest, highest = (limit(reoriented, axis=axes, keepdims=True) for limit in (np.min, np.max))
        np.clip(result, lowest, highest, out=result, dtype=np.float32)
    return take_after(result)


def resample_labels(
    labels: npt.NDArray[np.uint8], source: Geometry, target: Geometry, *, separate: int | None = None
) -> npt.NDArray[np.uint8]:
    """Resample a label map: each voxel gets the label whose linearly interpolated mask is highest there.

    If masks are equal, the nearest source voxel decides. Labels are processed one by one, each within its bounding box:
    many small structures take little time, and memory doesn't grow with their number. A structure that is thinner than
    the distance between voxel centres of ``target`` can vanish.

    Args:
        labels: label map (z, y, x) on the grid ``source``.
        source: grid of the labels.
        target: grid of the result.
        separate: axis of ``target`` along which the nearest slice is taken instead of interpolating.

    Returns:
        Label map (z, y, x) on ``target``.
    """
    reorientation = reorientation_between(source, target)
    grid = reorientation.geometry(source)
    take_before, take_after = _slice_selection(grid, target, separate)
    reoriented = take_before(reorientation.array(labels))
    matrices = [None if axis == separate else _matrix(grid, target, axis, order=1) for axis in range(3)]
    if all(matrix is None for matrix in matrices):
        return take_after(np.ascontiguousarray(reoriented))
    indices = [
        np.arange(reoriented.shape[axis]) if axis == separate else _nearest(grid, target, axis) for axis in range(3)
    ]
    nearest = reoriented[np.ix_(*indices)]
    highest, total = np.zeros((2, *nearest.shape), np.float32)
    resampled = np.zeros_like(nearest)
    for label, box in enumerate(ndimage.find_objects(reoriented), start=1):
        if box is None:
            continue
        submatrices, target_box = zip(*map(_restrict_columns, matrices, box), strict=True)
        if any(side.start == side.stop for side in target_box):
            continue  # no voxel centre of the target is near it
        share = _multiply_all(submatrices, reoriented[box] == label)
        total[target_box] += share
        share[nearest[target_box] == label] += _TIE
        better = share > highest[target_box]
        resampled[target_box][better] = label
        highest[target_box][better] = share[better]
    resampled[highest < 1 - total + _TIE * (nearest == 0)] = 0
    return take_after(resampled)


def _matrix(source: Geometry, target: Geometry, axis: int, order: int) -> Float32Array | None:
    """Return the (target, source) interpolation matrix along one axis of parallel grids; None: identity."""
    n, m = source.shape[axis], target.shape[axis]
    matrix = ndimage.affine_transform(
        np.eye(n),
        [target.spacing[axis] / source.spacing[axis], 1],
        [source.to_index(target.origin)[axis], 0],
        (m, n),
        None,
        order,
        "nearest",
    ).astype(np.float32)
    return None if n == m and np.allclose(matrix, np.eye(n), atol=1e-6) else matrix


def _restrict_columns(matrix: Float32Array | None, columns: slice) -> tuple[Float32Array | None, slice]:
    """Return the part of a matrix that reads ``columns``, and the contiguous rows that it affects."""
    if matrix is None:
        return None, columns
    rows = _nonzero_range(np.abs(matrix[:, columns]).max(axis=1))
    return matrix[rows, columns], rows


def _multiply_all(matrices: Iterable[Float32Array | None], array: npt.NDArray[np.generic]) -> Float32Array:
    """Multiply by the matrices along z, y and x, first along the axis that shrinks the array most."""
    result = np.ascontiguousarray(array, np.float32)
    steps = [(axis, matrix) for axis, matrix in zip((-3, -2, -1), matrices, strict=True) if matrix is not None]
    for axis, matrix in sorted(steps, key=lambda step: step[1].shape[0] / step[1].shape[1]):
        result = _multiply_along(axis, matrix, result)
    return result


def _multiply_along(axis: int, matrix: Float32Array, array: Float32Array) -> Float32Array:
    """Multiply along one axis, in blocks of rows and only with the columns that the block needs."""
    rows, columns = matrix.shape
    shape = list(array.shape)
    shape[axis] = rows
    result = np.empty(shape, np.float32)
    # reshaped to matrices: (z, y·x), (y, x) or (…·z·y, x)
    matrix_shape = {-3: (*shape[:-3], -1, shape[-2] * shape[-1]), -2: (-1, *shape[-2:]), -1: (-1, shape[-1])}[axis]
    output = result.reshape(matrix_shape)
    input_shape = (*matrix_shape[:-1], columns) if axis == -1 else (*matrix_shape[:-2], columns, matrix_shape[-1])
    values = array.reshape(input_shape)
    for first in range(0, rows, _ROWS):
        block = matrix[first : first + _ROWS]
        near = _nonzero_range(np.abs(block).max(axis=0) > _FADED)
        if axis == -1:
            np.matmul(values[:, near], block[:, near].T, out=output[:, first : first + _ROWS])
        else:
            np.matmul(block[:, near], values[..., near, :], out=output[..., first : first + _ROWS, :])
    return result


def _nearest(source: Geometry, target: Geometry, axis: int) -> npt.NDArray[np.intp]:
    """Return the nearest source index per target index along an axis; of two equally near, the later, as in scipy."""
    first, step = source.to_index(target.origin)[axis], target.spacing[axis] / source.spacing[axis]
    nearest = np.floor(first + step * np.arange(target.shape[axis]) + 0.5 + _TIE).astype(np.intp)
    clipped: npt.NDArray[np.intp] = np.clip(nearest, 0, source.shape[axis] - 1)
    return clipped


def _slice_selection(source: Geometry, target: Geometry, axis: int | None) -> tuple[SliceSelection, SliceSelection]:
    """Return two functions, to call before and after the interpolation; one of them takes the nearest slices.

    Slices are taken after the interpolation if that increases their number, otherwise before it. The other function,
    or both if ``axis`` is None, returns the array unchanged.
    """
    if axis is None:
        return _unchanged, _unchanged
    take = partial(np.take, indices=_nearest(source, target, axis), axis=axis - 3)
    return (_unchanged, take) if target.shape[axis] > source.shape[axis] else (take, _unchanged)


def _unchanged(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array


def _nonzero_range(values: npt.NDArray[np.generic]) -> slice:
    """Return the range from the first to the last nonzero value."""
    nonzero = np.flatnonzero(values)
    return slice(int(nonzero[0]), int(nonzero[-1]) + 1) if len(nonzero) else slice(0, 0)
