"""Contact of the pelvic organs: the softer organ gives way."""

from dataclasses import dataclass

from gynbtnet.phantom.anatomy.applicator import ApplicatorGeometry
from gynbtnet.phantom.anatomy.patient import Fraction, Patient
from gynbtnet.phantom.anatomy.pelvic_organs import (
    UterineAxis,
    bladder,
    gtv_res,
    hr_ctv,
    ir_ctv,
    rectum,
    sigmoid,
    uterus,
)
from gynbtnet.phantom.shapes.shape_operations import Difference, Union
from gynbtnet.phantom.shapes.shapes import Shape, Tube


@dataclass(frozen=True)
class OrgansInContact:
    """The structures of one fraction; the organs touch, and only targets and uterus overlap.

    Attributes:
        uterus: The whole uterus, with the part that is target.
        hr_ctv: The high-risk target.
        gtv_res: The residual tumour, inside the high-risk target.
        ir_ctv: The intermediate-risk target around the high-risk target, without bladder and bowel.
        bladder: The bladder.
        rectum: The rectum.
        sigmoid: The sigmoid.
        rectum_course: The rectum before its contact with neighbours.
        sigmoid_course: The sigmoid before its contact with neighbours.
    """

    uterus: Shape
    hr_ctv: Shape
    gtv_res: Shape
    ir_ctv: Shape
    bladder: Shape
    rectum: Shape
    sigmoid: Shape
    rectum_course: Tube
    sigmoid_course: Tube


def resolve_organ_contact(
    patient: Patient, fraction: Fraction, axis: UterineAxis, applicator: ApplicatorGeometry | None, sacrum: Shape
) -> OrgansInContact:
    """Return the structures after contact.

    Uterus and target give way to bone and ovoids; bladder and bowel to all of these and to the packing.
    """
    womb: Shape = Difference(uterus(patient, axis), sacrum, gap=5.0, blend=4.0)
    target = hr_ctv(patient, fraction, axis)
    firm: list[Shape] = []
    if applicator is not None:
        ovoids = Union(applicator.ovoids)
        womb, target = Difference(womb, ovoids, gap=0.3), Difference(target, ovoids, gap=0.3)
        firm = [Union([applicator.packing, *applicator.ovoids])]
    vesica = _dented(bladder(patient, fraction), womb, target, *firm, gap=1.2)
    rectum_course = rectum(patient, fraction, [womb, target, sacrum])
    sigmoid_course = sigmoid(patient, fraction, rectum_course.path[-1], [womb, target, vesica, sacrum])
    rectal = _dented(rectum_course, womb, target, *firm, gap=1.2)
    sigmoidal = _dented(sigmoid_course, womb, target, vesica, gap=0.6)
    spared = Union([vesica, rectal, sigmoidal, *(applicator.ovoids if applicator else ())])
    return OrgansInContact(
        uterus=womb,
        hr_ctv=target,
        gtv_res=gtv_res(patient, fraction, axis, target),
        ir_ctv=Difference(ir_ctv(patient, fraction, axis, target), spared),
        bladder=vesica,
        rectum=rectal,
        sigmoid=sigmoidal,
        rectum_course=rectum_course,
        sigmoid_course=sigmoid_course,
    )


def _dented(shape: Shape, *firmer: Shape, gap: float) -> Shape:
    """Return a shape dented by its firmer neighbours, with ``gap`` mm between them."""
    return Difference(shape, Union(firmer, blend=4.0), gap=gap, blend=5.0)
