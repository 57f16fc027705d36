"""The pixels of a DICOM image as stored, whatever their compression."""

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
"""pydicom's own decoder for these is under the GPL; the one in SimpleITK isn't."""

_LIBJPEG_ON_DAMAGE = (b"Corrupt JPEG data", b"Premature end of JPEG", b"Unsupported marker", b"Must downscale")
_SAY_THEIR_SIZE = (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes)
_RESCALE = ("RescaleSlope", "RescaleIntercept", "RescaleType")
_NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def decode_pixels(dataset: Dataset, shape: tuple[int, ...], path: Path) -> npt.NDArray[Any]:
    """The values as stored, of ``shape``: (rows, columns), or (frames, rows, columns).

    Raises:
        BadInput: where they can't be decoded, or are of another shape.
    """
    try:
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax in _NATIVE and (native := _native(dataset, shape)) is not None:
            return native
        frames = _checked_frames(dataset, shape) if syntax in _SAY_THEIR_SIZE else []
        stored = _by_gdcm(dataset, frames) if syntax in _DECODED_BY_GDCM else pixel_array(dataset, raw=True)
    except Exception as error:  # the decoders raise anything at all
        raise BadInput(
            f"The pixels of {path} can't be decoded ({type(error).__name__}: damaged, or an unsupported "
            "compression); export the series uncompressed."
        ) from error
    if stored.shape != shape:
        raise BadInput(f"{path} holds pixels of shape {stored.shape}; expected grey ones of {shape}: export it again.")
    return stored


def has_top_bit(dataset: Dataset, shape: tuple[int, ...], path: Path) -> bool:
    """Whether any value has its highest stored bit, and is negative if the image is signed.

    Args:
        dataset: an image that says that it is unsigned.
        shape: as :func:`decode_pixels` has it.
        path: its file, for messages.

    Raises:
        BadInput: As :func:`decode_pixels`.
    """
    return bool((decode_pixels(dataset, shape, path) & (1 << (int(dataset.BitsStored) - 1))).any())


def _native(dataset: Dataset, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """Sixteen bits a pixel and all of them used, as nearly every CT is stored: a view of the file's bytes."""
    described = (dataset.BitsAllocated, dataset.BitsStored, dataset.get("SamplesPerPixel", 1))
    length = 2 * int(np.prod(shape))
    if described != (16, 16, 1) or len(dataset.PixelData) != length:
        return None
    return np.frombuffer(dataset.PixelData, "<i2" if dataset.PixelRepresentation else "<u2").reshape(shape)


def _checked_frames(dataset: Dataset, shape: tuple[int, ...]) -> list[bytes]:
    """The compressed frames; ValueError where one claims another size than the image."""
    count = shape[0] if len(shape) == 3 else 1
    frames = list(generate_frames(dataset.PixelData, number_of_frames=count))
    for frame in frames:
        size = codestream_size(frame, dataset.file_meta.TransferSyntaxUID)
        if size != shape[-2:]:
            raise ValueError(f"a frame of {size[0]}×{size[1]} pixels")
    return frames


def _by_gdcm(dataset: Dataset, frames: list[bytes]) -> npt.NDArray[Any]:
    """Through SimpleITK, from a copy with nothing but the pixels: it would apply a rescale.

    The frames are encapsulated anew: where the length of a damaged fragment is wrong, GDCM takes what comes next for
    the next length, and asks for gigabytes.
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
        with _complaints() as complaints:
            stored: npt.NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
            complaints.seek(0)
            said = complaints.read()
    if any(damage in said for damage in _LIBJPEG_ON_DAMAGE):
        raise ValueError("pixels that libjpeg calls damaged")
    return stored[0] if int(dataset.get("NumberOfFrames") or 1) == 1 and stored.ndim == 3 else stored


@contextmanager
def _complaints() -> Iterator[IO[bytes]]:
    """What C code writes to standard error goes into a file: libjpeg tells damage there and decodes on."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        try:
            os.dup2(file.fileno(), 2)
            yield file
        finally:
            os.dup2(kept, 2)
            os.close(kept)
