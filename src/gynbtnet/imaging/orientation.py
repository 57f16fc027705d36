"""The same voxels with their axes in another order and sense.

A DICOM series runs to the patient's left, posterior and superior; many NIfTI files, those of TotalSegmentator among
them, run to the right and anterior. A network has to see patients one way round.
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
    """Axes (z, y, x) taken in ``order``, then those with ``backward`` reversed; nothing is interpolated."""

    order: tuple[int, ...]
    backward: tuple[bool, ...]

    def array(self, array: npt.NDArray[Voxel]) -> npt.NDArray[Voxel]:
        """A view of ``array`` (…, z, y, x), turned."""
        leading = array.ndim - 3
        turned = array.transpose(*range(leading), *(leading + axis for axis in self.order))
        return np.flip(turned, tuple(leading + axis for axis, back in enumerate(self.backward) if back))

    def geometry(self, geometry: Geometry) -> Geometry:
        """The grid of the turned array: every voxel stays where it is in the patient."""
        columns = np.asarray(geometry.direction).reshape(3, 3)[:, ::-1][:, self.order]
        columns = np.where(self.backward, -columns, columns)[:, ::-1]
        shape = tuple(geometry.shape[axis] for axis in self.order)
        first = np.zeros(3)
        for axis, back in zip(self.order, self.backward, strict=True):
            first[axis] = geometry.shape[axis] - 1 if back else 0
        spacing = tuple(geometry.spacing[axis] for axis in self.order)
        return Geometry(shape, spacing, tuple(geometry.to_world(first)), tuple(columns.ravel()))  # type: ignore[arg-type]


def reorientation_to_lps(geometry: Geometry) -> Reorientation:
    """What makes the axes x, y, z run as nearly as they can to the patient's left, posterior and superior."""
    return _turn(np.asarray(geometry.direction).reshape(3, 3))


def reorientation_between(source: Geometry, target: Geometry) -> Reorientation:
    """What brings an array on ``source`` to the axes of ``target``.

    Raises:
        ValueError: where no axis of one lies along an axis of the other, to 1e-4.
    """
    cosines = np.asarray(target.direction).reshape(3, 3).T @ np.asarray(source.direction).reshape(3, 3)
    if not np.allclose(np.abs(cosines), np.abs(cosines).round(), atol=1e-4):
        raise ValueError("the axes of the two grids lie obliquely to each other")
    return _turn(cosines)


def _turn(cosines: npt.NDArray[np.float64]) -> Reorientation:
    """Of the cosines between wanted (rows) and present (columns) axes x, y, z, the nearest order and senses."""
    order = max(permutations(range(3)), key=lambda axes: sum(abs(cosines[i, axis]) for i, axis in enumerate(axes)))
    backward = tuple(bool(cosines[i, axis] < 0) for i, axis in enumerate(order))
    return Reorientation(tuple(2 - axis for axis in reversed(order)), backward[::-1])
