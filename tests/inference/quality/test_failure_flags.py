"""Each flag by hand, on a pelvis of boxes."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.imaging import Geometry, Segmentation, StructureNames, Volume
from gynbtnet.inference.quality.failure_flags import failure_flags
from gynbtnet.inference.quality.structure_features import structure_features
from gynbtnet.preparation import StructureVolume

NAMES = ("hr_ctv", "bladder", "rectum", "uterus")
GRID = Geometry((16, 24, 20), (5.0, 5.0, 5.0))  # y runs backwards, z up; 0.125 cm³ a voxel
BOXES = {
    "hr_ctv": np.s_[5:8, 10:14, 8:12],
    "bladder": np.s_[6:12, 2:9, 6:14],
    "rectum": np.s_[1:14, 15:20, 8:12],
    "uterus": np.s_[8:12, 10:14, 8:12],
}


def pelvis(geometry: Geometry = GRID, **boxes: tuple[slice, ...] | None) -> Segmentation:
    labels = np.zeros(geometry.shape, np.uint8)
    for label, name in enumerate(NAMES, start=1):
        if (box := (BOXES | boxes)[name]) is not None:
            labels[box] = label
    return Segmentation(Volume(labels, geometry), NAMES)


def flagged(segmentation: Segmentation, volumes=(), **agreement: float) -> list[tuple[str, str]]:
    result = failure_flags(segmentation, agreement, structure_features(segmentation), volumes)
    display_name = StructureNames.load().display_name
    assert all(
        flag.sentence.startswith(display_name(flag.structure)) and flag.sentence.endswith(".") for flag in result
    )
    return [(flag.structure, flag.kind) for flag in result]


def test_a_normal_pelvis_has_no_flag() -> None:
    assert flagged(pelvis(), hr_ctv=0.9, bladder=math.nan) == []


def test_missing() -> None:
    assert flagged(pelvis(bladder=None), hr_ctv=0.9) == [("bladder", "missing")]


def test_fragmented() -> None:
    segmentation = pelvis()
    labels = segmentation.labels.array
    labels[14, 22, 1:17] = 2  # 336 voxels in the main piece: 95.5 % of 352
    assert structure_features(segmentation)[1].largest_share == pytest.approx(336 / 352)
    assert flagged(segmentation) == []
    labels[13, 22, 1:3] = 2  # 94.9 % of 354
    assert flagged(segmentation) == [("bladder", "fragmented")]


@pytest.mark.parametrize(
    ("box", "sides"),
    [
        (np.s_[0:14, 15:20, 8:12], ("inferior",)),
        (np.s_[1:16, 15:24, 8:12], ("superior", "posterior")),
        (np.s_[1:14, 15:20, 8:20], ("left",)),
        (np.s_[1:14, 15:20, 0:12], ("right",)),
    ],
)
def test_cut_at_the_edge(box: tuple[slice, ...], sides: tuple[str, ...]) -> None:
    segmentation = pelvis(rectum=box)
    assert structure_features(segmentation)[2].edges == sides
    assert flagged(segmentation) == [("rectum", "edge")]


def test_sides_follow_the_patient_on_any_grid() -> None:
    upside_down = replace(GRID, direction=(-1, 0, 0, 0, 1, 0, 0, 0, -1))
    assert structure_features(pelvis(upside_down, rectum=np.s_[0:14, 15:20, 0:12]))[2].edges == ("superior", "left")


def test_volume_outside_the_range_of_the_training() -> None:
    bladder = 336 * 0.125
    known = StructureVolume("bladder", 30, bladder, 0.1)
    low, high = known.range_cm3
    assert low < bladder < high
    assert flagged(pelvis(), [known]) == []
    assert flagged(pelvis(), [replace(known, median_cm3=high * 1.01)]) == [("bladder", "volume")]
    assert flagged(pelvis(), [replace(known, median_cm3=low * 0.99)]) == [("bladder", "volume")]


def test_a_target_far_from_the_uterus() -> None:
    assert flagged(pelvis(uterus=np.s_[9:12, 10:14, 8:12])) == []  # one slice between: 10 mm from centre to centre
    far = pelvis(uterus=np.s_[10:14, 10:14, 8:12])
    assert flagged(far) == [("hr_ctv", "position")]
    sentence = failure_flags(far, {}, structure_features(far))[0].sentence
    assert sentence == "HR-CTV is 15 mm from the uterus but should adjoin it. Check that the cervix was found."


def test_a_target_before_the_bladder_or_behind_the_rectum() -> None:
    uterus: dict[str, Any] = {"uterus": np.s_[8:12, 0:14, 8:12]}
    assert flagged(pelvis(hr_ctv=np.s_[5:8, 1:4, 8:12], **uterus))[:1] == [("hr_ctv", "position")]
    behind: dict[str, Any] = {"uterus": np.s_[8:12, 10:23, 8:12], "rectum": np.s_[1:4, 15:20, 8:12]}
    assert flagged(pelvis(hr_ctv=np.s_[5:8, 20:23, 8:12], **behind)) == [("hr_ctv", "position")]


def test_a_target_without_uterus_is_near_bladder_or_rectum() -> None:
    assert flagged(pelvis(uterus=None)) == [("uterus", "missing")]
    # the rectum's nearest voxels are 5 slices away, 25 mm
    alone = pelvis(uterus=None, bladder=None, hr_ctv=np.s_[1:2, 12:14, 8:12], rectum=np.s_[6:14, 14:20, 8:12])
    assert flagged(alone)[0] == ("hr_ctv", "position")


def test_forward_passes_that_disagree() -> None:
    assert flagged(pelvis(), hr_ctv=0.71, bladder=0.69, rectum=math.nan) == [("bladder", "disagreement")]


@settings(max_examples=30, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([1.0, -1.0])] * 3))
def test_flags_of_position_and_edge_are_the_same_on_any_grid(axes: list[int], signs: tuple[float, ...]) -> None:
    """The same voxels in the patient, stored along other axes."""
    for segmentation in (pelvis(), pelvis(rectum=np.s_[0:14, 15:20, 8:12], hr_ctv=np.s_[5:8, 1:2, 8:12])):
        labels = segmentation.labels.array
        reordered = np.transpose(labels, axes)
        flips = tuple(slice(None, None, -1) if sign < 0 else slice(None) for sign in signs)
        reordered = np.ascontiguousarray(reordered[flips])
        direction = np.zeros((3, 3))
        corner = np.zeros(3)
        for new, (old, sign) in enumerate(zip(axes, signs, strict=True)):  # new index axis along world axis 2 - old
            direction[2 - old, 2 - new] = sign
            corner[2 - old] = 0 if sign > 0 else 5.0 * (labels.shape[old] - 1)
        grid = Geometry(reordered.shape, (5, 5, 5), (corner[0], corner[1], corner[2]), tuple(direction.ravel()))
        result = Segmentation(Volume(reordered, grid), NAMES)
        assert flagged(result) == flagged(segmentation)
        assert [set(features.edges) for features in structure_features(result)] == [
            set(features.edges) for features in structure_features(segmentation)
        ]
