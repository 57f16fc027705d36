"""Grid of a scan's voxels in patient coordinates."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.runtime.array_types import Box, FloatArray, Triple
from gynbtnet.runtime.phrases import by_axis

SAME_GRID = 0.1
"""Largest distance in mm between matching voxels of two grids that count as one: headers and positions are rounded."""


@dataclass(frozen=True)
class Geometry:
    """Grid of a scan: index order (z, y, x), world order (x, y, z) in DICOM's LPS patient coordinates, mm.

    Attributes:
        shape: voxels along (z, y, x).
        spacing: distance between voxel centres in mm along (z, y, x); all positive.
        origin: centre of voxel (0, 0, 0) in mm, (x, y, z).
        direction: nine cosines of a matrix, row by row. Its *columns* are the world directions of the index axes x, y,
            z (SimpleITK's convention; ITK Software Guide, section 4.1.4). Orthonormal to 1e-4.

    Raises:
        ValueError: If a value can't belong to a grid.

    Example:
        >>> grid = Geometry(shape=(20, 64, 64), spacing=(3.0, 1.0, 1.0), origin=(-32.0, -32.0, 0.0))
        >>> grid.to_world((10, 32, 32)).tolist()
        [0.0, 0.0, 30.0]
        >>> grid.voxel_volume
        3.0
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "spacing", tuple(float(s) for s in self.spacing))
        object.__setattr__(self, "origin", tuple(float(o) for o in self.origin))
        object.__setattr__(self, "direction", tuple(float(d) for d in self.direction))
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"a grid has three sizes of at least 1, not {self.shape}")
        if len(self.spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in self.spacing):
            raise ValueError(f"spacing is three positive lengths in mm, not {self.spacing}")
        if len(self.origin) != 3 or not np.isfinite(self.origin).all():
            raise ValueError(f"an origin is three finite coordinates in mm, not {self.origin}")
        cosines = np.asarray(self.direction)
        if cosines.shape != (9,) or not np.allclose(
            cosines.reshape(3, 3).T @ cosines.reshape(3, 3), np.eye(3), atol=1e-4
        ):
            raise ValueError(f"a direction is nine cosines of an orthonormal matrix, not {self.direction}")

    @cached_property
    def affine(self) -> FloatArray:
        """4×4 matrix from index (x, y, z, 1) to world (x, y, z, 1) in mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(self.direction).reshape(3, 3) * np.asarray(self.spacing[::-1])
        matrix[:3, 3] = self.origin
        return matrix

    def to_world(self, index: npt.ArrayLike) -> FloatArray:
        """Return world points (…, 3) as (x, y, z) in mm.

        Args:
            index: index points (…, 3) as (z, y, x); fractions of a voxel are allowed.
        """
        return np.asarray(index, float)[..., ::-1] @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, world: npt.ArrayLike) -> FloatArray:
        """Return index points (…, 3) as (z, y, x), with fractions of a voxel.

        Args:
            world: world points (…, 3) as (x, y, z) in mm.
        """
        inverse = np.linalg.inv(self.affine[:3, :3])
        return ((np.asarray(world, float) - self.affine[:3, 3]) @ inverse.T)[..., ::-1]

    def nearest_voxel(self, point: npt.ArrayLike) -> Triple:
        """Return the index (z, y, x) of the voxel of the grid that is nearest to a world point (x, y, z) in mm."""
        index = np.clip(np.rint(self.to_index(point)), 0, np.asarray(self.shape) - 1)
        return int(index[0]), int(index[1]), int(index[2])

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm³."""
        return float(np.prod(self.spacing))

    def offset(self, other: "Geometry") -> float:
        """Return the largest distance in mm between matching corner voxels; infinity if the shapes differ."""
        if self.shape != other.shape:
            return float("inf")
        return float(np.linalg.norm(self._corners - other._corners, axis=1).max())

    def is_same(self, other: "Geometry") -> bool:
        """Return True if every voxel is within ``SAME_GRID`` of the same voxel of the other grid."""
        return self.offset(other) <= SAME_GRID

    def is_reoriented(self, other: "Geometry") -> bool:
        """Return True if both grids have the same voxels, within ``SAME_GRID``, in any order along their axes."""
        unit = self.to_index(other.to_world(np.vstack([np.zeros(3), np.eye(3)])))
        steps = np.abs(np.rint(unit[1:] - unit[0]))
        distance = np.linalg.norm(self._corners[:, None] - other._corners, axis=-1).min(axis=1).max()
        permuted = bool((steps.sum(axis=0) == 1).all() and (steps.sum(axis=1) == 1).all())
        return permuted and bool(distance <= SAME_GRID)

    def difference(self, other: "Geometry") -> str:
        """Return how ``other`` differs from this grid, in numbers, as the end of a sentence for messages."""
        if self.shape != other.shape:
            return (
                f"it has {by_axis(other.shape)} voxels of {by_axis(other.spacing, 6)} mm (z, y, x) instead of "
                f"{by_axis(self.shape)} of {by_axis(self.spacing, 6)} mm"
            )
        return (
            f"its voxels are up to {self.offset(other):.3g} mm off (spacing {by_axis(other.spacing, 6)} instead of "
            f"{by_axis(self.spacing, 6)} mm along z, y, x, origin at {_coordinates(other.origin)} instead of "
            f"{_coordinates(self.origin)} mm)"
        )

    def cropped(self, box: Box) -> "Geometry":
        """Return the grid of the voxels in a box; they keep their positions in the patient.

        Args:
            box: one slice per axis (z, y, x), without steps.

        Raises:
            ValueError: If the box is empty or has steps.
        """
        ranges = [range(n)[side] for n, side in zip(self.shape, box, strict=True)]
        if any(indices.step != 1 for indices in ranges):
            raise ValueError(f"a box has slices without steps, not {box}")
        shape = tuple(map(len, ranges))
        origin = self.to_world([indices.start for indices in ranges])
        return Geometry(shape, self.spacing, tuple(origin), self.direction)  # type: ignore[arg-type]

    def cube_around(self, box: Box | None, margin_mm: float) -> Box:
        """Return a box of equal extent in mm along all axes, concentric with ``box``, cut off at the grid's ends.

        Args:
            box: the part of the grid that the cube contains; None: the cube is the whole grid.
            margin_mm: distance in mm from the centres of the outermost voxels of the longest side to the cube's faces.
        """
        if box is None:
            return tuple(slice(0, n) for n in self.shape)
        middles = [(side.start + side.stop - 1) / 2 for side in box]
        half = max((side.stop - 1 - side.start) * s / 2 for side, s in zip(box, self.spacing, strict=True)) + margin_mm
        sides = zip(middles, self.spacing, self.shape, strict=True)
        return tuple(slice(max(0, int(m - half / s)), min(n, int(m + half / s) + 2)) for m, s, n in sides)

    def with_spacing(self, spacing: tuple[float, float, float]) -> "Geometry":
        """Return the grid that covers the same extent with another spacing; shapes are rounded, as nnU-Net does.

        The outer faces of the first voxels coincide. The spacing becomes exactly the one that fills the extent.

        Args:
            spacing: requested distance between voxel centres along (z, y, x) in mm.
        """
        shape = tuple(max(1, round(n * s / t)) for n, s, t in zip(self.shape, self.spacing, spacing, strict=True))
        return self.with_shape(shape)

    def with_shape(self, shape: tuple[int, ...]) -> "Geometry":
        """Return the grid of ``shape`` (z, y, x) that covers the same extent."""
        exact = np.asarray(self.spacing) * np.asarray(self.shape) / np.asarray(shape)
        first = (exact / np.asarray(self.spacing) - 1) / 2
        return Geometry(tuple(shape), tuple(exact), tuple(self.to_world(first)), self.direction)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain lists, for a manifest."""
        return {name: list(getattr(self, name)) for name in ("shape", "spacing", "origin", "direction")}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Geometry":
        """Return the grid that :meth:`to_json` described."""
        return cls(**{name: tuple(values[name]) for name in ("shape", "spacing", "origin", "direction")})

    @property
    def _corners(self) -> FloatArray:
        """World points (8, 3) of the corner voxels' centres."""
        return self.to_world(np.indices((2, 2, 2)).reshape(3, -1).T * (np.asarray(self.shape) - 1))


def _coordinates(values: tuple[float, ...]) -> str:
    """Write coordinates for a message, such as ``(1.00, -2.50, 3.00)``."""
    return f"({', '.join(f'{value:.2f}' for value in values)})"
