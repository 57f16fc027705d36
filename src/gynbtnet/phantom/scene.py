"""Everything in one patient at one fraction, in the order in which it is painted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gynbtnet.phantom.anatomy import Fraction, Patient
from gynbtnet.phantom.applicator import Applicator, foley, place_applicator
from gynbtnet.phantom.body import abdominal_wall, couch, skin
from gynbtnet.phantom.bowel import filling, small_bowel
from gynbtnet.phantom.combined import Grown, Union, Without
from gynbtnet.phantom.layer import Layer
from gynbtnet.phantom.muscles import muscles
from gynbtnet.phantom.pelvic_organs import (
    UterineAxis,
    anal_canal,
    bladder,
    descending_colon,
    hr_ctv,
    rectum,
    sigmoid,
    uterine_axis,
    uterus,
    vagina,
    yielding,
)
from gynbtnet.phantom.shapes import Blob, Shape
from gynbtnet.phantom.skeleton import bones
from gynbtnet.phantom.texture import Texture
from gynbtnet.phantom.tissues import (
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
from gynbtnet.phantom.vessels import vessels

STRUCTURES = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")


@dataclass(frozen=True)
class Scene:
    """Layers from the skin inwards, and what dose and streaks need of the applicator."""

    layers: tuple[Layer, ...]
    axis: UterineAxis
    applicator: Applicator | None


def build_scene(patient: Patient, fraction: Fraction) -> Scene:
    """All shapes of a patient as this fraction finds them."""
    axis = uterine_axis(patient, fraction)
    applicator = place_applicator(patient, fraction, axis) if fraction.implant else None
    layers = [*_frame_of_the_body(patient), *_pelvis(patient, fraction, axis, applicator)]
    return Scene(tuple(layers), axis, applicator)


def _frame_of_the_body(patient: Patient) -> Iterator[Layer]:
    """Skin, fat, muscles, vessels, bones: the same in every fraction."""

    def texture(number: int, cell: float) -> Texture:
        return Texture((*patient.identity, number), cell)

    yield Layer(couch(patient), Hollow(1.5, 60.0, Uniform(-960.0)))
    body = skin(patient)
    yield Layer(body, Hollow(2.2, 10.0, Mottled(FAT, 7.0, texture(501, 9.0))))
    yield Layer(abdominal_wall(patient), Uniform(MUSCLE - 6))
    flesh = Mottled(MUSCLE, 9.0, texture(502, 5.0))
    for name, shape in muscles(patient).items():
        yield Layer(shape, flesh, organ=None if name.startswith("muscle_") else name)
    for name, shape in vessels(patient).items():
        yield Layer(shape, Uniform(BLOOD), organ=name if name.startswith("iliac") else None)
    bone = Bone(2.6, patient.bone, texture(503, 4.0))
    for name, shape in bones(patient).items():
        if name == "disc":
            yield Layer(shape, Uniform(85.0))
        else:
            yield Layer(shape, bone, organ=name)


def _pelvis(patient: Patient, fraction: Fraction, axis: UterineAxis, applicator: Applicator | None) -> Iterator[Layer]:
    """Bowel, uterus, target, bladder, and what is implanted; later ones dent earlier ones."""

    def texture(number: int, cell: float) -> Texture:
        return Texture((*fraction.identity, number), cell)

    sacrum = bones(patient)["sacrum"]
    womb = Without(uterus(patient, axis), sacrum, gap=5.0, blend=4.0)
    target = hr_ctv(patient, fraction, axis)
    packing: list[Shape] = []
    if applicator is not None:
        packing = [Union([applicator.packing, *applicator.ovoids])]
        target = Without(target, Union(applicator.ovoids), gap=0.3)
        womb = Without(womb, Union(applicator.ovoids), gap=0.3)
    vesica = yielding(bladder(patient, fraction), womb, target, *packing, gap=1.2)
    gut = rectum(patient, fraction, [womb, target, sacrum])
    back_passage = yielding(gut, womb, target, *packing, gap=1.2)
    loop_course = sigmoid(patient, fraction, gut.path[-1], [womb, target, vesica])
    loop = yielding(loop_course, womb, target, vesica, gap=0.6)

    serosa = Hollow(2.4, VISCERAL_WALL, Uniform(18.0))
    for tube in small_bowel(patient, fraction):
        yield Layer(tube, serosa, organ="small_bowel")
    cloudy = Mottled(-10.0, 45.0, texture(602, 7.0))
    parametrium = Blob(axis.at(10)[0] + (0, 3, 0), (48.0, 11.0, 15.0))
    yield Layer(parametrium, cloudy, opacity=0.55)
    for side in (-1.0, 1.0):
        yield Layer(Blob(axis.at(34)[0] + (side * 40, 10, 6), (14.0, 9.0, 12.0)), Uniform(27.0))
    yield Layer(vagina(axis, fraction.implant), Uniform(VISCERAL_WALL + 6))
    yield Layer(anal_canal(patient), Hollow(9.5, MUSCLE - 6, Uniform(10.0)))

    rim = Mottled(FAT + 18, 20.0, texture(603, 12.0))
    colon = descending_colon(patient)
    yield Layer(colon, Hollow(2.5, VISCERAL_WALL, Speckled(35, 30, 0.9, -500, texture(604, 4.5))), organ="colon")
    yield Layer(Grown(loop, patient.rim), rim, opacity=0.8)
    yield Layer(Grown(womb, 0.7 * patient.rim), rim, opacity=0.8)
    yield Layer(womb, Mottled(50.0, 6.0, texture(605, 8.0)), structure="uterus")
    yield Layer(loop, Hollow(2.6, VISCERAL_WALL + 4, Uniform(30.0)), structure="sigmoid", organ="colon")
    yield from filling(
        loop_course,
        loop,
        np.concatenate([[30], fraction.sigmoid_stool, [30]]),
        np.concatenate([[0], fraction.sigmoid_gas, [0]]),
        2.6,
        texture(606, 4.0),
    )
    yield Layer(Grown(back_passage, 2.0), rim, opacity=0.6)
    yield Layer(back_passage, Hollow(2.8, VISCERAL_WALL + 2, Uniform(30.0)), structure="rectum", organ="colon")
    yield from filling(gut, back_passage, fraction.rectum_stool, fraction.rectum_gas, 2.8, texture(607, 4.0))
    yield Layer(
        vesica,
        Hollow(3.2, VISCERAL_WALL, Mottled(URINE, 1.5, texture(608, 12.0))),
        structure="bladder",
        organ="urinary_bladder",
    )
    yield Layer(target, Mottled(50.0 + patient.target_contrast, 7.0, texture(609, 7.0)), structure="hr_ctv")
    if applicator is None:
        return
    yield Layer(
        applicator.packing,
        Speckled(20.0, 70.0, 1.0, -600.0, texture(610, 3.2)),
        outside=Union([target, womb, vesica, back_passage]),
    )
    cap, steel = Uniform(190.0 + 60 * patient.metal), Uniform(500.0 + 6500 * patient.metal)
    yield Layer(Union(applicator.ovoids), cap)
    yield Layer(applicator.flange, cap)
    for tube in applicator.metal:
        yield Layer(tube, steel)
    balloon, catheter = foley(patient, fraction)
    yield Layer(catheter, Hollow(0.9, 160.0, Uniform(20.0)))
    yield Layer(balloon, Hollow(0.8, 60.0, Uniform(patient.balloon)))
