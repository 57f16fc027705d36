"""Dose in structures compared with closed forms, plastimatch and dicompyler-core."""

import math
import shutil
import subprocess
import sysconfig
from dataclasses import replace
from typing import Any

import numpy as np
import pydicom.dicomio
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from gynbtnet.evaluation.dose.dvh import DoseVolumeHistogram, dose_volume_histogram
from gynbtnet.evaluation.dose.metrics import NO_CONTOUR, dose_metric, dose_metric_names, parse_metric_name
from gynbtnet.imaging import (
    Geometry,
    Segmentation,
    StructureNames,
    Volume,
    to_sitk,
    write_ct_series,
    write_rtdose,
    write_rtstruct,
)

ROTATED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
SCAN = Geometry((20, 64, 64), (3.0, 1.0, 1.0), (-32.0, -32.0, -30.0))
SOURCE = np.array([0.0, 0.0, 0.0])
STRENGTH = 7.0 * 20**2  # 7 Gy at 20 mm


def ball(geometry: Geometry, centre, radius: float) -> np.ndarray:
    points = geometry.to_world(np.indices(geometry.shape).reshape(3, -1).T)
    return (np.linalg.norm(points - centre, axis=1) <= radius).reshape(geometry.shape)


def inverse_square(geometry: Geometry) -> Volume:
    squares = ((geometry.to_world(np.indices(geometry.shape).reshape(3, -1).T) - SOURCE) ** 2).sum(axis=1)
    return Volume((STRENGTH / np.maximum(squares, 1.0)).reshape(geometry.shape).astype(np.float32), geometry)


def lens(r: float, radius: float, distance: float) -> float:
    """Return the intersection volume of two balls with radii ``r`` and ``radius``, centres ``distance`` apart."""
    gap = r + radius - distance
    return math.pi * gap**2 * (distance**2 + 2 * distance * (r + radius) - 3 * (r - radius) ** 2) / (12 * distance)


@given(
    gradient=st.tuples(*[st.floats(-0.2, 0.2)] * 3).filter(lambda vector: np.linalg.norm(vector) > 0.01),
    spacing=st.tuples(st.floats(0.8, 5), st.floats(0.4, 2), st.floats(0.4, 2)),
    rotated=st.booleans(),
    percent=st.floats(1, 99),
)
@settings(max_examples=30, deadline=None)
def test_mean_and_extremes_of_a_linear_dose(gradient, spacing, rotated, percent):
    """Linear interpolation reproduces a linear dose, so that every sample has the dose at its position."""
    scan = Geometry((6, 7, 8), spacing, (3.0, -4.0, 5.0), ROTATED if rotated else Geometry((1, 1, 1)).direction)
    mask = np.zeros(scan.shape, bool)
    mask[1:5, 2:6, 1:7] = True
    grid = Geometry((30, 30, 30), (3.0, 4.0, 5.0), (-70.0, -60.0, -40.0))
    linear = grid.to_world(np.indices(grid.shape).reshape(3, -1).T) @ gradient + 60
    dvh = dose_volume_histogram(mask, scan, [Volume(linear.reshape(grid.shape).astype(np.float32), grid)], ends="half")
    corners = scan.to_world(np.array(np.meshgrid([0.5, 4.5], [1.5, 5.5], [0.5, 6.5])).reshape(3, -1).T)
    doses = corners @ gradient + 60
    assert dvh.outside_cm3 == 0
    assert dvh.volume_cm3 == pytest.approx(mask.sum() * scan.voxel_volume / 1000)
    assert dvh.doses_gy.mean() == pytest.approx(doses.mean(), abs=1e-3)
    assert doses.min() <= dvh.doses_gy[-1] <= dvh.doses_gy[0] <= doses.max()
    assert doses.max() - dvh.doses_gy[0] <= 0.25 * np.abs(gradient).sum() + 1e-4
    assert dvh.dose_at(dvh.volume_cm3 * percent / 100) >= dvh.dose_at(dvh.volume_cm3)


