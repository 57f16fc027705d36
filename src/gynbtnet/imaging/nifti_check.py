"""What SimpleITK passes over in NIfTI files without a word."""

import gzip
import struct
from math import prod
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from gynbtnet.errors import BadInput

_PIXDIM = {348: ("3f", 80), 540: ("3d", 112)}
"""By the size of the header, which tells NIfTI-1 from NIfTI-2: type and place of pixdim[1] to pixdim[3]."""

_FLOATS = {"16": "f4", "64": "f8"}
"""NumPy's names of NIfTI's data types."""


def check_nifti(path: Path, image: sitk.Image) -> int:
    """See that the NIfTI file which ``image`` was read from is whole and has a spacing; other files pass.

    Returns:
        How many voxels are not finite; ``image`` holds 0 there.

    Raises:
        EOFError, OSError, zlib.error: where the file is cut short or damaged.
        BadInput: where its spacing is zero, negative or not finite; ``image`` has 1 mm there, or a turned axis.
    """
    if not path.name.endswith((".nii.gz", ".nii")):
        return 0
    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rb") as stream:  # gzip compares the checksum at the end
        header = stream.read(max(352, int(float(image.GetMetaData("vox_offset")))))
        order = "<" if int.from_bytes(header[:4], "little") in _PIXDIM else ">"
        _check_spacing(path, header, order)
        name = _FLOATS.get(image.GetMetaData("datatype"))
        kind = np.dtype(order + name) if name else None
        size = broken = 0
        while block := stream.read(2**20):
            size += len(block)
            if kind is not None:
                broken += int(np.count_nonzero(~np.isfinite(np.frombuffer(block, kind, len(block) // kind.itemsize))))
    if size < prod(image.GetSize()) * int(image.GetMetaData("bitpix")) // 8:
        raise EOFError
    return broken


def _check_spacing(path: Path, header: bytes, order: str) -> None:
    kind, place = _PIXDIM[struct.unpack_from(f"{order}i", header)[0]]
    spacing = struct.unpack_from(order + kind, header, place)
    if not all(0 < length < np.inf for length in spacing):
        raise BadInput(
            f"{path} gives a spacing of {' × '.join(f'{length:g}' for length in spacing)} mm (x, y, z); expected three "
            "positive lengths: correct its header or convert the scan again."
        )
