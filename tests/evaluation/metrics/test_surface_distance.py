"""Surface distances compared with MONAI, scipy and results by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from gynbtnet.evaluation.metrics.metrics import dice
from gynbtnet.evaluation.metrics.surface_distance import surface_distances, surface_mask, worst_distance

TOLERANCES = (0.9, 2.0, 3.0)
"""In mm; 2 and 3 are distances between voxels, and a distance that equals the tolerance is within it."""


def random_mask(seed: int, shape: tuple[int, int, int] = (14, 20, 17), share: float = 0.15) -> np.ndarray:
    """Return smooth random regions, which often touch the grid's edge."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2, mode="nearest")
    return noise > np.quantile(noise, 1 - share)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.27, 0.977, 0.977), (1.0, 0.464, 0.7)])
def test_metrics_equal_monai(seed, spacing):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from MONAI, on import
        import torch
        from monai.metrics import (
            compute_average_surface_distance,
            compute_dice,
            compute_hausdorff_distance,
            compute_surface_dice,
        )

        truth, prediction = random_mask(seed), random_mask(seed + 100, share=0.1)
        one_hot = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)]
        hd95 = compute_hausdorff_distance(*one_hot, include_background=True, percentile=95, spacing=spacing)
        overlap = compute_dice(*one_hot, include_background=True)
        hausdorff = compute_hausdorff_distance(*one_hot, include_background=True, spacing=spacing)
        asd = compute_average_surface_distance(*one_hot, include_background=True, symmetric=True, spacing=spacing)
        surface_dsc = [
            compute_surface_dice(*one_hot, [tolerance], include_background=True, spacing=spacing).item()
            for tolerance in TOLERANCES
        ]
    distances = surface_distances(truth, prediction, spacing)
    assert distances.hd95 == pytest.approx(hd95.item(), abs=1e-4)
    assert distances.asd == pytest.approx(asd.item(), abs=1e-4)
    assert distances.hausdorff == pytest.approx(hausdorff.item(), abs=1e-4)
    assert dice(truth, prediction) == pytest.approx(overlap.item(), abs=1e-4)
    assert [distances.surface_dsc(tolerance) for tolerance in TOLERANCES] == pytest.approx(surface_dsc, abs=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from surface-distance
@pytest.mark.parametrize("shift", [1, 3])
def test_counting_voxels_is_close_to_summing_areas(shift):
    """DeepMind's surface-distance sums surface areas between corners of voxels: within 0.1 on thick slices."""
    surface_distance = pytest.importorskip("surface_distance")
    spacing = (3.0, 1.0, 1.0)
    positions = np.indices((22, 60, 60)).reshape(3, -1).T * spacing
    truth = (np.linalg.norm((positions - (33, 28, 28)) / (25, 22, 18), axis=1) <= 1).reshape(22, 60, 60)
    prediction = np.roll(truth, shift, axis=1)
    theirs = surface_distance.compute_surface_distances(truth, prediction, spacing)
    ours = surface_distances(truth, prediction, spacing)
    for tolerance in (2.0, 3.0):
        by_area = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance)
        assert ours.surface_dsc(tolerance) == pytest.approx(by_area, abs=0.1)
    assert ours.hausdorff == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 100), abs=1.0)


