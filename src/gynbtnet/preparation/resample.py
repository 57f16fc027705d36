"""Arrays from one grid onto another whose axes lie along the first one's, in whatever order and sense.

Interpolation by splines is linear and separable: along each axis it is one matrix, whose coefficients fade within a
dozen voxels, so that it is applied as matrix products of the blocks around its diagonal. That equals
``scipy.ndimage``, which nnU-Net uses, to rounding, and costs a twentieth of it.
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

Take = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

_ROWS = 48  # of a matrix that are multiplied at once
_FADED = 1e-7  # of a coefficient: times 3000 HU less than float32 resolves
_TIE = 1e-5  # voxels, or shares of a voxel: what differs by less differs by rounding


def resample(
    array: npt.NDArray[np.generic],
    source: Geometry,
    target: Geometry,
    order: int,
    *,
    separate: int | None = None,
) -> Float32Array:
    """Values of ``array`` at the voxel centres of ``target``; up to half a voxel beyond the edge, the edge goes on.

    Point samples of the interpolating spline, as nnU-Net takes them: coarser grids are not smoothed first, and where a
    cubic spline swings below the lowest or above the highest value of the array it is cut off there.

    Args:
        array: (…, z, y, x) on the grid ``source``; leading axes are carried along.
        source: the grid that the array lies on.
        target: the grid wanted.
        order: of the spline; 1 is linear, 3 is cubic.
        separate: the axis of ``target`` along which the nearest slice is taken instead, each slice cut off by its own
            values; see :func:`~gynbtnet.preparation.planning.anisotropy.separate_axis`.

    Returns:
        (…, z, y, x) as float32; may share memory with ``array``.

    Raises:
        ValueError: where the grids lie obliquely to each other, or the array not on ``source``.
    """
    if array.shape[-3:] != source.shape:
        raise ValueError(f"an array of shape {array.shape} does not lie on a grid of shape {source.shape}")
    turn = reorientation_between(source, target)
    grid = turn.geometry(source)
    first, last = _slices(grid, target, separate)
    turned = first(turn.array(array))
    matrices = [None if axis == separate else _matrix(grid, target, axis, order) for axis in range(3)]
    result = _apply(matrices, turned)
    if order > 1 and any(matrix is not None for matrix in matrices):
        together = tuple(axis - 3 for axis in range(3) if axis != separate)
        lowest, highest = (limit(turned, axis=together, keepdims=True) for limit in (np.min, np.max))
        np.clip(result, lowest, highest, out=result, dtype=np.float32)
    return last(result)


def resample_labels(
    labels: npt.NDArray[np.uint8], source: Geometry, target: Geometry, *, separate: int | None = None
) -> npt.NDArray[np.uint8]:
    """The label whose linearly interpolated mask is highest at each voxel of ``target``; the nearest settles a tie.

    One label after the other inside its own box, so that many small structures cost little and memory doesn't grow with
    their number.

    Args:
        labels: (z, y, x) on the grid ``source``.
        source: the grid that the labels lie on.
        target: the grid wanted.
        separate: the axis of ``target`` along which the nearest slice is taken instead of interpolating.
    """
    turn = reorientation_between(source, target)
    grid = turn.geometry(source)
    first, last = _slices(grid, target, separate)
    turned = first(turn.array(labels))
    matrices = [None if axis == separate else _matrix(grid, target, axis, order=1) for axis in range(3)]
    if all(matrix is None for matrix in matrices):
        return last(np.ascontiguousarray(turned))
    places = [np.arange(turned.shape[axis]) if axis == separate else _nearest(grid, target, axis) for axis in range(3)]
    nearest = turned[np.ix_(*places)]
    highest, total = np.zeros((2, *nearest.shape), np.float32)
    found = np.zeros_like(nearest)
    for label, box in enumerate(ndimage.find_objects(turned), start=1):
        if box is None:
            continue
        parts, reached = zip(*map(_part, matrices, box), strict=True)
        share = _apply(parts, turned[box] == label)
        total[reached] += share
        share[nearest[reached] == label] += _TIE
        better = share > highest[reached]
        found[reached][better] = label
        highest[reached][better] = share[better]
    found[highest < 1 - total + _TIE * (nearest == 0)] = 0
    return last(found)


def _matrix(source: Geometry, target: Geometry, axis: int, order: int) -> Float32Array | None:
    """The (target, source) matrix that interpolates along one axis; None where every voxel stays.

    The grids have the same direction.
    """
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


def _part(matrix: Float32Array | None, columns: slice) -> tuple[Float32Array | None, slice]:
    """What of a matrix reads ``columns``, and the rows that it reaches; they stand together."""
    if matrix is None:
        return None, columns
    reached = _extent(np.abs(matrix[:, columns]).max(axis=1))
    return matrix[reached, columns], reached


def _apply(matrices: Iterable[Float32Array | None], array: npt.NDArray[np.generic]) -> Float32Array:
    """Multiply along z, y and x, beginning where it makes the array smallest."""
    result = np.ascontiguousarray(array, np.float32)
    steps = [(axis, matrix) for axis, matrix in zip((-3, -2, -1), matrices, strict=True) if matrix is not None]
    for axis, matrix in sorted(steps, key=lambda step: step[1].shape[0] / step[1].shape[1]):
        result = _along(axis, matrix, result)
    return result


def _along(axis: int, matrix: Float32Array, array: Float32Array) -> Float32Array:
    """Multiply along one axis, block by block of rows with the columns that they read."""
    rows, columns = matrix.shape
    shape = list(array.shape)
    shape[axis] = rows
    result = np.empty(shape, np.float32)
    # as matrices: (z, y·x), (y, x) or (…·z·y, x)
    joined = {-3: (*shape[:-3], -1, shape[-2] * shape[-1]), -2: (-1, *shape[-2:]), -1: (-1, shape[-1])}[axis]
    written = result.reshape(joined)
    read = array.reshape(*joined[:-1], columns) if axis == -1 else array.reshape(*joined[:-2], columns, joined[-1])
    for first in range(0, rows, _ROWS):
        block = matrix[first : first + _ROWS]
        near = _extent(np.abs(block).max(axis=0) > _FADED)
        if axis == -1:
            np.matmul(read[:, near], block[:, near].T, out=written[:, first : first + _ROWS])
        else:
            np.matmul(block[:, near], read[..., near, :], out=written[..., first : first + _ROWS, :])
    return result


def _nearest(source: Geometry, target: Geometry, axis: int) -> npt.NDArray[np.intp]:
    """For each voxel of ``target`` along an axis the nearest of ``source``; of two as near, the later, as in scipy."""
    first, step = source.to_index(target.origin)[axis], target.spacing[axis] / source.spacing[axis]
    nearest = np.floor(first + step * np.arange(target.shape[axis]) + 0.5 + _TIE).astype(np.intp)
    within: npt.NDArray[np.intp] = np.clip(nearest, 0, source.shape[axis] - 1)
    return within


def _slices(source: Geometry, target: Geometry, axis: int | None) -> tuple[Take, Take]:
    """What takes the nearest slices along ``axis``: before the others are interpolated, or after, where there are more.

    One of the two takes them, and the other one, like both where there is no such axis, leaves an array as it is.
    """
    if axis is None:
        return _as_it_is, _as_it_is
    take = partial(np.take, indices=_nearest(source, target, axis), axis=axis - 3)
    return (_as_it_is, take) if target.shape[axis] > source.shape[axis] else (take, _as_it_is)


def _as_it_is(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array


def _extent(wanted: npt.NDArray[np.generic]) -> slice:
    """From the first to the last that isn't zero."""
    found = np.flatnonzero(wanted)
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0)
