"""What the header of an image file says, in whatever format."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from gynbtnet.imaging.files.voxel_data import VoxelData
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class ImageHeader:
    """A scan on disk whose header was read and whose voxels were not.

    Attributes:
        path: the file.
        geometry: the grid of each channel.
        channels: images along a fourth dimension; 1 for a three-dimensional image.
        kind: how a voxel is stored, with its byte order.
        data: where the voxels are, x fastest, channels slowest.
        scaling: slope and intercept that stored values are still to be scaled by; None if they are the values.
        description: the words that the header has for people.
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
        """Of the stored array, (channels, z, y, x)."""
        return (self.channels, *self.geometry.shape)

    @property
    def size(self) -> int:
        """Bytes of the stored voxels."""
        return prod(self.shape) * self.kind.itemsize


def unreadable(path: Path, reason: str) -> BadInput:
    """Return the error for a file that contradicts its own format."""
    return BadInput(f"{path} can't be read as an image: {reason}; is it damaged or cut short? Export it again.")


def without_position(path: Path, reason: str) -> BadInput:
    """Return the error for an image that doesn't say where its voxels are in the patient."""
    return BadInput(
        f"{path} doesn't say how its voxels lie in the patient: {reason}, so that left and right are unknown; convert "
        "the DICOM series again with a converter that writes the orientation."
    )


def check_dimensions(path: Path, sizes: tuple[int, ...], values: int = 1, *, most: int = 3) -> None:
    """Refuse an image that isn't three-dimensional with one value a voxel.

    Args:
        path: the file.
        sizes: of all dimensions, x first.
        values: how many a voxel has.
        most: how many dimensions are read.

    Raises:
        BadInput: If it has other dimensions, or more values.
    """
    if not 3 <= len(sizes) <= most or values != 1:
        raise BadInput(
            f"{path} has {len(sizes)} dimensions and {values} values a voxel; "
            "expected a three-dimensional scan with one value a voxel."
        )
    if min(sizes) < 1:
        raise unreadable(path, f"its header gives sizes of {'×'.join(map(str, sizes))} voxels")


def grid_geometry(path: Path, shape: tuple[int, ...], spacing: Any, origin: Any, direction: Any) -> Geometry:
    """Return the geometry that a header gives; for the arguments see :class:`~gynbtnet.imaging.geometry.Geometry`.

    Raises:
        BadInput: If a value is none, or the axes are not perpendicular.
    """
    try:
        return Geometry(shape, tuple(spacing), tuple(origin), tuple(np.ravel(direction)))  # type: ignore[arg-type]
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{path} lies on no usable grid: {error}; resample it to perpendicular axes.") from error
