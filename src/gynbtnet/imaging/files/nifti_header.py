"""Headers of NIfTI-1 and NIfTI-2 files, by the rules of the format itself.

Sources: nifti1.h and nifti2.h of the NIfTI Data Format Working Group, https://nifti.nimh.nih.gov. The format has two
transforms from voxels to the patient, sform and qform. The sform is used if it is given, otherwise the qform, as in
nibabel and FSL. A file whose two transforms differ is refused, because other software uses the other one.
"""

import gzip
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from gynbtnet.imaging.files.image_header import (
    ImageHeader,
    check_dimensions,
    grid_geometry,
    unreadable,
    without_position,
)
from gynbtnet.imaging.files.voxel_data import VoxelData
from gynbtnet.imaging.geometry import SAME_GRID, Geometry
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import by_axis

_COMMON = ["qform_code", "sform_code", "quatern", "qoffset", "srow"]
_NIFTI_1: dict[str, Any] = {
    "names": ["dim", "datatype", "bitpix", "pixdim", "vox_offset", "slope", "inter", "units", "descrip", *_COMMON],
    "formats": ["8i2", "i2", "i2", "8f4", "f4", "f4", "f4", "u1", "S80", "i2", "i2", "3f4", "3f4", "(3,4)f4"],
    "offsets": [40, 70, 72, 76, 108, 112, 116, 123, 148, 252, 254, 256, 268, 280],
    "itemsize": 348,
}
_NIFTI_2: dict[str, Any] = {
    "names": _NIFTI_1["names"],
    "formats": ["8i8", "i2", "i2", "8f8", "i8", "f8", "f8", "i4", "S80", "i4", "i4", "3f8", "3f8", "(3,4)f8"],
    "offsets": [16, 12, 14, 104, 168, 176, 184, 500, 240, 344, 348, 352, 376, 400],
    "itemsize": 540,
}
_HEADERS: dict[int, tuple[Any, int, bytes, int]] = {
    348: (_NIFTI_1, 344, b"n+1\0", 352),
    540: (_NIFTI_2, 4, b"n+2\0\r\n\x1a\n", 544),
}
"""By header size: fields of the header, offset and text of its magic number, smallest offset of the voxels."""

_KINDS = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_COMPLEX = (32, 1792, 2048)
_COLOURS = {128: 3, 2304: 4}
"""Data types with several values per voxel, and their number."""

_UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres per unit of length: unknown (read as mm, as in all software), metre, millimetre, micrometre."""

_FARTHEST_OFFSET = 2**26  # bytes; a larger offset is damage, not a header extension
_QUATERNION_ROUNDING = 5e-7  # of 32-bit numbers, in the sform and in the quaternion


def read_nifti_header(path: Path) -> ImageHeader:
    """Read the header of a ``.nii`` or ``.nii.gz`` file.

    Raises:
        BadInput: If it is not a single NIfTI file, contradicts itself, gives no position in the patient or two, or is
            not a scan.
    """
    compressed = path.name.lower().endswith(".gz")
    try:
        with gzip.open(path, "rb") if compressed else path.open("rb") as stream:
            content = stream.read(552)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, "it has no readable header") from error
    fields, earliest = _fields(path, content)
    sizes = _sizes(path, fields)
    code = int(fields["datatype"])
    if code in _COMPLEX:
        raise BadInput(
            f"{path} has complex numbers, 2 values per voxel; expected a three-dimensional scan with one value per "
            "voxel."
        )
    check_dimensions(path, sizes, _COLOURS.get(code, 1), most=4)
    if code not in _KINDS:
        raise BadInput(f"{path} stores voxels as NIfTI's data type {code}; expected whole numbers or floats.")
    kind = np.dtype(_KINDS[code]).newbyteorder(fields.dtype["datatype"].byteorder)
    if int(fields["bitpix"]) != 8 * kind.itemsize:
        raise unreadable(path, f"its header gives voxels of type {code} {int(fields['bitpix'])} bits")
    offset = float(fields["vox_offset"])
    if not (earliest <= offset <= _FARTHEST_OFFSET and offset.is_integer()):
        raise unreadable(path, f"according to its header, its voxels begin at byte {offset:g}")
    return ImageHeader(
        path=path,
        geometry=_geometry(path, fields, sizes),
        channels=sizes[3] if len(sizes) > 3 else 1,
        kind=kind,
        data=VoxelData(path, int(offset), "gzip file") if compressed else VoxelData(path, int(offset), "raw"),
        scaling=_scaling(path, fields),
        description=bytes(fields["descrip"]).decode("latin-1"),
    )


def _fields(path: Path, content: bytes) -> tuple[Any, int]:
    """Return the header's values, and the smallest offset of the voxels in bytes."""
    sizes = {order: int(np.frombuffer(content[:4].ljust(4, b"\0"), f"{order}i4")[0]) for order in "<>"}
    order = next((order for order, size in sizes.items() if size in _HEADERS), None)
    if order is None:
        raise unreadable(path, "it does not begin as a NIfTI file does")
    layout, position, magic, earliest = _HEADERS[sizes[order]]
    if len(content) < layout["itemsize"]:
        raise unreadable(path, "its header is cut short")
    stored_magic = content[position : position + len(magic)]
    if stored_magic[:3] in (b"ni1", b"ni2"):
        raise BadInput(f"{path} is the header of a NIfTI pair (.hdr and .img); convert the two to a single .nii.gz.")
    if stored_magic != magic:
        raise unreadable(path, "it lacks the magic number of NIfTI, like a file of Analyze 7.5")
    fields = np.frombuffer(content, np.dtype(layout).newbyteorder(order), 1)[0]
    return fields, earliest


