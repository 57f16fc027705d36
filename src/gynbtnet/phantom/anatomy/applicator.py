"""Tandem with two ovoids or a ring, the packing around them, and the Foley catheter."""

from dataclasses import dataclass

import numpy as np

from gynbtnet.phantom.anatomy.patient import Fraction, Patient
from gynbtnet.phantom.anatomy.pelvic_organs import UterineAxis, bladder_neck, vaginal_course
from gynbtnet.phantom.shapes.shape_operations import Noisy, Union
from gynbtnet.phantom.shapes.shapes import Shape, Superellipsoid, Tube
from gynbtnet.phantom.shapes.texture import Texture
from gynbtnet.runtime.array_types import FloatArray


@dataclass(frozen=True)
class ApplicatorGeometry:
    """An implanted intracavitary applicator.

    Attributes:
        tandem: Tube in the uterus, with an outside diameter of 6 mm.
        flange: Stop at the external os.
        ovoids: Caps in the left and right fornix: two ovoids, or the halves of a ring.
        channels: Tubes to and through the ovoids or the ring.
        packing: Gauze around them.
        tandem_dwells: Source positions in the tandem, (n, 3) in mm, from the tip down.
        ovoid_dwells: Source positions in both ovoids or in the ring, (m, 3) in mm.
    """

    tandem: Tube
    flange: Shape
    ovoids: tuple[Shape, Shape]
    channels: tuple[Tube, Tube]
    packing: Shape
    tandem_dwells: FloatArray
    ovoid_dwells: FloatArray

    @property
    def metal(self) -> tuple[Tube, ...]:
        """Parts that cause streaks."""
        return self.tandem, *self.channels


def place_applicator(patient: Patient, fraction: Fraction, axis: UterineAxis) -> ApplicatorGeometry:
    """Return the applicator of a fraction, with the tandem along the uterine axis and the caps in the fornices."""
    tip = axis.top - 0.55 * patient.uterus_radius - 6
    below = vaginal_course(axis)[1:]
    tandem = Tube.through(
        np.concatenate([axis.at(tip, 0.6 * tip, 22, 8, -6), below, [below[-1] + (0, -10, -45)]]), 3.0, step=5
    )
    ovoids, channels, dwells = (_ring if patient.ring else _ovoids)(patient, fraction, axis, below)
    radius = patient.ovoid_radius
    centre = axis.os - axis.canal * (radius + 6)
    wide = radius * 2 + 6
    gauze = Union(
        [
            Superellipsoid(np.add(centre, (0, -5, 0)), (wide, 11.0, 13.0)),
            Superellipsoid(np.add(centre, (0, 9, -2)), (wide * 0.9, 11.0, 14.0)),
            Superellipsoid(np.add(centre, (0, -2, -16)), (0.75 * wide, 12.0, 15.0)),
        ],
        blend=8.0,
    )
    heights = np.arange(tip - 5, 0, -5.0)
    return ApplicatorGeometry(
        tandem=tandem,
        flange=Superellipsoid(axis.os - axis.canal * 1.5, (9.0, 9.0, 2.2)),
        ovoids=ovoids,
        channels=channels,
        packing=Noisy(gauze, Texture((*fraction.identity, 401), 10.0), 1.5),
        tandem_dwells=axis.at(*heights),
        ovoid_dwells=dwells,
    )


def _ovoids(
    patient: Patient, fraction: Fraction, axis: UterineAxis, below: FloatArray
) -> tuple[tuple[Shape, Shape], tuple[Tube, Tube], FloatArray]:
    """Return left and right ovoid, their channels and their source positions."""
    rotation = np.radians(fraction.applicator_rotation[2])
    left = np.asarray([np.cos(rotation), np.sin(rotation), 0.0])
    length = np.asarray([-0.35 * left[1], 0.8, -0.6])  # the caps point from back to front, with the back end lower
    length = length - (length @ left) * left
    length /= np.linalg.norm(length)
    radius, half_length = patient.ovoid_radius, 14.0
    ovoids: list[Shape] = []
    channels: list[Tube] = []
    dwells: list[FloatArray] = []
    for side in (1.0, -1.0):
        centre = axis.os - axis.canal * (0.75 * radius + 3) + left * side * (radius + 0.5 * fraction.ovoid_gap + 2)
        ovoids.append(
            Superellipsoid(
                centre,
                (radius, half_length, radius),
                axes=np.stack([left, length, np.cross(left, length)]),
                exponent=3.5,
            )
        )
        course = np.concatenate(
            [[centre + 9 * length, centre, centre - 8 * length], below[1:] + left * side * 6 + (0, -4, 0)]
        )
        channels.append(Tube.through(course, 2.4, step=5))
        dwells.extend(centre + offset * length for offset in (-5.0, 0.0, 5.0))
    return (ovoids[0], ovoids[1]), (channels[0], channels[1]), np.asarray(dwells)


def _ring(
    patient: Patient, fraction: Fraction, axis: UterineAxis, below: FloatArray
) -> tuple[tuple[Shape, Shape], tuple[Tube, Tube], FloatArray]:
    """Return the left and right half of a ring around the tandem, their channels and source positions.

    The sources run on a circle of 13 to 15.5 mm, across the cervical canal; the stem leaves it at the back.
    """
    radius = patient.ovoid_radius + 3
    rotation = np.radians(fraction.applicator_rotation[2])
    left = np.asarray([np.cos(rotation), np.sin(rotation), 0.0])
    left -= (left @ axis.canal) * axis.canal
    left /= np.linalg.norm(left)
    back = np.cross(axis.canal, left)
    centre = axis.os - 8 * axis.canal

    def arc(first: float, last: float, count: int) -> FloatArray:
        angles = np.radians(np.linspace(first, last, count))[:, None]
        points: FloatArray = centre + radius * (np.cos(angles) * left + np.sin(angles) * back)
        return points

    halves = (arc(-90, 90, 9), arc(270, 90, 9))
    stem = below[1:] + np.asarray([0.0, 9.0, -4.0])
    return (
        (Tube(halves[0], np.full(9, 6.0)), Tube(halves[1], np.full(9, 6.0))),
        (Tube.through(np.concatenate([halves[0], stem]), 2.4, step=5), Tube(halves[1], np.full(9, 2.4))),
        np.concatenate([arc(-40, 40, 3), arc(220, 140, 3)]),
    )


def foley(patient: Patient, fraction: Fraction) -> tuple[Shape, Tube]:
    """Return the balloon, on the bladder's neck, and the catheter."""
    neck = bladder_neck(patient)
    radius = 9.5 + fraction.noise % 1 * 2
    course = np.stack([np.add(neck, (0, 3, 16)), neck, np.add(neck, (0, -6, -25)), np.add(neck, (0, -2, -70))])
    return Superellipsoid(np.add(neck, (0, 3, radius + 3)), (radius, radius, radius * 0.95)), Tube.through(
        course, 2.6, step=6
    )
