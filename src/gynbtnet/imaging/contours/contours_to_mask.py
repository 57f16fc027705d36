"""Masks from closed planar contours.

A voxel belongs to a mask if its centre is inside an odd number of its slice's contours (XOR). Islands add up; an inner
contour or a keyhole cuts a hole. A centre exactly on an edge belongs to the side of larger index: right of a left edge,
below an upper edge. So two contours that share an edge share no voxel and omit none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.runtime.array_types import FloatArray, IntArray, Mask

_SNAP = 6  # decimals of a voxel; rounding removes noise, so that the rule for edges decides

_AT_ONCE = 2**20  # crossings of edges and rows that are computed together, to limit memory


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed polygon on one slice.

    Attributes:
        points: corners (n, 3) as (x, y, z) in mm, LPS; the last one is joined to the first.
        z: index of the slice.
    """

    points: FloatArray
    z: int


def contours_to_mask(contours: Sequence[Contour], geometry: Geometry) -> Mask:
    """Return the voxels whose centres are inside an odd number of contours of their slice.

    Args:
        contours: contours of one structure, in any order.
        geometry: grid of the mask.

    Returns:
        The mask (z, y, x).

    Example:
        >>> square = np.array([[0.5, 0.5, 0.0], [2.5, 0.5, 0.0], [2.5, 2.5, 0.0], [0.5, 2.5, 0.0]])
        >>> int(contours_to_mask([Contour(square, z=0)], Geometry((1, 4, 4))).sum())
        4
    """
    mask = np.zeros(geometry.shape, bool)
    contours = [contour for contour in contours if len(contour.points)]
    if not contours:
        return mask
    counts = np.asarray([len(contour.points) for contour in contours])
    slices = np.repeat([contour.z for contour in contours], counts)
    index = np.round(geometry.to_index(np.concatenate([contour.points for contour in contours])), _SNAP)
    ends = np.cumsum(counts)
    following = np.arange(1, len(index) + 1)
    following[ends - 1] = ends - counts
    low = np.asarray([slices.min(), *np.ceil(index[:, 1:].min(axis=0)).clip(0, geometry.shape[1:])], np.int64)
    high = np.asarray([slices.max() + 1, *np.ceil(index[:, 1:].max(axis=0)).clip(0, geometry.shape[1:])], np.int64)
    parity = np.zeros(high - low + (0, 0, 1), np.uint8)  # a flip may be one column behind the last
    rows = np.abs(np.diff(np.stack([index[:, 1], index[following, 1]]).clip(low[1], high[1]), axis=0))[0]
    parts = np.flatnonzero(np.diff(np.cumsum(rows + 1) // _AT_ONCE)) + 1
    for edges in np.split(np.arange(len(index)), parts):
        crossings = _crossings(index[edges, 1:], index[following[edges], 1:], geometry.shape[1:])
        flips = (slices[edges][crossings.edge] - low[0], crossings.row - low[1], crossings.column - low[2])
        np.bitwise_xor.at(parity, flips, np.uint8(1))
    np.bitwise_xor.accumulate(parity, axis=2, out=parity)
    mask[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = parity[:, :, :-1]
    return mask


@dataclass(frozen=True, eq=False)
class _Crossings:
    """Crossings of contour edges with rows of voxel centres.

    Attributes:
        edge: index of the edge.
        row: index of the row.
        column: first column to the right of the crossing.
    """

    edge: IntArray
    row: IntArray
    column: IntArray


def _crossings(start: FloatArray, end: FloatArray, size: tuple[int, int]) -> _Crossings:
    """Find all crossings of edges, given by both ends (y, x), with the rows of an image of ``size``.

    An edge crosses the rows from its upper end, inclusive, to its lower end, exclusive.
    """
    swapped = start[:, :1] > end[:, :1]
    upper, lower = np.where(swapped, end, start), np.where(swapped, start, end)
    first = np.ceil(upper[:, 0]).clip(0, size[0]).astype(np.int64)
    behind = np.ceil(lower[:, 0]).clip(0, size[0]).astype(np.int64)
    rows = behind - first
    edge = np.repeat(np.arange(len(rows)), rows)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(rows) - rows, rows) + first[edge]
    upper, lower = upper[edge], lower[edge]
    slope = (lower[:, 1] - upper[:, 1]) / (lower[:, 0] - upper[:, 0])
    x = np.round(upper[:, 1] + (row - upper[:, 0]) * slope, _SNAP)
    return _Crossings(edge, row, np.ceil(x).clip(0, size[1]).astype(np.int64))