@given(seed=st.integers(0, 10_000), other=st.integers(0, 10_000), spacing=st.tuples(*[st.floats(0.3, 5)] * 3))
@settings(max_examples=25, deadline=None)
def test_equal_to_scipy_symmetric_and_bounded(seed, other, spacing):
    truth, prediction = random_mask(seed), random_mask(other)
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (truth, prediction)]
    to_prediction = ndimage.distance_transform_edt(~edges[1], sampling=spacing)[edges[0]]
    to_truth = ndimage.distance_transform_edt(~edges[0], sampling=spacing)[edges[1]]

    distances = surface_distances(truth, prediction, spacing)
    assert distances.asd == pytest.approx(np.mean([*to_prediction, *to_truth]), abs=1e-4)
    assert distances.hd95 == pytest.approx(max(np.percentile(d, 95) for d in (to_prediction, to_truth)), abs=1e-4)

    back = surface_distances(prediction, truth, spacing)
    assert (back.hd95, back.asd) == pytest.approx((distances.hd95, distances.asd))
    worst = worst_distance(truth, spacing, (0, 0, 0), truth.shape)
    assert max(distances.from_truth.max(), distances.from_prediction.max()) <= worst + 1e-4
    same = surface_distances(truth, truth, spacing)
    assert (same.hd95, same.hausdorff, same.surface_dsc(0.01)) == (0, 0, 1)
    assert max(distances.asd, distances.hd95) <= distances.hausdorff
    assert distances.surface_dsc(1) <= distances.surface_dsc(4) <= distances.surface_dsc(distances.hausdorff) == 1


def test_a_shift_by_hand():
    """Two columns of four voxels along z, three voxels apart along y: every distance is 3 × 0.5 mm."""
    truth, prediction = np.zeros((2, 6, 5, 3), bool)
    truth[1:5, 0, 1] = True
    prediction[1:5, 3, 1] = True
    distances = surface_distances(truth, prediction, (2.0, 0.5, 1.0))
    np.testing.assert_allclose(distances.from_truth, 1.5)
    np.testing.assert_allclose(distances.from_prediction, 1.5)
    assert distances.hd95 == distances.asd == distances.hausdorff == 1.5
    assert (distances.surface_dsc(1.4), distances.surface_dsc(1.5)) == (0, 1)


def test_directed_percentiles_by_hand():
    """One voxel against a bar of five along z, 2 mm apart: directed distances (0) and (0, 2, 4, 6, 8) mm."""
    truth, prediction = np.zeros((2, 8, 3, 3), bool)
    truth[1, 1, 1] = True
    prediction[1:6, 1, 1] = True
    distances = surface_distances(truth, prediction, (2.0, 1.0, 1.0))
    assert distances.hd95 == pytest.approx(6 + 0.8 * 2)  # rank 0.95 × 4 = 3.8
    assert distances.asd == pytest.approx(20 / 6)
    assert distances.hausdorff == 8
    assert distances.surface_dsc(4) == pytest.approx((1 + 3) / 6)


def test_a_distance_that_equals_the_tolerance_is_within_it():
    """Five steps of 0.4 mm are 2 mm, even in single precision."""
    truth, prediction = np.zeros((2, 3, 3, 12), bool)
    truth[1, 1, 1] = prediction[1, 1, 6] = True
    assert surface_distances(truth, prediction, (1.0, 1.0, 0.4)).surface_dsc(2.0) == 1


def test_grid_edge_is_outside():
    assert surface_mask(np.ones((3, 3, 3), bool)).sum() == 26
    filled = np.zeros((5, 5, 5), bool)
    filled[1:4, 1:4, 1:4] = True
    assert surface_mask(filled).sum() == 26
    diagonal = np.ones((3, 3, 3), bool)
    diagonal[0, 0, 0] = False  # a corner neighbour is not a face neighbour
    assert not surface_mask(np.pad(diagonal, 1, constant_values=True))[2, 2, 2]


def test_worst_distance_by_hand():
    """From voxel (0, 0, 0) of a 3×4×5 grid, the far corner is 2, 3 and 4 steps away; boxes have their own start."""
    spacing = (2.0, 1.0, 0.5)
    corner = np.ones((1, 1, 1), bool)
    assert worst_distance(corner, spacing, (0, 0, 0), (3, 4, 5)) == pytest.approx(np.sqrt(16 + 9 + 4))
    assert worst_distance(corner, spacing, (1, 3, 2), (3, 4, 5)) == pytest.approx(np.sqrt(4 + 9 + 1))


def test_an_empty_mask_has_no_surface():
    with pytest.raises(ValueError, match="empty"):
        surface_distances(np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool), (1, 1, 1))
