"""The outline of the body, and the soft tissue that is no pelvic organ: muscles, vessels, cartilage-free walls."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gynbtnet.phantom.anatomy import Patient
from gynbtnet.phantom.points import Box, Floats, Points
from gynbtnet.phantom.shapes import Blob, Rough, Shape, Tube, Union
from gynbtnet.phantom.skeleton import Placed
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
        depth = np.where(y < 0, front, back)
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


def abdominal_wall(patient: Patient) -> tuple[Shape, Shape]:
    """Outer and inner surface of the muscular wall."""
    return Trunk(patient.skeleton, (-2.0, -2.0, -2.0)), Trunk(patient.skeleton, (-11.0, -12.0, -14.0))


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

    blade = ((0.58, -0.81, 0.0), (0.26, 0.06, 0.96))
    return {
        "autochthon": tube([(26, 82, 40), (30, 84, 90), (32, 74, 140), (32, 66, 220)], [8, 17, 21, 22], flat=1.15),
        "gluteus_maximus": Blob(
            at((80, 80, 6)),
            (68, 84, 20 * thick),
            axes=at.turn((0.90, -0.42, -0.1), (0.28, 0.1, 0.95)),
            exponent=2.3,
            bend=(0.0028, 0.0008),
        ),
        "gluteus_medius": Blob(
            at((126, 12, 62)), (58, 62, 14 * thick), axes=at.turn(*blade), exponent=2.2, bend=(-0.0018, -0.002)
        ),
        "gluteus_minimus": Blob(at((118, -6, 40)), (36, 40, 8 * thick), axes=at.turn(*blade), bend=(-0.002, -0.002)),
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
                Blob(at((88, 2, 84)), (56, 46, 9 * thick), axes=at.turn(*blade), exponent=2.2, bend=(-0.0018, 0.0)),
            ],
            blend=8.0,
        ),
        "muscle_obturator_internus": Blob(
            at((62, 8, -12)), (8 * thick, 32, 28), axes=at.turn((0.94, 0.34, 0.0), (-0.34, 0.94, 0.0))
        ),
        "muscle_obturator_externus": tube([(32, -34, -40), (70, -10, -46), (110, 14, -30)], [13, 13, 6]),
        "muscle_piriformis": tube([(28, 66, 52), (66, 56, 30), (122, 22, 8)], [8, 12, 6]),
        "muscle_puborectalis": tube([(13, -42, -40), (20, 0, -48), (20, 36, -52), (0, 56, -50)], [4.5, 4, 4.5, 5]),
        "muscle_levator": tube([(52, 26, -6), (36, 38, -24), (18, 48, -42)], [4, 4, 5]),
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
        "muscle_quadratus_femoris": tube([(68, 26, -52), (116, 26, -44)], [11, 9]),
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
