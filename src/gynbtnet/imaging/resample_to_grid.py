"""Doses, labels and further images on the grid of a scan, through SimpleITK."""

import numpy as np
import SimpleITK as sitk

from gynbtnet.imaging.files.volume_files import from_sitk, to_sitk
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume


def resample_dose(dose: Volume, geometry: Geometry) -> Volume:
    """A dose by linear interpolation; 0 outside its own grid."""
    return _onto(dose, geometry, sitk.sitkLinear)


def resample_segmentation(labels: Volume, geometry: Geometry) -> Volume:
    """A label map by nearest neighbour; background outside its own grid."""
    return _onto(labels, geometry, sitk.sitkNearestNeighbor)


def resample_image(image: Volume, geometry: Geometry) -> Volume:
    """A further channel by linear interpolation, as float32; its smallest value outside its own grid."""
    floats = Volume(image.array.astype(np.float32), image.geometry)
    return _onto(floats, geometry, sitk.sitkLinear, outside=float(image.array.min()))


def _onto(volume: Volume, geometry: Geometry, how: int, outside: float = 0.0) -> Volume:
    if volume.geometry == geometry:
        return volume
    resampled = from_sitk(
        sitk.Resample(
            to_sitk(volume),
            geometry.shape[::-1],
            sitk.Transform(),
            how,
            geometry.origin,
            geometry.spacing[::-1],
            geometry.direction,
            outside,
        )
    )
    return Volume(resampled.array.astype(volume.array.dtype, copy=False), geometry)
