"""Muscles around the pelvis."""

import numpy as np

from gynbtnet.phantom.anatomy.patient import Patient
from gynbtnet.phantom.anatomy.skeleton import ILIAC_BLADE, SkeletonFrame
from gynbtnet.phantom.shapes.shape_operations import Noisy, Union
from gynbtnet.phantom.shapes.shapes import Shape, Superellipsoid, Tube
from gynbtnet.phantom.shapes.texture import Texture


def muscles(patient: Patient) -> dict[str, Shape]:
    """Return shapes by name; ``muscle_…`` are muscles that are not in TotalSegmentator's label list."""
    shapes: dict[str, Shape] = {}
    for name, side in (("left", 1.0), ("right", -1.0)):
        for muscle, shape in _muscles_of_a_side(SkeletonFrame(patient, side), patient.muscle).items():
            key = f"{muscle}_{name}"
            shapes[key] = Noisy(shape, Texture((*patient.identity, 202), 18.0), 1.0)
    return shapes


def _muscles_of_a_side(at: SkeletonFrame, thick: float) -> dict[str, Shape]:
    def tube(knots: list[tuple[float, float, float]], radii: list[float], flat: float = 1.0) -> Tube:
        return Tube.through(at(*knots), np.asarray(radii) * thick, step=12, flat=flat)

    return {
        "autochthon": tube([(26, 82, 40), (30, 84, 90), (32, 74, 140), (32, 66, 220)], [8, 17, 21, 22], flat=1.15),
        "gluteus_maximus": Superellipsoid(
            at((80, 78, 4)),
            (70, 88, 24 * thick),
            axes=at.axes((0.90, -0.42, -0.1), (0.28, 0.1, 0.95)),
            exponent=2.3,
            bend=(0.0028, 0.0008),
        ),
        "gluteus_medius": Superellipsoid(
            at((114, 12, 60)), (60, 64, 15 * thick), axes=at.axes(*ILIAC_BLADE), exponent=2.2, bend=(0.0016, 0.0006)
        ),
        "gluteus_minimus": Superellipsoid(
            at((108, -4, 42)), (40, 42, 9 * thick), axes=at.axes(*ILIAC_BLADE), bend=(0.0016, 0.0)
        ),
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
                Superellipsoid(
                    at((80, 4, 84)), (56, 44, 10 * thick), axes=at.axes(*ILIAC_BLADE), exponent=2.2, bend=(0.0016, 0.0)
                ),
            ],
            blend=8.0,
        ),
        "muscle_obturator_internus": Superellipsoid(
            at((58, 6, -10)), (10 * thick, 36, 32), axes=at.axes((0.94, 0.34, 0.0), (-0.34, 0.94, 0.0))
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
