"""Doses at points on planes parallel to the slices of a scan.

Doses are interpolated linearly between the centres of a dose grid's voxels. If the axes of scan and dose grid are
parallel, which is usual, this is done one axis after the other, which is faster than point by point.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import Float32Array, FloatArray, Mask

_ROUNDING = 1e-6  # voxels beyond the face of a grid that count as inside
_PARALLEL = 1e-3  # voxels of the dose grid by which parallel axes may diverge over the scan


@dataclass(frozen=True, eq=False)
class PlaneDoses:
    """Doses of the samples of one plane.

    Attributes:
        doses_gy: dose of every sample inside all dose grids, (n,), in Gy.
        n_outside: number of samples outside a dose grid.
        face_gy: highest of these doses between a face of a grid and the centre of its second voxel; 0 if there is none.
    """

    doses_gy: Float32Array
    n_outside: int
    face_gy: float


class DosePlanes:
    """Sum of dose grids at samples of a scan's voxels.

    Args:
        scan: grid of the scan.
        doses: dose grids in Gy in the same world coordinates, which are summed.
        parts: samples per voxel along y and x.
    """

    def __init__(self, scan: Geometry, doses: Sequence[Volume], parts: tuple[int, int]) -> None:
        self._parts = parts
        self._grids = [_Grid.of(scan, dose) for dose in doses]

    def at(self, position: float, shape: Mask, corner: tuple[int, int]) -> PlaneDoses:
        """Return the doses of the samples in some voxels of a plane.

        Args:
            position: position of the plane in slices.
            shape: voxels to sample, (y, x).
            corner: index (y, x) of the first voxel of ``shape``.
        """
        box = bounding_box(shape)
        if box is None:
            return PlaneDoses(np.zeros(0, np.float32), 0, 0.0)
        rows, columns = (
            side.start + first + (np.arange((side.stop - side.start) * parts) + 0.5) / parts - 0.5
            for side, first, parts in zip(box, corner, self._parts, strict=True)
        )
        selected = shape[box]
        count = int(np.count_nonzero(selected)) * self._parts[0] * self._parts[1]
        total = np.zeros(count, np.float32)
        inside, inner = np.ones(count, bool), np.ones(count, bool)
        for grid in self._grids:
            dose, is_inside, is_inner = grid.interpolate(position, rows, columns)
            total += self._select(dose, selected)
            if not is_inner.all():
                inside &= self._select(is_inside, selected)
                inner &= self._select(is_inner, selected)
        at_face = total[inside & ~inner]
        return PlaneDoses(total[inside], count - int(np.count_nonzero(inside)), float(at_face.max(initial=0)))

    def _select(self, samples: np.ndarray, selected: Mask) -> np.ndarray:
        """Return the samples (y, x) of the selected voxels."""
        (rows, columns), (height, width) = self._parts, selected.shape
        return samples.reshape(height, rows, width, columns).transpose(0, 2, 1, 3)[selected].ravel()


@dataclass(frozen=True, eq=False)
class _Grid:
    """A dose grid, and the map from indices of the scan to its indices: ``index @ matrix + offset``."""

    dose: Volume
    matrix: FloatArray
    offset: FloatArray
    is_parallel: bool

    @classmethod
    def of(cls, scan: Geometry, dose: Volume) -> "_Grid":
        offset, *ends = dose.geometry.to_index(scan.to_world(np.vstack([np.zeros(3), np.eye(3)])))
        matrix = np.asarray(ends) - offset
        divergence = np.abs(matrix - np.diag(np.diag(matrix))) * np.asarray(scan.shape)[:, None]
        return cls(dose, matrix, offset, bool(divergence.max() <= _PARALLEL))

    def interpolate(
        self, position: float, rows: FloatArray, columns: FloatArray
    ) -> tuple[Float32Array, np.ndarray, np.ndarray]:
        """Return the doses of a plane (y, x), whether they are inside the grid, and whether away from its faces."""
        if self.is_parallel:
            axes = [
                scale * index + offset
                for scale, index, offset in zip(
                    np.diag(self.matrix), (np.array([position]), rows, columns), self.offset, strict=True
                )
            ]
            inside, inner = zip(*map(_position_in, axes, self.dose.geometry.shape), strict=True)
            return _interpolate_axes(self.dose.array, axes), _on_plane(inside), _on_plane(inner)
        grid = np.stack(np.meshgrid([position], rows, columns, indexing="ij"), axis=-1)[0]
        points = np.moveaxis(grid @ self.matrix + self.offset, -1, 0)
        flags = [_position_in(axis, size) for axis, size in zip(points, self.dose.geometry.shape, strict=True)]
        inside_mask, inner_mask = (np.logical_and.reduce(masks) for masks in zip(*flags, strict=True))
        dose = ndimage.map_coordinates(self.dose.array, points, np.float32, order=1, mode="nearest")
        return dose, inside_mask, inner_mask


def _position_in(index: FloatArray, size: int) -> tuple[Mask, Mask]:
    """Return whether positions along an axis are inside a grid, and whether between its second and last but one."""
    last = size - 0.5
    return (index >= -0.5 - _ROUNDING) & (index <= last + _ROUNDING), (index >= 1) & (index <= last - 1.5)


def _on_plane(flags: Sequence[Mask]) -> Mask:
    plane, rows, columns = flags
    result: Mask = plane[0] & rows[:, None] & columns
    return result


def _interpolate_axes(array: np.ndarray, axes: Sequence[FloatArray]) -> Float32Array:
    """Interpolate an array (z, y, x) linearly at one z and several y and x; beyond its ends it has the value there."""
    (low, share), *others = (_neighbours(index, size) for index, size in zip(axes, array.shape, strict=True))
    (rows, row_share), (columns, column_share) = others
    window = tuple(slice(int(index.min()), int(index.max()) + 2) for index in (rows, columns))
    below, above = (array[index][window] for index in (low[0], min(low[0] + 1, array.shape[0] - 1)))
    plane = below + (above - below) * share[0]
    plane = _mix(plane, columns - window[1].start, column_share, 1)
    return _mix(plane, rows - window[0].start, row_share[:, None], 0)


def _mix(plane: np.ndarray, index: np.ndarray, share: Float32Array, axis: int) -> Float32Array:
    low = plane.take(index, axis)
    high = plane.take(np.minimum(index + 1, plane.shape[axis] - 1), axis)
    result: Float32Array = low + (high - low) * share
    return result


def _neighbours(index: FloatArray, size: int) -> tuple[np.ndarray, Float32Array]:
    """Return the voxel below each position, and how far the position is on the way to the next voxel."""
    within = index.clip(0, size - 1)
    low = within.astype(np.int64)
    return low, (within - low).astype(np.float32)
