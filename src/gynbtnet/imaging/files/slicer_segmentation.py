"""Segmentations as 3D Slicer reads and writes them: ``.seg.nrrd``, with a layer for structures that don't overlap.

3D Slicer's documentation describes the format (vtkMRMLSegmentationStorageNode). There is one volume of labels per
layer. The header has name, colour, layer and label of each segment.
"""

import gzip
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gynbtnet.imaging.files.image_header import unreadable
from gynbtnet.imaging.files.nrrd_header import read_layers_header, read_nrrd_fields
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_masks
from gynbtnet.imaging.plausible_grid import check_grid
from gynbtnet.imaging.printed_names import as_one_line
from gynbtnet.imaging.structure_masks import MOST_STRUCTURES, StructureMasks
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, label_type
from gynbtnet.runtime.array_types import Box
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.available_memory import check_memory
from gynbtnet.runtime.errors import BadInput

_LEVEL = 4  # of gzip: label maps are hardly smaller at higher levels
_TYPES = {1: "uint8", 2: "uint16"}
SLICER_SUFFIX = ".seg.nrrd"


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


def has_segments(path: Path) -> bool:
    """Return whether a file is a segmentation of 3D Slicer: by its name, and with segments in its header.

    Raises:
        BadInput: If the file has the name, but isn't a NRRD file.
    """
    return path.name.lower().endswith(SLICER_SUFFIX) and path.is_file() and "segment0_id" in read_nrrd_fields(path)[0]


def read_slicer_segmentation(path: Path, names: StructureNames) -> Segmentation:
    """Read a segmentation that 3D Slicer 4.11 or later wrote, or :func:`write_slicer_segmentation`.

    A segment is the structure that its name, or otherwise its ID, is known as; others keep their name.

    Args:
        path: ``*.seg.nrrd`` file.
        names: names of structures.

    Returns:
        The structures on the grid of the file, in its order; they may overlap.

    Raises:
        BadInput: If the file is damaged, has no segments or more than masks can be kept, or two have the same name.
    """
    fields, header = read_nrrd_fields(path)[0], read_layers_header(path)
    problem = header.data.problem(header.size)
    if problem:
        raise unreadable(path, problem)
    check_grid(header.geometry, str(path))
    if header.kind.kind not in "iu":
        raise unreadable(path, f"its labels have the type {header.kind}")
    check_memory(header.size, f"{path}", "export fewer segments")
    voxels = np.empty((*header.geometry.shape, header.channels), header.kind)
    problem = header.data.read_into(voxels)
    if problem:
        raise unreadable(path, problem)
    masks = {
        structure: voxels[..., layer] == label
        for structure, (layer, label) in _segments(path, fields, header.channels, names).items()
    }
    return paint_masks(StructureMasks.of(masks, header.geometry))


def _segments(path: Path, fields: Mapping[str, str], layers: int, names: StructureNames) -> dict[str, tuple[int, int]]:
    """Return layer and label of each segment, by structure."""
    numbers = sorted(int(match[1]) for name in fields if (match := re.fullmatch(r"segment(\d{1,5})_id", name)))
    if not 1 <= len(numbers) <= MOST_STRUCTURES:
        raise BadInput(f"{path} has {len(numbers)} segments; expected 1 to {MOST_STRUCTURES}.")
    segments: dict[str, tuple[int, int]] = {}
    for number in numbers:
        key = f"segment{number}_"
        name = fields.get(f"{key}name") or fields[f"{key}id"]
        place = [fields.get(key + entry, "") for entry in ("layer", "labelvalue")]
        if not all(re.fullmatch(r"\d{1,9}", value) for value in place) or int(place[0]) >= layers:
            raise BadInput(
                f"{path} gives no layer and label for the segment {as_one_line(name)[:64]}; open it in 3D Slicer 4.11 "
                "or later, and save it again."
            )
        structure = names.resolve(name) or names.resolve(fields[f"{key}id"]) or name
        if structure in segments:
            raise BadInput(
                f"{path} has two segments for {as_one_line(structure)[:64]}; rename or delete one of them in 3D Slicer."
            )
        segments[structure] = (int(place[0]), int(place[1]))
    return segments


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
