"""Detection of patient and pelvis; a region of interest changes the time but not the labels."""

from dataclasses import replace

import numpy as np
import pytest

from gynbtnet.imaging import Geometry, Volume, read_ct_series, read_volume
from gynbtnet.inference.engine.pelvis_finder import find_pelvis
from gynbtnet.inference.engine.predict import predict
from gynbtnet.inference.engine.roi import find_region
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.phantom import pelvic_geometry, phantom_case
from gynbtnet.preparation import downsample_scan, find_body, resample_mask, target_geometry

GRID = Geometry((24, 90, 110), (5.0, 4.0, 4.0))


def trunk() -> np.ndarray:
    """Return an elliptical trunk of water in air, padded above, with gas in its gut and a lung near the skin."""
    z, y, x = np.ogrid[:24, :90, :110]
    hu = np.full(GRID.shape, -1000, np.int16)
    hu[:, :4] = -1024
    hu[np.broadcast_to(((y - 45) / 24) ** 2 + ((x - 55) / 36) ** 2 < 1, hu.shape)] = 30
    hu[np.broadcast_to(((y - 40) / 5) ** 2 + ((x - 50) / 6) ** 2 < 1, hu.shape)] = -950
    hu[np.broadcast_to((((y - 45) / 18) ** 2 + ((x - 40) / 12) ** 2 < 1) & (z > 16), hu.shape)] = -850
    return hu


def detect_body(hu: np.ndarray) -> np.ndarray:
    coarse = downsample_scan(Volume(hu, GRID))
    body = find_body(coarse)
    assert body is not None
    return resample_mask(body, coarse.geometry, GRID)


def test_the_body_is_found_with_the_air_in_it_and_without_the_table() -> None:
    bare = trunk()
    inside = np.broadcast_to(
        ((np.arange(90)[:, None] - 45) / 24) ** 2 + ((np.arange(110) - 55) / 36) ** 2 < 1, GRID.shape
    )
    body = detect_body(bare)
    assert body[inside].all()
    assert body.mean() < inside.mean() * 1.5
    with_table = bare.copy()
    with_table[:, 74:77, 10:100] = 100  # 12 mm thick, 20 mm below the back
    with_table[:, 75, 12:98] = -900
    assert np.array_equal(detect_body(with_table)[:, 82:], body[:, 82:])
    assert not detect_body(with_table)[:, :, :8].any()


def test_arms_belong_to_the_body_and_cables_do_not() -> None:
    hu = trunk()
    hu[:, 40:52, 4:14] = 40  # an arm of 48×40 mm, apart from the trunk
    hu[:, 10:12, 50:52] = 300
    body = detect_body(hu)
    assert body[:, 40:52, 4:14].all()
    assert not body[:, 10:12, 50:52].any()


@pytest.mark.parametrize("value", [-1024, -1000, -3024])
def test_a_scan_without_a_body_is_predicted_completely(bright_model, value: int) -> None:
    empty = Volume(np.full((16, 32, 32), value, np.int16), Geometry((16, 32, 32), (2.0, 2.0, 2.0)))
    grid = target_geometry(empty.geometry, bright_model.plan)
    region = find_region([empty], ["CT"], grid, "whole", window=bright_model.plan.patch_size)
    assert region.body is None
    assert grid.cropped(region.box) == grid


def test_a_scan_without_a_ct_is_predicted_completely(bright_model) -> None:
    plan = replace(bright_model.plan, channels=("T2",))
    volume = Volume(np.full((16, 32, 32), -1024, np.int16), Geometry((16, 32, 32), (2.0, 2.0, 2.0)))
    grid = target_geometry(volume.geometry, plan)
    assert find_region([volume], plan.channels, grid, "whole", window=plan.patch_size).body is None


def test_labels_inside_the_body_are_as_without_looking_for_it(bright_model, monkeypatch) -> None:
    hu = trunk()
    hu[8:14, 40:50, 60:75] = 900
    hu[:, 86:88, 100:108] = 900  # outside the body: no structure of a patient's
    volume = Volume(hu, GRID)
    quick = PredictionSettings(mirroring=False, roi="whole")
    part = predict(bright_model, volume, quick).labels.array
    monkeypatch.setattr("gynbtnet.inference.engine.roi.find_body", lambda coarse: None)
    whole = predict(bright_model, volume, quick).labels.array
    body = detect_body(hu)
    assert (whole[body] == 1).any()
    assert np.array_equal(part[body], whole[body])
    assert whole[:, 86:88, 100:108].all()
    assert not part[:, 86:88, 100:108].any()


