"""Masks from closed planar contours.

A voxel belongs to a mask where its centre lies in an odd number of its slice's contours (XOR): islands add up, an
inner contour or a keyhole cuts a hole. A centre that lies exactly on an edge belongs to the side of larger index (right
of a left edge, below an upper edge), so that two contours that share an edge share no voxel and leave none out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.runtime.array_types import FloatArray, IntArray, Mask

_SNAP = 6  # decimals of a voxel; removes rounding noise, so that the rule for edges is what decides

_AT_ONCE = 2**20  # crossings of edges and rows that are computed together, so that memory stays bounded


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed polygon on one slice.

    Attributes:
        points: (n, 3) corners in mm (x, y, z), LPS; the last joins the first.
        z: index of the slice.
    """

    points: FloatArray
    z: int


def contours_to_mask(contours: Sequence[Contour], geometry: Geometry) -> Mask:
    """The voxels (z, y, x) whose centres lie in an odd number of contours of their slice."""
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
    parity = np.zeros(high - low + (0, 0, 1), np.uint8)  # a flip may stand one column behind the last
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
    """Where edges cross rows of voxel centres: number of the edge, row, first column to the right."""

    edge: IntArray
    row: IntArray
    column: IntArray


def _crossings(start: FloatArray, end: FloatArray, size: tuple[int, int]) -> _Crossings:
    """All crossings of edges, given by (y, x) of both ends, with rows of an image of ``size``.

    A row counts for an edge from its upper end, inclusive, to its lower end, exclusive.
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
