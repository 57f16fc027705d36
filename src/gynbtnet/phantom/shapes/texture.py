"""Smooth random fields in patient space, the same on every grid."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gynbtnet.phantom.shapes.grid_points import GridPoints
from gynbtnet.runtime.array_types import FloatArray

NODES = 44
"""Nodes of the lattice along an axis; the field repeats after NODES cells."""

UNIT = 0.479**-1.5
"""Factor for unit variance; cubic B-splines keep on average 0.479 of white noise's variance along each axis."""


@dataclass(frozen=True)
class Texture:
    """A field of zero mean and about unit variance: cubic B-splines on a lattice of normal numbers.

    Attributes:
        seed: Random seed of the lattice.
        cell: Distance of the lattice's nodes in mm; the field has no finer detail.
    """

    seed: tuple[int, ...]
    cell: float

    @cached_property
    def _lattice(self) -> FloatArray:
        return UNIT * np.random.default_rng(self.seed).standard_normal((NODES, NODES, NODES))

    def __call__(self, points: GridPoints) -> FloatArray:
        """Return the field at every point, (z, y, x)."""
        values = self._lattice
        for axis, coordinates in enumerate((points.z, points.y, points.x)):
            values = self._interpolate_along(values, coordinates, axis)
        return values

    def _interpolate_along(self, values: FloatArray, coordinates: FloatArray, axis: int) -> FloatArray:
        node = coordinates / self.cell
        below = np.floor(node).astype(int)
        t = node - below
        weights = (
            (1 - t) ** 3 / 6,
            (3 * t**3 - 6 * t**2 + 4) / 6,
            (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
            t**3 / 6,
        )
        shape = [1, 1, 1]
        shape[axis] = -1
        total = np.zeros(1)
        for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
            total = total + np.take(values, (below + offset) % NODES, axis=axis) * weight.reshape(shape)
        return total
