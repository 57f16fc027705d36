"""What can be counted on a structure's contours without the truth."""

from dataclasses import dataclass

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.inference.quality.connected_components import connected_components
from gynbtnet.runtime.array_types import Box

_SIDES = (("right", "left"), ("anterior", "posterior"), ("inferior", "superior"))  # low and high end of LPS x, y, z


@dataclass(frozen=True)
class StructureFeatures:
    """Of one structure on one scan.

    Attributes:
        structure: its id.
        volume_cm3: 0 where it wasn't drawn.
        pieces: how many, by faces.
        main_share: of its voxels, those in the largest piece; 1 where there is none.
        edges: sides of the patient, such as "inferior", on which it has voxels in the scan's outermost layer.
    """

    structure: str
    volume_cm3: float
    pieces: int
    main_share: float
    edges: tuple[str, ...]


def structure_features(segmentation: Segmentation) -> tuple[StructureFeatures, ...]:
    """Of every structure, in order."""
    geometry = segmentation.labels.geometry
    found = []
    for structure, pieces in connected_components(segmentation).items():
        voxels = int(pieces.voxels.sum())
        found.append(
            StructureFeatures(
                structure=structure,
                volume_cm3=voxels * geometry.voxel_volume / 1000,
                pieces=len(pieces.voxels),
                main_share=float(pieces.voxels.max()) / voxels if voxels else 1.0,
                edges=_edges(pieces.box, geometry) if pieces.box else (),
            )
        )
    return tuple(found)


def _edges(box: Box, geometry: Geometry) -> tuple[str, ...]:
    """The sides of the patient on which a box ends where the scan does."""
    cosines = np.asarray(geometry.direction).reshape(3, 3)
    sides = []
    for axis, (side, length) in enumerate(zip(box, geometry.shape, strict=True)):
        towards = cosines[:, 2 - axis]  # columns stand for x, y, z
        nearest = int(np.abs(towards).argmax())
        low, high = _SIDES[nearest] if towards[nearest] > 0 else _SIDES[nearest][::-1]
        sides += [low] * (side.start == 0) + [high] * (side.stop == length)
    return tuple(sides)
