"""Axial, coronal and sagittal planes of a scan as a clinician expects to see them, whatever order its voxels have.

Axial: anterior at the top. Coronal and sagittal: head at the top. Axial and coronal: the patient's right on the left of
the picture. Sagittal: anterior on the left.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from gynbtnet.imaging.files.volume_files import from_sitk, to_sitk
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume

PlaneName = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[PlaneName, ...] = ("axial", "coronal", "sagittal")
EDGES: dict[PlaneName, tuple[str, str, str, str]] = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "H", "F"),
    "sagittal": ("A", "P", "H", "F"),
}
"""What lies at the left, right, top and bottom of each picture: right, left, anterior, posterior, head, feet."""


@dataclass(frozen=True)
class Plane:
    """One picture: ``array`` (row, column) from the top left, and how many mm a row and a column are apart."""

    array: npt.NDArray[Any]
    spacing: tuple[float, float]


def as_displayed(volume: Volume) -> Volume:
    """The same voxels with axes permuted and flipped so that z runs to the head, y to posterior, x to the left.

    An oblique grid isn't resampled: each of its axes goes to the nearest of the patient's.
    """
    return from_sitk(sitk.DICOMOrient(to_sitk(volume), "LPS"))


def plane(volume: Volume, name: PlaneName, point: npt.ArrayLike) -> Plane:
    """Return the plane of an :func:`as_displayed` volume nearest to ``point``, (x, y, z) in mm, or its edge."""
    z, y, x = nearest_voxel(volume.geometry, point)
    sz, sy, sx = volume.geometry.spacing
    if name == "axial":
        return Plane(volume.array[z], (sy, sx))
    if name == "coronal":
        return Plane(volume.array[::-1, y], (sz, sx))
    return Plane(volume.array[::-1, :, x], (sz, sy))


def nearest_voxel(geometry: Geometry, point: npt.ArrayLike) -> tuple[int, int, int]:
    """Index (z, y, x) of the voxel of the grid nearest to a world point (x, y, z) in mm."""
    index = np.clip(np.rint(geometry.to_index(point)), 0, np.asarray(geometry.shape) - 1)
    return int(index[0]), int(index[1]), int(index[2])