@given(
    slope=st.floats(0.01, 1),
    axis=st.integers(0, 2),
    spacing=st.tuples(st.floats(0.8, 5), st.floats(0.4, 2), st.floats(0.4, 2)),
    percent=st.floats(0.1, 100),
)
@settings(max_examples=40, deadline=None)
def test_slope_along_one_axis_by_hand(slope, axis, spacing, percent):
    """D(V) falls from the hot face to the cold face in proportion to V, within half a sample."""
    scan = Geometry((12, 12, 12), spacing)
    mask = np.zeros(scan.shape, bool)
    mask[2:10, 3:9, 1:11] = True
    first, last = ((1.5, 9.5), (2.5, 8.5), (0.5, 10.5))[axis]
    dose = np.broadcast_to(np.moveaxis(slope * spacing[axis] * np.arange(12.0)[:, None, None], 0, axis), scan.shape)
    dvh = dose_volume_histogram(mask, scan, [Volume(np.ascontiguousarray(dose, np.float32), scan)], ends="half")
    exact = slope * spacing[axis] * (last - (last - first) * percent / 100)
    assert float(dose_metric(f"D{percent:.5f}", dvh).dose_gy) == pytest.approx(exact, abs=slope * 0.26 + 1e-4)
    one_sample = 0.51 / (spacing[axis] * (last - first)) * dvh.volume_cm3
    assert dvh.volume_at(exact) == pytest.approx(dvh.volume_cm3 * percent / 100, abs=one_sample)


def test_inverse_square_around_the_source():
    """The hottest V of a ball around the source is a ball of volume V; the dose on its surface is D(V)."""
    geometry = Geometry((51, 51, 51), (1.0, 1.0, 1.0), (-25.0, -25.0, -25.0))
    dvh = dose_volume_histogram(ball(geometry, SOURCE, 20), geometry, [inverse_square(geometry)])
    radius = (3 * dvh.volume_cm3 * 1000 / (4 * math.pi)) ** (1 / 3)
    for percent in (98, 90, 50):
        exact = STRENGTH / (radius * (percent / 100) ** (1 / 3)) ** 2
        assert dose_metric(f"D{percent}", dvh).dose_gy == pytest.approx(
            exact, rel=0.01
        )  # the surface of voxels is not round
    assert dose_metric("D2cc", dvh).dose_gy == pytest.approx(STRENGTH / (3 * 2000 / (4 * math.pi)) ** (2 / 3), rel=0.01)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.98, 0.98)])
def test_inverse_square_in_an_organ_next_to_the_source(spacing):
    """The hottest V of a ball next to the source is its intersection with a ball around the source, a lens."""
    scan = Geometry(tuple(round(60 / s) for s in spacing), spacing, (15.0, -29.0, -29.0))
    grid = Geometry((64, 64, 64), (1.0, 1.0, 1.0), (12.0, -32.0, -32.0))
    centre, radius = np.array([44.0, 1.0, 0.0]), 25.0
    distance = float(np.linalg.norm(centre))
    dvh = dose_volume_histogram(ball(scan, centre, radius), scan, [inverse_square(grid)])
    for name, volume, near in (("D2cc", 2000, 0.01), ("D1cc", 1000, 0.015), ("D0.1cc", 100, 0.03)):
        reach = brentq(lambda r: lens(r, radius, distance) - volume, distance - radius, distance)  # noqa: B023
        assert dose_metric(name, dvh).dose_gy == pytest.approx(STRENGTH / reach**2, rel=near)


def test_finer_samples_change_little():
    dose = inverse_square(SCAN)
    mask = ball(SCAN, (20.0, 5.0, 3.0), 8)
    coarse, usual, fine = (dose_volume_histogram(mask, SCAN, [dose], finest_mm) for finest_mm in (3.0, 0.5, 0.25))
    assert coarse.volume_cm3 == pytest.approx(usual.volume_cm3, rel=0.03) == pytest.approx(fine.volume_cm3, rel=0.03)
    for volume in (0.1, 1.0):
        assert usual.dose_at(volume) == pytest.approx(fine.dose_at(volume), rel=5e-3)
    assert abs(coarse.dose_at(0.1) - fine.dose_at(0.1)) > abs(usual.dose_at(0.1) - fine.dose_at(0.1))


def test_four_samples_by_hand():
    """Doses 9, 7, 4, 1 Gy of 1 cm³ each: D(V) equals them at 0.5, 1.5, 2.5 and 3.5 cm³."""
    cube = Geometry((1, 1, 4), (10.0, 10.0, 10.0))
    dose = Volume(np.array([[[4, 9, 1, 7]]], np.float32), cube)
    dvh = dose_volume_histogram(np.ones(cube.shape, bool), cube, [dose], max_sample_mm=10, ends="half")
    np.testing.assert_allclose(dvh.doses_gy, [9, 7, 4, 1])
    np.testing.assert_allclose(dvh.dose_at([0.1, 0.5, 1, 2, 3.5, 4]), [9, 9, 8, 5.5, 1, 1])
    np.testing.assert_allclose(dvh.volume_at([0, 1, 4.5, 9, 9.1]), [4, 4, 2, 1, 0])
    assert dose_metric("D50", dvh).dose_gy == 5.5
    twice = dose_volume_histogram(np.ones(cube.shape, bool), cube, [dose, dose], max_sample_mm=10, ends="half")
    np.testing.assert_allclose(twice.doses_gy, [18, 14, 8, 2])


