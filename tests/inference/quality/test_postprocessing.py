"""Connected components and holes, by hand and against SimpleITK and scipy."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from gynbtnet.imaging import NO_NESTING, Geometry, Segmentation, Volume
from gynbtnet.inference.quality.connected_components import connected_components
from gynbtnet.inference.quality.postprocessing import postprocess
from gynbtnet.preparation import PostprocessingRule

NAMES = ("hr_ctv", "bladder", "uterus")
SHAPES = st.tuples(*[st.integers(1, 7)] * 3)
MASKS = SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1)))
MAPS = SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 3)))
RULES = st.builds(
    lambda name, largest, minimum, fill: PostprocessingRule(name, largest, minimum, fill or not (largest or minimum)),
    st.sampled_from(NAMES),
    st.booleans(),
    st.sampled_from([0.0, 0.002, 0.005]),
    st.booleans(),
)


def segmented(labels: np.ndarray, spacing: tuple[float, float, float] = (1, 1, 1)) -> Segmentation:
    return Segmentation(Volume(labels, Geometry(labels.shape, spacing)), NAMES)


def mended(labels: np.ndarray, *rules: PostprocessingRule) -> np.ndarray:
    return postprocess(segmented(labels), rules, NO_NESTING).labels.array


def test_components_share_faces() -> None:
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[0, 0, :2] = labels[1, 1, 2] = labels[0, 2, 3] = 1  # corners and edges don't count
    components = connected_components(segmented(labels))
    assert sorted(components["hr_ctv"].voxels) == [1, 1, 2]
    assert components["bladder"].box is None
    assert len(components["bladder"].voxels) == 0


def test_largest_and_small_components() -> None:
    line = np.array([[[1, 1, 1, 0, 1, 0, 1, 1, 2, 2, 0, 2]]], np.uint8)
    largest = PostprocessingRule("hr_ctv", largest_component=True)
    assert mended(line, largest).ravel().tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 2, 2, 0, 2]
    two_voxels = PostprocessingRule("hr_ctv", minimum_cm3=0.002)  # of 1 mm³
    assert mended(line, two_voxels).ravel().tolist() == [1, 1, 1, 0, 0, 0, 1, 1, 2, 2, 0, 2]
    both = PostprocessingRule("bladder", largest_component=True, minimum_cm3=0.003)
    assert mended(line, both).ravel().tolist() == [1, 1, 1, 0, 1, 0, 1, 1, 0, 0, 0, 0]


def test_the_minimum_is_a_volume() -> None:
    labels = np.array([[[1, 0, 1, 1]]], np.uint8)
    wide = Segmentation(Volume(labels, Geometry(labels.shape, (5, 10, 10))), NAMES)  # 0.5 cm³ a voxel
    kept = postprocess(wide, [PostprocessingRule("hr_ctv", minimum_cm3=0.6)], NO_NESTING)
    assert kept.labels.array.ravel().tolist() == [0, 0, 1, 1]
    assert kept.volume_cm3("hr_ctv") == pytest.approx(1)


def test_a_hole_belongs_to_the_one_structure_around_it() -> None:
    labels = np.zeros((5, 5, 9), np.uint8)
    labels[1:4, 1:4, 1:4], labels[2, 2, 2] = 1, 0  # a hole in the target
    labels[1:4, 1:4, 5:8], labels[2, 2, 6] = 2, 3  # another structure within, which is none
    fill = [PostprocessingRule(name, fill_holes=True) for name in NAMES]
    expected = labels.copy()
    expected[2, 2, 2] = 1
    assert np.array_equal(mended(labels, *fill), expected)
    assert np.array_equal(mended(labels, *fill[1:]), labels)


def test_a_hole_between_two_structures_and_one_at_the_edge_stay() -> None:
    labels = np.ones((3, 3, 6), np.uint8)
    labels[..., 3:] = 2
    labels[1, 1, 2:4] = 0  # half in the target, half in the bladder
    labels[0, 1, 5] = 0
    fill = [PostprocessingRule(name, fill_holes=True) for name in NAMES]
    assert np.array_equal(mended(labels, *fill), labels)


def test_the_hole_of_a_removed_component_is_filled() -> None:
    labels = np.full((5, 5, 5), 3, np.uint8)
    labels[2, 2, 2] = labels[0, 0, 0] = 2
    labels[0, 0, 1:] = 2
    rules = [PostprocessingRule("bladder", largest_component=True), PostprocessingRule("uterus", fill_holes=True)]
    assert mended(labels, *rules)[2, 2, 2] == 3
    assert mended(labels, rules[0])[2, 2, 2] == 0


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_holes_are_those_of_scipy(mask: np.ndarray) -> None:
    filled = mended(mask, PostprocessingRule("hr_ctv", fill_holes=True))
    assert np.array_equal(filled, ndimage.binary_fill_holes(mask))


@settings(max_examples=100, deadline=None)
@given(MASKS, st.integers(2, 6))
def test_small_components_equal_those_of_simpleitk(mask: np.ndarray, voxels: int) -> None:
    numbered = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(mask)), voxels)
    kept = mended(mask, PostprocessingRule("hr_ctv", minimum_cm3=voxels / 1000))
    assert np.array_equal(kept, sitk.GetArrayFromImage(numbered) > 0)


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_the_largest_component_equals_that_of_simpleitk(mask: np.ndarray) -> None:
    numbered = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(mask)))
    kept = mended(mask, PostprocessingRule("hr_ctv", largest_component=True))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(numbered)
    assert kept.sum() == (shape.GetNumberOfPixels(1) if shape.GetLabels() else 0)
    assert ndimage.label(kept)[1] <= 1
    assert not (kept & ~mask).any()


@settings(max_examples=100, deadline=None)
@given(MAPS, st.lists(RULES, unique_by=lambda rule: rule.structure))
def test_no_structure_takes_voxels_from_another_and_the_order_has_no_effect(
    labels: np.ndarray, rules: list[PostprocessingRule]
) -> None:
    before = labels.copy()
    after = mended(labels, *rules)
    assert np.array_equal(labels, before)
    changed = after != labels
    assert np.all((after[changed] == 0) | (labels[changed] == 0) | (np.isin(labels, _removable(rules))[changed]))
    assert np.array_equal(after, mended(labels, *reversed(rules)))
    untouched = [label for label, name in enumerate(NAMES, start=1) if name not in {rule.structure for rule in rules}]
    for label in untouched:
        assert np.array_equal(after == label, labels == label)


def _removable(rules: list[PostprocessingRule]) -> list[int]:
    """Structures whose components are removed, and the resulting hole is filled by another structure."""
    return [NAMES.index(rule.structure) + 1 for rule in rules if rule.largest_component or rule.minimum_cm3]


def test_rules_that_say_nothing() -> None:
    with pytest.raises(ValueError, match="does nothing"):
        PostprocessingRule("bladder")
    with pytest.raises(ValueError, match="minimum_cm3"):
        PostprocessingRule("bladder", minimum_cm3=-1)
    with pytest.raises(ValueError, match="rules for rectum"):
        mended(np.zeros((1, 1, 1), np.uint8), PostprocessingRule("rectum", fill_holes=True))
