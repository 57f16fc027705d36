"""Left and right in the names of structures."""

import pytest

from gynbtnet.imaging.sides import mirrored_labels, one_sided, other_side

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
]
WITHOUT = ["bladder", "hr_ctv", "vertebrae_L5", "L5", "cleft", "bright", "colon", "rectum", "liver", "upright"]


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_the_other_side_of_a_name(left: str, right: str) -> None:
    assert other_side(left) == right
    assert other_side(right) == left


@pytest.mark.parametrize("name", WITHOUT)
def test_names_without_a_side(name: str) -> None:
    assert other_side(name) is None


def test_labels_of_a_mirror_image() -> None:
    names = ("bladder", "hip_right", "femur_left", "hip_left", "femur_right", "kidney_left", "Psoas_L", "psoas_r")
    assert mirrored_labels(names) == (0, 1, 4, 5, 2, 3, 6, 8, 7)
    assert one_sided(names) == ("kidney_left",)
    assert mirrored_labels(("bladder", "rectum")) == (0, 1, 2)
    assert one_sided(("bladder", "rectum")) == ()


def test_swapping_twice_changes_nothing() -> None:
    names = ("hip_left", "a", "rib_left_1", "rib_right_1", "hip_right")
    labels = mirrored_labels(names)
    assert [labels[label] for label in labels] == list(range(6))
