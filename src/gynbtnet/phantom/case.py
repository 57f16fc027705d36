"""One synthetic case: scan, structures, organs and dose."""

from dataclasses import dataclass

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_masks
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.phantom.anatomy.patient import Kind, draw_fraction, draw_patient
from gynbtnet.phantom.anatomy.population import Realism
from gynbtnet.phantom.dose import plan_dose
from gynbtnet.phantom.rendering.render import render
from gynbtnet.phantom.rendering.scene import build_scene


@dataclass(frozen=True)
class PhantomCase:
    """A synthetic scan with its true contours and dose.

    Attributes:
        scan: HU, int16.
        structures: The five structures, disjoint; voxels of the uterus that are target belong to the target. If nested,
            also GTV-res and IR-CTV, with the mask of every structure.
        organs: Classes with TotalSegmentator's names.
        dose: Gy, or None without an implant.
    """

    scan: Volume
    structures: Segmentation
    organs: Segmentation
    dose: Volume | None


def pelvic_geometry(
    spacing: tuple[float, float, float],
    matrix: tuple[int, int, int],
    offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Geometry:
    """Return a grid around the centre of the pelvis.

    Args:
        spacing: mm along (z, y, x).
        matrix: Voxels along (z, y, x).
        offset_mm: Displacement (x, y, z) from the centre.

    Returns:
        The grid, with axes along the patient's.
    """
    centre = np.asarray([0.0, 8.0, 22.0]) + offset_mm
    extent = (np.asarray(matrix) - 1) * np.asarray(spacing)
    return Geometry(matrix, spacing, tuple(centre - extent[::-1] / 2))


def phantom_case(
    seed: int,
    patient: int,
    fraction: int,
    geometry: Geometry,
    kind: Kind = "brachytherapy",
    realism: Realism = "simple",
    *,
    nested: bool = False,
) -> PhantomCase:
    """Return the synthetic case of one fraction of one patient.

    Equal arguments give equal voxels on any machine.

    Args:
        seed: Seed of the cohort.
        patient: Number of the patient, from 0.
        fraction: Number of the fraction, from 0.
        geometry: Grid of the scan, along the patient's axes.
        kind: Kind of the cohort. Only ``brachytherapy``, and half of ``unlabelled``, have an implant.
        realism: Population of the patient: ``simple`` has clear contrasts and moderate variety, ``clinical`` those of
            a clinic.
        nested: Contour also GTV-res and IR-CTV, and the whole uterus with the cervix in it, so that structures overlap.
            The residual tumour has another HU than the rest of the target; all other voxels are the same.

    Returns:
        The scan in HU, its structures and, if there is an implant, its dose in Gy.

    Example:
        >>> case = phantom_case(seed=0, patient=0, fraction=0, geometry=pelvic_geometry((8.0, 8.0, 8.0), (16, 24, 24)))
        >>> case.scan.array.shape, case.structures.structures
        ((16, 24, 24), ('hr_ctv', 'bladder', 'rectum', 'sigmoid', 'uterus'))
    """
    anatomy = draw_patient(seed, patient, kind, realism)
    state = draw_fraction(anatomy, fraction)
    scene = build_scene(anatomy, state, nested=nested)
    rendered = render(scene, anatomy, state, geometry)
    structures = paint_masks(StructureMasks.from_bits(Volume(rendered.structures, geometry), scene.structures))
    return PhantomCase(
        scan=Volume(rendered.scan, geometry),
        structures=structures if nested else Segmentation(structures.labels, scene.structures),
        organs=Segmentation(Volume(rendered.organs, geometry), rendered.organ_names),
        dose=None if scene.applicator is None else plan_dose(scene.applicator, scene.axis, geometry, state.setup),
    )
