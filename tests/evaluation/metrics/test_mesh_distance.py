"""Distances between surface meshes, compared with DeepMind's surface-distance and by hand."""

import warnings

import numpy as np
import pytest
from scipy import ndimage

from gynbtnet.evaluation.metrics.mesh_distance import element_areas, mesh_distances, worst_mesh_distance
from gynbtnet.evaluation.metrics.surface_distance import surface_distances


def random_mask(seed: int, share: float = 0.15) -> np.ndarray:
    """Return random regions, smooth or speckled, which often touch the grid's edge."""
    noise = np.random.default_rng(seed).normal(size=(14, 20, 17))
    smooth = ndimage.gaussian_filter(noise, seed % 3, mode="nearest") if seed % 3 else noise
    return smooth > np.quantile(smooth, 1 - share)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 2.0), (2.5, 0.977, 0.977)])
def test_areas_equal_those_of_deepmind(spacing: tuple[float, float, float]) -> None:
    tables = pytest.importorskip("surface_distance.lookup_tables")
    theirs = tables.create_table_neighbour_code_to_surface_area(spacing)
    order = np.asarray(tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL).ravel()
    codes = [sum(int(order[bit]) for bit in range(8) if code >> bit & 1) for code in range(256)]
    np.testing.assert_allclose(element_areas(spacing), theirs[codes], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.27, 0.977, 0.977)])
def test_metrics_equal_deepmind(seed: int, spacing: tuple[float, float, float]) -> None:
    surface_distance = pytest.importorskip("surface_distance")
    truth, prediction = random_mask(seed), random_mask(seed + 99, share=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its use of scipy
        theirs = surface_distance.compute_surface_distances(truth, prediction, spacing)
    ours = mesh_distances(truth, prediction, spacing)
    assert ours.hd95 == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95), abs=1e-4)
    assert ours.hausdorff == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 100), abs=1e-4)
    for tolerance in (0.9, 2.0, 3.0):
        expected = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance + 1e-4)
        assert ours.surface_dsc(tolerance) == pytest.approx(expected, abs=1e-6)
    areas = [theirs["surfel_areas_gt"].sum(), theirs["surfel_areas_pred"].sum()]
    means = surface_distance.compute_average_surface_distance(theirs)
    assert ours.asd == pytest.approx(np.average(means, weights=areas), abs=1e-4)


def test_a_flat_face_by_hand() -> None:
    """A plate of 6 × 6 voxels that moves by one slice of 3 mm: its faces are 3 mm from those of the other."""
    truth, prediction = np.zeros((8, 8, 8), bool), np.zeros((8, 8, 8), bool)
    truth[3, 1:7, 1:7] = prediction[4, 1:7, 1:7] = True
    ours = mesh_distances(truth, prediction, (3.0, 1.0, 1.0))
    assert (ours.hd95, ours.hausdorff) == (3.0, 3.0)
    assert ours.surface_dsc(3.0) == 1
    # One face of each plate coincides with one of the other.
    assert 0.4 < ours.surface_dsc(2.0) < 0.7
    assert mesh_distances(truth, truth, (3.0, 1.0, 1.0)).asd == 0


def test_a_ball_has_the_area_of_a_ball() -> None:
    z, y, x = np.ogrid[:45, :45, :45]
    ball = (z - 22) ** 2 + (y - 22) ** 2 + (x - 22) ** 2 <= 20**2
    area = mesh_distances(ball, ball, (1.0, 1.0, 1.0)).truth_areas.sum()
    assert area == pytest.approx(4 * np.pi * 20**2, rel=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_no_distance_is_larger_than_the_worst(seed: int) -> None:
    truth, spacing = random_mask(seed, share=0.05), (3.0, 1.0, 1.0)
    worst = worst_mesh_distance(truth, spacing, (0, 0, 0), truth.shape)
    for corner in [(0, 0, 0), (13, 19, 16), (0, 19, 0)]:
        prediction = np.zeros_like(truth)
        prediction[corner] = True
        assert mesh_distances(truth, prediction, spacing).hausdorff <= worst + 1e-4


def test_the_two_definitions_differ() -> None:
    """Distances of meshes are shorter on thick slices, and the surface DSC is higher."""
    z, y, x = np.ogrid[:20, :40, :40]
    truth = ((z - 10) * 3) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 <= 15**2
    prediction = np.roll(truth, 3, axis=2)
    voxels = surface_distances(truth, prediction, (3.0, 1.0, 1.0))
    mesh = mesh_distances(truth, prediction, (3.0, 1.0, 1.0))
    assert mesh.asd < voxels.asd
    assert mesh.surface_dsc(2.0) > voxels.surface_dsc(2.0)


def test_an_empty_mask_has_no_surface() -> None:
    with pytest.raises(ValueError, match="empty"):
        mesh_distances(np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool), (1.0, 1.0, 1.0))
