"""Reorientation of scans: the same voxels with their axes in another order and direction.

A DICOM series runs to the patient's left, posterior and superior. Many NIfTI files, such as those of TotalSegmentator,
run to the right and anterior. A network has to see all patients in one orientation.
"""

from dataclasses import dataclass
from itertools import permutations
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry

Voxel = TypeVar("Voxel", bound=np.generic)


@dataclass(frozen=True)
class Reorientation:
    """Permutation and reversal of the axes (z, y, x), without interpolation.

    Attributes:
        order: source axis of each new axis.
        backward: for each new axis, True if it is reversed.
    """

    order: tuple[int, ...]
    backward: tuple[bool, ...]

    def array(self, array: npt.NDArray[Voxel]) -> npt.NDArray[Voxel]:
        """Return a reoriented view of an array.

        Args:
            array: values (…, z, y, x); leading axes keep their order.
        """
        leading = array.ndim - 3
        permuted = array.transpose(*range(leading), *(leading + axis for axis in self.order))
        return np.flip(permuted, tuple(leading + axis for axis, back in enumerate(self.backward) if back))

    def geometry(self, geometry: Geometry) -> Geometry:
        """Return the grid of the reoriented array; every voxel keeps its position in the patient."""
        columns = np.asarray(geometry.direction).reshape(3, 3)[:, ::-1][:, self.order]
        columns = np.where(self.backward, -columns, columns)[:, ::-1]
        shape = tuple(geometry.shape[axis] for axis in self.order)
        first = np.zeros(3)
        for axis, back in zip(self.order, self.backward, strict=True):
            first[axis] = geometry.shape[axis] - 1 if back else 0
        spacing = tuple(geometry.spacing[axis] for axis in self.order)
        return Geometry(shape, spacing, tuple(geometry.to_world(first)), tuple(columns.ravel()))  # type: ignore[arg-type]


def reorientation_to_lps(geometry: Geometry) -> Reorientation:
    """Return the reorientation after which x, y, z run most nearly to the patient's left, posterior and superior.

    Args:
        geometry: grid of the array to reorient; it may be oblique.

    Returns:
        A permutation and flips of the axes.
    """
    return _nearest_reorientation(np.asarray(geometry.direction).reshape(3, 3))


def reorientation_between(source: Geometry, target: Geometry) -> Reorientation:
    """Return the reorientation that brings an array from one grid to the axes of another.

    Args:
        source: grid of the array.
        target: grid whose axes the array gets.

    Returns:
        A permutation and flips of the axes.

    Raises:
        ValueError: If the axes of the two grids are not parallel to each other, to 1e-4.
    """
    cosines = np.asarray(target.direction).reshape(3, 3).T @ np.asarray(source.direction).reshape(3, 3)
    if not np.allclose(np.abs(cosines), np.abs(cosines).round(), atol=1e-4):
        raise ValueError("the axes of the two grids are oblique to each other")
    return _nearest_reorientation(cosines)


def _nearest_reorientation(cosines: npt.NDArray[np.float64]) -> Reorientation:
    """Return the nearest reorientation, given cosines between target axes (rows) and present axes (columns) x, y, z."""
    order = max(permutations(range(3)), key=lambda axes: sum(abs(cosines[i, axis]) for i, axis in enumerate(axes)))
    backward = tuple(bool(cosines[i, axis] < 0) for i, axis in enumerate(order))
    return Reorientation(tuple(2 - axis for axis in reversed(order)), backward[::-1])
