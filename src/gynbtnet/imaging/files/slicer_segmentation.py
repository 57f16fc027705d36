"""Segmentations as 3D Slicer reads and writes them: ``.seg.nrrd``, with a layer for structures that don't overlap.

3D Slicer's documentation describes the format (vtkMRMLSegmentationStorageNode). There is one volume of labels per
layer. The header has name, colour, layer and label of each segment.
"""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, label_type
from gynbtnet.runtime.array_types import Box
from gynbtnet.runtime.atomic_files import atomic_write

_LEVEL = 4  # of gzip: label maps are hardly smaller at higher levels
_TYPES = {1: "uint8", 2: "uint16"}


def write_slicer_segmentation(
    segmentation: Segmentation, path: Path, names: StructureNames, *, layers: Mapping[str, int] | None = None
) -> None:
    """Write a segmentation for 3D Slicer, atomically.

    Args:
        segmentation: structures, which may overlap.
        path: file to write, ``*.seg.nrrd``.
        names: names and colours of the structures.
        layers: layer of each structure from 0; None: the fewest that are found with structures in their order.
    """
    layer_of = layers or assign_layers(segmentation)
    geometry, boxes = segmentation.labels.geometry, segmentation.boxes()
    dtype = label_type(len(segmentation.structures))
    count = max(layer_of.values(), default=0) + 1
    voxels = np.zeros((*geometry.shape, count), dtype)  # the layers of a voxel are next to each other in the file
    for label, structure in enumerate(segmentation.structures, start=1):
        if (box := boxes[structure]) is not None:
            voxels[..., layer_of[structure]][box][segmentation.mask(structure, box)] = label
    header = _header(segmentation.structures, geometry, boxes, layer_of, names, dtype)
    with atomic_write(path) as partial, partial.open("wb") as file:
        file.write(header.encode())
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0, filename="") as stream:
            for plane in voxels if count > 1 else voxels[..., 0]:
                stream.write(np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).tobytes())


def assign_layers(segmentation: Segmentation) -> dict[str, int]:
    """Return a layer from 0 for each structure, so that structures of one layer share no voxel.

    Each structure takes the first layer with room for it, in the order of the structures.
    """
    boxes = segmentation.boxes()
    members: list[list[str]] = []
    layer_of: dict[str, int] = {}
    for structure in segmentation.structures:
        layer = next(
            (
                number
                for number, others in enumerate(members)
                if not any(_overlap(segmentation, boxes, structure, other) for other in others)
            ),
            len(members),
        )
        if layer == len(members):
            members.append([])
        members[layer].append(structure)
        layer_of[structure] = layer
    return layer_of


def _overlap(segmentation: Segmentation, boxes: Mapping[str, Box | None], one: str, other: str) -> bool:
    """Return whether two structures share a voxel."""
    first, second = boxes[one], boxes[other]
    if first is None or second is None:
        return False
    box = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
    if any(side.start >= side.stop for side in box):
        return False
    return bool((segmentation.mask(one, box) & segmentation.mask(other, box)).any())


def _header(
    structures: Sequence[str],
    geometry: Geometry,
    boxes: Mapping[str, Box | None],
    layer_of: Mapping[str, int],
    names: StructureNames,
    dtype: type[np.unsignedinteger[Any]],
) -> str:
    layers = max(layer_of.values(), default=0) + 1
    z, y, x = geometry.shape
    columns = np.asarray(geometry.direction).reshape(3, 3).T  # of the axes x, y, z
    vectors = [
        f"({','.join(f'{value:.17g}' for value in column * length)})"
        for column, length in zip(columns, reversed(geometry.spacing), strict=True)
    ]
    listed = layers > 1
    lines = [
        "NRRD0004",
        f"type: {_TYPES[np.dtype(dtype).itemsize]}",
        f"dimension: {3 + listed}",
        "space: left-posterior-superior",
        f"sizes: {f'{layers} ' if listed else ''}{x} {y} {z}",
        f"space directions: {'none ' if listed else ''}{' '.join(vectors)}",
        f"kinds: {'list ' if listed else ''}domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: ({','.join(f'{value:.17g}' for value in geometry.origin)})",
    ]
    for number, structure in enumerate(structures):
        box = boxes[structure]
        extent = [f"{side.start} {side.stop - 1}" for side in reversed(box)] if box else ["0 -1"] * 3
        colour = " ".join(f"{value / 255:.6g}" for value in names.colour(structure))
        lines += [
            f"Segment{number}_ID:={_plain(structure)}",
            f"Segment{number}_Name:={_plain(names.tg263(structure))}",
            f"Segment{number}_NameAutoGenerated:=0",
            f"Segment{number}_Color:={colour}",
            f"Segment{number}_ColorAutoGenerated:=0",
            f"Segment{number}_Layer:={layer_of[structure]}",
            f"Segment{number}_LabelValue:={number + 1}",
            f"Segment{number}_Extent:={' '.join(extent)}",
        ]
    lines += [
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    return "\n".join(lines) + "\n\n"


def _plain(text: str) -> str:
    """Return a text for a header of lines: line breaks and backslashes have a meaning there."""
    return " ".join(text.replace("\\", "/").split())
