"""Left and right in the names of structures."""

import pytest

from gynbtnet.imaging.sides import has_side, has_unpaired_sides, mirrored_labels

PAIRS = [
    ("hip_left", "hip_right"),
    ("lung_upper_lobe_left", "lung_upper_lobe_right"),
    ("rib_left_4", "rib_right_4"),
    ("rib_left4", "rib_right4"),
    ("left_kidney", "right_kidney"),
    ("Femur_Head_L", "Femur_Head_R"),
    ("LEFT KIDNEY", "RIGHT KIDNEY"),
    ("Kidney Left", "Kidney Right"),
    ("KidneyLeft", "KidneyRight"),
    ("kidneyleft", "kidneyright"),
    ("Lt. ovary", "Rt. ovary"),
    ("femur-l", "femur-r"),
    ("Niere links", "Niere rechts"),
    ("node (left)", "node (right)"),
    ("leftkidney", "rightkidney"),
    ("LeftKidney", "RightKidney"),
    ("LKidney", "RKidney"),
    ("FemurL", "FemurR"),
    ("KIDNEYLEFT", "KIDNEYRIGHT"),
    ("OvaryLt", "OvaryRt"),
    ("NiereLi", "NiereRe"),
    ("linke Niere", "rechte Niere"),
    ("rein gauche", "rein droit"),
    ("jambe gauche", "jambe droite"),
    ("rene_sx", "rene_dx"),
    ("rinon izquierdo", "rinon derecho"),
    ("njure v\u00e4nster", "njure ho\u0308ger"),
    ("左腎", "右腎"),
    ("Kidney_Lt", "Kidney_Right"),
]
ONLY_TOGETHER = [("FHL", "FHR"), ("kidneyl", "kidneyr"), ("rinon izq", "rinon der")]
WITHOUT = ["bladder", "hr_ctv", "vertebrae_L5", "L5", "cleft", "bright", "colon", "rectum", "liver", "upright"]
WITHOUT += ["Rectum", "REST", "Lung", "ovaries_left_right", "GTVn1", "Bowel"]


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_the_other_side_of_a_name(left: str, right: str) -> None:
    assert mirrored_labels(("bladder", left, right)) == (0, 1, 3, 2)
    assert has_unpaired_sides((left, right)) == ()
    assert has_unpaired_sides((left, "bladder")) == (left,)
    assert has_unpaired_sides(("bladder", right)) == (right,)


@pytest.mark.parametrize(("left", "right"), ONLY_TOGETHER)
def test_names_that_have_a_side_only_together_with_the_other(left: str, right: str) -> None:
    assert mirrored_labels((left, right)) == (0, 2, 1)
    assert has_unpaired_sides((left,)) == has_unpaired_sides((right,)) == ()


@pytest.mark.parametrize("name", WITHOUT)
def test_names_without_a_side(name: str) -> None:
    assert not has_side(name)
    assert mirrored_labels((name, "bladder", "rectum")) == (0, 1, 2, 3)


def test_names_that_differ_in_case_alone_leave_no_label_without_its_counterpart() -> None:
    names = ("hip_left", "Hip_Left", "hip_right")
    assert mirrored_labels(names) == (0, 1, 2, 3)
    assert has_unpaired_sides(names) == names


def test_labels_of_a_mirror_image() -> None:
    names = ("bladder", "hip_right", "femur_left", "hip_left", "femur_right", "kidney_left", "Psoas_L", "psoas_r")
    assert mirrored_labels(names) == (0, 1, 4, 5, 2, 3, 6, 8, 7)
    assert has_unpaired_sides(names) == ("kidney_left",)
    assert mirrored_labels(("bladder", "rectum")) == (0, 1, 2)
    assert has_unpaired_sides(("bladder", "rectum")) == ()


def test_swapping_twice_changes_nothing() -> None:
    names = ("hip_left", "a", "rib_left_1", "rib_right_1", "hip_right")
    labels = mirrored_labels(names)
    assert [labels[label] for label in labels] == list(range(6))
