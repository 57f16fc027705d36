from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from gynbtnet.imaging import Geometry, Volume, from_sitk, to_sitk
from gynbtnet.preparation.normalise import clip_to_plan, normalise_channel
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.preprocess import preprocess_volume, target_geometry
from gynbtnet.runtime import BadInput

ZSCORE = Plan((), (1.5, 1.5, 1.5), "zscore", None, (16, 16, 16), 1, "XS", ((1, 1, 1), *((2, 2, 2),) * 4))
CT = replace(ZSCORE, normalisation="ct", intensities=(Intensity(50.0, 20.0, -10.0, 120.0, 45.0, -500.0, 2000.0),))
CT_AND_T2 = replace(CT, channels=("CT", "T2"), intensities=CT.intensities * 2)


def test_zscore_uses_the_scans_own_mean_and_deviation() -> None:
    hu = np.random.default_rng(0).normal(-300, 450, (10, 10, 10)).astype(np.float32)
    scaled = normalise_channel(clip_to_plan(hu, ZSCORE), ZSCORE)
    assert scaled.dtype == np.float32
    assert scaled.mean() == pytest.approx(0, abs=1e-5)
    assert scaled.std() == pytest.approx(1, abs=1e-5)
    assert (normalise_channel(np.full((2, 2, 2), 7, np.float32), ZSCORE) == 0).all()


def test_ct_uses_the_cohorts_intensities_computed_by_hand() -> None:
    hu = np.array([[[-1000, -10, 50, 70, 3000]]], np.float32)
    np.testing.assert_allclose(normalise_channel(clip_to_plan(hu, CT), CT), [[[-3, -3, 0, 1, 3.5]]])


def test_metal_is_cut_off_before_splines_spread_it() -> None:
    """To neighbouring voxels, an applicator of 3,000 HU looks like 120 HU, the upper limit of the cohort's tissue."""
    hu = np.zeros((9, 9, 9), np.int16)
    metal, bone = hu.copy(), hu.copy()
    metal[4, 4, 4], bone[4, 4, 4] = 3000, 120
    geometry = Geometry((9, 9, 9), (2.0, 2.0, 2.0))
    (metal_image, _), (bone_image, _) = (preprocess_volume([Volume(array, geometry)], CT) for array in (metal, bone))
    np.testing.assert_array_equal(metal_image, bone_image)


def test_every_channel_is_normalised_by_its_own_rule() -> None:
    hu = np.random.default_rng(0).normal(-300, 450, (8, 10, 12)).astype(np.float32)
    scan = Volume(hu, Geometry((8, 10, 12), (3.0, 2.0, 1.0)))
    signal = Volume(np.abs(hu) - 5000, scan.geometry)
    image, grid = preprocess_volume([scan, signal], CT_AND_T2)
    assert image.shape == (2, *grid.shape)
    np.testing.assert_array_equal(image[:1], preprocess_volume([scan], CT)[0])
    assert image[1].mean() == pytest.approx(0, abs=1e-5)
    assert image[1].std() == pytest.approx(1, abs=1e-5)
    assert len(np.unique(image[1])) > 100  # far below air and not clipped, because it is no CT


def test_channels_that_do_not_match_the_plan_are_refused() -> None:
    scan = Volume(np.zeros((4, 4, 4), np.int16), Geometry((4, 4, 4)))
    with pytest.raises(BadInput, match=r"has 2 channels \(CT, T2\), but the number of volumes is 1"):
        preprocess_volume([scan], CT_AND_T2)
    moved = Volume(scan.array, Geometry((4, 4, 4), origin=(0, 0, 9.0)))
    with pytest.raises(BadInput, match=r"Channel T2 is on another grid than CT.*9 mm off"):
        preprocess_volume([scan, moved], CT_AND_T2)


def test_values_below_air_count_as_air() -> None:
    array = np.random.default_rng(0).integers(-1024, 1000, (8, 8, 8)).astype(np.int16)
    array[0] = -1024
    below_air = array.copy()
    below_air[0] = -3024
    geometry = Geometry((8, 8, 8), (3.0, 2.0, 2.0))
    clean, _ = preprocess_volume([Volume(array, geometry)], ZSCORE)
    clipped, _ = preprocess_volume([Volume(below_air, geometry)], ZSCORE)
    np.testing.assert_array_equal(clean, clipped)


def test_the_result_does_not_depend_on_the_scans_orientation() -> None:
    array = np.random.default_rng(0).integers(-1000, 1000, (8, 10, 12)).astype(np.int16)
    scan = Volume(array, Geometry((8, 10, 12), (3.0, 2.0, 1.0), (5.0, 6.0, 7.0)))
    expected, grid = preprocess_volume([scan], ZSCORE)
    assert expected.shape == (1, 16, 13, 8)
    assert expected.dtype == np.float32
    for orientation in ("RAS", "LPI", "ASL", "IPR"):
        reoriented = from_sitk(sitk.DICOMOrient(to_sitk(scan), orientation))
        image, reoriented_grid = preprocess_volume([reoriented], ZSCORE)
        assert reoriented_grid.offset(grid) < 1e-6
        np.testing.assert_allclose(image, expected, atol=1e-4)


def test_a_scan_on_the_planned_grid_keeps_it() -> None:
    geometry = Geometry((8, 10, 12), (1.5, 1.5 + 1e-6, 1.5))
    assert target_geometry(geometry, ZSCORE) == geometry
