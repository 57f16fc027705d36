import pytest

from gynbtnet.imaging.label_map import painting_order
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.targets import target_depth, target_type


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("gtv_res", "gtv"),
        ("GTV-T_res", "CTV_High"),
        ("residual_gtv", "hr_ctv"),
        ("gtv_init", "CTV-T_IR"),
        ("hr_ctv", "ir_ctv"),
        ("CTV-T_HR1", "CTV_IR"),
        ("HRCTV1", "IRCTV"),
        ("High Risk CTV", "Intermediate Risk CTV"),
        ("ir_ctv", "lr_ctv"),
        ("CTV_High", "ctv"),
        ("ctv", "CTV-E"),
        ("ctv_n1", "itv"),
        ("itv", "PTV_48_6Gy"),
    ],
)
def test_the_inner_of_two_nested_targets_gets_the_shared_voxels(inner: str, outer: str) -> None:
    for order in ((inner, outer, "bladder"), ("bladder", outer, inner), (outer, "bladder", inner)):
        assert painting_order(order) == ("bladder", outer, inner)


@pytest.mark.parametrize(
    "name",
    [
        "bladder",
        "rectum-PTV",
        "Bowel minus CTV",
        "ring PTV",
        "not CTV",
        "cavity",
        "uterus",
        "activity",
        "",
        "7",
        "bladderptv",
        "RectumPTV",
        "notCTV",
        "rectumminusptv",
    ],
)
def test_organs_are_not_targets(name: str) -> None:
    assert (target_depth(name), target_type(name)) == (None, None)


def test_organs_keep_their_order_below_targets() -> None:
    assert painting_order(("sigmoid", "hr_ctv", "uterus", "bladder")) == ("sigmoid", "uterus", "bladder", "hr_ctv")


def test_targets_outside_the_table_are_written_and_dosed_as_targets() -> None:
    names = StructureNames.load()
    types = [names.interpreted_type(name) for name in ("ir_ctv", "gtv_res", "PTV_45", "itv", "femur_left")]
    assert types == ["CTV", "GTV", "PTV", "CTV", "ORGAN"]


@pytest.mark.parametrize(
    "name",
    [
        "patientctv1",
        "myHRCTV2",
        "nodectv",
        "CTVboost",
        "xhrctvx",
        "my_ctv",
        "opti CTV",
        "fx1 HR-CTV",
        "cervix_ctv",
        "boost-ctv-2",
    ],
)
def test_a_target_may_be_anywhere_in_a_name(name: str) -> None:
    assert target_type(name) == "CTV"


@pytest.mark.parametrize(("name", "kind"), [("PTVboost", "PTV"), ("planptv2", "PTV"), ("mygtvres", "GTV")])
def test_other_targets_inside_words(name: str, kind: str) -> None:
    assert target_type(name) == kind
    assert StructureNames.load().interpreted_type(name) == kind


def test_words_in_camel_case_are_separate() -> None:
    assert target_depth("myHRCTV2") == target_depth("hr_ctv")
