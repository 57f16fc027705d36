import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.path import Path as Polygon
from scipy.ndimage import label

from gynbtnet.imaging.contours.contours_to_mask import Contour, contours_to_mask
from gynbtnet.imaging.contours.mask_to_contours import CLEARANCE, mask_to_contours
from gynbtnet.imaging.geometry import Geometry

shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))


def drawn(geometry, *polygons, z=0):
    """Return contours with corners given in voxels (y, x)."""
    corners = [np.insert(np.asarray(polygon, float), 0, z, axis=1) for polygon in polygons]
    return [Contour(geometry.to_world(points), z) for points in corners]


def box(top, left, bottom, right):
    return [(top, left), (top, right), (bottom, right), (bottom, left)]


def area(contours):
    """Return the area in mm², without holes, of contours on axial slices."""
    total = 0.0
    for contour in contours:
        x, y = contour.points[:, 0], contour.points[:, 1]
        total += (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
    return abs(total)


@pytest.mark.parametrize("contour_style", ["smooth", "exact"])
@pytest.mark.parametrize("hole_style", ["inner", "keyhole"])
@settings(max_examples=150, deadline=None)
@given(
    mask=arrays.arrays(bool, shapes, elements=st.sampled_from([True, True, False])),
    spacing=st.tuples(*[st.floats(0.2, 5)] * 3),
    origin=st.tuples(*[st.floats(-400, 400)] * 3),
)
def test_any_mask_comes_back_from_its_contours(contour_style, hole_style, mask, spacing, origin):
    geometry = Geometry(mask.shape, spacing, origin)
    contours = mask_to_contours(mask, geometry, contour_style=contour_style, hole_style=hole_style)
    assert np.array_equal(contours_to_mask(contours, geometry), mask)
    if contour_style == "exact":
        assert area(contours) == pytest.approx(mask.sum() * spacing[1] * spacing[2])
    if hole_style == "keyhole":  # one contour for each island, whose voxels share a side
        assert len(contours) == sum(label(plane)[1] for plane in mask)


@pytest.mark.parametrize("contour_style", ["smooth", "exact"])
@settings(max_examples=50, deadline=None)
@given(mask=arrays.arrays(bool, (1, 12, 12), elements=st.sampled_from([True, True, True, False])))
def test_keyholes_are_filled_as_matplotlib_fills_them(contour_style, mask):
    contours = mask_to_contours(mask, Geometry(mask.shape), contour_style=contour_style, hole_style="keyhole")
    centres = np.indices((12, 12)).reshape(2, -1).T[:, ::-1] + 1e-7  # off the channels
    inside = [Polygon(contour.points[:, :2]).contains_points(centres) for contour in contours]
    assert np.array_equal(np.any(inside, axis=0).reshape(12, 12) if inside else mask[0] & False, mask[0])


def test_a_hole_in_an_island_in_a_hole():
    mask = np.zeros((1, 11, 11), bool)
    for edge, value in ((0, True), (1, False), (3, True), (4, False)):
        mask[0, edge : 11 - edge, edge : 11 - edge] = value
    for contour_style in ("smooth", "exact"):
        contours = mask_to_contours(mask, Geometry(mask.shape), contour_style=contour_style, hole_style="keyhole")
        assert len(contours) == 2
        assert np.array_equal(contours_to_mask(contours, Geometry(mask.shape)), mask)


def test_exact_outlines_have_the_corners_of_voxels_alone():
    mask = np.zeros((1, 6, 6), bool)
    mask[0, 1:5, 2:4] = True
    (contour,) = mask_to_contours(mask, Geometry(mask.shape), contour_style="exact")
    assert sorted(contour.points[:, :2].tolist()) == [[1.5, 0.5], [1.5, 4.5], [3.5, 0.5], [3.5, 4.5]]


def test_masks_come_back_in_every_orientation(axis_direction):
    mask = np.random.default_rng(2).random((4, 7, 9)) < 0.5
    geometry = Geometry(mask.shape, (3, 0.7, 0.9), (12, -34, 56), axis_direction)
    contours = mask_to_contours(mask, geometry)
    assert np.array_equal(contours_to_mask(contours, geometry), mask)
    for contour in contours:
        assert np.allclose(geometry.to_index(contour.points)[:, 0], contour.z)


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(bool, shapes))
def test_outlines_keep_away_from_centres_and_from_each_other(mask):
    geometry = Geometry(mask.shape)
    corners = [tuple(point) for contour in mask_to_contours(mask, geometry) for point in contour.points.round(9)]
    assert len(set(corners)) == len(corners)
    away = np.abs(np.asarray(corners).reshape(-1, 3) - np.rint(np.asarray(corners).reshape(-1, 3))).max(
        axis=1, initial=0
    )
    assert (away > CLEARANCE - 1e-9).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 40))
