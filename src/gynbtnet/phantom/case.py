"""One synthetic case: scan, structures, organs and dose."""

from dataclasses import dataclass

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.phantom.anatomy.patient import Kind, draw_fraction, draw_patient
from gynbtnet.phantom.dose import plan_dose
from gynbtnet.phantom.rendering.render import render
from gynbtnet.phantom.rendering.scene import STRUCTURES, build_scene


@dataclass(frozen=True)
class PhantomCase:
    """A synthetic scan and the truth about it.

    Attributes:
        scan: HU, int16.
        structures: the five structures, disjoint; voxels of the uterus that are target belong to the target.
        organs: classes by TotalSegmentator's names.
        dose: Gy, or none where nothing is implanted.
    """

    scan: Volume
    structures: Segmentation
    organs: Segmentation
    dose: Volume | None


def pelvic_geometry(
    spacing: tuple[float, float, float],
    matrix: tuple[int, int, int],
    moved: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Geometry:
    """A grid of ``matrix`` voxels (z, y, x) of ``spacing`` mm around the pelvis' middle, ``moved`` (x, y, z) mm."""
    middle = np.asarray([0.0, 8.0, 22.0]) + moved
    extent = (np.asarray(matrix) - 1) * np.asarray(spacing)
    return Geometry(matrix, spacing, tuple(middle - extent[::-1] / 2))


def phantom_case(
    seed: int, patient: int, fraction: int, geometry: Geometry, kind: Kind = "brachytherapy"
) -> PhantomCase:
    """The synthetic case of a patient's fraction (both counted from 0): same numbers, same voxels, on any machine."""
    who = draw_patient(seed, patient, kind)
    when = draw_fraction(who, fraction)
    scene = build_scene(who, when)
    rendered = render(scene, who, when, geometry)
    return PhantomCase(
        scan=Volume(rendered.scan, geometry),
        structures=Segmentation(Volume(rendered.structures, geometry), STRUCTURES),
        organs=Segmentation(Volume(rendered.organs, geometry), rendered.organ_names),
        dose=None if scene.applicator is None else plan_dose(scene.applicator, scene.axis, geometry, when.setup),
    )
