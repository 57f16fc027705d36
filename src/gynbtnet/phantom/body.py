"""The outline of the body, and the soft tissue that is no pelvic organ: muscles, vessels, cartilage-free walls."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gynbtnet.phantom.anatomy import Patient
from gynbtnet.phantom.points import Box, Floats, Points
from gynbtnet.phantom.shapes import Between, Blob, Rough, Shape, Tube, Union, Without
from gynbtnet.phantom.skeleton import ILIAC_BLADE, Placed
from gynbtnet.phantom.texture import Texture

LEVELS = np.asarray([-200.0, -90.0, -60.0, -10.0, 40.0, 90.0, 140.0, 220.0])
HALF_WIDTH = np.asarray([150.0, 154.0, 156.0, 156.0, 150.0, 141.0, 130.0, 126.0])
FRONT = np.asarray([52.0, 64.0, 76.0, 84.0, 90.0, 92.0, 92.0, 92.0])
BACK = np.asarray([66.0, 88.0, 100.0, 108.0, 104.0, 94.0, 84.0, 80.0])
"""Outline of the muscles at LEVELS (z): half the width, depth before and behind y = 8, in mm."""


@dataclass(frozen=True)
class Trunk:
    """A body of superelliptic cross-section, with a layer (front, side, back) of ``fat`` around the muscles."""

    scale: tuple[float, float, float]
    fat: tuple[float, float, float]

    @cached_property
    def box(self) -> Box:
        """Lowest and highest corner."""
        low = (-HALF_WIDTH.max() - self.fat[1], 8 - FRONT.max() - self.fat[0], LEVELS[0])
        high = (HALF_WIDTH.max() + self.fat[1], 8 + BACK.max() + self.fat[2], LEVELS[-1])
        return np.asarray(low) * self.scale * 1.05, np.asarray(high) * self.scale * 1.05

    def distance(self, points: Points) -> Floats:
        """First order within each slice; the outline changes slowly from slice to slice."""
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
        found: Floats = (norm - 1) * norm ** (power - 1) / np.maximum(slope, 1e-9)
        return found


def skin(patient: Patient) -> Shape:
    """The whole body: trunk above, thighs below, a cleft between them."""
    trunk = Trunk(patient.skeleton, patient.fat)
    return Rough(_Legged(trunk, 20.0), Texture((*patient.identity, 201), 60.0), 2.0)


@dataclass(frozen=True)
class _Legged:
    """A trunk with the cleft between the thighs taken out from below."""

    trunk: Trunk
    half_width: float

    @property
    def box(self) -> Box:
        return self.trunk.box

    def distance(self, points: Points) -> Floats:
        x, y, z = points.open
        depth = np.maximum(-72 - z, 0.0)
        cleft = (0.25 * depth - np.abs(x)) / 1.03
        groin = (np.minimum(0.35 * depth, self.half_width) - np.sqrt(x * x + (y + 95) ** 2) * 0.3) / 1.06
        return np.maximum(self.trunk.distance(points), np.where(depth > 0, np.maximum(cleft, groin), -12.0))


def couch(patient: Patient) -> Shape:
    """The shell of the scanner's curved table top, under the patient's back."""
    top = (8 + BACK.max()) * patient.skeleton[1] + patient.fat[2] + 1
    curve = 420.0
    board = Without(
        Blob((0, top - curve, 0), (curve + 34, curve + 34, 1e5)), Blob((0, top - curve, 0), (curve, curve, 1e5))
    )
    return Between(board, (-215, top - 70, LEVELS[0] - 300), (215, top + 40, LEVELS[-1] + 300))


@dataclass(frozen=True)
class AbdominalWall:
    """The muscular layer under the fat in front and at the sides; it thins out below the iliac crests."""

    outer: Trunk

    @property
    def box(self) -> Box:
        """Lowest and highest corner."""
        low, high = self.outer.box
        return np.asarray((low[0], low[1], 38.0)), high

    def distance(self, points: Points) -> Floats:
        """Half the local thickness less the distance from the layer's middle."""
        _, y, z = points.open
        edge = np.interp(z, [60.0, 150.0], [-45.0, 60.0])  # from the groin along the crest to the flank
        half = 6.0 * np.clip((z - 38) / 45, 0.0, 1.0) * np.clip((edge - y) / 30, 0.0, 1.0)
        found: Floats = np.abs(self.outer.distance(points) + half) - half + 1.0
        return found


def abdominal_wall(patient: Patient) -> Shape:
    """Oblique and transverse muscles as one layer."""
    return AbdominalWall(Trunk(patient.skeleton, (-2.0, -2.0, -2.0)))


def muscles(patient: Patient) -> dict[str, Shape]:
    """Shapes by TotalSegmentator's name where it has one; the rest as ``muscle_…``, no organ of its label list."""
    found: dict[str, Shape] = {}
    for name, side in (("left", 1.0), ("right", -1.0)):
        for muscle, shape in _muscles_of_a_side(Placed(patient, side), patient.muscle).items():
            key = f"{muscle}_{name}"
            found[key] = Rough(shape, Texture((*patient.identity, 202), 18.0), 1.0)
    return found