def test_windows_are_laid_between_the_ends_of_the_body(bright_model) -> None:
    volume = Volume(trunk(), GRID)
    grid = target_geometry(GRID, bright_model.plan)
    whole, region = (
        find_region([volume], ["CT"], grid, roi, window=bright_model.plan.patch_size) for roi in ("whole", "body")
    )
    assert whole.body is not None
    assert region.body is not None
    assert grid.cropped(whole.box) == grid
    assert whole.body.sum() == region.body.sum()
    assert np.array_equal(whole.body[region.box], region.body)
    for axis, size in enumerate(bright_model.plan.patch_size):
        others = tuple({0, 1, 2} - {axis})
        length = region.body.shape[axis]
        assert length == min(size, grid.shape[axis]) or region.body.any(axis=others)[[0, -1]].all()
    assert region.body.size < whole.body.size


def pelvis_of(volume: Volume) -> tuple[Geometry, tuple[slice, slice] | None]:
    coarse = downsample_scan(volume)
    body = find_body(coarse)
    assert body is not None
    return coarse.geometry, find_pelvis(coarse, body)


def test_the_phantom_s_pelvis_holds_all_its_structures() -> None:
    case = phantom_case(0, 1, 1, pelvic_geometry((3.0, 3.0, 3.0), (64, 96, 128)))
    grid, pelvis = pelvis_of(case.scan)
    assert pelvis is not None
    voxels = np.argwhere(case.structures.labels.array)
    indices = grid.to_index(case.scan.geometry.to_world(voxels))
    for axis, side in zip((0, 2), pelvis, strict=True):
        assert side.start <= indices[:, axis].min()
        assert indices[:, axis].max() <= side.stop


@pytest.mark.slow
def test_a_long_scan_is_looked_at_in_the_pelvis_alone(bright_model) -> None:
    """The phantom with 600 mm of its uppermost slice without bones above it."""
    case = phantom_case(0, 1, 1, pelvic_geometry((6.0, 4.0, 4.0), (40, 72, 96)))
    top = np.minimum(case.scan.array[-1], 60)
    array = np.concatenate([case.scan.array, np.repeat(top[None], 100, 0)]).astype(np.float32)
    volume = Volume(array, replace(case.scan.geometry, shape=array.shape))
    grid = target_geometry(volume.geometry, bright_model.plan)
    region = find_region([volume], ["CT"], grid, "pelvis", window=bright_model.plan.patch_size)
    assert region.box[0].start == 0
    assert 240 <= region.box[0].stop * grid.spacing[0] < 400
    settings = PredictionSettings(mirroring=False)
    pelvis, whole = (
        predict(bright_model, volume, settings.model_copy(update={"roi": roi})).labels.array
        for roi in ("pelvis", "whole")
    )
    stop = int(region.box[0].stop * grid.spacing[0] / 6) - 1
    assert not pelvis[stop + 2 :].any()
    columns = slice(*(int(edge * grid.spacing[2] / 4) for edge in (region.box[2].start, region.box[2].stop)))
    inside = (slice(stop), slice(None), slice(columns.start + 1, columns.stop - 1))
    assert (pelvis[inside] == whole[inside]).mean() > 0.9999


def test_without_a_pelvis_the_whole_scan_is_predicted_with_a_warning(bright_model, caplog) -> None:
    volume = Volume(trunk(), GRID)
    settings = PredictionSettings(mirroring=False)
    whole = predict(bright_model, volume, settings).labels.array
    pelvis = predict(bright_model, volume, settings.model_copy(update={"roi": "pelvis"})).labels.array
    assert np.array_equal(pelvis, whole)
    assert caplog.text.count("No pelvis was found") == 1


def test_real_pelves(public_data) -> None:
    """A woman from the symphysis to the heart, a man from the thighs to the liver; ends of the crests by eye."""
    for scan, crest_mm in (
        (read_ct_series(public_data / "acrin_flt_breast_001/CT").volume, 155),
        (read_volume(public_data / "totalsegmentator_example/Totalsegmentator_dataset/s0000/ct.nii.gz"), 180),
    ):
        grid, pelvis = pelvis_of(scan)
        assert pelvis is not None
        slices, _ = pelvis
        assert slices.start == 0
        assert crest_mm + 15 <= slices.stop * grid.spacing[0] <= crest_mm + 50


def test_real_scans_without_a_pelvis(public_data) -> None:
    for folder in ("crlm_ct_1006/CT", "totalsegmentator_example/CT"):  # a contrasted abdomen, a thorax
        assert pelvis_of(read_ct_series(public_data / folder).volume)[1] is None
