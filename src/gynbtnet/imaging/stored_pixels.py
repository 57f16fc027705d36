"""The pixels of a DICOM image as stored, whatever their compression."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
)

from gynbtnet.errors import BadInput

_DECODED_BY_GDCM = (JPEGLossless, JPEGLosslessSV1, JPEGExtended12Bit)
"""pydicom's own decoder for these is under the GPL; the one in SimpleITK isn't."""

_RESCALE = ("RescaleSlope", "RescaleIntercept", "RescaleType")
_NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def stored_pixels(dataset: Dataset, shape: tuple[int, ...], path: Path) -> npt.NDArray[Any]:
    """The values as stored, of ``shape``: (rows, columns), or (frames, rows, columns).

    Raises:
        BadInput: where they can't be decoded, or are of another shape.
    """
    try:
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax in _NATIVE and (native := _native(dataset, shape)) is not None:
            return native
        stored = _by_gdcm(dataset) if syntax in _DECODED_BY_GDCM else pixel_array(dataset, raw=True)
    except Exception as error:  # the decoders raise anything at all
        raise BadInput(
            f"The pixels of {path} can't be decoded ({type(error).__name__}: damaged, or an unsupported "
            "compression); export the series uncompressed."
        ) from error
    if stored.shape != shape:
        raise BadInput(f"{path} holds pixels of shape {stored.shape}; expected grey ones of {shape}: export it again.")
    return stored


def _native(dataset: Dataset, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """Sixteen bits a pixel and all of them used, as nearly every CT is stored: a view of the file's bytes."""
    described = (dataset.BitsAllocated, dataset.BitsStored, dataset.get("SamplesPerPixel", 1))
    length = 2 * int(np.prod(shape))
    if described != (16, 16, 1) or len(dataset.PixelData) != length:
        return None
    return np.frombuffer(dataset.PixelData, "<i2" if dataset.PixelRepresentation else "<u2").reshape(shape)


def _by_gdcm(dataset: Dataset) -> npt.NDArray[Any]:
    """Through SimpleITK, from a copy with nothing but the pixels: it would apply a rescale."""
    copy = Dataset()
    copy.SOPClassUID, copy.SOPInstanceUID = dataset.file_meta.MediaStorageSOPClassUID, "2.25.1"
    copy.update({e.tag: e for e in dataset if e.tag.group in (0x0028, 0x7FE0) and e.keyword not in _RESCALE})
    copy.file_meta = dataset.file_meta
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "image.dcm"
        copy.save_as(file, enforce_file_format=True)
        stored: npt.NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    return stored[0] if int(dataset.get("NumberOfFrames") or 1) == 1 and stored.ndim == 3 else stored
