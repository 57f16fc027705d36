"""Headers of MetaImage files. Source: https://itk.org/Wiki/ITK/MetaIO/Documentation."""

from pathlib import Path

import numpy as np

from gynbtnet.imaging.files.image_header import ImageHeader, check_dimensions, grid_geometry, unreadable
from gynbtnet.imaging.files.text_header import HEADER_BYTES, UNITS, number_field
from gynbtnet.imaging.files.voxel_data import VoxelData
from gynbtnet.runtime.errors import BadInput

_KINDS = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_DATA = "ElementDataFile"
_OTHER_NAMES = {
    "TransformMatrix": ("Rotation", "Orientation"),
    "Offset": ("Position", "Origin"),
    "BinaryDataByteOrderMSB": ("ElementByteOrderMSB",),
    "ElementSpacing": ("ElementSize",),
}
"""Other names of fields in the format, by their usual name."""

_DEFAULTS = {
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementNumberOfChannels": "1",
    "HeaderSize": "0",
    "ElementToIntensityFunctionSlope": "1",
    "ElementToIntensityFunctionOffset": "0",
}


def read_meta_image_header(path: Path) -> ImageHeader:
    """Read the header of a ``.mha`` file.

    Raises:
        BadInput: If it is not a MetaImage with its own voxels, contradicts itself, or is not a scan.
    """
    fields, length = _fields(path)
    sizes = tuple(map(int, number_field(path, fields, "DimSize", whole=True)))
    if number_field(path, fields, "NDims", 1, whole=True)[0] != len(sizes):
        raise unreadable(path, f"its header has {fields['NDims']} dimensions and {len(sizes)} sizes")
    check_dimensions(path, sizes, int(number_field(path, fields, "ElementNumberOfChannels", 1, whole=True)[0]))
    kind = _KINDS.get(fields.get("ElementType", ""))
    if kind is None:
        raise unreadable(path, f"it stores voxels of type “{fields.get('ElementType', '')[:60]}”")
    slope, intercept = (
        number_field(path, fields, f"ElementToIntensityFunction{name}", 1)[0] for name in ("Slope", "Offset")
    )
    if (slope, intercept) != (1, 0):
        raise BadInput(f"{path} scales its voxels by {slope:g} and {intercept:g}, which is not supported; convert it.")
    if number_field(path, fields, "HeaderSize", 1, whole=True)[0] != 0:
        raise unreadable(path, f"its header has a HeaderSize of {fields['HeaderSize']}")
    unit = UNITS.get(fields.get("DistanceUnits", "mm").replace("?", "mm"))
    if unit is None:
        raise BadInput(f"{path} gives lengths in {fields['DistanceUnits'][:60]}; expected mm.")
    spacing = np.asarray(number_field(path, fields, "ElementSpacing", 3)) * unit
    columns = np.reshape(number_field(path, fields, "TransformMatrix", 9), (3, 3)).T
    text = not _flag(path, fields, "BinaryData")
    compressed = _flag(path, fields, "CompressedData")
    return ImageHeader(
        path=path,
        geometry=grid_geometry(
            path, sizes[::-1], spacing[::-1], np.asarray(number_field(path, fields, "Offset", 3)) * unit, columns
        ),
        channels=1,
        kind=np.dtype((">" if _flag(path, fields, "BinaryDataByteOrderMSB") else "<") + kind),
        data=VoxelData(path, length, "text" if text else "zlib" if compressed else "raw"),
        description=fields.get("Comment", ""),
    )


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """Return fields by their usual names, and the header's length in bytes."""
    usual = {other: name for name, others in _OTHER_NAMES.items() for other in others}
    fields: dict[str, str] = {}
    length = 0
    with path.open("rb") as stream:
        while _DATA not in fields:
            line = stream.readline(HEADER_BYTES)
            length += len(line)
            name, equals, value = line.decode("utf-8", "replace").partition("=")
            name = usual.get(name.strip(), name.strip())
            if not equals or length > HEADER_BYTES:
                raise unreadable(path, "it does not begin as a MetaImage file does")
            if name in fields and name != "ElementSpacing":
                raise unreadable(path, f"its header has {name[:60]} twice")
            if not (name == "ElementSpacing" and name in fields and line.startswith(b"ElementSize")):
                fields[name] = value.strip()
    if fields[_DATA].upper() != "LOCAL":
        raise BadInput(f"{path} keeps its voxels in another file; expected one file with both: convert it.")
    if fields.get("ObjectType", "Image").lower() != "image":
        raise unreadable(path, f"it holds a MetaIO object of type “{fields['ObjectType'][:60]}”")
    return {**_DEFAULTS, **fields}, length


def _flag(path: Path, fields: dict[str, str], name: str) -> bool:
    """Return a field that is true or false."""
    value = fields.get(name, "True" if name == "BinaryData" else "False").lower()
    if value not in ("true", "false", "1", "0"):
        raise unreadable(path, f"its header has “{value[:60]}” for {name}, expected True or False")
    return value in ("true", "1")
