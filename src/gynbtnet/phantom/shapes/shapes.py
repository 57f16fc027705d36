"""Smooth closed surfaces as signed distances in mm: negative inside, exact at the surface, approximate near it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from gynbtnet.phantom.shapes.grid_points import Bounds, GridPoints
from gynbtnet.runtime.array_types import FloatArray

FAR = 12.0
"""Distance in mm at and beyond which a surface has no effect: neither blending nor partial volume reaches it."""

TINY = 1e-9
"""Number that prevents a slope of 0/0 at a centre; the distance there is the smallest radius."""


class Shape(Protocol):
    """A body with a bounding box and a signed distance."""

    @property
    def box(self) -> Bounds:
        """Lowest and highest corner (x, y, z) in mm of the inside."""

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the signed distance in mm at every point, (z, y, x); at least FAR at points that are not computed."""


def sample(shape: Shape, points: GridPoints, margin: float = FAR) -> FloatArray:
    """Return the signed distance (z, y, x), computed within ``margin`` mm of the shape's box and FAR elsewhere."""
    result = np.full(points.shape, FAR)
    window = points.window((shape.box[0] - margin, shape.box[1] + margin))
    if window is not None:
        result[window] = shape.distance(points[window])
    return result


def orthonormal_frame(first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
    """Return orthonormal rows along ``first``, the part of ``second`` across it, and their cross product."""
    u = np.asarray(first, float) / np.linalg.norm(first)
    v = np.asarray(second, float) - np.dot(second, u) * u
    v = v / np.linalg.norm(v)
    return np.stack([u, v, np.cross(u, v)])


@dataclass(frozen=True)
class Superellipsoid:
    """An ellipsoid, or with another exponent a superellipsoid, rotated and bent.

    Attributes:
        centre: Centre (x, y, z) in mm.
        radii: Half axes in mm along the rows of ``axes``.
        axes: Orthonormal rows, (3, 3).
        exponent: 2 for an ellipsoid, more for a box with round edges.
        bend: Displacement bend[0]·u² + bend[1]·v² of the third axis, in 1/mm; it makes plates into shells.
    """

    centre: npt.ArrayLike
    radii: npt.ArrayLike
    axes: FloatArray = field(default_factory=lambda: np.eye(3))
    exponent: float = 2.0
    bend: tuple[float, float] = (0.0, 0.0)

    @cached_property
    def box(self) -> Bounds:
        """Lowest and highest corner."""
        centre, radii = np.asarray(self.centre, float), np.asarray(self.radii, float)
        reach = (
            np.sqrt((self.axes**2 * radii[:, None] ** 2).sum(0)) if self.exponent == 2 else np.abs(self.axes.T) @ radii
        )
        arch = sum(abs(k) * r * r for k, r in zip(self.bend, radii[:2], strict=True)) * np.abs(self.axes[2])
        return centre - reach - arch, centre + reach + arch

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the distance in first order, (q - 1)/|grad q|; q is the norm whose unit ball is this shape."""
        x, y, z = (a - c for a, c in zip(points.open, np.asarray(self.centre, float), strict=True))
        if np.array_equal(self.axes, np.eye(3)):
            u, v, w = x, y, z
        else:
            u, v, w = (row[0] * x + row[1] * y + row[2] * z for row in self.axes)
        if any(self.bend):
            w = w - self.bend[0] * u * u - self.bend[1] * v * v
        ru, rv, rw = np.asarray(self.radii, float)
        if self.exponent == 2:
            a, b, c = (u / ru) ** 2, (v / rv) ** 2, (w / rw) ** 2
            squared = a + b + c
            slope = np.sqrt(a / ru**2 + b / rv**2 + c / rw**2)
            norm = np.sqrt(squared)
            ellipsoid: FloatArray = (norm - 1) * (norm + TINY) / (slope + TINY / min(ru, rv, rw))
            return ellipsoid
        n = self.exponent
        u, v, w = np.abs(u) / ru, np.abs(v) / rv, np.abs(w) / rw
        un, vn, wn = u ** (n - 1), v ** (n - 1), w ** (n - 1)
        norm = (un * u + vn * v + wn * w) ** (1 / n)
        slope = np.sqrt((un / ru) ** 2 + (vn / rv) ** 2 + (wn / rw) ** 2)
        distance: FloatArray = (norm - 1) * (norm ** (n - 1) + TINY) / (slope + TINY / min(ru, rv, rw))
        return distance


@dataclass(frozen=True)
class Tube:
    """A tube of varying radius along a polyline, with round ends.

    Attributes:
        path: Points (x, y, z) in mm, (n, 3).
        radii: Radii in mm, (n,).
        flat: Factor by which the cross-section is stretched along x.
    """

    path: FloatArray
    radii: FloatArray
    flat: float = 1.0

    @classmethod
    def through(cls, knots: npt.ArrayLike, radii: npt.ArrayLike, step: float = 6.0, flat: float = 1.0) -> "Tube":
        """Return a tube along the cubic spline through ``knots`` (n, 3), with interpolated ``radii``, n or one."""
        knots = np.asarray(knots, dtype=np.float64)
        along = np.concatenate([[0.0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(knots, axis=0), axis=1)))])
        length = float(np.linalg.norm(np.diff(knots, axis=0), axis=1).sum())
        parameters = np.linspace(0, along[-1], max(3, round(length / step) + 1))
        radius: FloatArray = np.interp(parameters, along, np.broadcast_to(np.asarray(radii, float), along.shape))
        return cls(CubicSpline(along, knots)(parameters), radius, flat)

    def part(self, start: float, stop: float) -> "Tube":
        """Return the part between two positions, as shares of the number of points, 0 to 1."""
        last = len(self.path) - 1
        low = min(int(start * last), last - 1)
        high = max(low + 1, min(last, round(stop * last)))
        return Tube(self.path[low : high + 1], self.radii[low : high + 1], self.flat)

    @cached_property
    def box(self) -> Bounds:
        """Lowest and highest corner."""
        reach = self.radii[:, None] * np.asarray([self.flat, 1.0, 1.0])
        return (self.path - reach).min(0), (self.path + reach).max(0)

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the smallest distance to the segments, which are cones with round ends, each near its segment only."""
        result = np.full(points.shape, FAR)
        for a, b, ra, rb in zip(self.path[:-1], self.path[1:], self.radii[:-1], self.radii[1:], strict=True):
            reach = max(ra, rb) * np.asarray([self.flat, 1.0, 1.0]) + FAR
            window = points.window((np.minimum(a, b) - reach, np.maximum(a, b) + reach))
            if window is None:
                continue
            x, y, z = points[window].open
            x, y, z = (x - a[0]) / self.flat, y - a[1], z - a[2]
            ab = (b - a) / np.asarray([self.flat, 1.0, 1.0])
            t = np.clip((x * ab[0] + y * ab[1] + z * ab[2]) / max(float(ab @ ab), 1e-9), 0.0, 1.0)
            segment = np.sqrt((x - t * ab[0]) ** 2 + (y - t * ab[1]) ** 2 + (z - t * ab[2]) ** 2) - (ra + t * (rb - ra))
            result[window] = np.minimum(result[window], segment)
        return result
