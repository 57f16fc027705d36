"""Synthetic scans that a model of the female pelvis with a tandem should not be used on: a male pelvis, a cylinder."""

from dataclasses import replace

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.phantom.anatomy.patient import draw_fraction, draw_patient
from gynbtnet.phantom.anatomy.pelvic_organs import bladder, bladder_neck, vaginal_course
from gynbtnet.phantom.rendering.render import render
from gynbtnet.phantom.rendering.scene import build_scene
from gynbtnet.phantom.shapes.painted_layer import PaintedLayer
from gynbtnet.phantom.shapes.shape_operations import Union
from gynbtnet.phantom.shapes.shapes import Superellipsoid, Tube
from gynbtnet.phantom.shapes.tissues import MUSCLE, Uniform

CYLINDER_MM = 15.0
"""Radius of the vaginal cylinder."""
_PLASTIC = 120.0  # HU of a cylinder of polyphenylsulfone
_STEEL = 3000.0


def male_pelvis(seed: int, geometry: Geometry) -> Volume:
    """Return a synthetic scan of a pelvis with a prostate and seminal vesicles, without uterus, vagina and implant.

    Bones, muscles, fat and bowel are those of the female phantom, so this is not the anatomy
    of a man.

    Args:
        seed: seed of the patient.
        geometry: grid of the scan.

    Returns:
        HU, int16.
    """
    patient = draw_patient(seed, 0, "organs")
    fraction = draw_fraction(patient, 0)
    scene = build_scene(patient, fraction)
    neck = bladder_neck(patient)
    prostate = Superellipsoid(np.add(neck, (0, 6, -16)), (23.0, 16.0, 17.0), exponent=2.2)
    vesicles = Union(
        [Superellipsoid(np.add(neck, (side * 18, 22, 4)), (17.0, 6.0, 7.0)) for side in (-1.0, 1.0)], blend=3.0
    )
    male = [PaintedLayer(shape, Uniform(MUSCLE - 12)) for shape in (prostate, vesicles)]
    undented = bladder(patient, fraction)  # there is no uterus on it
    layers = [
        replace(layer, shape=undented) if layer.structure == "bladder" else layer
        for layer in scene.layers
        if not layer.female
    ]
    bowel = next(number for number, layer in enumerate(layers) if layer.structure is not None)
    painted = replace(scene, layers=(*layers[:bowel], *male, *layers[bowel:]))
    return Volume(render(painted, patient, fraction, geometry).scan, geometry)


def vaginal_cylinder(seed: int, geometry: Geometry) -> Volume:
    """Return a synthetic scan of a pelvis with a vaginal cylinder on a central tube, without tandem and ovoids.

    Args:
        seed: seed of the patient.
        geometry: grid of the scan.

    Returns:
        HU, int16.
    """
    patient = draw_patient(seed, 0, "brachytherapy")
    fraction = replace(draw_fraction(patient, 0), implant=False)
    scene = build_scene(patient, fraction)
    course = vaginal_course(scene.axis)
    course = np.concatenate([course, [course[-1] + (0.0, -10.0, -45.0)]])
    solid, tube = Tube.through(course, CYLINDER_MM, step=5), Tube.through(course, 2.5, step=5)
    layers = (*scene.layers, PaintedLayer(solid, Uniform(_PLASTIC)), PaintedLayer(tube, Uniform(_STEEL)))
    return Volume(render(replace(scene, layers=layers), patient, fraction, geometry).scan, geometry)
