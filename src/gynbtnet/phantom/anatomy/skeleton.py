"""Bones of the female pelvis; the origin is midway between the centres of the femoral heads."""

from dataclasses import dataclass

import numpy as np

from gynbtnet.phantom.anatomy.patient import Patient
from gynbtnet.phantom.shapes.shape_operations import Clipped, Difference, Noisy, Union
from gynbtnet.phantom.shapes.shapes import Shape, Superellipsoid, Tube, orthonormal_frame
from gynbtnet.phantom.shapes.texture import Texture
from gynbtnet.runtime.array_types import FloatArray

SACRAL_CURVE = np.asarray(
    [(0, 34, 104), (0, 52, 84), (0, 68, 62), (0, 77, 38), (0, 76, 16), (0, 68, -2), (0, 58, -14)], float
)
"""Centres of S1 to S5 and the coccyx, (x, y, z) in mm."""

ILIAC_BLADE = ((0.486, -0.874, 0.0), (0.26, 0.06, 0.96))
"""Directions in the left iliac wing: from the posterior to the anterior spine, and up."""


@dataclass(frozen=True)
class SkeletonFrame:
    """Transformation from the average skeleton to a patient's; side 1 is left, -1 right."""

    patient: Patient
    side: float = 1.0

    def __call__(self, *points: tuple[float, float, float]) -> FloatArray:
        """Return the points (n, 3), or one point (3,), scaled and mirrored."""
        scaled = np.asarray(points, float) * self.patient.skeleton * np.asarray([self.side, 1.0, 1.0])
        transformed: FloatArray = scaled[0] if len(points) == 1 else scaled
        return transformed

    def axes(self, first: tuple[float, float, float], second: tuple[float, float, float]) -> FloatArray:
        """Return mirrored axes of a superellipsoid; the third axis has the same direction on both sides."""
        mirror = np.asarray([self.side, 1.0, 1.0])
        frame = orthonormal_frame(np.asarray(first) * mirror, np.asarray(second) * mirror)
        mirrored: FloatArray = frame * np.asarray([[1.0], [1.0], [self.side]])
        return mirrored


def bones(patient: Patient) -> dict[str, Shape]:
    """Return bones by TotalSegmentator's names, and ``disc``, which is not a bone."""
    shapes: dict[str, Shape] = {
        "disc": _disc(patient),
        "vertebrae_L5": _lumbar(patient, 0),
        "vertebrae_L4": _lumbar(patient, 1),
    }
    shapes["sacrum"] = Noisy(_sacrum(patient), Texture((*patient.identity, 101), 14.0), 0.8)
    for name, side in (("left", 1.0), ("right", -1.0)):
        at = SkeletonFrame(patient, side)
        shapes[f"femur_{name}"] = _femur(at)
        shapes[f"hip_{name}"] = Noisy(_hip(at), Texture((*patient.identity, 102), 16.0), 0.7)
    return shapes


def _femur(at: SkeletonFrame) -> Shape:
    return Union(
        [
            Superellipsoid(at((88, 0, 0)), (23.0, 23.0, 23.0)),
            Tube.through(at((88, 0, 0), (108, 6, -10), (122, 11, -22)), [15, 14, 16]),
            Superellipsoid(at((131, 16, -14)), (13.0, 16.0, 20.0)),
            Tube.through(
                at((124, 13, -28), (119, 12, -60), (112, 10, -110), (106, 8, -170)), [17, 15, 14, 14], step=14
            ),
            Superellipsoid(at((108, 22, -56)), (9.0, 9.0, 13.0)),
        ],
        blend=8.0,
    )


