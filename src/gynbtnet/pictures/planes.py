"""Axial, coronal and sagittal planes of a scan as a clinician expects to see them, whatever order its voxels have.

Axial: anterior at the top. Coronal and sagittal: head at the top. Axial and coronal: the patient's right on the left of
the picture. Sagittal: anterior on the left.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt
import SimpleITK as sitk

from gynbtnet.imaging.files.volume_files import from_sitk, to_sitk
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import Box

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
    z, y, x = volume.geometry.nearest_voxel(point)
    sz, sy, sx = volume.geometry.spacing
    if name == "axial":
        return Plane(volume.array[z], (sy, sx))
    if name == "coronal":
        return Plane(volume.array[::-1, y], (sz, sx))
    return Plane(volume.array[::-1, :, x], (sz, sy))


def plane_box(geometry: Geometry, name: PlaneName, point: npt.ArrayLike) -> Box:
    """Return the box, one voxel thick, that :func:`plane` shows of an :func:`as_displayed` grid."""
    axis = PLANES.index(name)
    index = geometry.nearest_voxel(point)[axis]
    return tuple(slice(index, index + 1) if other == axis else slice(None) for other in range(3))
