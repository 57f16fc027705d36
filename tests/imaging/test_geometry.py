"""Grids: coordinates, boxes and other spacings, compared with SimpleITK and NumPy."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from gynbtnet.imaging.geometry import Geometry


@st.composite
def geometries(draw):
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    mirror = draw(st.sampled_from([1.0, -1.0]))
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * [1, 1, mirror]
    return Geometry(
        shape=draw(st.tuples(*[st.integers(1, 40)] * 3)),
        spacing=draw(st.tuples(*[st.floats(0.1, 10)] * 3)),
        origin=draw(st.tuples(*[st.floats(-500, 500)] * 3)),
        direction=tuple(direction.ravel()),
    )


points = st.tuples(*[st.floats(-100, 100)] * 3)


@settings(max_examples=60, deadline=None)
@given(geometries(), points)
def test_index_to_world_and_back(geometry, index):
    assert np.allclose(geometry.to_index(geometry.to_world(index)), index, atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(geometries(), points)
def test_world_points_are_those_of_simpleitk(geometry, index):
    image = sitk.Image([int(n) for n in geometry.shape[::-1]], sitk.sitkUInt8)
    image.SetSpacing(geometry.spacing[::-1])
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    expected = image.TransformContinuousIndexToPhysicalPoint(index[::-1])
    assert np.allclose(geometry.to_world(index), expected, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(geometries(), st.tuples(*[st.floats(0.1, 10)] * 3))
def test_another_spacing_covers_the_same_box(geometry, spacing):
    resampled = geometry.with_spacing(spacing)
    faces = [np.full(3, -0.5), np.asarray(geometry.shape) - 0.5]
    others = [np.full(3, -0.5), np.asarray(resampled.shape) - 0.5]
    assert np.allclose(geometry.to_world(faces), resampled.to_world(others), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(geometries())
def test_json_keeps_every_digit(geometry):
    assert Geometry.from_json(geometry.to_json()) == geometry


def test_offset_is_the_largest_corner_distance():
    geometry = Geometry((2, 3, 11), (1, 1, 1))
    assert geometry.offset(Geometry((2, 3, 11), (1, 1, 1), (3, 4, 0))) == pytest.approx(5)
    assert geometry.offset(Geometry((2, 3, 11), (1, 1, 1.1))) == pytest.approx(1)
    assert geometry.offset(Geometry((2, 3, 12))) == float("inf")


@settings(max_examples=60, deadline=None)
@given(geometries(), st.data())
def test_the_voxels_of_a_cropped_grid_keep_their_positions(geometry, data):
    lower = [data.draw(st.integers(0, n - 1)) for n in geometry.shape]
    box = tuple(slice(low, data.draw(st.integers(low + 1, n))) for low, n in zip(lower, geometry.shape, strict=True))
    cropped = geometry.cropped(box)
    assert cropped.shape == np.empty(geometry.shape)[box].shape
    last = np.asarray(cropped.shape) - 1
    for index in (np.zeros(3), last):
        np.testing.assert_allclose(cropped.to_world(index), geometry.to_world(index + lower), atol=1e-6)


def test_boxes_may_be_open_and_count_from_the_end():
    grid = Geometry((5, 6, 7), (2, 1, 1), (1, 2, 3))
    assert grid.cropped((slice(None), slice(2, None), slice(-3, -1))) == Geometry((5, 4, 2), (2, 1, 1), (5, 4, 3))
    with pytest.raises(ValueError, match="without steps"):
        grid.cropped((slice(None, None, 2), slice(None), slice(None)))
    with pytest.raises(ValueError, match="at least 1"):
        grid.cropped((slice(2, 2), slice(None), slice(None)))


@settings(max_examples=60, deadline=None)
@given(geometries(), points)
def test_the_nearest_voxel_is_the_nearest_of_all(geometry, point):
    small = geometry.cropped(tuple(slice(0, 6) for _ in range(3)))
    index = np.indices(small.shape).reshape(3, -1).T
    distances = np.abs(index - small.to_index(point)).max(axis=1)
    nearest = np.abs(np.asarray(small.nearest_voxel(point)) - small.to_index(point)).max()
    assert nearest <= distances.min() + 1e-6


@settings(max_examples=60, deadline=None)
@given(geometries(), st.data(), st.floats(0, 40))
def test_a_cube_contains_its_box_with_the_margin(geometry, data, margin_mm):
    lower = [data.draw(st.integers(0, n - 1)) for n in geometry.shape]
    box = tuple(slice(low, data.draw(st.integers(low + 1, n))) for low, n in zip(lower, geometry.shape, strict=True))
    cube = geometry.cube_around(box, margin_mm)
    longest = max((side.stop - 1 - side.start) * s for side, s in zip(box, geometry.spacing, strict=True))
    for side, inner, n, s in zip(cube, box, geometry.shape, geometry.spacing, strict=True):
        assert 0 <= side.start <= inner.start < inner.stop <= side.stop <= n
        extent = (side.stop - 1 - side.start) * s
        at_ends = side.start == 0 or side.stop == n
        assert extent <= longest + 2 * margin_mm + 2 * s + 1e-6
        assert at_ends or extent >= longest + 2 * margin_mm - 1e-6
    assert geometry.cube_around(None, margin_mm) == tuple(slice(0, n) for n in geometry.shape)


def test_voxel_volume():
    assert Geometry((1, 1, 1), (2, 3, 4)).voxel_volume == 24


@pytest.mark.parametrize(
    "values",
    [
        {"shape": (0, 1, 1)},
        {"shape": (1, 1)},
        {"shape": (1, 1, 1), "spacing": (1, 1, 0)},
        {"shape": (1, 1, 1), "spacing": (1, 1, float("nan"))},
        {"shape": (1, 1, 1), "origin": (0, 0, float("inf"))},
        {"shape": (1, 1, 1), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 2)},
        {"shape": (1, 1, 1), "direction": (1, 0, 0)},
    ],
)
def test_invalid_grids_are_refused(values):
    with pytest.raises(ValueError, match="not"):
        Geometry(**values)