def test_a_structure_smaller_than_the_volume_is_flagged():
    cube = Geometry((1, 1, 1), (10.0, 10.0, 15.0))
    dvh = dose_volume_histogram(np.ones(cube.shape, bool), cube, [Volume(np.full((1, 1, 1), 5, np.float32), cube)])
    undefined = dose_metric("D2cc", dvh)
    assert (math.isnan(undefined.dose_gy), undefined.note) == (True, "volume only 1.5 cm³")
    assert dose_metric("D1cc", dvh).dose_gy == 5
    assert dose_metric("D2cc", dose_volume_histogram(np.zeros(cube.shape, bool), cube, [])) == NO_CONTOUR


def test_dose_outside_the_grid_is_unknown():
    """Three of four cubes of 1 cm³ are inside the grid, which ends half a voxel beyond its last centre."""
    cube = Geometry((1, 1, 4), (10.0, 10.0, 10.0))
    dose = Volume(np.array([[[9, 7, 4]]], np.float32), replace(cube, shape=(1, 1, 3)))
    dvh = dose_volume_histogram(np.ones(cube.shape, bool), cube, [dose], max_sample_mm=10, ends="half")
    assert (dvh.inside_cm3, dvh.outside_cm3) == pytest.approx((3, 1))
    assert dose_metric("D2cc", dvh).note == "lower bound, 25 % outside the dose grid"
    assert dose_metric("D2cc", dvh).dose_gy == 5.5
    undefined = dose_metric("D90", dvh)
    assert (math.isnan(undefined.dose_gy), undefined.note) == (True, "25 % outside the dose grid")
    outside = dose_volume_histogram(np.ones(cube.shape, bool), replace(cube, origin=(500, 0, 0)), [dose])
    assert math.isnan(dose_metric("D1cc", outside).dose_gy)


def test_names_of_metrics():
    assert parse_metric_name("D90") == (90, "%")
    assert parse_metric_name("D0.1cc") == (0.1, "cm³")
    for wrong in ("V100", "D", "D101", "D0", "D2ccm", "d90"):
        with pytest.raises(ValueError, match="not a dose-volume metric"):
            parse_metric_name(wrong)
    names = StructureNames.load()
    assert dose_metric_names("hr_ctv", names) == dose_metric_names("GTV_res", names) == ("D90", "D98", "D50")
    assert dose_metric_names("bladder", names) == ("D2cc", "D1cc", "D0.1cc")
    assert dose_metric_names("uterus", names) == ()


PLASTIMATCH = shutil.which("plastimatch", path=sysconfig.get_path("scripts")) or shutil.which("plastimatch")


@pytest.mark.skipif(PLASTIMATCH is None, reason="plastimatch is not installed")
def test_histograms_equal_plastimatch(tmp_path):
    """plastimatch uses one dose per voxel of the structure's image, as we do with one sample per voxel.

    Its bins are centred on the doses that it prints, so that it counts from half a bin below each.
    """
    geometry = Geometry((40, 48, 44), (1.5, 1.0, 1.2), (-20.0, -24.0, -30.0))
    dose, mask = inverse_square(geometry), ball(geometry, (12.0, 4.0, 2.0), 9)
    sitk.WriteImage(to_sitk(dose), str(tmp_path / "dose.mha"))
    sitk.WriteImage(to_sitk(Volume(mask.astype(np.uint32), geometry)), str(tmp_path / "structures.mha"))
    (tmp_path / "list.txt").write_text("0|255 0 0|organ\n")
    command = [
        PLASTIMATCH,
        "dvh",
        "--input-ss-img",
        tmp_path / "structures.mha",
        "--input-ss-list",
        tmp_path / "list.txt",
    ]
    command += ["--input-dose", tmp_path / "dose.mha", "--output-csv", tmp_path / "dvh.csv", "--normalization", "vox"]
    subprocess.run([*map(str, command), "--bin-width", "0.25", "--num-bins", "400"], check=True, capture_output=True)
    theirs = np.genfromtxt(tmp_path / "dvh.csv", delimiter=",", skip_header=1)
    dvh = dose_volume_histogram(mask, geometry, [dose], max_sample_mm=2, ends="half")
    voxels = dvh.volume_at(theirs[:, 0] - 0.125) / dvh.sample_cm3
    np.testing.assert_array_equal(np.rint(voxels), theirs[:, 1])


