"""Conversion of volumes in memory to and from images of SimpleITK and NiBabel."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume

if TYPE_CHECKING:
    import nibabel

_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's world axes point to the right, anterior and head (RAS), DICOM's to the left, posterior and head (LPS)."""


def from_sitk(image: sitk.Image) -> Volume:
    """Return a volume with a copy of a SimpleITK image's voxels.

    Args:
        image: three-dimensional image, with axes (x, y, z) in SimpleITK's order.

    Returns:
        The volume, with axes (z, y, x).

    Raises:
        ValueError: If the image isn't three-dimensional.
    """
    geometry = Geometry(image.GetSize()[::-1], image.GetSpacing()[::-1], image.GetOrigin(), image.GetDirection())
    return Volume(sitk.GetArrayFromImage(image), geometry)


def to_sitk(volume: Volume | Segmentation) -> sitk.Image:
    """Return a SimpleITK image with a copy of the voxels.

    Args:
        volume: volume with axes (z, y, x), or a segmentation, whose label map is taken; a mask becomes uint8.

    Returns:
        The image, with axes (x, y, z) in SimpleITK's order.
    """
    volume = _labels_of(volume)
    image = sitk.GetImageFromArray(_without_booleans(volume.array))
    image.SetSpacing(volume.geometry.spacing[::-1])
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction)
    return image


def from_nibabel(image: "nibabel.spatialimages.SpatialImage") -> Volume:
    """Return a volume with a NiBabel image's voxels, scaled as its header asks.

    Args:
        image: three-dimensional image, with axes (x, y, z) in NiBabel's order.

    Returns:
        The volume, with axes (z, y, x).

    Raises:
        ValueError: If the image isn't three-dimensional, or its axes aren't perpendicular.
    """
    array: npt.NDArray[Any] = np.asanyarray(image.dataobj)
    affine = _LPS_RAS @ np.asarray(image.affine, float)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not lengths.all():
        raise ValueError("the affine matrix of the image is singular")
    direction = (affine[:3, :3] / lengths).ravel().tolist()
    geometry = Geometry(array.shape[::-1], tuple(lengths[::-1]), tuple(affine[:3, 3]), tuple(direction))
    return Volume(np.ascontiguousarray(array.transpose()), geometry)


def to_nibabel(volume: Volume | Segmentation) -> "nibabel.Nifti1Image":
    """Return a NIfTI image of NiBabel, which must be installed.

    Args:
        volume: volume with axes (z, y, x), or a segmentation, whose label map is taken; a mask becomes uint8.

    Returns:
        The image, with axes (x, y, z) in NiBabel's order; its voxels are a view.

    Raises:
        ModuleNotFoundError: If NiBabel isn't installed; ``pip install nibabel``.
    """
    import nibabel

    volume = _labels_of(volume)
    array = _without_booleans(volume.array)
    affine = _LPS_RAS @ volume.geometry.affine
    image = nibabel.Nifti1Image(array.transpose(), affine, dtype=array.dtype)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")  # type: ignore[no-untyped-call]
    return image


def _labels_of(volume: Volume | Segmentation) -> Volume:
    return volume.labels if isinstance(volume, Segmentation) else volume


def _without_booleans(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.uint8) if array.dtype == bool else array
