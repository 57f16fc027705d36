"""A scan in memory: voxels and where they lie."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.runtime.array_types import Box

"""A part of a grid, by slices along z, y and x."""

AIR = -1024
"""HU of whatever lies outside a scanner's field of view, and of everything that claims to be thinner than air."""


@dataclass(frozen=True)
class Volume:
    """An array in (z, y, x) and its geometry. CT values are HU; label maps are unsigned integers."""

    array: npt.NDArray[Any]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise ValueError(
                f"an array of shape {self.array.shape} does not lie on a grid of shape {self.geometry.shape}"
            )


@dataclass(frozen=True)
class Segmentation:
    """Structures on a scan's grid, as one label map: voxels of ``structures[i]`` hold i + 1, background holds 0.

    Raises:
        ValueError: where a voxel holds a label that no structure has.
    """

    labels: Volume
    structures: tuple[str, ...]

    def __post_init__(self) -> None:
        highest = int(self.labels.array.max(initial=0))
        if highest > len(self.structures):
            raise ValueError(f"label {highest} has no name among {len(self.structures)} structures")

    def mask(self, structure: str, box: Box | EllipsisType = ...) -> npt.NDArray[np.bool_]:
        """The voxels of one structure (z, y, x), in a part of the grid or all of it."""
        found: npt.NDArray[np.bool_] = self.labels.array[box] == self.structures.index(structure) + 1
        return found

    def mapped(self, change: Callable[[Volume], Volume]) -> "Segmentation":
        """The same structures after a change that only moves, turns or leaves out voxels."""
        return replace(self, labels=change(self.labels))

    def volume_cm3(self, structure: str) -> float:
        """Volume of one structure in cm³."""
        return float(self.mask(structure).sum()) * self.labels.geometry.voxel_volume / 1000
