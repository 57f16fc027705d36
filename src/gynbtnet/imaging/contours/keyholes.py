"""Holes joined to the contour around them, by a channel of no width (DICOM PS3.3 C.8.8.6.3).

A channel leads from a hole to the left, along a row of the image. It ends at the next contour, which belongs to the
outside or to another hole. That contour extends further to the left than the hole, so channels never form a circle.
Channels keep away from voxel centres if possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gynbtnet.runtime.array_types import FloatArray, IntArray

_CHANNEL_OFFSET = 0.25
"""Distance in voxels, across the channel, between a channel and the hole's leftmost point."""


@dataclass(eq=False)
class _Ring:
    """A closed polygon with the holes that have been joined to it.

    Attributes:
        points: corners (n, 2) as (y, x).
        detours: for each joined hole: index of the edge, distance along it, points to insert.
    """

    points: FloatArray
    detours: list[tuple[int, float, FloatArray]] = field(default_factory=list)

    @property
    def leftmost(self) -> float:
        """Smallest x."""
        return float(self.points[:, 1].min())

    def with_detours(self) -> FloatArray:
        """Return the points with all detours."""
        parts, first = [], 0
        for edge, _, points in sorted(self.detours, key=lambda detour: detour[:2]):
            parts += [self.points[first : edge + 1], points]
            first = edge + 1
        return np.concatenate([*parts, self.points[first:]])

    def crossings(self, y: float) -> tuple[IntArray, FloatArray]:
        """Return the edges that cross the row at ``y``, and the x of the crossings."""
        start, end = self.points, np.roll(self.points, -1, axis=0)
        edges = np.flatnonzero((start[:, 0] <= y) != (end[:, 0] <= y))
        (y0, x0), (y1, x1) = start[edges].T, end[edges].T
        return edges, x0 + (y - y0) * (x1 - x0) / (y1 - y0)


def join_holes(rings: Sequence[FloatArray]) -> list[FloatArray]:
    """Return the contours of one slice with every hole joined to another contour.

    Args:
        rings: closed polygons (n, 2) of points (y, x) in voxels that don't cross. With y pointing down, they run
            counter-clockwise around the inside, and clockwise around a hole.

    Raises:
        ValueError: If a hole is inside no contour.
    """
    all_rings = [_Ring(points) for points in rings]
    edges = _Edges.of(all_rings)
    is_hole = [_area(ring.points) < 0 for ring in all_rings]
    holes = sorted((ring for ring, hole in zip(all_rings, is_hole, strict=True) if hole), key=lambda r: -r.leftmost)
    for hole in holes:
        _join(hole, edges)
    return [ring.with_detours() for ring, hole in zip(all_rings, is_hole, strict=True) if not hole]


@dataclass(frozen=True, eq=False)
class _Edges:
    """All edges of a slice's rings in one array, for speed: noise has thousands of rings and thousands of holes.

    Attributes:
        rings: the rings.
        start, end: both ends of each edge (n, 2) as (y, x).
        ring: index of the ring to which an edge belongs.
        edge: index of the edge in its ring.
    """

    rings: Sequence[_Ring]
    start: FloatArray
    end: FloatArray
    ring: IntArray
    edge: IntArray

    @classmethod
    def of(cls, rings: Sequence[_Ring]) -> "_Edges":
        """Collect the edges of rings."""
        counts = [len(ring.points) for ring in rings]
        return cls(
            rings,
            np.concatenate([ring.points for ring in rings]) if rings else np.empty((0, 2)),
            np.concatenate([np.roll(ring.points, -1, axis=0) for ring in rings]) if rings else np.empty((0, 2)),
            np.repeat(np.arange(len(rings)), counts),
            np.concatenate([np.arange(n) for n in counts]) if rings else np.empty(0, np.int64),
        )


def _join(hole: _Ring, edges_of_all: _Edges) -> None:
    """Insert a hole, and the channel to it and back, into the ring to its left."""
    corner = int(np.lexsort((hole.points[:, 0], hole.points[:, 1]))[0])
    row, leftmost = hole.points[corner, 0], hole.leftmost
    for neighbour in (hole.points[corner - 1], hole.points[(corner + 1) % len(hole.points)]):
        reach = neighbour[0] - row
        y = float(row + np.sign(reach) * min(abs(reach) / 2, _CHANNEL_OFFSET))
        if reach and (met := _left_of(hole, y, edges_of_all)) and met[0].leftmost < leftmost:
            break
    else:
        y = float(row)
        met = _left_of(hole, y, edges_of_all)
    if met is None:
        raise ValueError("a hole is inside no contour")
    ring, edge, x = met
    edges, at = hole.crossings(y)
    opening = np.asarray([y, at.min()])
    own_edge = int(edges[at.argmin()])
    hole.detours.append((own_edge, _along(hole, own_edge, opening), opening[None]))
    around = hole.with_detours()
    start = int(np.flatnonzero((around == opening).all(axis=1))[0])
    meeting = np.asarray([y, x])
    there_and_back = [meeting[None], np.roll(around, -start, axis=0), opening[None], meeting[None]]
    ring.detours.append((edge, _along(ring, edge, meeting), np.concatenate(there_and_back)))


def _left_of(hole: _Ring, y: float, edges: _Edges) -> tuple[_Ring, int, float] | None:
    """Return the nearest ring to the left of a hole at ``y``, with edge and x of the crossing, or None."""
    _, own = hole.crossings(y)
    if not own.size:
        return None
    crossing = np.flatnonzero((edges.start[:, 0] <= y) != (edges.end[:, 0] <= y))
    (y0, x0), (y1, x1) = edges.start[crossing].T, edges.end[crossing].T
    at = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    is_own = np.asarray([edges.rings[ring] is hole for ring in edges.ring[crossing]], bool)
    left = (at <= own.min()) & ~is_own
    if not left.any():
        return None
    nearest = int(np.where(left, at, -np.inf).argmax())
    index = crossing[nearest]
    return edges.rings[edges.ring[index]], int(edges.edge[index]), float(at[nearest])


def _along(ring: _Ring, edge: int, point: FloatArray) -> float:
    """Return the distance of a point on an edge from the edge's start."""
    return float(np.abs(point - ring.points[edge]).sum())


def _area(points: FloatArray) -> float:
    """Return twice the signed area of a polygon (y, x): positive if counter-clockwise with y pointing down."""
    y, x = points.T
    return float((y * np.roll(x, -1) - x * np.roll(y, -1)).sum())
