"""Pixel values of a DICOM image as stored, from any supported compression."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
)

from gynbtnet.imaging.dicom.codestream_size import codestream_size
from gynbtnet.runtime.errors import BadInput

_DECODED_BY_GDCM = (JPEGLossless, JPEGLosslessSV1, JPEGExtended12Bit)
"""Transfer syntaxes whose decoder for pydicom is under the GPL; SimpleITK's decoder isn't."""

_LIBJPEG_ON_DAMAGE = (b"Corrupt JPEG data", b"Premature end of JPEG", b"Unsupported marker", b"Must downscale")
_WITH_CODESTREAM_SIZE = (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes)
_RESCALE = ("RescaleSlope", "RescaleIntercept", "RescaleType")
_NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def decode_pixels(dataset: Dataset, shape: tuple[int, ...], path: Path) -> npt.NDArray[Any]:
    """Return the pixel values as stored.

    Args:
        dataset: the image.
        shape: expected shape, (rows, columns) or (frames, rows, columns).
        path: its file, for messages.

    Raises:
        BadInput: If the pixels can't be decoded, or have another shape.
    """
    try:
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax in _NATIVE and (native := _native(dataset, shape)) is not None:
            return native
        frames = _checked_frames(dataset, shape) if syntax in _WITH_CODESTREAM_SIZE else []
        decoded = _by_gdcm(dataset, frames) if syntax in _DECODED_BY_GDCM else pixel_array(dataset, raw=True)
        stored = _without_unused_bits(decoded, dataset)
    except Exception as error:  # decoders raise any exception
        raise BadInput(
            f"The pixels of {path} can't be decoded ({type(error).__name__}: damaged, or an unsupported "
            "compression); export the series uncompressed."
        ) from error
    if stored.shape != shape:
        raise BadInput(
            f"{path} holds pixels of shape {stored.shape}; expected greyscale pixels of shape {shape}: export it again."
        )
    return stored


def has_top_bit(dataset: Dataset, shape: tuple[int, ...], path: Path) -> bool:
    """Check if any value has its highest stored bit set, and would be negative in a signed image.

    Args:
        dataset: an image marked as unsigned.
        shape: as in :func:`decode_pixels`.
        path: its file, for messages.

    Raises:
        BadInput: As :func:`decode_pixels`.
    """
    return bool((decode_pixels(dataset, shape, path) & (1 << (int(dataset.BitsStored) - 1))).any())


def _native(dataset: Dataset, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """Return a view of the file's bytes if the 16 bits of a pixel are all used, as in nearly every CT; else None."""
    layout = (dataset.BitsAllocated, dataset.BitsStored, dataset.get("SamplesPerPixel", 1))
    length = 2 * int(np.prod(shape))
    if layout != (16, 16, 1) or len(dataset.PixelData) != length:
        return None
    return np.frombuffer(dataset.PixelData, "<i2" if dataset.PixelRepresentation else "<u2").reshape(shape)


def _without_unused_bits(stored: npt.NDArray[Any], dataset: Dataset) -> npt.NDArray[Any]:
    """Return the values of the lowest BitsStored bits: other bits of a pixel have no meaning (PS3.5 8.1.1).

    Some decoders extend the sign of a negative value to these bits, others leave them 0.
    """
    unused = 8 * stored.dtype.itemsize - int(dataset.BitsStored)
    if unused <= 0:
        return stored
    signed = "i" if dataset.PixelRepresentation else "u"
    shifted = stored.astype(f"u{stored.dtype.itemsize}") << unused
    return shifted.view(f"{signed}{stored.dtype.itemsize}") >> unused


def _checked_frames(dataset: Dataset, shape: tuple[int, ...]) -> list[bytes]:
    """Return the compressed frames; ValueError if one declares another size than the image."""
    count = shape[0] if len(shape) == 3 else 1
    frames = list(generate_frames(dataset.PixelData, number_of_frames=count))
    for frame in frames:
        size = codestream_size(frame, dataset.file_meta.TransferSyntaxUID)
        if size != shape[-2:]:
            raise ValueError(f"a frame of {size[0]}×{size[1]} pixels")
    return frames


def _by_gdcm(dataset: Dataset, frames: list[bytes]) -> npt.NDArray[Any]:
    """Decode through SimpleITK, from a copy that holds only the pixels, since SimpleITK would apply a rescale.

    The frames are encapsulated again. If the length of a damaged fragment is wrong, GDCM would read the next bytes as
    a length and allocate gigabytes.
    """
    copy = Dataset()
    copy.SOPClassUID, copy.SOPInstanceUID = dataset.file_meta.MediaStorageSOPClassUID, "2.25.1"
    copy.update({e.tag: e for e in dataset if e.tag.group in (0x0028, 0x7FE0) and e.keyword not in _RESCALE})
    copy.PixelData = encapsulate(frames)
    copy["PixelData"].VR = "OB"
    copy.file_meta = dataset.file_meta
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "image.dcm"
        copy.save_as(file, enforce_file_format=True)
        with _captured_stderr() as messages:
            stored: npt.NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
            messages.seek(0)
            output = messages.read()
    if any(damage in output for damage in _LIBJPEG_ON_DAMAGE):
        raise ValueError("pixels that libjpeg reports as damaged")
    return stored[0] if int(dataset.get("NumberOfFrames") or 1) == 1 and stored.ndim == 3 else stored


@contextmanager
def _captured_stderr() -> Iterator[IO[bytes]]:
    """Redirect the standard error of C code to a file: libjpeg reports damage there and continues to decode."""
    with tempfile.TemporaryFile() as file:
        stderr = os.dup(2)
        try:
            os.dup2(file.fileno(), 2)
            yield file
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
