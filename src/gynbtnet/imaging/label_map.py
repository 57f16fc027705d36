"""Label maps from masks that may overlap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.structure_masks import MOST_STRUCTURES, OverlappingSegmentation, StructureMasks
from gynbtnet.imaging.targets import target_depth
from gynbtnet.imaging.volume import Segmentation, Volume, label_type
from gynbtnet.imaging.whole_labels import LABEL_TOLERANCE, are_whole_numbers
from gynbtnet.runtime.array_types import Mask
from gynbtnet.runtime.errors import BadInput

_MOST_LABELS = 256
"""Largest number of different values in a label map; a CT in HU has more, and negative ones."""


@dataclass(frozen=True)
class Overlap:
    """Voxels that two structures cover and that only one of them has in the label map.

    The label map is painted structure by structure, so a voxel that three structures cover is lost twice.

    Attributes:
        earlier: structure that was painted first and loses the voxels.
        later: structure that gets them.
        volume_cm3: volume of the voxels in cm³.
    """

    earlier: str
    later: str
    volume_cm3: float


def painting_order(structures: Sequence[str], priority: Sequence[str] = ()) -> tuple[str, ...]:
    """Return structures in the order in which a label map is painted; the later of two gets the voxels of both.

    Organs come first, then targets from the outermost to the innermost, see :mod:`gynbtnet.imaging.targets`. Structures
    of the same rank keep their order.

    Args:
        structures: names of structures.
        priority: structures that win over all others, the first one over the next ones as well.
    """
    depths = {structure: target_depth(structure) for structure in structures}
    ranks = {structure: rank for rank, structure in enumerate(reversed(priority), start=1)}
    by_rank = sorted(structures, key=lambda structure: -1 if (depth := depths[structure]) is None else depth)
    return tuple(sorted(by_rank, key=lambda structure: ranks.get(structure, 0)))


def paint_label_map(
    masks: Mapping[str, Mask], structures: Sequence[str], geometry: Geometry, priority: Sequence[str] = ()
) -> tuple[Segmentation, tuple[Overlap, ...]]:
    """Return masks as one label map with the labels 1, 2, … in the order of ``structures``.

    The masks are painted in :func:`painting_order`.

    Args:
        masks: masks (z, y, x) by structure; a structure without a mask gets no voxels.
        structures: names of the labels.
        geometry: grid of the masks.
        priority: see :func:`painting_order`.

    Returns:
        The label map, with the drawn masks of the structures that lose voxels, and all overlaps.

    Raises:
        BadInput: If more structures lose voxels than masks can be kept.
    """
    labels = np.zeros(geometry.shape, label_type(len(structures)))
    label_of = {structure: label for label, structure in enumerate(structures, start=1)}
    overlaps = []
    for structure in painting_order(structures, priority):
        if structure not in masks:
            continue
        inside = masks[structure]
        for other, voxels in enumerate(np.bincount(labels[inside]).tolist()):
            if other and voxels:
                overlaps.append(Overlap(structures[other - 1], structure, voxels * geometry.voxel_volume / 1000))
        labels[inside] = label_of[structure]
    volume, losing = Volume(labels, geometry), {overlap.earlier for overlap in overlaps}
    if not losing:
        return Segmentation(volume, tuple(structures)), ()
    if len(losing) > MOST_STRUCTURES:
        raise BadInput(
            f"{len(losing)} structures are partly covered by others; expected at most {MOST_STRUCTURES}: request fewer "
            "structures."
        )
    own = StructureMasks.of({name: masks[name] for name in structures if name in losing}, geometry)
    return OverlappingSegmentation(volume, tuple(structures), own), tuple(overlaps)


def paint_masks(masks: StructureMasks) -> Segmentation:
    """Return masks as a segmentation that keeps them, with a label map painted in :func:`painting_order`.

    Args:
        masks: masks of structures, which may overlap.

    Returns:
        The structures on the masks' grid.
    """
    structures = masks.structures
    order = [structures.index(structure) for structure in reversed(painting_order(structures))]
    last = [next((index + 1 for index in order if own >> index & 1), 0) for own in masks.combinations]
    labels = masks.by_combination(last, label_type(len(structures)))
    return OverlappingSegmentation(labels, structures, masks)


def is_label_map(volume: Volume) -> bool:
    """Return True if the voxels can be labels: a few whole numbers from 0 on. A CT in HU has negative values."""
    if volume.array.min() < -LABEL_TOLERANCE:
        return False
    values = np.unique(volume.array)
    return are_whole_numbers(values) and len(np.unique(np.rint(values))) <= _MOST_LABELS
