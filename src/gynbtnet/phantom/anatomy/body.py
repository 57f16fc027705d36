"""Outline of the body, its muscular wall, and the couch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gynbtnet.phantom.anatomy.patient import Patient
from gynbtnet.phantom.shapes.grid_points import Bounds, GridPoints
from gynbtnet.phantom.shapes.shape_operations import Clipped, Difference, Noisy
from gynbtnet.phantom.shapes.shapes import TINY, Shape, Superellipsoid
from gynbtnet.phantom.shapes.texture import Texture
from gynbtnet.runtime.array_types import FloatArray

LEVELS = np.asarray([-200.0, -90.0, -60.0, -10.0, 40.0, 90.0, 140.0, 220.0])
HALF_WIDTH = np.asarray([150.0, 154.0, 156.0, 156.0, 150.0, 141.0, 130.0, 126.0])
FRONT = np.asarray([52.0, 64.0, 76.0, 84.0, 90.0, 92.0, 92.0, 92.0])
BACK = np.asarray([66.0, 88.0, 100.0, 108.0, 104.0, 94.0, 84.0, 80.0])
"""Outline of the muscles at LEVELS (z), in mm: half the width, and the depths in front of and behind y = 8."""


@dataclass(frozen=True)
class Trunk:
    """A body of superelliptic cross-section, with a layer (front, side, back) of ``fat`` around the muscles."""

    scale: tuple[float, float, float]
    fat: tuple[float, float, float]

    @cached_property
    def box(self) -> Bounds:
        """Lowest and highest corner."""
        low = (-HALF_WIDTH.max() - self.fat[1], 8 - FRONT.max() - self.fat[0], LEVELS[0])
        high = (HALF_WIDTH.max() + self.fat[1], 8 + BACK.max() + self.fat[2], LEVELS[-1])
        return np.asarray(low) * self.scale * 1.05, np.asarray(high) * self.scale * 1.05

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the distance in first order in each slice; the outline changes slowly from slice to slice."""
        x, y, z = points.open
        level = z / self.scale[2]
        width = np.interp(level, LEVELS, HALF_WIDTH) * self.scale[0] + self.fat[1]
        front = np.interp(level, LEVELS, FRONT) * self.scale[1] + self.fat[0]
        back = np.interp(level, LEVELS, BACK) * self.scale[1] + self.fat[2]
        y = y - 8 * self.scale[1]
        cleft = 1 - 0.11 * np.exp(-((x / 20) ** 2)) * np.clip((75 - level) / 60, 0.0, 1.0)
        depth = np.where(y < 0, front, back * cleft)
        power = 2.4
        u, v = np.abs(x) / width, np.abs(y) / depth
        un, vn = u ** (power - 1), v ** (power - 1)
        norm = (un * u + vn * v) ** (1 / power)
        slope = np.sqrt((un / width) ** 2 + (vn / depth) ** 2)
        distance: FloatArray = (norm - 1) * (norm ** (power - 1) + TINY) / (slope + TINY / 100)
        return distance


def skin(patient: Patient) -> Shape:
    """Return the whole body: trunk above, thighs below, with a cleft between them."""
    trunk = Trunk(patient.skeleton, patient.fat)
    return Noisy(_WithThighCleft(trunk, 20.0), Texture((*patient.identity, 201), 60.0), 2.0)


@dataclass(frozen=True)
class _WithThighCleft:
    """A trunk without the cleft between the thighs."""

    trunk: Trunk
    half_width: float

    @property
    def box(self) -> Bounds:
        return self.trunk.box

    def distance(self, points: GridPoints) -> FloatArray:
        x, y, z = points.open
        depth = np.maximum(-72 - z, 0.0)
        cleft = (0.25 * depth - np.abs(x)) / 1.03
        groin = (np.minimum(0.35 * depth, self.half_width) - np.sqrt(x * x + (y + 95) ** 2) * 0.3) / 1.06
        return np.maximum(self.trunk.distance(points), np.where(depth > 0, np.maximum(cleft, groin), -12.0))


def couch(patient: Patient) -> Shape:
    """Return the shell of the scanner's curved table top, under the patient's back."""
    top = (8 + BACK.max()) * patient.skeleton[1] + patient.fat[2] + 1
    curve = 420.0
    board = Difference(
        Superellipsoid((0, top - curve, 0), (curve + 34, curve + 34, 1e5)),
        Superellipsoid((0, top - curve, 0), (curve, curve, 1e5)),
    )
    return Clipped(board, (-215, top - 70, LEVELS[0] - 300), (215, top + 40, LEVELS[-1] + 300))


@dataclass(frozen=True)
class AbdominalWall:
    """Muscular layer under the fat, in front and at the sides; it becomes thinner below the iliac crests."""

    outer: Trunk

    @property
    def box(self) -> Bounds:
        """Lowest and highest corner."""
        low, high = self.outer.box
        return np.asarray((low[0], low[1], 38.0)), high

    def distance(self, points: GridPoints) -> FloatArray:
        """Return the distance from the layer's middle minus half the local thickness."""
        _, y, z = points.open
        edge = np.interp(z, [60.0, 150.0], [-45.0, 60.0])  # from the groin along the crest to the flank
        half = 6.0 * np.clip((z - 38) / 45, 0.0, 1.0) * np.clip((edge - y) / 30, 0.0, 1.0)
        distance: FloatArray = np.abs(self.outer.distance(points) + half) - half + 1.0
        return distance


def abdominal_wall(patient: Patient) -> Shape:
    """Return the oblique and transverse muscles as one layer."""
    return AbdominalWall(Trunk(patient.skeleton, (-2.0, -2.0, -2.0)))
