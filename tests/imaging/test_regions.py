"""Regions: labels that mean combinations of structures."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.regions import MOST_LABELS, Regions, occurring_combinations, regions_by_name
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime import BadInput

GRID = Geometry((4, 5, 6), spacing=(3.0, 1.0, 1.0))


def drawn(masks: dict[str, np.ndarray]) -> Segmentation:
    return paint_label_map(masks, tuple(masks), GRID)[0]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), structures=st.integers(1, 6), share=st.floats(0, 0.9))
def test_masks_survive_the_map_of_combinations(seed: int, structures: int, share: float) -> None:
    random = np.random.default_rng(seed)
    masks = {f"s{i}": random.random(GRID.shape) < share for i in range(structures)}
    segmentation = drawn(masks)
    regions = Regions.of(segmentation.structures, occurring_combinations(segmentation))
    labels = regions.label_map(segmentation)
    read = regions.masks(labels)
    for name, mask in masks.items():
        np.testing.assert_array_equal(read.mask(name), mask)
        np.testing.assert_array_equal(regions.membership[labels.array][..., regions.structures.index(name)], mask)


def test_occurring_combinations_are_those_of_the_voxels() -> None:
    masks = {name: np.zeros(GRID.shape, bool) for name in "abc"}
    masks["a"][0, :3], masks["b"][0, 2:], masks["c"][2] = True, True, True
    assert occurring_combinations(drawn(masks)) == {frozenset("ab")}


def test_single_structures_come_first_and_existing_labels_stay() -> None:
    regions = Regions.of(("a", "b", "c"), [{"a", "c"}])
    assert regions.labels == ((1, 4), (2,), (3, 4))
    assert regions_by_name(regions) == {"background": 0, "a": [1, 4], "b": [2], "c": [3, 4]}
    longer = regions.with_combinations([{"a", "b"}, {"a", "c"}])
    assert longer.labels == ((1, 4, 5), (2, 5), (3, 4))


def test_mirror_images_of_combinations_have_labels() -> None:
    regions = Regions.of(("femur_left", "femur_right", "bladder"), [{"femur_left", "bladder"}])
    mirror = regions.mirrored_labels
    assert [regions.combinations[mirror[label] - 1] for label in range(1, 6)] == [
        frozenset({"femur_right"}),
        frozenset({"femur_left"}),
        frozenset({"bladder"}),
        frozenset({"femur_right", "bladder"}),
        frozenset({"femur_left", "bladder"}),
    ]
    assert [mirror[label] for label in mirror] == list(range(6))


def test_a_combination_without_a_mirror_image_is_an_error() -> None:
    regions = Regions(("femur_left", "femur_right", "bladder"), ((1, 4), (2,), (3, 4)))
    with pytest.raises(ValueError, match="mirror image"):
        _ = regions.mirrored_labels


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (((1,), ()), "at least one"),
        (((1,), (3,)), "1, 2"),
        (((1, 2), (3,)), "same combination"),
        (((1,),), "1 regions"),
    ],
)
def test_impossible_regions_are_refused(labels: tuple[tuple[int, ...], ...], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Regions(("a", "b"), labels)


def test_a_combination_without_a_label_is_an_error() -> None:
    everywhere = {name: np.ones(GRID.shape, bool) for name in "ab"}
    with pytest.raises(ValueError, match="no label means a and b"):
        Regions.of("ab", []).label_map(drawn(everywhere))


def test_too_many_combinations_are_refused() -> None:
    names = [f"s{i}" for i in range(30)]
    pairs = list(combinations(names, 2))
    assert len(pairs) + len(names) > MOST_LABELS
    with pytest.raises(BadInput, match="435 combinations"):
        Regions.of(names, pairs)
    with pytest.raises(BadInput, match="more than 254"):
        Regions.of(names, pairs[:200]).with_combinations(pairs[200:400])
