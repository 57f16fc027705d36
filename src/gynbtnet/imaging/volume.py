"""Scans and label maps in memory: voxels and their grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.mask_measures import centroid
from gynbtnet.runtime.array_types import Box, FloatArray, Mask

AIR = -1024
"""HU outside a scanner's field of view; lower values, which would be thinner than air, are set to it."""


@dataclass(frozen=True)
class Volume:
    """An array in (z, y, x) and its geometry. CT values are HU; label maps are unsigned integers.

    Attributes:
        array: voxels (z, y, x).
        geometry: grid of the voxels.

    Raises:
        ValueError: If array and grid differ in shape.
    """

    array: npt.NDArray[Any]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise ValueError(f"an array of shape {self.array.shape} does not fit a grid of shape {self.geometry.shape}")

    def cropped(self, box: Box) -> "Volume":
        """Return the voxels in a box, as a view; they keep their positions in the patient.

        Args:
            box: one slice per axis (z, y, x), without steps.

        Raises:
            ValueError: If the box is empty or has steps.

        Example:
            >>> import numpy as np
            >>> volume = Volume(np.zeros((20, 64, 64)), Geometry((20, 64, 64), spacing=(3.0, 1.0, 1.0)))
            >>> part = volume.cropped((slice(5, 10), slice(0, 32), slice(0, 32)))
            >>> part.array.shape, part.geometry.origin
            ((5, 32, 32), (0.0, 0.0, 15.0))
        """
        return Volume(self.array[box], self.geometry.cropped(box))


@dataclass(frozen=True)
class Segmentation:
    """Structures on a scan's grid, as one label map: voxels of ``structures[i]`` hold i + 1, background holds 0.

    Attributes:
        labels: the label map (z, y, x).
        structures: names of the structures, in the order of their labels.

    Raises:
        ValueError: If a voxel holds a label that no structure has.
    """

    labels: Volume
    structures: tuple[str, ...]

    def __post_init__(self) -> None:
        highest = int(self.labels.array.max(initial=0))
        lowest = 0 if self.labels.array.dtype.kind in "ub" else int(self.labels.array.min(initial=0))
        if highest > len(self.structures) or lowest < 0:
            wrong = lowest if lowest < 0 else highest
            raise ValueError(f"label {wrong} has no name among {len(self.structures)} structures")

    def label_of(self, structure: str) -> int:
        """Return the label of a structure.

        Raises:
            ValueError: If the segmentation has no such structure.
        """
        if structure not in self.structures:
            raise ValueError(f"there is no structure {structure}, only {', '.join(self.structures)}")
        return self.structures.index(structure) + 1

    def mask(self, structure: str, box: Box | EllipsisType = ...) -> Mask:
        """Return the voxels of one structure (z, y, x).

        Args:
            structure: name of the structure.
            box: part of the grid, one slice per axis; by default the whole grid.

        Raises:
            ValueError: If the segmentation has no such structure.

        Example:
            >>> import numpy as np
            >>> labels = Volume(np.array([[[0, 1, 1, 2]]], np.uint8), Geometry((1, 1, 4)))
            >>> Segmentation(labels, ("bladder", "rectum")).mask("bladder").tolist()
            [[[False, True, True, False]]]
        """
        mask: Mask = self.labels.array[box] == self.label_of(structure)
        return mask

    def covered(self) -> Mask:
        """Return the voxels of any structure (z, y, x)."""
        covered: Mask = self.labels.array > 0
        return covered

    def box(self, structure: str) -> Box | None:
        """Return the smallest box around one structure (z, y, x); None if it has no voxels."""
        return self.boxes()[structure]

    def boxes(self) -> dict[str, Box | None]:
        """Return the smallest box around each structure (z, y, x), by name, in one pass; None without voxels."""
        boxes = ndimage.find_objects(self.labels.array, max_label=len(self.structures))
        return dict(zip(self.structures, boxes, strict=True))

    def centroid_mm(self, structure: str) -> FloatArray | None:
        """Return the mean position of a structure's voxels, (x, y, z) in mm; None if it has no voxels."""
        mask = self.mask(structure)
        return self.labels.geometry.to_world(centroid(mask)) if mask.any() else None

    def volume_cm3(self, structure: str) -> float:
        """Return the volume of one structure in cm³."""
        return float(self.mask(structure).sum()) * self.labels.geometry.voxel_volume / 1000

    def volumes_cm3(self) -> dict[str, float]:
        """Return the volume of each structure in cm³, by name, in one pass.

        Example:
            >>> import numpy as np
            >>> labels = Volume(np.array([[[0, 1, 1, 2]]], np.uint8), Geometry((1, 1, 4), spacing=(10.0, 10.0, 10.0)))
            >>> Segmentation(labels, ("bladder", "rectum")).volumes_cm3()
            {'bladder': 2.0, 'rectum': 1.0}
        """
        voxels = np.bincount(self.labels.array.ravel(), minlength=len(self.structures) + 1)[1:]
        volumes = voxels * self.labels.geometry.voxel_volume / 1000
        return dict(zip(self.structures, volumes.tolist(), strict=True))

    def mapped(self, change: Callable[[Volume], Volume]) -> "Segmentation":
        """Return the same structures after a change that only moves, reorients or omits voxels.

        Args:
            change: returns the changed label map.
        """
        return replace(self, labels=change(self.labels))

    def cropped(self, box: Box) -> "Segmentation":
        """Return the structures in a part of the grid; see :meth:`Volume.cropped`."""
        return self.mapped(lambda volume: volume.cropped(box))

    def relabelled(self, structures: Sequence[str]) -> "Segmentation":
        """Return the segmentation with the labels 1, 2, … in the order of ``structures``.

        Args:
            structures: names in their new order. Structures that are omitted become background; new ones are empty.
        """
        if tuple(structures) == self.structures:
            return self
        labels = {name: label for label, name in enumerate(structures, start=1)}
        table = np.array([0, *(labels.get(name, 0) for name in self.structures)], label_type(len(structures)))
        return Segmentation(replace(self.labels, array=table[self.labels.array]), tuple(structures))


def label_type(structures: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest of uint8 and uint16 that holds the labels of so many structures."""
    return np.uint8 if structures < 256 else np.uint16
