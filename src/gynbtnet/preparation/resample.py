"""Arrays from one grid onto another whose axes lie along the first one's, in whatever order and sense.

Interpolation by splines is linear and separable: along each axis it is one matrix, applied as a matrix product. That
equals ``scipy.ndimage`` to rounding and costs a tenth of it.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.preparation.turn import turn_between

Floats = npt.NDArray[np.float32]


def resample(
    array: npt.NDArray[np.generic], source: Geometry, target: Geometry, order: int, *, separate: int | None = None
) -> Floats:
    """Values of ``array`` at the voxel centres of ``target``; up to half a voxel beyond the edge, the edge goes on.

    Point samples of the interpolating spline, as nnU-Net takes them: coarser grids are not smoothed first.

    Args:
        array: (…, z, y, x) on the grid ``source``; leading axes are carried along.
        source: the grid that the array lies on.
        target: the grid wanted.
        order: of the spline; 1 is linear, 3 is cubic.
        separate: the axis of ``target`` along which the nearest slice is taken instead; see
            :func:`~gynbtnet.preparation.anisotropy.separate_axis`.

    Returns:
        (…, z, y, x) as float32; may share memory with ``array``.

    Raises:
        ValueError: where the grids lie obliquely to each other, or the array not on ``source``.
    """
    if array.shape[-3:] != source.shape:
        raise ValueError(f"an array of shape {array.shape} does not lie on a grid of shape {source.shape}")
    turn = turn_between(source, target)
    return _apply(_matrices(turn.geometry(source), target, order, separate), turn.array(array))


def resample_labels(
    labels: npt.NDArray[np.uint8], source: Geometry, target: Geometry, *, separate: int | None = None
) -> npt.NDArray[np.uint8]:
    """The label whose linearly interpolated mask is highest at each voxel of ``target``; a tie goes to the structure.

    One label after the other inside its own box, so that many small structures cost little and memory doesn't grow with
    their number.

    Args:
        labels: (z, y, x) on the grid ``source``.
        source: the grid that the labels lie on.
        target: the grid wanted.
        separate: the axis of ``target`` along which the nearest slice is taken instead of interpolating.
    """
    turn = turn_between(source, target)
    labels, matrices = turn.array(labels), _matrices(turn.geometry(source), target, 1, separate)
    highest, total = np.zeros((2, *target.shape), np.float32)
    found = np.zeros(target.shape, np.uint8)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        reached = tuple(_rows_that_read(matrix[:, columns]) for matrix, columns in zip(matrices, box, strict=True))
        parts = [matrix[rows, columns] for matrix, rows, columns in zip(matrices, reached, box, strict=True)]
        share = _apply(parts, labels[box] == label)
        total[reached] += share
        better = share > highest[reached]
        found[reached][better] = label
        highest[reached][better] = share[better]
    found[highest < 1 - total - 1e-5] = 0
    return found


def _matrices(source: Geometry, target: Geometry, order: int, separate: int | None) -> list[Floats]:
    """For each axis, the (target, source) matrix that interpolates along it; the grids have the same direction."""
    first = source.to_index(target.origin)
    return [
        ndimage.affine_transform(
            np.eye(n),
            [target.spacing[axis] / source.spacing[axis], 1],
            [first[axis], 0],
            (m, n),
            None,
            0 if axis == separate else order,
            "nearest",
        ).astype(np.float32)
        for axis, (n, m) in enumerate(zip(source.shape, target.shape, strict=True))
    ]


def _apply(matrices: Iterable[Floats], array: npt.NDArray[np.generic]) -> Floats:
    """Multiply along z, y and x, beginning where it makes the array smallest."""
    result = array.astype(np.float32, copy=False)
    axes = zip((-3, -2, -1), matrices, strict=True)
    for axis, matrix in sorted(axes, key=lambda pair: pair[1].shape[0] / pair[1].shape[1]):
        if matrix.shape[0] == matrix.shape[1] and np.allclose(matrix, np.eye(len(matrix)), atol=1e-6):
            continue
        if axis == -1:
            result = result @ matrix.T
        elif axis == -2:
            result = matrix @ result
        else:
            flat = result.reshape(*result.shape[:-2], -1)
            result = (matrix @ flat).reshape(*result.shape[:-3], len(matrix), *result.shape[-2:])
    return result


def _rows_that_read(columns: Floats) -> slice:
    """The rows that any of a block of columns contributes to; they stand together."""
    rows = np.flatnonzero(columns.any(axis=1))
    return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)
