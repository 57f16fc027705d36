"""Planes show the patient in the orientation that clinicians expect, for any order of voxels."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from gynbtnet.imaging import Geometry, Volume
from gynbtnet.pictures.planes import PLANES, as_displayed, plane

MIDDLE = np.array([5.0, -20.0, 100.0])
ANTERIOR, LEFT, HEAD = np.array([0, -1, 0]), np.array([1, 0, 0]), np.array([0, 0, 1])
AXES = [
    np.diag(signs)[list(order)].astype(float)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def marked(direction: np.ndarray, toward: np.ndarray, shape=(13, 15, 17), spacing=(3.0, 1.5, 2.0)) -> Volume:
    """Return zeros centred on MIDDLE, with one voxel marked 6 mm from there, ``toward`` a side of the patient."""
    centred = Geometry(shape, spacing, (0, 0, 0), tuple(direction.ravel()))
    origin = MIDDLE - centred.to_world((np.array(shape) - 1) / 2)
    geometry = Geometry(shape, spacing, tuple(origin), tuple(direction.ravel()))
    array = np.zeros(shape, np.int16)
    array[tuple(np.rint(geometry.to_index(MIDDLE + 6.0 * toward)).astype(int))] = 1
    return Volume(array, geometry)


def mark_on(volume: Volume, name) -> np.ndarray:
    """Return the mark's position on the plane through MIDDLE, in mm (down, right) from the picture's centre."""
    shown = plane(as_displayed(volume), name, MIDDLE)
    (index,) = np.argwhere(shown.array)
    return (index - (np.array(shown.array.shape) - 1) / 2) * shown.spacing


@pytest.mark.parametrize("axes", AXES)
def test_every_permutation_and_flip(axes):
    np.testing.assert_allclose(mark_on(marked(axes, ANTERIOR), "axial"), (-6, 0))  # up
    np.testing.assert_allclose(mark_on(marked(axes, LEFT), "axial"), (0, 6))  # to the right of the picture
    np.testing.assert_allclose(mark_on(marked(axes, HEAD), "coronal"), (-6, 0))
    np.testing.assert_allclose(mark_on(marked(axes, LEFT), "coronal"), (0, 6))
    np.testing.assert_allclose(mark_on(marked(axes, HEAD), "sagittal"), (-6, 0))
    np.testing.assert_allclose(mark_on(marked(axes, ANTERIOR), "sagittal"), (0, -6))


@given(axes=st.sampled_from(AXES), tilt=st.tuples(*[st.floats(-12, 12)] * 3))
@settings(max_examples=40, deadline=None)
def test_oblique_grids_go_to_the_nearest_axes(axes, tilt):
    direction = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix() @ axes
    nearest = {tuple(side): direction[:, np.argmax(np.abs(side @ direction))] for side in (ANTERIOR, LEFT, HEAD)}
    for name, side, expected in (("axial", ANTERIOR, (-6, 0)), ("axial", LEFT, (0, 6)), ("coronal", HEAD, (-6, 0))):
        axis = nearest[tuple(side)]
        volume = marked(direction, axis * np.sign(axis @ side))
        np.testing.assert_allclose(mark_on(volume, name), expected, atol=1e-6)


def test_rows_and_columns_keep_their_spacing_and_values_their_positions():
    geometry = Geometry((4, 5, 6), (3.0, 1.5, 2.0))
    volume = Volume(np.arange(120).reshape(4, 5, 6).astype(np.int16), geometry)
    point = geometry.to_world((1, 2, 3))
    shown = {name: plane(as_displayed(volume), name, point) for name in PLANES}
    assert {name: each.spacing for name, each in shown.items()} == {
        "axial": (1.5, 2.0),
        "coronal": (3.0, 2.0),
        "sagittal": (3.0, 1.5),
    }
    np.testing.assert_array_equal(shown["axial"].array, volume.array[1])
    np.testing.assert_array_equal(shown["coronal"].array, volume.array[::-1, 2])
    np.testing.assert_array_equal(shown["sagittal"].array, volume.array[::-1, :, 3])


def test_a_point_outside_shows_the_edge():
    volume = Volume(np.arange(8).reshape(2, 2, 2).astype(np.int16), Geometry((2, 2, 2)))
    np.testing.assert_array_equal(plane(volume, "axial", (0, 0, 99)).array, volume.array[1])
