"""Label maps: what they look like, and how masks that may overlap become one."""

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
"""Different values that a label map may have; a CT in HU has more, and negative ones."""


@dataclass(frozen=True)
class Overlap:
    """Voxels that two structures cover and that only one has in the label map.

    The label map is painted structure by structure, so that a voxel that three structures cover is lost twice.

    Attributes:
        earlier: the structure that was painted first and loses the voxels.
        later: the structure that gets them.
        volume_cm3: how much that is.
    """

    earlier: str
    later: str
    volume_cm3: float


def painting_order(structures: Sequence[str]) -> tuple[str, ...]:
    """The order in which masks become a label map; what is painted later has the voxels that two cover.

    Organs come first, then targets from the outermost to the innermost, see :mod:`gynbtnet.imaging.targets`. Structures
    of the same rank keep their order.
    """
    depths = {structure: target_depth(structure) for structure in structures}
    return tuple(sorted(structures, key=lambda structure: -1 if (depth := depths[structure]) is None else depth))


def label_map(
    masks: Mapping[str, Mask], structures: Sequence[str], geometry: Geometry
) -> tuple[Segmentation, tuple[Overlap, ...]]:
    """Masks (z, y, x) as labels 1, 2, … in the order of ``structures``, painted in :func:`painting_order`.

    Returns:
        The label map, which keeps the drawn masks of structures that lose voxels, and every loss.

    Raises:
        BadInput: If more structures lose voxels than masks can be kept of.
    """
    labels = np.zeros(geometry.shape, label_type(len(structures)))
    number = {structure: label for label, structure in enumerate(structures, start=1)}
    overlaps = []
    for structure in painting_order(structures):
        if structure not in masks:
            continue
        inside = masks[structure]
        for other, voxels in enumerate(np.bincount(labels[inside]).tolist()):
            if other and voxels:
                overlaps.append(Overlap(structures[other - 1], structure, voxels * geometry.voxel_volume / 1000))
        labels[inside] = number[structure]
    volume, losing = Volume(labels, geometry), {one.earlier for one in overlaps}
    if not losing:
        return Segmentation(volume, tuple(structures)), ()
    if len(losing) > MOST_STRUCTURES:
        raise BadInput(
            f"{len(losing)} structures are covered by others in part; expected at most {MOST_STRUCTURES} of them: name "
            "fewer structures."
        )
    own = StructureMasks.of({name: masks[name] for name in structures if name in losing}, geometry)
    return OverlappingSegmentation(volume, tuple(structures), own), tuple(overlaps)


def is_label_map(volume: Volume) -> bool:
    """Whether voxels are labels by their values: a few whole numbers from 0 on. A CT in HU has negative ones."""
    if volume.array.min() < -LABEL_TOLERANCE:
        return False
    values = np.unique(volume.array)
    return are_whole_numbers(values) and len(np.unique(np.rint(values))) <= _MOST_LABELS
