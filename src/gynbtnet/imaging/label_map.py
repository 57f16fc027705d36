"""Label maps: what they look like, and how masks that may overlap become one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.imaging.whole_labels import LABEL_TOLERANCE, are_whole

_MOST_LABELS = 256
"""Different values that a label map may have; a CT in HU has more, and negative ones."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Overlap:
    """Voxels that two structures claimed and the ``later`` one got."""

    earlier: str
    later: str
    volume_cm3: float


def label_map(
    masks: Mapping[str, Mask], structures: Sequence[str], geometry: Geometry
) -> tuple[Segmentation, tuple[Overlap, ...]]:
    """Masks (z, y, x) as label 1, 2, … in the order of ``structures``, of which a later one gets what two claim."""
    labels = np.zeros(geometry.shape, np.uint8 if len(structures) < 256 else np.uint16)
    overlaps = []
    for label, structure in enumerate(structures, start=1):
        if structure not in masks:
            continue
        inside = masks[structure]
        for other, voxels in enumerate(np.bincount(labels[inside]).tolist()):
            if other and voxels:
                overlaps.append(Overlap(structures[other - 1], structure, voxels * geometry.voxel_volume / 1000))
        labels[inside] = label
    return Segmentation(Volume(labels, geometry), tuple(structures)), tuple(overlaps)


def is_label_map(volume: Volume) -> bool:
    """Whether voxels are labels by their values: a few whole numbers from 0 on. A CT in HU has negative ones."""
    if volume.array.min() < -LABEL_TOLERANCE:
        return False
    values = np.unique(volume.array)
    return are_whole(values) and len(np.unique(np.rint(values))) <= _MOST_LABELS
