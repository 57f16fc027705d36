"""Signed distances against geometry worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.imaging import Geometry
from gynbtnet.phantom.shapes.grid_points import GridPoints
from gynbtnet.phantom.shapes.shape_operations import Difference, Dilated, Union, smooth_minimum
from gynbtnet.phantom.shapes.shapes import FAR, Superellipsoid, Tube, orthonormal_frame, sample
from gynbtnet.phantom.shapes.texture import Texture

GRID = GridPoints(*(np.linspace(-40, 40, n) for n in (41, 37, 45)))


def radius_from(centre: tuple[float, float, float]) -> np.ndarray:
    x, y, z = (axis - c for axis, c in zip(GRID.open, centre, strict=True))
    return np.sqrt(x * x + y * y + z * z)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(-15, 15)] * 3), st.floats(3, 20), st.floats(0.1, 3))
def test_a_ball_is_exact_in_any_rotation(centre: tuple[float, float, float], radius: float, angle: float) -> None:
    axes = orthonormal_frame((np.cos(angle), np.sin(angle), 0.3), (0, 0, 1))
    distance = Superellipsoid(centre, (radius, radius, radius), axes=axes).distance(GRID)
    assert np.allclose(distance, radius_from(centre) - radius, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(6, 25)] * 3), st.sampled_from([2.0, 2.5, 4.0]), st.floats(0, 3))
def test_inside_points_are_in_the_box(radii: tuple[float, float, float], exponent: float, angle: float) -> None:
    axes = orthonormal_frame((np.cos(angle), np.sin(angle), 0.5), (0.2, 0.1, 1))
    blob = Superellipsoid((1, 2, 3), radii, axes=axes, exponent=exponent, bend=(0.004, -0.003))
    x, y, z = np.broadcast_arrays(*GRID.open)
    inside = np.stack([x, y, z], axis=-1)[blob.distance(GRID) < 0]
    assert (inside >= blob.box[0] - 1e-9).all() and (inside <= blob.box[1] + 1e-9).all()


def test_an_ellipsoid_has_the_volume_of_the_formula() -> None:
    radii = (21.0, 12.0, 16.0)
    axis = np.arange(-30, 30, dtype=np.float64) + 0.5
    fine = GridPoints(axis, axis, axis)
    inside = (Superellipsoid((0, 0, 0), radii, axes=orthonormal_frame((1, 1, 0), (0, 0, 1))).distance(fine) < 0).sum()
    assert inside == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.01)


def test_a_tube_is_as_far_as_its_nearest_centre() -> None:
    tube = Tube.through([(-20, 0, -20), (0, 14, 0), (20, -5, 18)], 5.0, step=1.0)
    x, y, z = np.broadcast_arrays(*GRID.open)
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    fine = np.concatenate(
        [a + np.linspace(0, 1, 9)[:, None] * (b - a) for a, b in zip(tube.path, tube.path[1:], strict=False)]
    )
    nearest = np.min([np.linalg.norm(points - p, axis=1) for p in fine], axis=0).reshape(x.shape) - 5
    distance = tube.distance(GRID)
    near = nearest < FAR - 0.5
    assert np.allclose(distance[near], nearest[near], atol=0.02)
    assert (distance[~near] > FAR - 1).all()


def test_joined_dented_grown() -> None:
    left, right = Superellipsoid((-8, 0, 0), (10, 10, 10)), Superellipsoid((8, 0, 0), (10, 10, 10))
    a, b = left.distance(GRID), right.distance(GRID)
    joined = Union([left, right], blend=4.0).distance(GRID)
    lower = np.minimum(a, b)
    near = lower < FAR - 4.0
    assert (joined <= lower + 1e-9).all() and (joined >= lower - 1.0 - 1e-9)[near].all()
    dented = Difference(left, right, gap=2.0).distance(GRID) < 0
    assert np.array_equal(dented, (a < 0) & (b > 2.0))
    assert np.array_equal(Dilated(left, 3.0).distance(GRID) < 0, a < 3.0)
    assert sample(left, GRID)[0, 0, 0] == FAR


@settings(max_examples=30, deadline=None)
@given(st.floats(-9, 9), st.floats(-9, 9), st.floats(0, 6))
def test_a_smooth_minimum_is_symmetric_and_never_larger(a: float, b: float, blend: float) -> None:
    minimum = smooth_minimum(np.asarray(a), np.asarray(b), blend)
    assert minimum == pytest.approx(smooth_minimum(np.asarray(b), np.asarray(a), blend))
    assert min(a, b) - blend / 4 - 1e-9 <= minimum <= min(a, b) + 1e-9


def test_a_texture_belongs_to_the_patient_not_to_the_grid() -> None:
    texture = Texture((1, 2), 8.0)
    values = texture(GRID)
    part = GRID[slice(3, 20), slice(5, 6), slice(0, 40)]
    assert np.allclose(texture(part), values[3:20, 5:6, 0:40], atol=1e-12)
    wide = texture(GridPoints(*[np.arange(-170, 170, 7.3)] * 3))
    assert abs(wide.mean()) < 0.05 and wide.std() == pytest.approx(1, abs=0.05)


def test_an_oblique_grid_is_a_programming_error() -> None:
    geometry = Geometry((8, 8, 8), direction=(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="along the patient axes"):
        GridPoints.from_geometry(geometry, np.zeros(3))
