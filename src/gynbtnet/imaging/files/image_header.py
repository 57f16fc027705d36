"""Header of an image file, independent of its format."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from gynbtnet.imaging.files.voxel_data import VoxelData
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import by_axis, counted


@dataclass(frozen=True)
class ImageHeader:
    """Header of a scan on disk, without its voxels.

    Attributes:
        path: the file.
        geometry: grid of each channel.
        channels: number of images along a fourth dimension; 1 for a three-dimensional image.
        kind: type of a stored voxel, with its byte order.
        data: location of the stored voxels, x fastest, channels slowest.
        scaling: slope and intercept with which stored values have to be scaled; None if they need no scaling.
        description: free text in the header.
    """

    path: Path
    geometry: Geometry
    channels: int
    kind: np.dtype[Any]
    data: VoxelData
    scaling: tuple[float, float] | None = None
    description: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the stored array, (channels, z, y, x)."""
        return (self.channels, *self.geometry.shape)

    @property
    def size(self) -> int:
        """Size of the stored voxels in bytes."""
        return prod(self.shape) * self.kind.itemsize


def unreadable(path: Path, reason: str) -> BadInput:
    """Return the error for a file that contradicts its own format."""
    return BadInput(f"{path} can't be read as an image: {reason}; is it damaged or cut short? Export it again.")


def without_position(path: Path, reason: str) -> BadInput:
    """Return the error for an image without position or orientation in the patient."""
    return BadInput(
        f"{path} has no position in the patient: {reason}, so left and right are unknown. Convert the DICOM series "
        "again with a converter that writes the orientation."
    )


def check_dimensions(path: Path, sizes: tuple[int, ...], values: int = 1, *, most: int = 3) -> None:
    """Check that an image is three-dimensional with one value per voxel.

    Args:
        path: the file.
        sizes: voxels along all dimensions, x first.
        values: number of values per voxel.
        most: largest number of dimensions that is accepted.

    Raises:
        BadInput: If it has other dimensions, or more values per voxel.
    """
    if not 3 <= len(sizes) <= most or values != 1:
        raise BadInput(
            f"{path} has {counted(len(sizes), 'dimension')} and {counted(values, 'value')} per voxel; "
            "expected a three-dimensional scan with one value per voxel."
        )
    if min(sizes) < 1:
        raise unreadable(path, f"its header gives sizes of {by_axis(sizes)} voxels")


def grid_geometry(path: Path, shape: tuple[int, ...], spacing: Any, origin: Any, direction: Any) -> Geometry:
    """Return the geometry that a header gives.

    Args:
        path: the file.
        shape: voxels along (z, y, x).
        spacing: distance of voxel centres along (z, y, x) in mm.
        origin: centre of the first voxel, (x, y, z) in mm.
        direction: matrix or list of nine cosines, see :class:`~gynbtnet.imaging.geometry.Geometry`.

    Raises:
        BadInput: If a value is invalid, or the axes are not perpendicular.
    """
    try:
        return Geometry(shape, tuple(spacing), tuple(origin), tuple(np.ravel(direction)))  # type: ignore[arg-type]
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{path} has no usable grid: {error}; resample it to perpendicular axes.") from error
