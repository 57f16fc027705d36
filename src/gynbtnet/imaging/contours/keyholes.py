"""Holes joined to the contour around them, by a channel of no width (DICOM PS3.3 C.8.8.6.3).

A channel leads from a hole to the left, along a row of the image, to the next contour: that of the outside or of
another hole. The one it meets reaches further to the left than the hole, so that channels never form a circle. It keeps
away from voxel centres wherever it can.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gynbtnet.runtime.array_types import FloatArray, IntArray

_BESIDE = 0.25
"""Voxels between a channel and the hole's leftmost point, across the channel."""


@dataclass(eq=False)
class _Ring:
    """A closed polygon (n, 2) with what has been joined to it: on which edge, how far along it, which points."""

    points: FloatArray
    detours: list[tuple[int, float, FloatArray]] = field(default_factory=list)

    @property
    def leftmost(self) -> float:
        return float(self.points[:, 1].min())

    def drawn(self) -> FloatArray:
        """The points with all detours."""
        parts, drawn_to = [], 0
        for edge, _, points in sorted(self.detours, key=lambda detour: detour[:2]):
            parts += [self.points[drawn_to : edge + 1], points]
            drawn_to = edge + 1
        return np.concatenate([*parts, self.points[drawn_to:]])

    def crossings(self, y: float) -> tuple[IntArray, FloatArray]:
        """Edges that cross a row at ``y``, and at which x."""
        start, end = self.points, np.roll(self.points, -1, axis=0)
        edges = np.flatnonzero((start[:, 0] <= y) != (end[:, 0] <= y))
        (y0, x0), (y1, x1) = start[edges].T, end[edges].T
        return edges, x0 + (y - y0) * (x1 - x0) / (y1 - y0)


def join_holes(rings: Sequence[FloatArray]) -> list[FloatArray]:
    """The contours of one slice with every hole joined to another.

    Args:
        rings: closed polygons (n, 2) of points (y, x) in voxels that don't cross; round the inside against the
            clock as y points down, and so round a hole with it.
    """
    all_rings = [_Ring(points) for points in rings]
    edges = _Edges.of(all_rings)
    is_hole = [_area(ring.points) < 0 for ring in all_rings]
    holes = sorted((ring for ring, hole in zip(all_rings, is_hole, strict=True) if hole), key=lambda r: -r.leftmost)
    for hole in holes:
        _join(hole, edges)
    return [ring.drawn() for ring, hole in zip(all_rings, is_hole, strict=True) if not hole]


@dataclass(frozen=True, eq=False)
class _Edges:
    """All edges of a slice's rings, side by side: noise has thousands of rings, each to be met by thousands of holes.

    Attributes:
        rings: as given.
        start, end: (n, 2) points (y, x) of both ends.
        ring: the number of the ring that an edge belongs to.
        edge: its number there.
    """

    rings: Sequence[_Ring]
    start: FloatArray
    end: FloatArray
    ring: IntArray
    edge: IntArray

    @classmethod
    def of(cls, rings: Sequence[_Ring]) -> "_Edges":
        counts = [len(ring.points) for ring in rings]
        return cls(
            rings,
            np.concatenate([ring.points for ring in rings]) if rings else np.empty((0, 2)),
            np.concatenate([np.roll(ring.points, -1, axis=0) for ring in rings]) if rings else np.empty((0, 2)),
            np.repeat(np.arange(len(rings)), counts),
            np.concatenate([np.arange(n) for n in counts]) if rings else np.empty(0, np.int64),
        )


def _join(hole: _Ring, edges_of_all: _Edges) -> None:
    """Put the whole hole, and the channel there and back, into the ring that lies left of it."""
    corner = int(np.lexsort((hole.points[:, 0], hole.points[:, 1]))[0])
    beside, leftmost = hole.points[corner, 0], hole.leftmost
    for neighbour in (hole.points[corner - 1], hole.points[(corner + 1) % len(hole.points)]):
        reach = neighbour[0] - beside
        y = float(beside + np.sign(reach) * min(abs(reach) / 2, _BESIDE))
        if reach and (met := _left_of(hole, y, edges_of_all)) and met[0].leftmost < leftmost:
            break
    else:
        y = float(beside)
        met = _left_of(hole, y, edges_of_all)
    if met is None:
        raise ValueError("a hole lies in no contour")
    ring, edge, x = met
    edges, at = hole.crossings(y)
    opening = np.asarray([y, at.min()])
    own_edge = int(edges[at.argmin()])
    hole.detours.append((own_edge, _along(hole, own_edge, opening), opening[None]))
    around = hole.drawn()
    start = int(np.flatnonzero((around == opening).all(axis=1))[0])
    meeting = np.asarray([y, x])
    there_and_back = [meeting[None], np.roll(around, -start, axis=0), opening[None], meeting[None]]
    ring.detours.append((edge, _along(ring, edge, meeting), np.concatenate(there_and_back)))


def _left_of(hole: _Ring, y: float, edges: _Edges) -> tuple[_Ring, int, float] | None:
    """The ring, its edge and x that lie next to the left of a hole at ``y``."""
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
    found = crossing[nearest]
    return edges.rings[edges.ring[found]], int(edges.edge[found]), float(at[nearest])


def _along(ring: _Ring, edge: int, point: FloatArray) -> float:
    """How far along an edge a point on it lies."""
    return float(np.abs(point - ring.points[edge]).sum())


def _area(points: FloatArray) -> float:
    """Twice the signed area of a polygon of points (y, x); above 0 where it runs against the clock as y points down."""
    y, x = points.T
    return float((y * np.roll(x, -1) - x * np.roll(y, -1)).sum())
