"""Masks of structures that may overlap, alone or together with a label map."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import Any

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime.array_types import Box, Mask

MOST_STRUCTURES = 64
"""Largest number of structures: one bit per structure in each voxel."""


def bits_type(structures: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type of integer with a bit for each structure."""
    small_types = (np.uint8, np.uint16, np.uint32)
    return next((dtype for dtype in small_types if structures <= np.iinfo(dtype).bits), np.uint64)


@dataclass(frozen=True, eq=False)
class StructureMasks:
    """Masks of structures on one grid, in one volume of bits; they may overlap.

    Attributes:
        bits: unsigned integers (z, y, x); bit i of a voxel is set if structures[i] covers it.
        structures: names of the structures, at most ``MOST_STRUCTURES``.

    Raises:
        ValueError: If there are too many structures, or a voxel has a bit that belongs to none.
    """

    bits: Volume
    structures: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.structures) > MOST_STRUCTURES:
            raise ValueError(f"{len(self.structures)} structures do not fit into {MOST_STRUCTURES} bits")
        if int(self.bits.array.max(initial=0)).bit_length() > len(self.structures):
            raise ValueError(f"a voxel has a bit beyond those of the {len(self.structures)} structures")

    @classmethod
    def of(cls, masks: Mapping[str, Mask], geometry: Geometry) -> "StructureMasks":
        """Return masks packed into bits.

        Args:
            masks: masks (z, y, x) by structure.
            geometry: grid of the masks.

        Raises:
            ValueError: If there are more than ``MOST_STRUCTURES``.
        """
        kind = bits_type(len(masks))
        bits = np.zeros(geometry.shape, kind)
        for number, mask in enumerate(masks.values()):
            bits[mask] |= kind(1 << min(number, MOST_STRUCTURES - 1))
        return cls(Volume(bits, geometry), tuple(masks))

    def mask(self, structure: str, box: Box | EllipsisType = ...) -> Mask:
        """Return the voxels of one structure (z, y, x), in a box or on the whole grid."""
        bits = self.bits.array[box]
        mask: Mask = bits & bits.dtype.type(1 << self.structures.index(structure)) != 0
        return mask

    def selected(self, structures: Sequence[str]) -> "StructureMasks | None":
        """Return the masks of those structures that are among ``structures``; None if there are none."""
        masks = {name: self.mask(name) for name in self.structures if name in structures}
        return StructureMasks.of(masks, self.bits.geometry) if masks else None


@dataclass(frozen=True)
class OverlappingSegmentation(Segmentation):
    """A label map together with the full masks of structures that others partly cover.

    Masks, boxes and volumes are those of the drawn structures. ``labels`` gives every voxel to one structure.

    Attributes:
        own: masks of the structures that lose voxels in ``labels``.
    """

    own: StructureMasks

    def mask(self, structure: str, box: Box | EllipsisType = ...) -> Mask:
        """Return the voxels of one structure as it was drawn; see :meth:`Segmentation.mask`."""
        return self.own.mask(structure, box) if structure in self.own.structures else super().mask(structure, box)

    def covered(self) -> Mask:
        """Return the voxels of any structure (z, y, x); see :meth:`Segmentation.covered`."""
        covered: Mask = super().covered() | (self.own.bits.array != 0)
        return covered

    def mapped(self, change: Callable[[Volume], Volume]) -> "OverlappingSegmentation":
        """Return the same structures after a change of both label map and masks; see :meth:`Segmentation.mapped`."""
        return replace(self, labels=change(self.labels), own=replace(self.own, bits=change(self.own.bits)))

    def boxes(self) -> dict[str, Box | None]:
        """Return the smallest box around each structure's mask; see :meth:`Segmentation.boxes`."""
        return super().boxes() | {name: bounding_box(self.own.mask(name)) for name in self.own.structures}

    def volumes_cm3(self) -> dict[str, float]:
        """Return the volume of each structure's mask in cm³; see :meth:`Segmentation.volumes_cm3`."""
        return super().volumes_cm3() | {name: self.volume_cm3(name) for name in self.own.structures}

    def relabelled(self, structures: Sequence[str]) -> Segmentation:
        """Return the segmentation with other labels, with the masks of the kept structures.

        See :meth:`Segmentation.relabelled`.
        """
        own, relabelled = self.own.selected(structures), super().relabelled(structures)
        return OverlappingSegmentation(relabelled.labels, relabelled.structures, own) if own else relabelled
