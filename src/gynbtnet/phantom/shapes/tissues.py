"""Tissues: HU as a function of the depth below a shape's surface and of the position."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gynbtnet.phantom.shapes.grid_points import GridPoints
from gynbtnet.phantom.shapes.texture import Texture
from gynbtnet.runtime.array_types import FloatArray

ROOM_AIR = -1000.0
FAT = -104.0
MUSCLE = 54.0
VISCERAL_WALL = 37.0
URINE = 5.0
BLOOD = 42.0
GAS = -880.0


class Tissue(Protocol):
    """HU at every point of a shape."""

    def __call__(self, distance: FloatArray, points: GridPoints, voxel: float) -> FloatArray | float:
        """Return HU that broadcast to ``distance``, signed (z, y, x) in mm; ``voxel`` is the voxel size in mm."""


def share_inside(distance: FloatArray, voxel: float) -> FloatArray:
    """Return the partial volume: the share of a voxel of ``voxel`` mm inside a surface at a signed distance."""
    return np.clip(0.5 - distance / voxel, 0.0, 1.0)


@dataclass(frozen=True)
class Uniform:
    """A constant HU."""

    hu: float

    def __call__(self, distance: FloatArray, points: GridPoints, voxel: float) -> float:
        """Return the constant."""
        return self.hu


@dataclass(frozen=True)
class Mottled:
    """A mean with a smooth random field of ``spread`` HU."""

    hu: float
    spread: float
    texture: Texture

    def __call__(self, distance: FloatArray, points: GridPoints, voxel: float) -> FloatArray:
        """Return the mean plus the field."""
        return self.hu + self.spread * self.texture(points)


@dataclass(frozen=True)
class Bone:
    """Dense cortex of ``cortex`` mm around marrow and trabeculae."""

    cortex: float
    density: float
    texture: Texture

    def __call__(self, distance: FloatArray, points: GridPoints, voxel: float) -> FloatArray:
        """Return marrow inside the cortex."""
        marrow = self.density * (250 + 65 * self.texture(points))
        shell = np.clip(1.5 + distance / self.cortex, 0.0, 1.0)
        return marrow + shell * (self.density * 780 - marrow)


@dataclass(frozen=True)
class Hollow:
    """A wall of ``wall`` mm around the ``content``."""

    wall: float
    wall_hu: float
    content: Tissue

    def __call__(self, distance: FloatArray, points: GridPoints, voxel: float) -> FloatArray:
        """Return the content inside the wall."""
        inside = share_inside(distance + self.wall, voxel)
        return self.wall_hu + inside * (self.content(distance, points, voxel) - self.wall_hu)


@dataclass(frozen=True)
class Speckled:
    """A mean with gas bubbles at the maxima of a fine field: stool, or gauze full of air."""

    hu: float
    spread: float
    bubbles: float
    gas: float
    texture: Texture

    def __call__(self, distance: FloatArray, points: GridPoints, voxel: float) -> FloatArray:
        """Return the mean, and gas at the maxima of the field."""
        field = self.texture(points)
        share = np.clip(2.0 * (field - self.bubbles), 0.0, 1.0)
        return self.hu - self.spread * field + share * (self.gas - self.hu)
