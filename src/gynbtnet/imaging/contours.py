"""Masks from closed planar contours, and contours from masks.

A voxel belongs to a mask where its centre lies in an odd number of its slice's contours (XOR): islands add up, an
inner contour or a keyhole cuts a hole. A centre that lies exactly on an edge belongs to the side of larger index (right
of a left edge, below an upper edge), so that two contours that share an edge share no voxel and leave none out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

CLEARANCE = 0.1
"""Voxels that an outline keeps away from every voxel centre, however smooth it could become otherwise."""

_SMOOTHING_STEPS = 20
_SMOOTHING_WEIGHTS = (0.5, -0.53)  # towards the neighbours, then back a little more: smooth without shrinking
_SNAP = 6  # decimals of a voxel; removes rounding noise, so that the rule for edges is what decides


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed polygon on one slice.

    Attributes:
        points: (n, 3) corners in mm (x, y, z), LPS; the last joins the first.
        z: index of the slice.
    """

    points: Floats
    z: int


def mask_from_contours(contours: Sequence[Contour], geometry: Geometry) -> Mask:
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
    crossings = _crossings(index[:, 1:], index[following, 1:], geometry.shape[1:])
    flips_z, (flips_y, flips_x) = slices[crossings.edge], (crossings.row, crossings.column)
    if not flips_z.size:
        return mask
    low = np.asarray([flips_z.min(), flips_y.min(), flips_x.min()])
    size = np.asarray([flips_z.max(), flips_y.max(), flips_x.max()]) - low + 1
    parity = np.zeros(size, np.uint8)
    np.bitwise_xor.at(parity, (flips_z - low[0], flips_y - low[1], flips_x - low[2]), np.uint8(1))
    np.bitwise_xor.accumulate(parity, axis=2, out=parity)
    width = min(size[2], geometry.shape[2] - low[2])  # a flip may stand one column behind the last
    mask[low[0] : low[0] + size[0], low[1] : low[1] + size[1], low[2] : low[2] + width] = parity[:, :, :width]
    return mask


@dataclass(frozen=True, eq=False)
class _Crossings:
    """Where edges cross rows of voxel centres: number of the edge, row, first column to the right."""

    edge: Integers
    row: Integers
    column: Integers


def _crossings(start: Floats, end: Floats, size: tuple[int, int]) -> _Crossings:
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


def contours_from_mask(mask: Mask, geometry: Geometry) -> list[Contour]:
    """Smooth outlines of a mask (z, y, x), slice by slice; holes are inner contours, for XOR.

    An outline passes between the centres of inside and outside voxels and never changes a centre's side, so
    :func:`mask_from_contours` gives back the very same mask. Contours of a slice don't touch each other: voxels that
    meet at a corner only get contours of their own.
    """
    if mask.shape != geometry.shape:
        raise ValueError(f"a mask of shape {mask.shape} does not lie on a grid of shape {geometry.shape}")
    if not mask.any():
        return []
    low, inside = _cropped(mask)
    loops = _loops(inside)
    ends = np.cumsum([len(loop) for loop in loops])
    index = _smoothed(np.concatenate(loops), ends, inside.shape) + low
    parts = np.split(geometry.to_world(index), ends[:-1])
    return [Contour(points, int(z)) for points, z in zip(parts, index[ends - 1, 0], strict=True)]


def _cropped(mask: Mask) -> tuple[Integers, Mask]:
    """The mask's bounding box with one voxel of background around within the slice, and where it starts."""
    box = [np.flatnonzero(mask.any(axis=axes))[[0, -1]] for axes in ((1, 2), (0, 2), (0, 1))]
    cut = mask[tuple(slice(first, last + 1) for first, last in box)]
    return np.asarray([first for first, _ in box]) - [0, 1, 1], np.pad(cut, ((0, 0), (1, 1), (1, 1)))


def _loops(inside: Mask) -> list[Integers]:
    """Closed walks over the grid edges that join an inside to an outside voxel of one slice.

    An edge's number is twice its first voxel's flat index, plus 1 where it runs along y instead of x. Round every cell
    of four voxels, clockwise, the outline leads from the edge where the inside begins to the edge where it ends.
    """
    flat = np.arange(inside.size).reshape(inside.shape)
    corners = [inside[:, :-1, :-1], inside[:, :-1, 1:], inside[:, 1:, 1:], inside[:, 1:, :-1]]
    along_x, along_y = 2 * flat[:, :, :-1], 2 * flat[:, :-1, :] + 1
    edges = [along_x[:, :-1], along_y[:, :, 1:], along_x[:, 1:], along_y[:, :, :-1]]
    leads_from, leads_to = [], []
    for k in range(4):
        begins = ~corners[k] & corners[(k + 1) % 4]
        second, third = corners[(k + 2) % 4][begins], corners[(k + 3) % 4][begins]
        one, two, three = (edges[(k + i) % 4][begins] for i in (1, 2, 3))
        leads_from.append(edges[k][begins])
        leads_to.append(np.where(~second, one, np.where(~third, two, three)))
    numbers = np.concatenate(leads_from)
    order = np.argsort(numbers)
    numbers = numbers[order]
    following = np.searchsorted(numbers, np.concatenate(leads_to)[order]).tolist()
    loops, seen = [], bytearray(len(following))
    for start in range(len(following)):
        walk, at = [], start
        while not seen[at]:
            seen[at] = 1
            walk.append(at)
            at = following[at]
        if walk:
            loops.append(numbers[walk])
    return loops


def _smoothed(edges: Integers, ends: Integers, shape: tuple[int, ...]) -> Floats:
    """A point (z, y, x) on each grid edge of the closed walks that end before ``ends``, so that the walks run smoothly.

    Points start half-way and slide along their grid edges to the chord of their two neighbours, by Taubin's scheme
    (SIGGRAPH 1995, doi 10.1145/218380.218473): each step back keeps the area that the step before it took.
    """
    voxel, is_along_y = np.divmod(edges, 2)
    start = np.stack(np.unravel_index(voxel, shape), axis=1).astype(float)
    direction = np.stack([is_along_y, 1 - is_along_y], axis=1).astype(float)
    following, previous = np.arange(1, len(edges) + 1), np.arange(-1, len(edges) - 1)
    starts = np.concatenate([[0], ends[:-1]])
    following[ends - 1], previous[starts] = starts, ends - 1
    along = np.full(len(edges), 0.5)
    for weight in _SMOOTHING_WEIGHTS * _SMOOTHING_STEPS:
        points = start[:, 1:] + along[:, None] * direction
        chord = points[following] - points[previous]
        across = chord[:, 0] * direction[:, 1] - chord[:, 1] * direction[:, 0]
        offset = points[previous] - points
        distance = chord[:, 0] * offset[:, 1] - chord[:, 1] * offset[:, 0]
        steep = np.abs(across) > 0.3 * np.hypot(chord[:, 0], chord[:, 1])
        along += weight * np.divide(distance, across, out=np.zeros_like(along), where=steep)
        along = along.clip(CLEARANCE, 1 - CLEARANCE)
    start[:, 1:] += along[:, None] * direction
    return start