def _muscles_of_a_side(at: Placed, thick: float) -> dict[str, Shape]:
    def tube(knots: list[tuple[float, float, float]], radii: list[float], flat: float = 1.0) -> Tube:
        return Tube.through(at(*knots), np.asarray(radii) * thick, step=12, flat=flat)

    return {
        "autochthon": tube([(26, 82, 40), (30, 84, 90), (32, 74, 140), (32, 66, 220)], [8, 17, 21, 22], flat=1.15),
        "gluteus_maximus": Blob(
            at((80, 78, 4)),
            (70, 88, 24 * thick),
            axes=at.turn((0.90, -0.42, -0.1), (0.28, 0.1, 0.95)),
            exponent=2.3,
            bend=(0.0028, 0.0008),
        ),
        "gluteus_medius": Blob(
            at((114, 12, 60)), (60, 64, 15 * thick), axes=at.turn(*ILIAC_BLADE), exponent=2.2, bend=(0.0016, 0.0006)
        ),
        "gluteus_minimus": Blob(at((108, -4, 42)), (40, 42, 9 * thick), axes=at.turn(*ILIAC_BLADE), bend=(0.0016, 0.0)),
        "iliopsoas": Union(
            [
                tube(
                    [
                        (40, 18, 200),
                        (44, 20, 150),
                        (54, 10, 105),
                        (72, -14, 60),
                        (86, -38, 18),
                        (94, -34, -20),
                        (104, 6, -54),
                    ],
                    [17, 19, 18, 17, 16, 14, 8],
                ),
                Blob(
                    at((80, 4, 84)), (56, 44, 10 * thick), axes=at.turn(*ILIAC_BLADE), exponent=2.2, bend=(0.0016, 0.0)
                ),
            ],
            blend=8.0,
        ),
        "muscle_obturator_internus": Blob(
            at((58, 6, -10)), (10 * thick, 36, 32), axes=at.turn((0.94, 0.34, 0.0), (-0.34, 0.94, 0.0))
        ),
        "muscle_obturator_externus": tube([(32, -36, -42), (70, -10, -48), (112, 14, -32)], [15, 15, 7]),
        "muscle_piriformis": tube([(28, 66, 52), (66, 56, 30), (122, 22, 8)], [8, 12, 6]),
        "muscle_puborectalis": tube([(13, -42, -40), (20, 0, -48), (20, 36, -52), (0, 56, -50)], [4.5, 4, 4.5, 5]),
        "muscle_levator": tube([(50, 24, -8), (34, 36, -26), (19, 44, -44)], [5, 5, 6]),
        "muscle_rectus_abdominis": tube(
            [(14, -66, -8), (34, -76, 50), (38, -78, 120), (38, -78, 220)], [4, 6.5, 6.5, 6.5], flat=4.0
        ),
        "muscle_rectus_femoris": tube(
            [(112, -50, 52), (116, -58, 0), (114, -58, -60), (110, -56, -180)], [6, 13, 18, 20]
        ),
        "muscle_tensor": tube([(128, -48, 70), (140, -40, 10), (142, -30, -60), (140, -20, -180)], [6, 14, 12, 9]),
        "muscle_sartorius": tube(
            [(120, -58, 70), (104, -70, 0), (84, -74, -70), (66, -66, -180)], [6, 9, 10, 11], flat=1.3
        ),
        "muscle_vastus": Union(
            [
                tube([(138, 6, -40), (132, -16, -100), (128, -20, -190)], [16, 26, 30]),
                tube([(110, -26, -60), (106, -30, -180)], [12, 24]),
            ],
            6.0,
        ),
        "muscle_pectineus": tube([(36, -58, -4), (66, -46, -40), (104, -8, -80)], [9, 15, 8]),
        "muscle_adductors": Union(
            [
                tube([(18, -54, -44), (56, -30, -90), (76, -14, -190)], [9, 22, 30]),
                tube([(40, 0, -84), (66, 16, -130), (78, 20, -190)], [11, 24, 28]),
            ],
            5.0,
        ),
        "muscle_hamstrings": tube([(62, 38, -68), (78, 52, -110), (84, 56, -190)], [9, 19, 24]),
        "muscle_quadratus_femoris": tube([(66, 26, -56), (118, 28, -44)], [14, 12]),
    }


def vessels(patient: Patient) -> dict[str, Shape]:
    """Iliac arteries and veins by TotalSegmentator's name, and what they continue as."""
    found: dict[str, Shape] = {}
    for name, side in (("left", 1.0), ("right", -1.0)):
        at = Placed(patient, side)
        artery = [(4, -8, 172), (14, -4, 146), (30, 0, 118), (44, -8, 90), (58, -32, 56), (72, -58, 20)]
        vein = [(side * -6 + 2, 0, 168), (14, 4, 142), (30, 12, 112), (42, 6, 84), (50, -20, 54), (60, -52, 18)]
        found[f"iliac_vena_{name}"] = Union(
            [
                Tube.through(at(*vein), 6.5, step=9),
                Tube.through(at((34, 14, 108), (46, 40, 82), (50, 52, 50)), [5, 5, 3]),
            ],
            blend=2.0,
        )
        found[f"iliac_artery_{name}"] = Union(
            [
                Tube.through(at(*artery), 5.0, step=9),
                Tube.through(at((36, -2, 106), (50, 28, 84), (56, 42, 46)), [4.5, 4, 3]),
            ],
            blend=2.0,
        )
        found[f"femoral_vein_{name}"] = Tube.through(
            at(vein[-1], (64, -62, -20), (70, -52, -80), (78, -40, -180)), 6.0, step=12
        )
        found[f"femoral_artery_{name}"] = Tube.through(
            at(artery[-1], (76, -68, -20), (80, -60, -80), (84, -48, -180)), 4.5, step=12
        )
    return found
