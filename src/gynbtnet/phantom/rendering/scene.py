"""All layers of one patient at one fraction, in the order in which they are painted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gynbtnet.phantom.anatomy.applicator import ApplicatorGeometry, foley, place_applicator
from gynbtnet.phantom.anatomy.body import abdominal_wall, couch, skin
from gynbtnet.phantom.anatomy.bowel import COLON_WALL, filling, small_bowel_layers
from gynbtnet.phantom.anatomy.muscles import muscles
from gynbtnet.phantom.anatomy.organ_contact import OrgansInContact, resolve_organ_contact
from gynbtnet.phantom.anatomy.patient import Fraction, Patient
from gynbtnet.phantom.anatomy.pelvic_organs import (
    UterineAxis,
    anal_canal,
    descending_colon,
    uterine_axis,
    vagina,
)
from gynbtnet.phantom.anatomy.skeleton import bones
from gynbtnet.phantom.anatomy.vessels import vessels
from gynbtnet.phantom.shapes.painted_layer import PaintedLayer
from gynbtnet.phantom.shapes.shape_operations import Dilated, Noisy, Union
from gynbtnet.phantom.shapes.shapes import Shape, Superellipsoid
from gynbtnet.phantom.shapes.texture import Texture
from gynbtnet.phantom.shapes.tissues import (
    BLOOD,
    FAT,
    MUSCLE,
    URINE,
    VISCERAL_WALL,
    Bone,
    Hollow,
    Mottled,
    Speckled,
    Uniform,
)

STRUCTURES = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")
"""Structures of the phantom, in the order of their labels."""

NESTED_STRUCTURES = (*STRUCTURES, "gtv_res", "ir_ctv")
"""Structures of a nested phantom, in which GTV-res, HR-CTV and IR-CTV are nested, and the uterus has its cervix."""

_RESIDUAL_CONTRAST = 9.0
"""HU of the residual tumour above the rest of the target, as after contrast agent."""


@dataclass(frozen=True)
class Scene:
    """Layers from the skin inwards, with the uterine axis and the applicator for dose and streaks.

    The ``structures`` are the contoured ones, in the order of their labels.
    """

    layers: tuple[PaintedLayer, ...]
    structures: tuple[str, ...]
    axis: UterineAxis
    applicator: ApplicatorGeometry | None


def build_scene(patient: Patient, fraction: Fraction, *, nested: bool = False) -> Scene:
    """Return all layers of a patient in this fraction, ``nested`` with residual tumour and intermediate-risk target."""
    axis = uterine_axis(patient, fraction)
    applicator = place_applicator(patient, fraction, axis) if fraction.implant else None
    skeleton = bones(patient)
    organs = resolve_organ_contact(patient, fraction, axis, applicator, skeleton["sacrum"])
    layers = [
        *_body_layers(patient, skeleton),
        *_surrounding_layers(patient, fraction, axis, Union([skeleton["sacrum"], skeleton["vertebrae_L5"]])),
        *_organ_layers(patient, fraction, organs, nested=nested),
        *(_nested_layers(patient, fraction, organs) if nested else ()),
        *(_implant_layers(patient, fraction, applicator, organs) if applicator is not None else ()),
    ]
    return Scene(tuple(layers), NESTED_STRUCTURES if nested else STRUCTURES, axis, applicator)


def _body_layers(patient: Patient, skeleton: dict[str, Shape]) -> Iterator[PaintedLayer]:
    """Yield couch, skin, fat, muscles, vessels and bones, which are the same in every fraction."""

    def texture(number: int, cell: float) -> Texture:
        return Texture((*patient.identity, number), cell)

    yield PaintedLayer(couch(patient), Hollow(1.5, 60.0, Uniform(-960.0)))
    yield PaintedLayer(skin(patient), Hollow(2.2, 10.0, Mottled(FAT, 7.0, texture(501, 9.0))))
    yield PaintedLayer(abdominal_wall(patient), Uniform(MUSCLE - 6))
    flesh = Mottled(MUSCLE, 9.0, texture(502, 5.0))
    for name, shape in muscles(patient).items():
        yield PaintedLayer(shape, flesh, organ=None if name.startswith("muscle_") else name)
    for name, shape in vessels(patient).items():
        yield PaintedLayer(shape, Uniform(BLOOD), organ=name if name.startswith("iliac") else None)
    bone = Bone(2.6, patient.bone, texture(503, 4.0))
    for name, shape in skeleton.items():
        if name == "disc":
            yield PaintedLayer(shape, Uniform(85.0))
        else:
            yield PaintedLayer(shape, bone, organ=name)


def _surrounding_layers(
    patient: Patient, fraction: Fraction, axis: UterineAxis, spine: Shape
) -> Iterator[PaintedLayer]:
    """Yield the tissues around the five structures, such as small bowel, parametria, ovaries and vagina."""

    def texture(number: int, cell: float) -> Texture:
        return Texture((*fraction.identity, number), cell)

    yield from small_bowel_layers(patient, fraction, spine, Mottled(FAT + 18, 20.0, texture(603, 12.0)))
    parametria = Superellipsoid(axis.at(10)[0] + (0, 3, 0), (48.0, 11.0, 15.0))
    yield PaintedLayer(parametria, Mottled(patient.parametrial_hu, 45.0, texture(602, 7.0)), opacity=0.55, female=True)
    for side in (-1.0, 1.0):
        yield PaintedLayer(
            Superellipsoid(axis.at(34)[0] + (side * 40, 10, 6), (14.0, 9.0, 12.0)), Uniform(27.0), female=True
        )
    yield PaintedLayer(vagina(axis, fraction.implant), Uniform(VISCERAL_WALL + 6), female=True)
    yield PaintedLayer(anal_canal(patient), Hollow(9.5, MUSCLE - 6, Uniform(10.0)))
    stool = Speckled(35, 30, 0.9, -500, texture(604, 4.5))
    yield PaintedLayer(descending_colon(patient), Hollow(2.5, VISCERAL_WALL, stool), organ="colon")


def _organ_layers(
    patient: Patient, fraction: Fraction, organs: OrgansInContact, *, nested: bool
) -> Iterator[PaintedLayer]:
    """Yield the five structures; a voxel belongs to the last one that covers it, ``nested`` also to the uterus.

    Rims of fat separate neighbours with the same HU. They are thin and uneven, and almost absent in some patients.
    """

    def texture(number: int, cell: float) -> Texture:
        return Texture((*fraction.identity, number), cell)

    rim = Mottled(FAT + 18, 20.0, texture(603, 12.0))
    if (
        patient.strands > 0
    ):  # soft tissue of another, uneven outline around the target, so that fat doesn't show its border
        outline = Noisy(Dilated(organs.hr_ctv, 4.0), texture(612, 11.0), 3.0)
        yield PaintedLayer(outline, Mottled(38.0, 12.0, texture(613, 6.0)), opacity=patient.strands, female=True)
    yield PaintedLayer(Dilated(organs.sigmoid, patient.rim), rim, opacity=0.8)
    yield PaintedLayer(Dilated(organs.uterus, 0.7 * patient.rim), rim, opacity=0.8, female=True)
    yield PaintedLayer(organs.uterus, Mottled(50.0, 6.0, texture(605, 8.0)), structure="uterus", female=True)
    yield PaintedLayer(
        organs.sigmoid, Hollow(COLON_WALL, VISCERAL_WALL + 4, Uniform(30.0)), structure="sigmoid", organ="colon"
    )
    stool, gas = np.pad(fraction.sigmoid_stool, 1, constant_values=30), np.pad(fraction.sigmoid_gas, 1)
    yield from filling(organs.sigmoid_course, organs.sigmoid, stool, gas, COLON_WALL, texture(606, 4.0))
    yield PaintedLayer(Dilated(organs.rectum, 2.0), rim, opacity=0.6)
    yield PaintedLayer(organs.rectum, Hollow(2.8, VISCERAL_WALL + 2, Uniform(30.0)), structure="rectum", organ="colon")
    stool, gas = fraction.rectum_stool, fraction.rectum_gas
    yield from filling(organs.rectum_course, organs.rectum, stool, gas, 2.8, texture(607, 4.0))
    urine = Hollow(3.2, VISCERAL_WALL, Mottled(URINE, 1.5, texture(608, 12.0)))
    yield PaintedLayer(organs.bladder, urine, structure="bladder", organ="urinary_bladder")
    tumour = Mottled(50.0 + patient.target_contrast, 7.0, texture(609, 7.0))
    yield PaintedLayer(organs.hr_ctv, tumour, structure="hr_ctv", overlaps=nested, female=True)


def _nested_layers(patient: Patient, fraction: Fraction, organs: OrgansInContact) -> Iterator[PaintedLayer]:
    """Yield the residual tumour, and the intermediate-risk target, which is a margin and changes no HU."""
    tumour = 50.0 + patient.target_contrast + _RESIDUAL_CONTRAST
    enhanced = Mottled(tumour, 7.0, Texture((*fraction.identity, 614), 7.0))
    yield PaintedLayer(organs.gtv_res, enhanced, structure="gtv_res", overlaps=True)
    yield PaintedLayer(organs.ir_ctv, Uniform(0.0), structure="ir_ctv", opacity=0.0, overlaps=True)


def _implant_layers(
    patient: Patient, fraction: Fraction, applicator: ApplicatorGeometry, organs: OrgansInContact
) -> Iterator[PaintedLayer]:
    """Yield packing, ovoids, tandem and catheter; they change no label, as a contoured uterus includes the tandem."""
    gauze = Speckled(20.0, 70.0, 1.0, -600.0, Texture((*fraction.identity, 610), 3.2))
    spared = Union([organs.hr_ctv, organs.uterus, organs.bladder, organs.rectum])
    yield PaintedLayer(applicator.packing, gauze, outside=spared)
    cap, steel = Uniform(190.0 + 60 * patient.metal), Uniform(500.0 + 6500 * patient.metal)
    yield PaintedLayer(Union(applicator.ovoids), cap)
    yield PaintedLayer(applicator.flange, cap)
    for tube in applicator.metal:
        yield PaintedLayer(tube, steel)
    balloon, catheter = foley(patient, fraction)
    yield PaintedLayer(catheter, Hollow(0.9, 160.0, Uniform(20.0)))
    yield PaintedLayer(balloon, Hollow(0.8, 60.0, Uniform(patient.balloon)))