def _hip(at: SkeletonFrame) -> Shape:
    fan = Superellipsoid(at((87, 13, 77)), (71, 58, 5.5), axes=at.axes(*ILIAC_BLADE), exponent=2.6, bend=(0.0014, 0.0))
    crest = Tube.through(at((120, -50, 82), (130, -22, 112), (122, 20, 128), (94, 58, 120), (56, 80, 90)), 5.5, step=10)
    pillar = Tube.through(at((92, 4, 30), (84, 22, 46), (62, 56, 66), (50, 74, 78)), [17, 13, 12, 12], step=8)
    spine = Tube.through(at((121, -50, 80), (112, -42, 56), (98, -26, 30)), [7, 7, 11], step=8)
    socket = Difference(
        Superellipsoid(at((86, 1, 2)), (34.0, 33.0, 33.0)), Superellipsoid(at((88, 0, 0)), (25.5, 25.5, 25.5))
    )
    medial, lateral = at((40, -60, -30)), at((112, 60, 60))
    rim = Clipped(socket, np.minimum(medial, lateral), np.maximum(medial, lateral))
    ischium = Tube.through(at((78, 24, -8), (70, 34, -34), (62, 24, -66), (56, 10, -80)), [14, 13, 15, 11], step=7)
    upper_pubis = Tube.through(at((76, -20, 4), (48, -42, 0), (22, -56, -14), (10, -58, -24)), [10, 8, 8, 9], step=7)
    body = Superellipsoid(at((11, -57, -29)), (8.5, 8.0, 17.0))
    lower_pubis = Tube.through(at((11, -54, -42), (30, -30, -60), (50, 2, -80)), [7, 6, 8], step=8)
    return Union([fan, crest, pillar, spine, rim, ischium, upper_pubis, body, lower_pubis], blend=6.0)


def _sacrum(patient: Patient) -> Shape:
    at = SkeletonFrame(patient)
    curve = at(*map(tuple, SACRAL_CURVE))
    slopes = np.gradient(curve, axis=0)
    widths, depths, heights = (50, 44, 36, 29, 22, 11, 7), (17, 14, 11, 9, 8, 6, 5), (15, 15, 15, 14, 13, 10, 8)
    segments: list[Shape] = [
        Superellipsoid(
            centre,
            (width, depth, height),
            axes=np.stack([np.eye(3)[0], np.cross(slope, np.eye(3)[0]), slope]),
            exponent=2.6,
        )
        for centre, slope, width, depth, height in zip(
            curve, slopes / np.linalg.norm(slopes, axis=1)[:, None], widths, depths, heights, strict=True
        )
    ]
    segments.append(Tube.through(curve[:5] + at((0, 17, 4)), [5, 6, 6, 5, 4], step=8))
    solid = Union(segments, blend=7.0)
    holes: list[Shape] = [
        Tube(centre + np.asarray([(side * reach, -22.0, 6.0), (side * reach, 24.0, 10.0)]), np.asarray([3.0, 3.0]))
        for centre, next_centre, reach in zip((curve[:4] + curve[1:5]) / 2, curve[1:5], (19, 17, 15, 13), strict=True)
        for side in (-1, 1)
    ]
    canal = Tube.through(curve[:4] + at((0, 12, 3)), [7, 6, 4, 3], flat=1.5)
    return Difference(solid, Union([*holes, canal]))


def _lumbar(patient: Patient, above: int) -> Shape:
    at = SkeletonFrame(patient)
    y, z = (20, 136) if above == 0 else (10, 171)
    body = Superellipsoid(
        at((0, y, z)),
        (25.0, 17.0, 14.5),
        axes=orthonormal_frame((1, 0, 0), (0, 0.97, -0.25 + 0.2 * above)),
        exponent=3.0,
    )
    arch: list[Shape] = [body]
    for side in (-1.0, 1.0):
        lateral = SkeletonFrame(patient, side)
        arch.append(Tube.through(lateral((17, y + 14, z + 2), (19, y + 30, z - 2), (6, y + 42, z - 6)), [5, 7, 4]))
        arch.append(Tube.through(lateral((18, y + 24, z + 2), (42, y + 26, z + 3)), [5, 4]))
    arch.append(Tube.through(at((0, y + 44, z - 7), (0, y + 62, z - 13)), [5, 4]))
    return Union(arch, blend=4.0)


def _disc(patient: Patient) -> Shape:
    at = SkeletonFrame(patient)
    return Union(
        [
            Superellipsoid(at((0, 26, 119)), (24.0, 16.0, 6.5), axes=orthonormal_frame((1, 0, 0), (0, 0.9, -0.43))),
            Superellipsoid(at((0, 14, 154)), (24.0, 16.5, 6.0)),
            Superellipsoid(at((0, -57, -29)), (4.0, 8.0, 17.0)),
        ]
    )
