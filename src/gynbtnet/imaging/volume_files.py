"""Volumes as NIfTI, NRRD or MetaImage files, through SimpleITK."""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from gynbtnet.errors import BadInput
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.whole_files import written_whole

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


def read_volume(path: Path) -> Volume:
    """Read a three-dimensional image file; voxel values keep their type.

    Raises:
        BadInput: where the file is absent, unreadable or not three-dimensional.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no file {path}; expected an image ({', '.join(SUFFIXES)}).")
    try:
        image = sitk.ReadImage(str(path))
        _check_nifti(path, image)
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise BadInput(
            f"{path} can't be read as an image ({', '.join(SUFFIXES)} expected); is it damaged or cut short?"
        ) from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise BadInput(
            f"{path} has {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} values a voxel; "
            "expected a three-dimensional scan with one value a voxel."
        )
    return from_sitk(image)


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


def _check_nifti(path: Path, image: sitk.Image) -> None:
    """EOFError, OSError or zlib.error where a NIfTI file is cut short or damaged: SimpleITK reads on without a word."""
    if path.name.endswith(".nii.gz"):
        with gzip.open(path) as stream:  # compares the checksum at the end
            size = sum(len(block) for block in iter(lambda: stream.read(2**20), b""))
    elif path.name.endswith(".nii"):
        size = path.stat().st_size
    else:
        return
    header = int(float(image.GetMetaData("vox_offset")))
    if size < header + prod(image.GetSize()) * int(image.GetMetaData("bitpix")) // 8:
        raise EOFError
