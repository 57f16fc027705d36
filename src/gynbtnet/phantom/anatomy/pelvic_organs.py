"""The structures of a brachytherapy plan: uterus, targets, bladder, rectum, sigmoid; and the vagina."""

from dataclasses import dataclass

import numpy as np

from gynbtnet.phantom.anatomy.patient import Fraction, Patient
from gynbtnet.phantom.shapes.grid_points import GridPoints
from gynbtnet.phantom.shapes.shape_operations import Intersection, Noisy, Union
from gynbtnet.phantom.shapes.shapes import FAR, Shape, Superellipsoid, Tube, sample
from gynbtnet.phantom.shapes.texture import Texture
from gynbtnet.runtime.array_types import FloatArray

RECTUM_COURSE = np.asarray([(0, 38, -55), (0, 47, -36), (0, 52, -12), (0, 54, 14), (0, 54, 38), (0, 47, 60)], float)
"""Centre line of the rectum from the anorectal junction to the rectosigmoid, (x, y, z) in mm."""

IR_CTV_MARGINS_MM = (10.0, 5.0, 10.0)
"""Margins of the IR-CTV around the HR-CTV: across, front to back, along the uterus.

As for disease without an initial extent beyond them: 10 mm laterally, cranially and caudally, 5 mm in front and behind
(Haie-Meder et al. 2005, doi 10.1016/j.radonc.2004.12.015; Pötter et al. 2018, doi 10.1016/j.ctro.2018.01.001).
"""

DESCENDING = np.asarray([(76, -22, 97), (97, -8, 124), (108, 8, 160), (110, 14, 210)], float)
"""Centre line of the descending colon, from the left iliac fossa up, (x, y, z) in mm."""


@dataclass(frozen=True)
class UterineAxis:
    """The line from the external os to the fundus, which a tandem follows.

    Attributes:
        os: External os, (x, y, z) in mm.
        canal: Unit vector up the cervix.
        body: Unit vector up the uterus' body.
        length: Length in mm of the body above the internal os.
    """

    os: FloatArray
    canal: FloatArray
    body: FloatArray
    length: float

    CERVIX = 24.0

    def at(self, *heights: float) -> FloatArray:
        """Return points (n, 3) at heights in mm above the external os; negative heights are along the canal."""
        h = np.asarray(heights, float)[:, None]
        points: FloatArray = (
            self.os + np.minimum(h, self.CERVIX) * self.canal + np.maximum(h - self.CERVIX, 0) * self.body
        )
        return points

    @property
    def top(self) -> float:
        """Height of the fundus' outer surface above the external os."""
        return self.CERVIX + self.length


def uterine_axis(patient: Patient, fraction: Fraction) -> UterineAxis:
    """Return the axis of the uterus in this fraction; a tandem straightens and rotates the uterus."""
    version, deviation = patient.version, patient.deviation
    rotation, depth = np.zeros(3), 0.0
    if fraction.implant:
        version, deviation = version * patient.tandem_bend, deviation * 0.5
        rotation, depth = fraction.applicator_rotation, fraction.applicator_depth

    def direction(forward: float, left: float) -> FloatArray:
        a, b = np.radians(forward + rotation[0]), np.radians(left + rotation[1])
        return np.asarray([np.sin(b), -np.sin(a) * np.cos(b), np.cos(a) * np.cos(b)])

    os = np.asarray([0.0, 17.0, -1.0 + depth]) + patient.cervix
    return UterineAxis(
        os, direction(0.3 * version, 0.3 * deviation), direction(version, deviation), patient.uterus_length
    )


def uterus(patient: Patient, axis: UterineAxis) -> Shape:
    """Return cervix and body; the target is subtracted later."""
    radius, length = patient.uterus_radius, patient.uterus_length
    knots = axis.at(2, 9, 20, 24 + 0.25 * length, 24 + 0.6 * length, 24 + length - 0.75 * radius)
    radii = [10.5, 12.5, 11.5, 0.8 * radius, radius, 0.75 * radius]
    return Noisy(Tube.through(knots, radii, step=5, flat=1.25), Texture((*patient.identity, 301), 16.0), 0.9)


