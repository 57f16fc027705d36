"""Copies of contours, contours that cross, and contours off the planes of the scan."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gynbtnet.imaging.contours.contour_copies import drop_copies
from gynbtnet.imaging.contours.contour_nesting import XorLoss, nesting_losses
from gynbtnet.imaging.contours.contour_planes import snap_to_planes
from gynbtnet.imaging.contours.contours_to_mask import Contour, contours_to_mask
from gynbtnet.imaging.contours.mask_to_contours import mask_to_contours
from gynbtnet.imaging.geometry import Geometry

GRID = Geometry((3, 12, 14), (3.0, 0.9, 0.8), (-5.0, 7.0, -3.0))
masks = arrays.arrays(bool, GRID.shape)


def box(top: float, left: float, bottom: float, right: float, z: int = 0, grid: Geometry = GRID) -> Contour:
    corners = [(z, top, left), (z, top, right), (z, bottom, right), (z, bottom, left)]
    return Contour(grid.to_world(corners), z)


def rewritten(points: np.ndarray, start: int, is_reversed: bool, has_middles: bool) -> np.ndarray:
    """Return the same polygon from another start, in the other direction, or with edge midpoints."""
    if has_middles:
        points = np.stack([points, (points + np.roll(points, -1, axis=0)) / 2], axis=1).reshape(-1, 3)
    points = np.roll(points, start, axis=0)
    return points[::-1] if is_reversed else points


@settings(max_examples=60, deadline=None)
@given(
    mask=masks,
    contour_style=st.sampled_from(["smooth", "exact"]),
    hole_style=st.sampled_from(["keyhole", "inner"]),
    data=st.data(),
)
def test_start_direction_order_and_copies_never_change_a_mask(mask, contour_style, hole_style, data):
    contours = mask_to_contours(mask, GRID, contour_style=contour_style, hole_style=hole_style)
    how = st.tuples(st.integers(0, 9), st.booleans(), st.booleans())
    written = [
        Contour(rewritten(contour.points, *data.draw(how)), contour.z)
        for contour in contours
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    left, copies = drop_copies(data.draw(st.permutations(written)))
    assert copies == len(written) - len(contours)
    assert np.array_equal(contours_to_mask(left, GRID), mask)


@settings(max_examples=60, deadline=None)
@given(mask=masks, contour_style=st.sampled_from(["smooth", "exact"]))
def test_no_hole_or_island_of_a_mask_counts_as_lost(mask, contour_style):
    assert nesting_losses(mask_to_contours(mask, GRID, contour_style=contour_style, hole_style="inner"), GRID) == []


@settings(max_examples=40, deadline=None)
@given(shift=st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)), decimals=st.integers(1, 6))
def test_a_copy_may_be_shifted_by_a_tenth_of_a_millimetre_or_rounded(shift, decimals):
    contour = box(1.5, 1.5, 8.5, 9.5)
    other = Contour(np.round(contour.points + np.array([*shift, 0]), decimals), 0)
    assert drop_copies([contour, other])[0] == [contour] or decimals == 1
    assert drop_copies([contour, Contour(np.round(contour.points, decimals), 0)])[1] == 1


@pytest.mark.parametrize("closed", [False, True])
def test_a_contour_that_leads_round_twice_counts_once(closed):
    contour = box(1.5, 1.5, 8.5, 9.5)
    twice = np.concatenate([contour.points, contour.points + 0.02, contour.points[: int(closed)]])
    left, copies = drop_copies([Contour(twice, 0)])
    assert copies == 1
    assert np.array_equal(contours_to_mask(left, GRID), contours_to_mask([contour], GRID))


@pytest.mark.parametrize(
    "other",
    [
        box(1.5, 1.5, 8.5, 9.5, z=1),  # on another slice
        box(1.5, 1.5, 8.5, 9.9),
        box(2.0, 2.0, 8.0, 9.0),  # a hole within a thin wall
        Contour(box(1.5, 1.5, 8.5, 9.5).points[[0, 2, 1, 3]], 0),  # a bow-tie of the same corners
        Contour(box(1.5, 1.5, 8.5, 9.5).points[:3], 0),
    ],
)
def test_contours_that_differ_are_kept(other):
    contour = box(1.5, 1.5, 8.5, 9.5)
    assert drop_copies([contour, other]) == ([contour, other], 0)


def lost(contours: Sequence[Contour]) -> list[tuple[int, int, int]]:
    """Return slice, lost and enclosed voxels of each loss."""
    losses = nesting_losses(contours, GRID)
    assert all(isinstance(loss, XorLoss) for loss in losses)
    return [(loss.z, loss.lost, loss.enclosed) for loss in losses]


def test_voxels_lost_to_crossing_contours_are_counted():
    contour = box(0.5, 0.5, 8.5, 8.5)  # 8 × 8 voxels
    assert lost([contour, box(0.5, 9.5, 8.5, 12.5)]) == []
    assert lost([contour, box(2.5, 2.5, 6.5, 6.5)]) == []  # a hole
    assert lost([contour, box(2.5, 2.5, 6.5, 6.5), box(3.5, 3.5, 5.5, 5.5)]) == []  # an island in it
    assert lost([contour, box(4.5, 4.5, 10.5, 12.5)]) == [(0, 16, 64 + 48 - 16)]
    assert lost([contour, box(0.7, 0.7, 8.3, 8.3)]) == [(0, 64, 64)]  # no wall
    assert lost([contour, box(1.5, 0.7, 8.3, 8.3)]) == [(0, 56, 64)]  # a wall on one side only
    assert lost([box(0.5, 0.5, 8.5, 8.5, z=2), box(4.5, 4.5, 10.5, 12.5, z=2), contour]) == [(2, 16, 96)]


def test_a_hole_that_reaches_a_little_beyond_its_contour_is_a_hole():
    assert lost([box(0.5, 0.5, 10.5, 10.5), box(2.5, 2.5, 10.6, 8.5)]) == []
    assert lost([box(0.5, 0.5, 10.5, 10.5), box(-2.0, 2.5, 14.0, 8.5)]) != []


def test_contours_that_reach_beyond_the_image_are_counted_within_it():
    assert lost([box(-2, -2, 20, 20), box(-2, -2, 20, 20.5)]) == [(0, 12 * 14, 12 * 14)]
    assert lost([box(20, 20, 22, 22), box(20, 20, 23, 23)]) == []


@settings(max_examples=200, deadline=None)
@given(
    numbers=st.lists(st.integers(1, 20), min_size=1, max_size=9),
    off=st.floats(-0.47, 0.47),
    noise=st.floats(0, 0.02),
    seed=st.integers(0, 99),
)
def test_contours_off_by_one_distance_get_their_own_planes(numbers, off, noise, seed):
    heights = np.asarray(numbers) + off + np.random.default_rng(seed).uniform(-noise, noise, len(numbers))
    moved, by = snap_to_planes(heights, 22)
    assert np.rint(moved).tolist() == numbers
    assert by == pytest.approx(-off, abs=noise + 1e-9)


@settings(max_examples=200, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 20), min_size=1, max_size=9),
    off=st.floats(0.495, 0.505),
    noise=st.floats(0, 0.005),
    seed=st.integers(0, 99),
)
def test_contours_half_way_all_go_down_and_at_the_first_plane_all_up(numbers, off, noise, seed):
    heights = np.asarray(numbers) - off + np.random.default_rng(seed).uniform(-noise, noise, len(numbers))
    moved, _ = snap_to_planes(heights, 22)
    assert np.rint(moved).tolist() == [number - (0 not in numbers) for number in numbers]


def test_contours_at_several_distances_stay_and_ties_go_down():
    moved, by = snap_to_planes(np.asarray([1.0, 2.3, 3.5001, 4.4999, 5.49]), 9)
    assert by == 0
    assert np.rint(moved).tolist() == [1, 2, 3, 4, 5]
    moved, by = snap_to_planes(np.asarray([-0.4, 0.6, 1.4, 2.4]), 9)
    assert (np.rint(moved).tolist(), by) == ([0, 1, 1, 2], 0)
