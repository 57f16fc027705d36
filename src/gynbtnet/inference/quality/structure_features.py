"""Features of predicted structures that need no reference contours: volume, components, edge contact."""

from dataclasses import dataclass

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.inference.quality.connected_components import connected_components
from gynbtnet.runtime.array_types import Box

_SIDES = (("right", "left"), ("anterior", "posterior"), ("inferior", "superior"))  # low and high end of LPS x, y, z


@dataclass(frozen=True)
class StructureFeatures:
    """Features of one structure in one scan.

    Attributes:
        structure: identifier of the structure.
        volume_cm3: volume; 0 if the structure is empty.
        components: number of connected components (6-connectivity).
        largest_share: share of the voxels in the largest component; 1 if the structure is empty.
        edges: sides of the patient, such as "inferior", on which the structure reaches the scan's outermost layer.
    """

    structure: str
    volume_cm3: float
    components: int
    largest_share: float
    edges: tuple[str, ...]


def structure_features(segmentation: Segmentation) -> tuple[StructureFeatures, ...]:
    """Return the features of every structure, in label order.

    Args:
        segmentation: structures on a grid.

    Returns:
        Features of each structure, also of empty ones.
    """
    geometry = segmentation.labels.geometry
    features = []
    for structure, components in connected_components(segmentation).items():
        voxels = int(components.voxels.sum())
        features.append(
            StructureFeatures(
                structure=structure,
                volume_cm3=voxels * geometry.voxel_volume / 1000,
                components=len(components.voxels),
                largest_share=float(components.voxels.max()) / voxels if voxels else 1.0,
                edges=_touched_edges(components.box, geometry) if components.box else (),
            )
        )
    return tuple(features)


def _touched_edges(box: Box, geometry: Geometry) -> tuple[str, ...]:
    """Return the sides of the patient on which a box ends at the scan's edge."""
    cosines = np.asarray(geometry.direction).reshape(3, 3)
    sides = []
    for axis, (extent, length) in enumerate(zip(box, geometry.shape, strict=True)):
        towards = cosines[:, 2 - axis]  # the columns are x, y, z
        nearest = int(np.abs(towards).argmax())
        low, high = _SIDES[nearest] if towards[nearest] > 0 else _SIDES[nearest][::-1]
        sides += [low] * (extent.start == 0) + [high] * (extent.stop == length)
    return tuple(sides)