def hr_ctv(
    patient: Patient, fraction: Fraction, axis: UterineAxis, margins: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Shape:
    """Return the high-risk target: cervix and tumour, with extensions to parametria, more on one side, and vagina.

    Args:
        patient: The patient.
        fraction: The fraction.
        axis: Axis of the uterus.
        margins: Margins in mm by which the target is enlarged: across, front to back, along the uterus.
    """
    across, deep, along = np.asarray(patient.target_radii) * fraction.target_scale
    sides, depth, height = margins
    axes = _target_axes(axis)
    centre = axis.at(13.0)[0]
    longer = height - depth
    cervix = Tube.through(
        axis.at(2 - longer, 10, 19 + longer), np.add((11.0, 13.0, 12.5), depth), flat=1.25 + (sides - depth) / 18
    )
    parts: list[Shape] = [
        Superellipsoid(centre, np.add((across, deep, along), margins), axes=axes, exponent=2.2),
        cervix,
    ]
    for side, reach in zip((1.0, -1.0), patient.parametrium, strict=True):
        if reach > 2:
            side_centre = centre + axes[0] * side * (across + 0.4 * reach - 4) + (0.0, 3.0, 0.0)
            radii = np.add((6 + 0.7 * reach, 0.62 * deep, 0.55 * along), margins)
            parts.append(Superellipsoid(side_centre, radii, axes=axes))
    if patient.vaginal_extension > 2:
        reach = patient.vaginal_extension
        radii = np.add((13.0, 10.0, 5 + reach), margins)
        parts.append(Superellipsoid(axis.at(-0.6 * along + 11 - 0.5 * reach)[0], radii, axes=axes))
    return Noisy(Union(parts, blend=9.0), Texture((*patient.identity, 302), 15.0), patient.target_border)


def gtv_res(patient: Patient, fraction: Fraction, axis: UterineAxis, target: Shape) -> Shape:
    """Return the residual tumour: an ellipsoid off the centre of the target, at least 2 mm below its surface."""
    radii = np.asarray(patient.target_radii) * fraction.target_scale
    axes = _target_axes(axis)
    centre = axis.at(13.0)[0] + (np.asarray(patient.residual_offset) * radii) @ axes
    tumour = Superellipsoid(centre, patient.residual_size * radii, axes=axes)
    return Intersection(Noisy(tumour, Texture((*patient.identity, 304), 9.0), 1.0), target, depth=2.0)


def ir_ctv(patient: Patient, fraction: Fraction, axis: UterineAxis, target: Shape) -> Shape:
    """Return the intermediate-risk target, before it gives way to its neighbours: the target with a margin."""
    return Union([target, hr_ctv(patient, fraction, axis, IR_CTV_MARGINS_MM)])


def bladder(patient: Patient, fraction: Fraction) -> Shape:
    """Return a bladder of the fraction's volume above its neck, before uterus and packing dent it."""
    depth, height = 0.92, 0.95
    radius = (fraction.bladder_volume * 1000 * 0.75 / np.pi / (patient.bladder_width * depth * height)) ** (1 / 3)
    radii = radius * np.asarray([patient.bladder_width, depth, height])
    centre = np.add(
        bladder_neck(patient), (0.12 * radii[0] * np.sign(patient.deviation), 0.16 * radii[1], 0.94 * radii[2])
    )
    return Noisy(Superellipsoid(centre, radii, exponent=2.25), Texture((*fraction.identity, 303), 30.0), 1.6)


def bladder_neck(patient: Patient) -> FloatArray:
    """Return the junction of bladder and urethra, (x, y, z) in mm."""
    return np.asarray([0.0, -25.0, -25.0]) * patient.skeleton


def rectum(patient: Patient, fraction: Fraction, obstacles: list[Shape]) -> Tube:
    """Return the rectum from the anorectal junction along the sacral curve to the rectosigmoid, around obstacles."""
    course = RECTUM_COURSE * patient.skeleton + patient.rectum_knots
    radii = patient.rectum_radius * fraction.rectum_filling * np.asarray([0.85, 1.1, 1.15, 1.0, 0.95, 0.85])
    free = Tube.through(course, radii, step=6)
    lateral = np.asarray([0.5 if patient.deviation < 0 else -0.5, 0.0, 0.0])
    return Tube(_move_out(free, obstacles, lateral, clearance=0.5, fixed=1), free.radii)


def anal_canal(patient: Patient) -> Tube:
    """Return the sphincter below the rectum."""
    top = RECTUM_COURSE[0] * patient.skeleton + patient.rectum_knots[0]
    return Tube.through(np.stack([top, np.add(top, (0, 3, -16)), np.add(top, (0, 9, -34))]), [12, 13, 12])


def sigmoid(patient: Patient, fraction: Fraction, start: FloatArray, obstacles: list[Shape]) -> Tube:
    """Return the sigmoid from ``start`` over uterus and bladder to the left iliac fossa, around obstacles."""
    loops = (patient.sigmoid_knots + fraction.sigmoid_shift) * patient.skeleton
    knots = np.concatenate([start[None], loops, DESCENDING[:1] * patient.skeleton])
    filling = np.concatenate([[0.95], fraction.sigmoid_filling, [1.0]])
    free = Tube.through(knots, patient.sigmoid_radius * filling, step=6)
    up_and_forward = np.asarray([0.0, -0.4, 0.4])
    return Tube(_move_out(free, obstacles, up_and_forward, clearance=1.1, fixed=2), free.radii)


def descending_colon(patient: Patient) -> Tube:
    """Return the colon above the sigmoid."""
    return Tube.through(DESCENDING * patient.skeleton, [1.05 * patient.sigmoid_radius, 14, 17, 18], step=8)


def vagina(axis: UterineAxis, packed: bool) -> Tube:
    """Return walls and lumen from the fornices to the introitus."""
    radii = [10, 9, 7.5, 6] if packed else [7, 6, 5, 5]
    return Tube.through(vaginal_course(axis), radii, flat=1.7)


def vaginal_course(axis: UterineAxis) -> FloatArray:
    """Return the centre line of the vagina from the os down, (4, 3) in mm."""
    x, y, z = axis.os
    return np.asarray([(x, y, z - 2), (0.8 * x, y - 3, z - 30), (0.3 * x, y - 12, z - 60), (0, y - 20, z - 96)])


def _target_axes(axis: UterineAxis) -> FloatArray:
    """Return orthonormal rows across the cervix, from front to back and up the canal, (3, 3)."""
    axes = np.stack([np.eye(3)[0], np.cross(axis.canal, np.eye(3)[0]), axis.canal])
    axes[1] /= np.linalg.norm(axes[1])
    axes[0] = np.cross(axes[1], axes[2])
    return axes


def _move_out(tube: Tube, obstacles: list[Shape], bias: FloatArray, clearance: float, fixed: int) -> FloatArray:
    """Return the tube's path moved out of obstacles, in small steps along their distance gradient, each smoothed.

    Args:
        tube: The tube.
        obstacles: Shapes that the path must leave.
        bias: Vector added to the gradient; it gives a path through the centre of an obstacle a direction.
        clearance: Distance to obstacles, in radii; with less than 1 they flatten the tube.
        fixed: 1 if the first point stays, 2 if the last one also stays.
    """
    low, high = tube.path.min(0) - 40, tube.path.max(0) + 40
    step = 4.0
    grid = GridPoints(*(np.arange(a, b, step) for a, b in zip(low[::-1], high[::-1], strict=True)))
    distance = sample(Union(obstacles), grid)
    slopes = np.stack([np.gradient(distance, step, axis=axis) for axis in (2, 1, 0)], axis=-1) + bias
    slopes /= np.maximum(np.linalg.norm(slopes, axis=-1, keepdims=True), 1e-6)
    path = tube.path.copy()
    for _ in range(24):
        index = np.clip(np.rint((path - low) / step).astype(int)[:, ::-1], 0, np.asarray(grid.shape) - 1)
        indices = tuple(index.T)
        lacking = np.clip(np.minimum(clearance * tube.radii, FAR - 1) - distance[indices], 0.0, 3.0)
        moved = path + lacking[:, None] * slopes[indices]
        moved[1:-1] = 0.5 * moved[1:-1] + 0.25 * (moved[:-2] + moved[2:])
        path[1 : None if fixed == 1 else -1] = moved[1 : None if fixed == 1 else -1]
    return path
