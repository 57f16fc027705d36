"""Contours from masks.

Contours follow the border of a mask, slice by slice. Smooth contours of a slice don't touch each other: voxels that
meet only at a corner get separate contours. Both styles reproduce exactly the same mask with
:func:`~gynbtnet.imaging.contours.contours_to_mask.contours_to_mask`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gynbtnet.imaging.contours.contours_to_mask import Contour
from gynbtnet.imaging.contours.keyholes import join_holes
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.runtime.array_types import FloatArray, IntArray, Mask

ContourStyle = Literal["smooth", "exact"]
HoleStyle = Literal["keyhole", "inner"]

CLEARANCE = 0.1
"""Smallest distance, in voxels, between a smooth contour and a voxel centre."""

_SMOOTHING_STEPS = 20
_SMOOTHING_WEIGHTS = (0.5, -0.53)  # towards the neighbours, then back slightly more: smooth without shrinking


def mask_to_contours(
    mask: Mask, geometry: Geometry, *, contour_style: ContourStyle = "smooth", hole_style: HoleStyle = "inner"
) -> list[Contour]:
    """Return the contours of a mask, slice by slice.

    Args:
        mask: voxels inside the structure (z, y, x).
        geometry: grid of the mask.
        contour_style: ``smooth`` runs between the centres of inside and outside voxels and never moves a centre to the
            other side; ``exact`` runs along voxel edges.
        hole_style: ``inner`` makes a hole a separate contour, for XOR; ``keyhole`` joins it to the contour around it.

    Returns:
        Closed polygons in mm, in the order of the slices; none for an empty mask.

    Raises:
        ValueError: If mask and grid differ in shape.
    """
    if mask.shape != geometry.shape:
        raise ValueError(f"a mask of shape {mask.shape} does not fit a grid of shape {geometry.shape}")
    box = bounding_box(mask)
    if box is None:
        return []
    low = np.asarray([side.start for side in box]) - [0, 1, 1]
    inside = np.pad(mask[box], ((0, 0), (1, 1), (1, 1)))
    walks = _walks(inside)
    rings = _smooth(walks, inside.shape) if contour_style == "smooth" else _exact(walks, inside.shape)
    slices = [int(z) for z in np.unravel_index(walks.cells[walks.ends - 1], _cells(inside.shape))[0]]
    if hole_style == "keyhole":
        slices, rings = _with_keyholes(slices, rings)
    counts = np.cumsum([len(ring) for ring in rings])
    planes = np.repeat(slices, np.diff(counts, prepend=0)).astype(float)
    index = np.column_stack([planes, np.concatenate(rings)]) + low
    parts = np.split(geometry.to_world(index), counts[:-1])
    return [Contour(points, int(z + low[0])) for points, z in zip(parts, slices, strict=True)]


def _with_keyholes(slices: list[int], rings: list[FloatArray]) -> tuple[list[int], list[FloatArray]]:
    """Return slices and rings with every hole joined to the ring around it."""
    by_slice: dict[int, list[FloatArray]] = {}
    for z, ring in zip(slices, rings, strict=True):
        by_slice.setdefault(z, []).append(ring)
    joined = [(z, ring) for z, separate in by_slice.items() for ring in join_holes(separate)]
    return [z for z, _ in joined], [ring for _, ring in joined]


@dataclass(frozen=True, eq=False)
class _Walks:
    """Closed walks around the inside, counter-clockwise with y pointing down, one after another.

    Attributes:
        edges: for each step, the grid edge between an inside and an outside voxel from which it starts. The number of
            an edge is twice the flat index of its first voxel, plus 1 if it runs along y instead of x.
        cells: for each step, flat index of the cell of four voxels that it crosses.
        ends: index of the step behind the last one of each walk.
    """

    edges: IntArray
    cells: IntArray
    ends: IntArray


def _cells(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the number of cells of four voxels of a slice, along (z, y, x)."""
    return shape[0], shape[1] - 1, shape[2] - 1


def _walks(inside: Mask) -> _Walks:
    """Trace walks: around each cell, clockwise, a step leads from the edge that enters the inside to the next exit."""
    flat = np.arange(inside.size).reshape(inside.shape)
    corners = [inside[:, :-1, :-1], inside[:, :-1, 1:], inside[:, 1:, 1:], inside[:, 1:, :-1]]
    along_x, along_y = 2 * flat[:, :, :-1], 2 * flat[:, :-1, :] + 1
    edges = [along_x[:, :-1], along_y[:, :, 1:], along_x[:, 1:], along_y[:, :, :-1]]
    leads_from, leads_to, crosses = [], [], []
    for k in range(4):
        begins = ~corners[k] & corners[(k + 1) % 4]
        second, third = corners[(k + 2) % 4][begins], corners[(k + 3) % 4][begins]
        one, two, three = (edges[(k + i) % 4][begins] for i in (1, 2, 3))
        leads_from.append(edges[k][begins])
        leads_to.append(np.where(~second, one, np.where(~third, two, three)))
        crosses.append(np.flatnonzero(begins))
    numbers = np.concatenate(leads_from)
    order = np.argsort(numbers)
    numbers = numbers[order]
    following = np.searchsorted(numbers, np.concatenate(leads_to)[order]).tolist()
    steps: list[int] = []
    ends: list[int] = []
    seen = bytearray(len(following))
    for start in range(len(following)):
        at = start
        while not seen[at]:
            seen[at] = 1
            steps.append(at)
            at = following[at]
        if not ends or len(steps) > ends[-1]:
            ends.append(len(steps))
    return _Walks(numbers[steps], np.concatenate(crosses)[order][steps], np.asarray(ends))


def _exact(walks: _Walks, shape: tuple[int, ...]) -> list[FloatArray]:
    """Return rings (n, 2) of voxel corners (y, x), without corners on a straight line."""
    _, y, x = np.unravel_index(walks.cells, _cells(shape))
    corners = np.stack([y, x], axis=1) + 0.5
    rings = np.split(corners, walks.ends[:-1])
    return [ring[_turns(ring)] for ring in rings]


def _turns(ring: FloatArray) -> Mask:
    """Return whether a closed line turns at each of its points."""
    steps = np.diff(ring, axis=0, prepend=ring[-1:], append=ring[:1])
    turns: Mask = (steps[1:] != steps[:-1]).any(axis=1)
    return turns


def _smooth(walks: _Walks, shape: tuple[int, ...]) -> list[FloatArray]:
    """Return smooth rings (n, 2) of points (y, x), one point on each grid edge of a walk.

    Points start at the midpoints and slide along their grid edges to the chord of their two neighbours. The scheme is
    Taubin's (SIGGRAPH 1995, doi 10.1145/218380.218473): each step back restores the area lost in the step before.
    """
    edges, ends = walks.edges, walks.ends
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
    return np.split(start[:, 1:] + along[:, None] * direction, ends[:-1])