@pytest.mark.filterwarnings("ignore")  # its own
def test_metrics_of_dicom_equal_dicompyler(tmp_path, monkeypatch):
    """dicompyler-core is not in our extras, since it cannot be imported with pydicom 3 unless that is patched."""
    monkeypatch.setattr(pydicom.dicomio, "read_file", pydicom.dcmread, raising=False)
    dvhcalc = pytest.importorskip("dicompylercore.dvhcalc")
    geometry = Geometry((48, 64, 64), (1.0, 1.0, 1.0), (-20.0, -32.0, -24.0))
    dose = inverse_square(geometry)
    labels = np.zeros(geometry.shape, np.uint8)
    labels[ball(geometry, (25.0, 0.0, 0.0), 14)] = 1
    contours = Segmentation(Volume(labels, geometry), ("bladder",))
    words: dict[str, Any] = {"patient_id": "P", "study_description": "SYNTHETIC", "series_description": "SYNTHETIC"}
    ct = write_ct_series(Volume(labels.astype(np.int16), geometry), tmp_path / "CT", seed=1, **words)
    words = {"names": StructureNames.load(), "label": "test", "description": "SYNTHETIC", "software_version": "0"}
    write_rtstruct(contours, ct, tmp_path / "RS.dcm", **words)
    write_rtdose(dose, ct, tmp_path / "RD.dcm", description="SYNTHETIC")
    theirs = dvhcalc.get_dvh(str(tmp_path / "RS.dcm"), str(tmp_path / "RD.dcm"), 1)
    dvh = dose_volume_histogram(contours.mask("bladder"), geometry, [dose])
    assert dvh.volume_cm3 == pytest.approx(theirs.volume, rel=0.02)
    assert dose_metric("D2cc", dvh).dose_gy == pytest.approx(theirs.D2cc.value, rel=0.01)
    assert dose_metric("D1cc", dvh).dose_gy == pytest.approx(theirs.D1cc.value, rel=0.01)
    assert dose_metric("D0.1cc", dvh).dose_gy == pytest.approx(theirs.dose_constraint(0.1, "cm3").value, rel=0.03)
    assert dose_metric("D90", dvh).dose_gy == pytest.approx(theirs.D90.value, rel=0.01)
    assert dose_metric("D50", dvh).dose_gy == pytest.approx(theirs.D50.value, rel=0.01)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 1000])
@pytest.mark.parametrize("sample_cm3", [0.1, 1 / 3, 7e-4])
def test_the_dose_to_a_volume_is_interpolated_between_samples(n: int, sample_cm3: float) -> None:
    """Compare with an interpolation over all samples: at the samples, between them and at both ends."""
    random = np.random.default_rng(n)
    doses = np.sort(random.gamma(2, 5, n).astype(np.float32))[::-1]
    positions = (np.arange(n) + 0.5) * sample_cm3
    volumes = np.concatenate([[0.0, n * sample_cm3], positions, random.uniform(0, n * sample_cm3, 300)])
    expected = np.interp(volumes, positions, doses)
    assert np.array_equal(DoseVolumeHistogram(doses, sample_cm3, 0.0).dose_at(volumes), expected)


def test_a_bound_is_exact_if_the_dose_falls_outwards():
    """The grid ends at the right of a ball around the source: the hottest 2 cm³ are inside, the coldest are not."""
    dose = inverse_square(SCAN)
    mask = ball(SCAN, SOURCE, 20)
    whole = dose_volume_histogram(mask, SCAN, [dose])
    cut = dose_volume_histogram(mask, SCAN, [dose.cropped((slice(None), slice(None), slice(48)))])
    assert cut.outside_cm3 > 1
    assert dose_metric("D2cc", cut) == dose_metric("D2cc", whole)
    bounded = dose_metric("D90", cut)
    assert bounded.note.startswith("lower bound")
    assert bounded.dose_gy < dose_metric("D90", whole).dose_gy < cut.face_gy


def test_a_bound_that_a_hotter_face_could_raise_stays_one():
    cube = Geometry((1, 1, 6), (10.0, 10.0, 10.0))
    rising = Volume(np.array([[[1, 2, 3, 4, 5]]], np.float32), replace(cube, shape=(1, 1, 5)))
    dvh = dose_volume_histogram(np.ones(cube.shape, bool), cube, [rising], max_sample_mm=10, ends="half")
    assert dvh.face_gy == 5
    assert dose_metric("D2cc", dvh).note == "lower bound, 17 % outside the dose grid"
