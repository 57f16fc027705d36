"""Positions of slices and paths agree with the voxels; pictures have the grey values of the window."""

import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon
from PIL import Image

from gynbtnet.imaging import Geometry, Segmentation, Volume
from gynbtnet.pages.slice_stack import UNITS_PER_MM, slice_stack

GEOMETRY = Geometry((8, 20, 30), (3.0, 2.0, 1.0), (-15.0, -20.0, 100.0))


def a_case(mask: np.ndarray) -> tuple[Volume, dict[str, Segmentation]]:
    image = Volume(np.full(GEOMETRY.shape, -160, np.int16), GEOMETRY)
    return image, {"truth": Segmentation(Volume(mask.astype(np.uint8), GEOMETRY), ("bladder",))}


def polygons(path: str) -> list[np.ndarray]:
    """Return the corners of each part of path data, in mm, read by other rules than it was written."""
    parts = []
    for first, moves in re.findall(r"M([^l]*)l([^z]*)z", path):
        numbers = [np.array(re.findall(r"-?[0-9]+", text), float).reshape(-1, 2) for text in (first, moves)]
        parts.append(np.cumsum(np.concatenate(numbers), axis=0) / UNITS_PER_MM)
    return parts


def inside(path: str, points: np.ndarray) -> np.ndarray:
    """Return True for points (n, 2) in mm that are inside by the even-odd rule."""
    within = np.zeros(len(points), int)
    for corners in polygons(path):
        within += Polygon(np.concatenate([corners, corners[:1]])).contains_points(points)
    return within % 2 == 1


@pytest.mark.parametrize(
    ("plane", "slices", "size", "first"),
    [("axial", 8, (30.0, 40.0), 2), ("coronal", 10, (30.0, 24.0), 6), ("sagittal", 10, (40.0, 24.0), 5)],
)
def test_a_box_keeps_its_position(plane, slices, size, first):
    mask = np.zeros(GEOMETRY.shape, bool)
    mask[1:5, 6:16, 10:22] = True
    image, drawn = a_case(mask)
    middle = {"axial": 2, "coronal": 12, "sagittal": 16}[plane]
    stack = slice_stack(image, drawn, plane, middle)
    assert (len(stack.images), (stack.width, stack.height), stack.first) == (slices, size, first)
    (corners,) = polygons(stack.outlines["truth"]["bladder"][stack.first])
    low, high = corners.min(axis=0), corners.max(axis=0)
    # Faces of the box in mm from the picture's top left; head is up, so that z runs from below.
    faces = {
        "axial": ((10, 12), (22, 32)),
        "coronal": ((10, 24 - 15), (22, 24 - 3)),
        "sagittal": ((12, 24 - 15), (32, 24 - 3)),
    }[plane]
    assert low == pytest.approx(faces[0], abs=1.3)
    assert high == pytest.approx(faces[1], abs=1.3)
    position = {"axial": 100 + 3 * 2, "coronal": -20 + 2 * 12, "sagittal": -15 + 16}[plane]
    assert stack.positions_mm[stack.first] == position


def test_close_slices_are_thinned_and_the_first_one_is_kept():
    image, drawn = a_case(np.zeros(GEOMETRY.shape, bool))
    stack = slice_stack(image, drawn, "sagittal", 16)
    assert np.diff(stack.positions_mm).tolist() == [3.0] * 9
    assert stack.positions_mm[stack.first] == 1.0
    assert set(stack.outlines["truth"]["bladder"]) == {""}


def test_a_picture_is_the_scan_in_its_window():
    hu = np.full(GEOMETRY.shape, -1000, np.int16)
    hu[:, :, 15:] = 40
    hu[:, 10:, :] = 900
    stack = slice_stack(Volume(hu, GEOMETRY), {}, "axial", 0)
    picture = np.asarray(Image.open(io.BytesIO(stack.images[0])).convert("L")).astype(int)
    assert picture.shape == (40, 30)  # 1 mm pixels, the finer of its spacings
    assert picture[5, 5] == pytest.approx(0, abs=8)
    assert picture[5, 25] == pytest.approx(127, abs=8)
    assert picture[35, 15] == pytest.approx(255, abs=8)
    assert slice_stack(Volume(hu, GEOMETRY), {}, "axial", 0).images == stack.images


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(2.5, 6.0))
def test_voxels_deep_inside_and_far_outside_stay_there(seed, radius):
    """Check any blob with a hole: points farther from its border than the path's resolution keep their side."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :40]
    outer = np.hypot(y - random.uniform(16, 24), x - random.uniform(16, 24)) - radius - 8
    inner = np.hypot(y - 20, x - 20) - radius
    mask = (outer < 0) & (inner > 0)
    grid = Geometry((1, 40, 40))
    drawn = {"truth": Segmentation(Volume(mask[None].astype(np.uint8), grid), ("bladder",))}
    stack = slice_stack(Volume(np.zeros((1, 40, 40), np.int16), grid), drawn, "axial", 0)
    depth = np.maximum(outer, -inner)
    sure = np.abs(depth) > 1.5
    centres = np.stack([x + 0.5, y + 0.5], axis=-1)[sure]
    assert np.array_equal(inside(stack.outlines["truth"]["bladder"][0], centres), mask[sure])
