"""Volumes as NIfTI, NRRD or MetaImage files: read by the package's own readers, written with SimpleITK.

On some damaged headers, the image library ends the whole process, and it ignores others. Here a header is checked
completely before a voxel is read, and memory is allocated only for voxels that the file really contains.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from gynbtnet.imaging.files.image_header import ImageHeader, check_dimensions, unreadable
from gynbtnet.imaging.files.library_images import to_sitk
from gynbtnet.imaging.files.meta_image_header import read_meta_image_header
from gynbtnet.imaging.files.nifti_header import read_nifti_header
from gynbtnet.imaging.files.nrrd_header import read_nrrd_header
from gynbtnet.imaging.plausible_grid import check_grid
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.available_memory import check_memory
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import by_axis, counted

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_READERS = {
    ".gz": read_nifti_header,
    ".nii": read_nifti_header,
    ".nrrd": read_nrrd_header,
    ".mha": read_meta_image_header,
}


def is_image_file(path: Path) -> bool:
    """Return True if a file is an image by its name, in small letters or capitals; hidden files are not."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def without_suffix(name: str) -> str:
    """Return the name of an image file without its suffix; other names stay unchanged."""
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def read_header(path: Path) -> ImageHeader:
    """Read and check the header of an image file, without its voxels.

    Args:
        path: NIfTI, NRRD or MetaImage file.

    Raises:
        BadInput: If the file is absent, its header contradicts its format or its size, or it is not a scan of plausible
            extent on perpendicular axes.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no file {path}; expected an image ({', '.join(SUFFIXES)}).")
    if not path.name.lower().endswith(SUFFIXES):
        raise BadInput(f"{path} is not an image file by its name; expected one that ends in {', '.join(SUFFIXES)}.")
    with np.errstate(all="ignore"):  # values that overflow are refused
        header = _READERS[path.suffix.lower()](path)
    problem = header.data.problem(header.size)
    if problem:
        raise unreadable(path, problem)
    check_grid(header.geometry, str(path))
    return header


def read_volume(path: Path) -> Volume:
    """Read a three-dimensional image file; voxel values keep their type unless the file scales them.

    Args:
        path: NIfTI, NRRD or MetaImage file.

    Returns:
        The voxels (z, y, x) and their grid.

    Raises:
        BadInput: If the file is absent, unreadable, not three-dimensional or too large for memory, or a voxel is not
            finite. Also if it has no spacing or position or two of them, or its axes are not perpendicular.

    Example:
        >>> write_volume(Volume(np.full((2, 3, 4), 40, np.int16), Geometry((2, 3, 4))), folder / "scan.nii.gz")
        >>> scan = read_volume(folder / "scan.nii.gz")
        >>> scan.geometry.shape, int(scan.array[0, 0, 0])
        ((2, 3, 4), 40)
    """
    header = read_header(path)
    if header.channels > 1:
        check_dimensions(header.path, (*header.geometry.shape[::-1], header.channels))
    return read_channels(header)[0]


def read_channels(header: ImageHeader) -> list[Volume]:
    """Read the voxels of an image file, one volume per channel.

    Args:
        header: header of the file, from :func:`read_header`.

    Raises:
        BadInput: If the file has fewer or more voxels than its header gives, they don't fit into memory, or one is
            not finite.
    """
    scaled = _scaled_kind(header)
    check_memory(
        header.size * (1 + (scaled.itemsize / header.kind.itemsize if header.scaling else 0)),
        f"{header.path} with its {by_axis(header.geometry.shape)} voxels (z, y, x)",
        "crop or resample it, or take a machine with more memory",
    )
    stored = np.empty(header.shape, header.kind)
    problem = header.data.read_into(stored)
    if problem:
        raise unreadable(header.path, problem)
    if not header.kind.isnative:
        stored = stored.byteswap(inplace=True).view(header.kind.newbyteorder("="))
    array = stored if header.scaling is None else _scaled(stored, header.scaling, scaled)
    if array.dtype.kind == "f":
        broken = sum(int(np.count_nonzero(~np.isfinite(plane))) for channel in array for plane in channel)
        if broken:
            raise BadInput(
                f"{header.path} has no finite number in {counted(broken, 'voxel')}; expected a scan in HU or a dose "
                "in Gy: export it again."
            )
    return [Volume(channel, header.geometry) for channel in array]


def _scaled_kind(header: ImageHeader) -> np.dtype[Any]:
    """Return the floating-point type of scaled values."""
    return np.dtype(np.float64 if header.kind.itemsize > 2 and header.kind != np.dtype("f4") else np.float32)


def _scaled(stored: npt.NDArray[Any], scaling: tuple[float, float], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return stored values times the slope plus the intercept, computed with 64 bits."""
    slope, intercept = scaling
    values = np.empty(stored.shape, kind)
    with np.errstate(over="ignore", invalid="ignore"):
        for channel, target in zip(stored, values, strict=True):
            for plane, to in zip(channel, target, strict=True):
                to[...] = plane.astype(np.float64) * slope + intercept
    return values


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume atomically, in the format of the path's suffix; booleans become bytes.

    Args:
        volume: the volume.
        path: file that ends in .nii.gz, .nii, .nrrd or .mha; an existing file is replaced.

    Example:
        >>> mask = np.ones((2, 3, 4), bool)
        >>> write_volume(Volume(mask, Geometry(mask.shape)), folder / "mask.nrrd")
        >>> read_volume(folder / "mask.nrrd").array.dtype
        dtype('uint8')
    """
    with atomic_write(Path(path)) as partial:
        sitk.WriteImage(to_sitk(volume), str(partial), useCompression=True, compressionLevel=1)
