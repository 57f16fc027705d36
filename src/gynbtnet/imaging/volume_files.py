"""Volumes as NIfTI, NRRD or MetaImage files, through SimpleITK."""

import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from gynbtnet.errors import BadInput
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.nifti_check import check_nifti
from gynbtnet.imaging.volume import Volume
from gynbtnet.whole_files import written_whole

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


def is_image_file(path: Path) -> bool:
    """Whether a file is an image by its name; hidden files are none."""
    return path.name.endswith(SUFFIXES) and not path.name.startswith(".")


def without_suffix(name: str) -> str:
    """The name of an image file without its suffix, other names as they are."""
    return name.removesuffix(next((suffix for suffix in SUFFIXES if name.endswith(suffix)), ""))


def read_volume(path: Path) -> Volume:
    """Read a three-dimensional image file; voxel values keep their type.

    Raises:
        BadInput: where the file is absent, unreadable or not three-dimensional, its spacing is none, its axes are not
            perpendicular, or a voxel is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no file {path}; expected an image ({', '.join(SUFFIXES)}).")
    try:
        image = sitk.ReadImage(str(path))
        broken = check_nifti(path, image)
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise BadInput(
            f"{path} can't be read as an image ({', '.join(SUFFIXES)} expected); is it damaged or cut short?"
        ) from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise BadInput(
            f"{path} has {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} values a voxel; "
            "expected a three-dimensional scan with one value a voxel."
        )
    try:
        volume = from_sitk(image)
    except ValueError as error:
        raise BadInput(f"{path} lies on no usable grid: {error}; resample it to perpendicular axes.") from error
    broken += int(np.count_nonzero(~np.isfinite(volume.array)))
    if broken:
        raise BadInput(f"{path} holds no finite number in {broken} voxels; expected a scan in HU: export it again.")
    return volume


def write_volume(volume: Volume, path: Path) -> None:
    """Write ``volume`` whole or not at all, in the format of the path's suffix; booleans become bytes."""
    with written_whole(Path(path)) as partial:
        sitk.WriteImage(to_sitk(volume), str(partial), useCompression=True, compressionLevel=1)


def from_sitk(image: sitk.Image) -> Volume:
    """A Volume that owns a copy of the image's voxels."""
    geometry = Geometry(image.GetSize()[::-1], image.GetSpacing()[::-1], image.GetOrigin(), image.GetDirection())
    return Volume(sitk.GetArrayFromImage(image), geometry)


def to_sitk(volume: Volume) -> sitk.Image:
    """A SimpleITK image with a copy of the voxels."""
    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(volume.geometry.spacing[::-1])
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction)
    return image
