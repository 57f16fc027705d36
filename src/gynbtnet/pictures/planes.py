"""Axial, coronal and sagittal planes of a scan in the orientation that clinicians expect, for any voxel order.

Axial: anterior at the top. Coronal and sagittal: head at the top. Axial and coronal: the patient's right on the left of
the picture. Sagittal: anterior on the left.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt
import SimpleITK as sitk

from gynbtnet.imaging.files.library_images import from_sitk, to_sitk
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import Box

PlaneName = Literal["axial", "coronal", "sagittal"]
"""Name of an anatomical plane."""
PLANES: tuple[PlaneName, ...] = ("axial", "coronal", "sagittal")
"""The planes, in the order in which pictures show them."""
EDGES: dict[PlaneName, tuple[str, str, str, str]] = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "H", "F"),
    "sagittal": ("A", "P", "H", "F"),
}
"""Names of the left, right, top and bottom edge: right, left, anterior, posterior, head or feet of the patient."""


@dataclass(frozen=True)
class Plane:
    """One plane of a scan or mask.

    Attributes:
        array: values (row, column), from the top left.
        spacing: distance between rows and between columns in mm.
    """

    array: npt.NDArray[Any]
    spacing: tuple[float, float]


def as_displayed(volume: Volume) -> Volume:
    """Return the same voxels with axes permuted and flipped: z runs to the head, y to posterior, x to the left.

    An oblique grid isn't resampled: each of its axes is assigned to the nearest axis of the patient.

    Args:
        volume: volume with axes (z, y, x) in any orientation.

    Returns:
        A volume with axes (z, y, x) along the patient's.
    """
    return from_sitk(sitk.DICOMOrient(to_sitk(volume), "LPS"))


def plane(volume: Volume, name: PlaneName, point: npt.ArrayLike) -> Plane:
    """Return the plane of a volume that is nearest to a point.

    Args:
        volume: scan or mask, from :func:`as_displayed`.
        name: axial, coronal or sagittal.
        point: position (x, y, z) in mm; outside the volume, the outermost plane is returned.

    Returns:
        Pixels with the first row at the top of the picture, and their spacing in mm.
    """
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
