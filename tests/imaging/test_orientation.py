import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.imaging.files.library_images import from_sitk, to_sitk
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.orientation import reorientation_between, reorientation_to_lps
from gynbtnet.imaging.volume import Volume


@st.composite
def grids(draw: st.DrawFn, tilt: float = 0.3) -> Geometry:
    """Grids with any order and direction of axes, rotated by up to ``tilt`` rad."""
    axes = np.eye(3)[:, draw(st.permutations(range(3)))] * draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    angle = draw(st.floats(-tilt, tilt))
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shape = draw(st.tuples(*[st.integers(1, 5)] * 3))
    return Geometry(shape, (3.0, 1.0, 1.5), (10.0, -20.0, 30.0), tuple((rotation @ axes).ravel()))


@settings(max_examples=60, deadline=None)
@given(grids())
def test_as_simpleitk_orients_to_lps(grid: Geometry) -> None:
    volume = Volume(np.arange(np.prod(grid.shape), dtype=np.int32).reshape(grid.shape), grid)
    expected = from_sitk(sitk.DICOMOrient(to_sitk(volume), "LPS"))
    reorientation = reorientation_to_lps(grid)
    np.testing.assert_array_equal(reorientation.array(volume.array), expected.array)
    assert reorientation.geometry(grid).offset(expected.geometry) < 1e-6


@settings(max_examples=60, deadline=None)
@given(grids())
def test_there_and_back(grid: Geometry) -> None:
    reoriented = reorientation_to_lps(grid).geometry(grid)
    array = np.random.default_rng(0).normal(size=(2, *grid.shape))
    there = reorientation_between(grid, reoriented).array(array)
    back = reorientation_between(reoriented, grid)
    np.testing.assert_array_equal(back.array(there), array)
    assert back.geometry(reoriented).offset(grid) < 1e-6


def test_oblique_grids_are_refused() -> None:
    tilted = Geometry((2, 2, 2), direction=(0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    with pytest.raises(ValueError, match="oblique to each other"):
        reorientation_between(Geometry((2, 2, 2)), tilted)
