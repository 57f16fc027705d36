"""Resampling of doses, label maps and further images to the grid of a scan, with SimpleITK."""

import numpy as np
import SimpleITK as sitk

from gynbtnet.imaging.files.library_images import from_sitk, to_sitk
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume


def resample_dose(dose: Volume, geometry: Geometry) -> Volume:
    """Return a dose on another grid, by linear interpolation; 0 outside its own grid.

    Args:
        dose: dose in Gy, on any grid.
        geometry: the grid of the result.

    Returns:
        The dose in Gy on the new grid.

    Example:
        >>> dose = Volume(np.array([[[0.0, 7.0]]]), Geometry((1, 1, 2)))
        >>> resample_dose(dose, Geometry((1, 1, 1), origin=(0.5, 0.0, 0.0))).array.tolist()
        [[[3.5]]]
    """
    return _resample(dose, geometry, sitk.sitkLinear)


def resample_segmentation(labels: Volume, geometry: Geometry) -> Volume:
    """Return a label map on another grid, by nearest neighbour; background outside its own grid.

    Args:
        labels: label map, on any grid.
        geometry: the grid of the result.

    Returns:
        The label map on the new grid, with the same type of voxels.
    """
    return _resample(labels, geometry, sitk.sitkNearestNeighbor)


def resample_image(image: Volume, geometry: Geometry) -> Volume:
    """Return a further channel on another grid, by linear interpolation; its smallest value outside its own grid.

    The result is float32.

    Args:
        image: channel, on any grid.
        geometry: the grid of the result.

    Returns:
        The channel on the new grid.
    """
    floats = Volume(image.array.astype(np.float32), image.geometry)
    return _resample(floats, geometry, sitk.sitkLinear, outside=float(image.array.min()))


def _resample(volume: Volume, geometry: Geometry, interpolator: int, outside: float = 0.0) -> Volume:
    """Return the volume on another grid; the voxel type is kept."""
    if volume.geometry == geometry:
        return volume
    resampled = from_sitk(
        sitk.Resample(
            to_sitk(volume),
            geometry.shape[::-1],
            sitk.Transform(),
            interpolator,
            geometry.origin,
            geometry.spacing[::-1],
            geometry.direction,
            outside,
        )
    )
    return Volume(resampled.array.astype(volume.array.dtype, copy=False), geometry)