def _sizes(path: Path, fields: Any) -> tuple[int, ...]:
    """Return the voxels along x, y, z and along further dimensions with more than one."""
    count, *sizes = map(int, fields["dim"])
    if not 1 <= count <= 7:
        raise unreadable(path, f"its header gives {count} dimensions")
    while count > 3 and sizes[count - 1] == 1:
        count -= 1
    return tuple(sizes[:count])


def _scaling(path: Path, fields: Any) -> tuple[float, float] | None:
    """Return slope and intercept; None if nothing is scaled, which a slope of 0 also means."""
    slope, intercept = float(fields["slope"]), float(fields["inter"])
    if slope == 0 or (slope, intercept) == (1, 0):
        return None
    if not np.isfinite([slope, intercept]).all():
        raise BadInput(
            f"{path} scales its voxels by {slope:g} and {intercept:g} (scl_slope, scl_inter); expected two finite "
            "numbers: export it again."
        )
    return slope, intercept


@dataclass(frozen=True)
class _Transform:
    """One transform from voxels to the patient in a header.

    Attributes:
        name: ``sform`` or ``qform``.
        matrix: 3×4 matrix from index (x, y, z, 1) to RAS coordinates in mm.
    """

    name: str
    matrix: FloatArray

    @property
    def spacing(self) -> FloatArray:
        """Distance of voxel centres along x, y, z in mm."""
        lengths: FloatArray = np.linalg.norm(self.matrix[:, :3], axis=0)
        return lengths


def _geometry(path: Path, fields: Any, sizes: tuple[int, ...]) -> Geometry:
    """Return the grid in LPS coordinates."""
    unit = int(fields["units"]) & 7
    if unit not in _UNITS:
        raise BadInput(f"{path} gives lengths in the unknown unit {unit} (xyzt_units); expected 2, millimetres.")
    spacing = np.asarray(fields["pixdim"][1:4], float) * _UNITS[unit]
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise BadInput(
            f"{path} gives a spacing of {by_axis(spacing, 6)} mm (x, y, z); expected three positive lengths: correct "
            "its header or convert the scan again."
        )
    last = np.asarray(sizes[:3]) - 1
    transforms = []
    if fields["sform_code"] > 0:
        transforms.append(_Transform("sform", np.asarray(fields["srow"], float) * _UNITS[unit]))
    if fields["qform_code"] > 0:
        transforms.append(_qform(path, fields, spacing, _UNITS[unit], transforms[0] if transforms else None))
    if not transforms:
        raise without_position(path, "neither qform nor sform is given")
    for transform in transforms:
        if not np.isfinite(transform.matrix).all():
            raise unreadable(path, f"its {transform.name} is not finite")
    for sform, qform in pairwise(transforms):
        _check_agreement(path, sform, qform, last)
    transform = _perpendicular(path, transforms[0], last)
    distance = float(np.abs((transform.spacing - spacing) * last).max())
    if distance > SAME_GRID:
        raise BadInput(
            f"{path} gives a spacing of {by_axis(spacing, 6)} mm (pixdim) and its {transform.name} "
            f"{by_axis(transform.spacing, 6)} mm (x, y, z), a difference of {distance:.3g} mm at its far end. Expected "
            "one spacing: correct its header or convert the scan again."
        )
    to_lps = np.array([[-1.0], [-1.0], [1.0]])
    matrix = transform.matrix * to_lps + 0.0  # no negative zeros
    return grid_geometry(path, sizes[2::-1], transform.spacing[::-1], matrix[:, 3], matrix[:, :3] / transform.spacing)


