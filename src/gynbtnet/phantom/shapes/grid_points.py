"""Voxel centres of a scan as three axes, the points at which shapes compute their distance."""

from dataclasses import dataclass

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.runtime.array_types import FloatArray

Window = tuple[slice, slice, slice]
Bounds = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class GridPoints:
    """Points of a rectilinear grid in mm; x to the patient's left, y to the back, z to the head.

    Attributes:
        z: Increasing coordinates, (nz,).
        y: Increasing coordinates, (ny,).
        x: Increasing coordinates, (nx,).
    """

    z: FloatArray
    y: FloatArray
    x: FloatArray

    @classmethod
    def from_geometry(cls, geometry: Geometry, shift: FloatArray) -> "GridPoints":
        """Return the voxel centres of ``geometry`` in coordinates of a patient shifted by ``shift`` (x, y, z) mm.

        Raises:
            ValueError: If the grid is oblique; the phantom is aligned with the scanner's axes.
        """
        if not np.array_equal(np.reshape(geometry.direction, (3, 3)), np.eye(3)):
            raise ValueError(
                "the phantom is rendered only on grids along the patient axes: direction must be the identity"
            )
        z, y, x = (
            origin + np.arange(size) * spacing
            for origin, size, spacing in zip(
                reversed(np.asarray(geometry.origin) - shift), geometry.shape, geometry.spacing, strict=True
            )
        )
        return cls(z, y, x)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of points along (z, y, x)."""
        return self.z.size, self.y.size, self.x.size

    @property
    def open(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """x, y and z as arrays that broadcast to the shape (z, y, x)."""
        return self.x[None, None, :], self.y[None, :, None], self.z[:, None, None]

    def window(self, box: Bounds) -> Window | None:
        """Return the indices of the points in ``box``, lowest and highest corner (x, y, z) in mm; None if empty."""
        slices = []
        for axis, low, high in zip((self.z, self.y, self.x), box[0][::-1], box[1][::-1], strict=True):
            start, stop = int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high, side="right"))
            if start >= stop:
                return None
            slices.append(slice(start, stop))
        return slices[0], slices[1], slices[2]

    def __getitem__(self, window: Window) -> "GridPoints":
        return GridPoints(self.z[window[0]], self.y[window[1]], self.x[window[2]])
