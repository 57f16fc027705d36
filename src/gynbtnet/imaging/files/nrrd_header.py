"""Headers of NRRD files. Source: https://teem.sourceforge.net/nrrd/format.html."""

import re
from math import prod
from pathlib import Path

import numpy as np

from gynbtnet.imaging.files.image_header import (
    ImageHeader,
    check_dimensions,
    grid_geometry,
    unreadable,
    without_position,
)
from gynbtnet.imaging.files.text_header import HEADER_BYTES, UNITS, number_field
from gynbtnet.imaging.files.voxel_data import Encoding, VoxelData
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.errors import BadInput

_KINDS = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_ENCODINGS: dict[str, Encoding] = {
    "raw": "raw",
    **dict.fromkeys(("gz", "gzip"), "gzip"),
    **dict.fromkeys(("bz2", "bzip2"), "bzip2"),
    **dict.fromkeys(("txt", "text", "ascii"), "text"),
    "hex": "hex",
}
_SPACES = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1, 1, 1)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1, -1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1, -1, 1)),
}
"""Signs that convert the coordinates of each named space to LPS."""

_DETACHED = ("data file", "datafile")


def read_nrrd_header(path: Path) -> ImageHeader:
    """Read the header of a ``.nrrd`` file.

    Raises:
        BadInput: If it is not a NRRD file with attached voxels, contradicts itself, gives no position in the patient,
            or is not a scan.
    """
    fields, length = read_nrrd_fields(path)
    return _header(path, fields, length, _sizes(path, fields), channels=1)


def read_layers_header(path: Path) -> ImageHeader:
    """Read the header of a ``.nrrd`` file whose first axis, if it has four, is a list of layers.

    The layers are the header's channels, but the layers of a voxel are stored next to each other.

    Raises:
        BadInput: As :func:`read_nrrd_header`.
    """
    fields, length = read_nrrd_fields(path)
    sizes = _sizes(path, fields)
    if len(sizes) == 4 and fields.get("kinds", "").lower().split()[:1] == ["list"] and sizes[0] > 0:
        return _header(path, fields, length, sizes[1:], channels=sizes[0])
    return _header(path, fields, length, sizes, channels=1)


def _sizes(path: Path, fields: dict[str, str]) -> tuple[int, ...]:
    """Return the number of values along each axis, the fastest first."""
    sizes = tuple(map(int, number_field(path, fields, "sizes", whole=True)))
    dimensions = number_field(path, fields, "dimension", 1, whole=True)[0]
    if dimensions != len(sizes):
        raise unreadable(path, f"its header gives {dimensions:g} dimensions and {len(sizes)} sizes")
    return sizes


def _header(path: Path, fields: dict[str, str], length: int, sizes: tuple[int, ...], channels: int) -> ImageHeader:
    """Return the header of a grid of ``sizes`` (x, y, z) with ``channels`` values per voxel."""
    if any(name in fields for name in _DETACHED):
        raise BadInput(f"{path} keeps its voxels in another file; expected one file with both: convert it.")
    check_dimensions(path, sizes)
    types = {name: kind for kind, names in _KINDS.items() for name in names}
    kind = types.get(" ".join(fields.get("type", "").lower().split()))
    encoding = _ENCODINGS.get(fields.get("encoding", "").lower())
    if kind is None or encoding is None:
        raise unreadable(path, f"it stores voxels of type “{fields.get('type', '')}” as “{fields.get('encoding', '')}”")
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower(), "")
    if not order and kind[1] != "1" and encoding not in ("text",):
        raise unreadable(path, "its header lacks the byte order")
    directions, origin = _directions_and_origin(path, fields)
    spacing = np.linalg.norm(directions, axis=1)
    cosines = (directions / spacing[:, None]).T
    return ImageHeader(
        path=path,
        geometry=grid_geometry(path, sizes[::-1], spacing[::-1], origin, cosines),
        channels=channels,
        kind=np.dtype(order + kind),
        data=_data(path, fields, encoding, length, np.dtype(kind).itemsize * channels * prod(sizes)),
        description=" ".join(fields.get(name, "") for name in ("content", "itk_filenotes", "comment")),
    )


def read_nrrd_fields(path: Path) -> tuple[dict[str, str], int]:
    """Return fields and key/value pairs by lower-case name, and the header's length in bytes."""
    with path.open("rb") as stream:
        content = stream.read(HEADER_BYTES)
    end = re.search(rb"\r?\n\r?\n", content)
    if not re.match(rb"NRRD000[1-5]\r?\n", content) or end is None:
        raise unreadable(path, "it does not begin as a NRRD file with voxels does")
    fields: dict[str, str] = {}
    for line in content[: end.start()].decode("utf-8", "replace").splitlines()[1:]:
        if line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or name in fields:
            raise unreadable(path, "its header has a line that is not a field, or a field twice")
        fields[name] = value.removeprefix("=").strip()
    return fields, end.end()


def _directions_and_origin(path: Path, fields: dict[str, str]) -> tuple[FloatArray, FloatArray]:
    """Return the steps along x, y and z, one row per axis, and the origin, in LPS and mm."""
    signs = _SPACES.get(fields.get("space", "").lower())
    vectors = re.findall(r"\(([^()]*)\)", fields.get("space directions", ""))
    if signs is None or not vectors:
        raise without_position(path, "it has no “space” of LPS, RAS or LAS with “space directions”")
    given = {"origin": fields.get("space origin", "(0,0,0)").strip("() ").replace(",", " ")}
    given |= {f"step {axis}": vector.replace(",", " ") for axis, vector in enumerate(vectors)}
    origin, *steps = (number_field(path, given, name, 3) for name in given)
    if len(steps) != 3:
        raise unreadable(path, f"its header has {len(steps)} space directions")
    units = re.findall(r'"([^"]*)"', fields.get("space units", "")) or ["mm"]
    if any(unit not in UNITS for unit in units) or len(set(units)) > 1:
        raise BadInput(f"{path} gives lengths in {', '.join(units)}; expected mm.")
    to_lps = np.asarray(signs) * UNITS[units[0]]
    return np.asarray(steps) * to_lps, np.asarray(origin) * to_lps + 0.0


def _data(path: Path, fields: dict[str, str], encoding: Encoding, length: int, size: int) -> VoxelData:
    """Return the location of the voxels, of ``size`` bytes, behind a header of ``length`` bytes."""
    lines, skipped = (
        int(number_field(path, {name: fields.get(name, "0")}, name, 1, whole=True)[0])
        for name in ("line skip", "byte skip")
    )
    if skipped == -1 and encoding == "raw":
        return VoxelData(path, path.stat().st_size - size, encoding)
    if lines != 0 or not 0 <= skipped <= HEADER_BYTES or (skipped and encoding in ("text", "hex")):
        raise unreadable(path, f"its header has {lines} lines and {skipped} bytes skipped before its voxels")
    return VoxelData(path, length, encoding, skipped)
