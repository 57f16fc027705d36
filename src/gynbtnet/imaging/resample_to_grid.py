"""Resampling of doses, label maps and further images to the grid of a scan, with SimpleITK."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from gynbtnet.imaging.files.library_images import from_sitk, to_sitk
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput

_REPORTED_SHARE = 0.001
"""Share of a structure outside of a grid from which a note is given; less is a rounded border."""


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


def voxels_outside(grid: Geometry, other: Geometry) -> Mask:
    """Return the voxels of a grid whose centres are outside of another grid, (z, y, x).

    Args:
        grid: the grid of the result.
        other: the other grid; it ends half a voxel beyond its outermost centres.

    Example:
        >>> voxels_outside(Geometry((1, 1, 3)), Geometry((1, 1, 2))).tolist()
        [[[False, False, True]]]
    """
    ones = Volume(np.ones(other.shape, np.uint8), other)
    outside: Mask = _resample(ones, grid, sitk.sitkNearestNeighbor).array == 0
    return outside


def outside_notes(masks: Iterable[tuple[str, Volume]], scan: Geometry, path: Path) -> tuple[str, ...]:
    """Return a note for each structure that isn't completely within a scan, since resampling loses the rest.

    Args:
        masks: names and masks of structures, each on its grid; voxels above 0 are inside.
        scan: grid of the scan.
        path: source of the masks, for messages.

    Raises:
        BadInput: If all structures are completely outside, so that they belong to another scan.
    """
    shares: dict[str, float] = {}
    outside: dict[Geometry, Mask] = {}
    for name, volume in masks:
        mask = volume.array > 0
        if mask.any():
            if volume.geometry not in outside:
                outside[volume.geometry] = voxels_outside(volume.geometry, scan)
            shares[name] = np.count_nonzero(mask & outside[volume.geometry]) / np.count_nonzero(mask)
    if shares and min(shares.values()) == 1:
        raise BadInput(
            f"{path} has no structure within the scan: its grid is at another position. Expected contours of this "
            "scan: give the scan on which they were drawn."
        )
    return tuple(
        f"{100 * share:.2g} % of {name} is outside of the scan and was lost."
        for name, share in shares.items()
        if share > _REPORTED_SHARE
    )


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
