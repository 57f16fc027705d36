"""Where the voxels of a scan lie in the patient."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.runtime.array_types import FloatArray

SAME_GRID = 0.1
"""mm by which the voxels of one grid may lie beside another's: image files round their headers, scanners positions."""


@dataclass(frozen=True)
class Geometry:
    """The grid of a scan: index order (z, y, x), world order (x, y, z) in DICOM's LPS patient coordinates, mm.

    Attributes:
        shape: voxels along (z, y, x).
        spacing: distance of voxel centres in mm along (z, y, x); all positive.
        origin: centre of voxel (0, 0, 0) in mm, (x, y, z).
        direction: nine cosines, row by row, of the matrix whose *columns* are the world directions of the index axes
            x, y, z (SimpleITK's convention; ITK Software Guide, section 4.1.4). Orthonormal to 1e-4.

    Raises:
        ValueError: where a value cannot be a grid.
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
        """World points (…, 3) as (x, y, z) in mm of index points (…, 3) as (z, y, x); fractions of a voxel allowed."""
        return np.asarray(index, float)[..., ::-1] @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, world: npt.ArrayLike) -> FloatArray:
        """Index points (…, 3) as (z, y, x), fractional, of world points (…, 3) as (x, y, z) in mm."""
        inverse = np.linalg.inv(self.affine[:3, :3])
        return ((np.asarray(world, float) - self.affine[:3, 3]) @ inverse.T)[..., ::-1]

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm³."""
        return float(np.prod(self.spacing))

    def offset(self, other: "Geometry") -> float:
        """The largest distance in mm between the same corner voxel of both grids; infinite where shapes differ."""
        if self.shape != other.shape:
            return float("inf")
        corners = np.indices((2, 2, 2)).reshape(3, -1).T * (np.asarray(self.shape) - 1)
        return float(np.linalg.norm(self.to_world(corners) - other.to_world(corners), axis=1).max())

    def is_same(self, other: "Geometry") -> bool:
        """Whether every voxel lies where the other grid has it, within ``SAME_GRID``."""
        return self.offset(other) <= SAME_GRID

    def is_turned(self, other: "Geometry") -> bool:
        """Whether the other grid has the same voxels, within ``SAME_GRID``, in this or another order along its axes."""
        unit = self.to_index(other.to_world(np.vstack([np.zeros(3), np.eye(3)])))
        steps = np.abs(np.rint(unit[1:] - unit[0]))
        corners = [
            grid.to_world(np.indices((2, 2, 2)).reshape(3, -1).T * (np.asarray(grid.shape) - 1))
            for grid in (self, other)
        ]
        apart = np.linalg.norm(corners[0][:, None] - corners[1], axis=-1).min(axis=1).max()
        permuted = bool((steps.sum(axis=0) == 1).all() and (steps.sum(axis=1) == 1).all())
        return permuted and bool(apart <= SAME_GRID)

    def difference(self, other: "Geometry") -> str:
        """How ``other`` differs from this grid, in numbers; for messages."""
        if self.shape != other.shape:
            return (
                f"it has {_times(other.shape)} voxels of {_times(other.spacing)} mm (z, y, x) instead of "
                f"{_times(self.shape)} of {_times(self.spacing)} mm"
            )
        return (
            f"its voxels lie up to {self.offset(other):.3g} mm off (spacing {_times(other.spacing)} instead of "
            f"{_times(self.spacing)} mm along z, y, x, origin at {_place(other.origin)} instead of "
            f"{_place(self.origin)} mm)"
        )

    def with_spacing(self, spacing: tuple[float, float, float]) -> "Geometry":
        """The grid that covers the same box at another spacing (z, y, x) in mm; shapes are rounded, as nnU-Net does.

        The outer faces of the first voxels coincide; spacing becomes exactly what fills the box.
        """
        shape = tuple(max(1, round(n * s / t)) for n, s, t in zip(self.shape, self.spacing, spacing, strict=True))
        return self.with_shape(shape)

    def with_shape(self, shape: tuple[int, ...]) -> "Geometry":
        """The grid of ``shape`` (z, y, x) that covers the same box."""
        exact = np.asarray(self.spacing) * np.asarray(self.shape) / np.asarray(shape)
        first = (exact / np.asarray(self.spacing) - 1) / 2
        return Geometry(tuple(shape), tuple(exact), tuple(self.to_world(first)), self.direction)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """As plain lists, for a manifest."""
        return {name: list(getattr(self, name)) for name in ("shape", "spacing", "origin", "direction")}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Geometry":
        """The inverse of :meth:`to_json`."""
        return cls(**{name: tuple(values[name]) for name in ("shape", "spacing", "origin", "direction")})


def _times(values: tuple[float, ...]) -> str:
    return "×".join(f"{value:.6g}" for value in values)


def _place(values: tuple[float, ...]) -> str:
    return f"({', '.join(f'{value:.2f}' for value in values)})"