def _qform(path: Path, fields: Any, spacing: FloatArray, unit: float, sform: _Transform | None) -> _Transform:
    """Return the qform by method 2 of nifti1.h: a unit quaternion whose first number follows from the other three.

    Near a half turn, the three determine the first to only four digits. If they are those of the sform, rounded to 32
    bits, the sform's own rotation is used.
    """
    stored = np.asarray(fields["quatern"], float)
    handed = np.array([1, 1, -1 if fields["pixdim"][0] < 0 else 1])
    offset = np.asarray(fields["qoffset"], float) * unit
    rest = 1 - float((stored * stored).sum())
    if not rest > -1e-4:
        b, c, d = stored
        raise unreadable(path, f"its qform has the quaternion ({b:g}, {c:g}, {d:g}), which is longer than 1")
    rotation = Rotation.from_quat([*stored, np.sqrt(max(rest, 0))])
    exact = _rotation(sform, handed) if sform else None
    if exact is not None:
        quaternion = exact.as_quat()[:3]
        if min(np.abs(quaternion - stored).max(), np.abs(quaternion + stored).max()) < _QUATERNION_ROUNDING:
            rotation = exact
    return _Transform("qform", np.column_stack([rotation.as_matrix() * (spacing * handed), offset]))


def _rotation(transform: _Transform, handed: npt.NDArray[np.intp]) -> Rotation | None:
    """Return the rotation nearest to a transform's axes, without the reflection in ``handed``, or None."""
    if not (np.isfinite(transform.matrix).all() and (transform.spacing > 0).all()):
        return None
    left, _, right = np.linalg.svd(transform.matrix[:, :3] / transform.spacing * handed)
    return Rotation.from_matrix(left @ right) if np.linalg.det(left @ right) > 0 else None


def _check_agreement(path: Path, sform: _Transform, qform: _Transform, last: npt.NDArray[np.intp]) -> None:
    """Check that both transforms give all voxels the same position."""
    corners = np.vstack([np.indices((2, 2, 2)).reshape(3, -1) * last[:, None], np.ones(8)])
    distance = float(np.linalg.norm((sform.matrix - qform.matrix) @ corners, axis=0).max())
    if not distance <= SAME_GRID:
        raise BadInput(
            f"{path} gives two positions in the patient, and {sform.name} and {qform.name} disagree by up to "
            f"{distance:.3g} mm (spacing {by_axis(sform.spacing, 6)} and {by_axis(qform.spacing, 6)} mm along x, y, "
            "z). Software differs in which one it uses: find out which one is right, and set the other one to it or "
            "its code to 0."
        )


def _perpendicular(path: Path, transform: _Transform, last: npt.NDArray[np.intp]) -> _Transform:
    """Return the transform with exactly perpendicular axes; headers round their matrices."""
    if not (transform.spacing > 0).all():
        raise unreadable(path, f"its {transform.name} has an axis of no length")
    axes = transform.matrix[:, :3] / transform.spacing
    left, _, right = np.linalg.svd(axes)
    nearest = left @ right
    shift = float(np.abs((nearest - axes) * transform.spacing * last).sum(axis=1).max())
    if shift > SAME_GRID:
        raise BadInput(
            f"{path} has no usable grid: its axes are not perpendicular (sheared {transform.name}, by up to "
            f"{shift:.3g} mm); resample it to perpendicular axes."
        )
    return _Transform(transform.name, np.column_stack([nearest * transform.spacing, transform.matrix[:, 3]]))
