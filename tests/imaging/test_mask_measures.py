"""Bounding boxes and centroids, compared with SciPy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from gynbtnet.imaging.mask_measures import bounding_box, centroid, union_of_boxes

masks = arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=7))


@settings(max_examples=80, deadline=None)
@given(masks)
def test_box_and_centroid_are_those_of_scipy(mask: np.ndarray) -> None:
    expected = ndimage.find_objects(mask.astype(int), max_label=1)[0]
    assert bounding_box(mask) == expected
    if mask.any():
        np.testing.assert_allclose(centroid(mask), ndimage.center_of_mass(mask), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(arrays(bool, (4, 5, 6)), max_size=3))
def test_a_union_is_the_box_around_all_masks(parts: list[np.ndarray]) -> None:
    expected = bounding_box(np.logical_or.reduce(parts)) if parts else None
    assert union_of_boxes(map(bounding_box, parts)) == expected


def test_boxes_of_slices_have_two_sides() -> None:
    mask = np.zeros((5, 6), bool)
    mask[1:3, 4] = True
    assert bounding_box(mask) == (slice(1, 3), slice(4, 5))
