import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from gynbtnet.imaging.geometry import Geometry


@st.composite
def geometries(draw):
    turns = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    mirror = draw(st.sampled_from([1.0, -1.0]))
    direction = Rotation.from_euler("xyz", turns, degrees=True).as_matrix() * [1, 1, mirror]
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
def test_what_is_no_grid_is_refused(values):
    with pytest.raises(ValueError, match="not"):
        Geometry(**values)