def test_polygons_are_filled_as_matplotlib_fills_them(seed, corners):
    random = np.random.default_rng(seed)
    angles = np.sort(random.random(corners)) * 2 * np.pi  # a star: it never crosses itself
    radii = random.uniform(3, 14, corners)
    star = np.stack([15 + radii * np.sin(angles), 16 + radii * np.cos(angles)], axis=1)
    hole = 15.3 + (star - (15, 16)) / 3
    centres = np.indices((31, 33)).reshape(2, -1).T
    expected = Polygon(star).contains_points(centres) ^ Polygon(hole).contains_points(centres)
    geometry = Geometry((1, 31, 33), (1, 0.9, 0.8), (-7, 3, 1))
    assert np.array_equal(contours_to_mask(drawn(geometry, star, hole), geometry)[0].ravel(), expected)


def test_a_centre_on_an_edge_belongs_right_and_below():
    geometry = Geometry((1, 6, 6))
    mask = contours_to_mask(drawn(geometry, box(1, 2, 3, 4)), geometry)
    assert np.argwhere(mask[0]).tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=3, max_size=3),
    st.tuples(*[st.floats(-9, 9)] * 3),
)
def test_triangles_that_share_an_edge_share_no_voxel_and_leave_none_out(corners, origin):
    geometry = Geometry((1, 9, 9), (1, 0.3, 0.3), origin)
    square_mask = contours_to_mask(drawn(geometry, box(0, 0, 8, 8)), geometry)
    inner = corners[0]
    square = box(0, 0, 8, 8)
    parts = [(square[i], square[(i + 1) % 4], inner) for i in range(4)]
    counts = sum(contours_to_mask(drawn(geometry, part), geometry).astype(int) for part in parts)
    assert np.array_equal(counts, square_mask.astype(int))


def test_islands_holes_and_keyholes():
    geometry = Geometry((2, 12, 12))
    ring = np.zeros((12, 12), bool)
    ring[2:10, 2:10], ring[4:7, 4:7] = True, False
    outer, inner = box(1.5, 1.5, 9.5, 9.5), box(3.5, 3.5, 6.5, 6.5)
    keyhole = [*outer, outer[0], inner[0], *inner[:0:-1], inner[0]]
    for contours in (drawn(geometry, outer, inner, z=1), drawn(geometry, keyhole, z=1)):
        mask = contours_to_mask(contours, geometry)
        assert not mask[0].any()
        assert np.array_equal(mask[1], ring)
    holes = mask_to_contours(np.stack([ring, ring]), geometry)
    assert [contour.z for contour in holes] == [0, 0, 1, 1]


def test_contours_beyond_the_image_are_cut_at_its_border():
    geometry = Geometry((1, 4, 5))
    assert contours_to_mask(drawn(geometry, box(-9, -9, 9, 9)), geometry).all()
    assert not contours_to_mask(drawn(geometry, box(5, 6, 9, 9)), geometry).any()
    assert not contours_to_mask([], geometry).any()


@pytest.mark.parametrize("radius", [4, 8, 25])
def test_a_disc_comes_out_round_and_as_large_as_it_is(radius):
    y, x = np.mgrid[:64, :64]
    mask = (np.hypot(y - 31.3, x - 30.6) < radius)[None]
    contours = mask_to_contours(mask, Geometry(mask.shape))
    distance = np.hypot(contours[0].points[:, 1] - 31.3, contours[0].points[:, 0] - 30.6) - radius
    assert np.abs(distance).mean() < 0.2  # of a voxel; half-way between centres it would be 0.25
    assert area(contours) == pytest.approx(mask.sum(), rel=0.03)


def test_thin_structures_keep_their_area():
    mask = np.zeros((1, 40, 40), bool)
    mask[0, 5:35, 10], mask[0, 5:35, 20:22] = True, True
    assert area(mask_to_contours(mask, Geometry(mask.shape))) == pytest.approx(mask.sum(), rel=0.05)


def test_a_mask_that_does_not_fit_the_grid_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        mask_to_contours(np.zeros((1, 2, 3), bool), Geometry((1, 3, 2)))
