"""Positions of slices: the whole grid is checked, and repaired slices keep their positions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from gynbtnet.imaging import (
    CTSeries,
    Repairs,
    Segmentation,
    StructureNames,
    Volume,
    interpolate_shapes,
    read_ct_series,
    read_rtstruct,
    read_seg,
    write_rtstruct,
    write_seg,
)
from gynbtnet.runtime import BadInput

from .battery import CASES, P
from .builders import CT, rtstruct

NAMES = StructureNames.load()
SHORT_GAP = [*(4.0 * k for k in range(8)), *(29.08 + 4.0 * k for k in range(8))]
DRIFT = [*(3.2 * k for k in range(20)), *(61.88 + 3.3 * k for k in range(20))]
TILTED = (1, 0, 0, 0, np.cos(np.radians(12)), np.sin(np.radians(12)))


def ramp(zs: list[float]) -> Callable[..., np.ndarray]:
    """Return 10 HU per mm along the normal, so that a value shows its position."""
    return lambda k, i, j: np.full(i.shape, round(10 * zs[k]) - 200)


def along(ct: CTSeries) -> np.ndarray:
    """Return positions of the volume's planes in mm from the first scanned slice, along the normal."""
    return (np.arange(ct.volume.geometry.shape[0]) - ct.slices[0].z) * ct.volume.geometry.spacing[0]


def refusal(folder: Path, repairs: Repairs | None = None) -> str:
    with pytest.raises(BadInput) as caught:
        read_ct_series(folder, repairs=repairs)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("zs", "range_mm"),
    [
        (SHORT_GAP, "1.08 to 4.00"),
        (DRIFT, "1.08 to 3.30"),
        ([0, 4, 8, 9.08, 16.08, 20, 24], "1.08 to 7.00"),
        ([0, 4, 8, 12, 14, 18, 22, 26], "2.00 to 4.00"),  # one gap is half of the others
        ([0, 4, 8, 9, 13, 17, 21], "1.00 to 4.00"),  # all others are multiples of the smallest
        ([0, 4, 5.08], "1.08 to 4.00"),
        ([0, 3, 6, 9, 12.4, 15.4, 18.4, 21.4], "3.00 to 3.40"),
        (np.cumsum(np.linspace(3, 3.05, 60)).tolist(), "3.00 to 3.05"),  # no gap is odd, and the whole drifts
    ],
)
@pytest.mark.parametrize("iop", [(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, -1, 0), TILTED])
def test_unequal_spacing_is_called_so(tmp_path, zs, range_mm, iop):
    CT(tmp_path, zs=zs, iop=iop)
    sentence = f"unequal slice spacing: {range_mm} mm"
    assert sentence in refusal(tmp_path)
    assert sentence in refusal(tmp_path, Repairs(missing_slices=True, gantry_tilt=True))
    assert "--allow-unequal-spacing" in refusal(tmp_path)


@pytest.mark.parametrize(
    "zs",
    [
        np.round(np.arange(60) * 3.3333, 1),  # rounded by the scanner
        [0, 2.4, 5, 7.4, 10],  # each within 0.05 mm of a grid of 2.5 mm
        np.arange(40) * 2.5 + np.random.default_rng(0).uniform(-0.08, 0.08, 40),
        np.arange(12) * 3.0 + 0.09 * (np.arange(12) % 11 == 0),  # both ends 0.09 mm off
    ],
)
def test_a_grid_within_a_tenth_of_a_millimetre_is_equal(tmp_path, zs):
    made = CT(tmp_path, zs=zs)
    ct = read_ct_series(tmp_path)
    assert not ct.is_repaired
    assert ct.notes == ()
    planes = ct.volume.geometry.to_world([(k, 0, 0) for k in range(len(zs))])
    assert np.abs(planes - [made.world(k, 0, 0) for k in range(len(zs))]).max() <= 0.1 + 1e-3


def test_missing_slices_are_found_among_rounded_positions(tmp_path):
    zs = np.delete(np.round(np.arange(90) * 3.3333, 1), [5, 40, 41])
    CT(tmp_path, zs=zs, rows=6, cols=6)
    assert "lacks 3 slice(s)" in refusal(tmp_path)
    assert "lacks 3 slice(s)" in refusal(tmp_path, Repairs(unequal_spacing=True))
    ct = read_ct_series(tmp_path, repairs=Repairs(missing_slices=True))
    assert ct.volume.geometry.shape[0] == 90
    assert [one.z for one in ct.slices] == np.delete(np.arange(90), [5, 40, 41]).tolist()


@pytest.mark.parametrize("iop", [(1, 0, 0, 0, 1, 0), TILTED])
@pytest.mark.parametrize(("zs", "step", "count"), [(SHORT_GAP, 4.0, 15), (DRIFT, 3.2, 40)])
def test_every_value_stays_at_its_own_position(tmp_path, zs, step, count, iop):
    CT(tmp_path, zs=zs, hu=ramp(zs), iop=iop)
    ct = read_ct_series(tmp_path, repairs=Repairs(unequal_spacing=True))
    assert ct.volume.geometry.spacing[0] == pytest.approx(step, abs=1e-3)
    assert ct.volume.geometry.shape[0] == count
    expected = np.clip(along(ct), 0, zs[-1]) * 10 - 200
    assert np.abs(ct.volume.array[:, 3, 4] - expected).max() <= 1  # 10 HU per mm: 0.1 mm
    for slice, z in zip(ct.slices, zs, strict=True):
        assert slice.z * step == pytest.approx(z, abs=1e-2)


@pytest.mark.parametrize("iop", [(1, 0, 0, 0, 1, 0), TILTED])
@pytest.mark.parametrize("zs", [SHORT_GAP, DRIFT])
def test_every_contour_stays_at_its_own_position(tmp_path, zs, iop):
    """The lower edge of the organ moves by one voxel per 4 mm, so that its width shows where it was drawn."""
    rows = 60
    made = CT(tmp_path, zs=zs, iop=iop, rows=rows)
    drawn = [(P, made.box(("mm", z), 2, 2 + z / 4, 3, 20)) for z in zs[2:-2]]
    rtstruct(tmp_path / "RS.dcm", made, [(1, "Bladder", drawn)])
    ct = read_ct_series(tmp_path, repairs=Repairs(unequal_spacing=True))
    mask = read_rtstruct(tmp_path / "RS.dcm", ct, ("bladder",), NAMES)[0].mask("bladder")
    widths, z = mask[:, :, 10].sum(axis=1), along(ct)
    inside = (z >= zs[2]) & (z <= zs[-3])
    assert np.abs(widths[inside] - (1 + z[inside] / 4)).max() <= 1  # whole voxels
    assert abs((widths[inside] - (1 + z[inside] / 4)).mean()) <= 0.3
    assert (widths[(z < zs[2] - 2) | (z > zs[-3] + 2)] == 0).all()


def test_what_is_written_on_unequal_slices_comes_back(tmp_path):
    """RTSTRUCT and SEG are on the scanned slices, with the shape at their positions."""
    made = CT(tmp_path / "ct", zs=SHORT_GAP, rows=60)
    drawn = [(P, made.box(("mm", z), 2, 2 + z / 4, 3, 20)) for z in SHORT_GAP]
    rtstruct(tmp_path / "RS.dcm", made, [(1, "Bladder", drawn)])
    ct = read_ct_series(tmp_path / "ct", repairs=Repairs(unequal_spacing=True))
    segmentation, _ = read_rtstruct(tmp_path / "RS.dcm", ct, ("bladder",), NAMES)
    metadata: dict[str, Any] = {"names": NAMES, "description": "test", "software_version": "1"}
    write_rtstruct(segmentation, ct, tmp_path / "out.dcm", label="test", contour_style="exact", **metadata)
    write_seg(segmentation, ct, tmp_path / "seg.dcm", **metadata)
    scanned = ct.mask_on_slices(segmentation.mask("bladder"))
    assert np.abs(scanned[:, :, 10].sum(axis=1) - (1 + np.asarray(SHORT_GAP) / 4)).max() <= 1
    for path, read in ((tmp_path / "out.dcm", read_rtstruct), (tmp_path / "seg.dcm", read_seg)):
        found = read(path, ct, ("bladder",), NAMES)[0].mask("bladder")
        assert np.abs(found[:, :, 10].sum(axis=1) - segmentation.mask("bladder")[:, :, 10].sum(axis=1)).max() <= 1


@pytest.mark.parametrize("gaps", [[2.5] * 4 + [5.0] * 12, [5.0] * 12 + [2.5] * 4, [3.0] * 9 + [6.0] * 2])
def test_of_two_frequent_gaps_the_smaller_has_a_grid_for_all_slices(tmp_path, gaps):
    zs = np.concatenate([[0], np.cumsum(gaps)])
    CT(tmp_path, zs=zs)
    ct = read_ct_series(tmp_path, repairs=Repairs(missing_slices=True))
    assert ct.volume.geometry.spacing[0] == pytest.approx(min(gaps))
    scanned = [round(one.z) for one in ct.slices]
    assert np.allclose(np.asarray(scanned) * min(gaps), zs)
    assert np.array_equal(ct.volume.array[scanned], read_each(tmp_path))


@pytest.mark.parametrize(
    ("zs", "more"),
    [
        ([4.0 * k for k in range(8)], {}),
        ([4.0 * k for k in range(9) if k != 4], {"missing_slices": True}),
        ([0, 4, 8, 12, 13.08, 20.08, 24, 28], {"unequal_spacing": True}),
    ],
)
def test_a_tilted_gantry_keeps_values_and_contours_in_the_room(tmp_path, zs, more):
    """As in a real CT of the head: tilted by 18.5 degrees, the table moves along z, and gaps are along the normal."""
    tilt = np.radians(18.5)
    iop = (1, 0, 0, 0, np.cos(tilt), -np.sin(tilt))

    def positioned(dataset: pydicom.Dataset, number: int) -> None:
        position = np.array([-16, -20, -18 + zs[number] / np.cos(tilt)])
        dataset.ImagePositionPatient = [f"{value:.6g}" for value in position]
        i, j = np.mgrid[0:40, 0:32]
        room = position + i[..., None] * np.array(iop[3:]) + j[..., None] * np.array(iop[:3])
        dataset.PixelData = np.rint(10 * room[..., 2] + 5 * room[..., 1]).astype("<i2").tobytes()

    CT(tmp_path / "in", zs=zs, iop=iop, change=positioned)
    ct = read_ct_series(tmp_path / "in", repairs=Repairs(gantry_tilt=True, **more))
    room = ct.volume.geometry.to_world(np.moveaxis(np.indices(ct.volume.array.shape), 0, -1))
    inside = np.zeros(ct.volume.array.shape, bool)
    inside[1:-1, 2:25, 2:-2] = True  # elsewhere air comes in
    expected = 10 * room[..., 2] + 5 * room[..., 1]
    assert np.abs(ct.volume.array - expected)[inside].max() <= 1.5  # 0.1 mm along the normal, and rounding

    labels = np.zeros(ct.volume.array.shape, np.uint8)
    labels[2:6, 5:20, 8:15] = 1
    drawn = Segmentation(Volume(labels, ct.volume.geometry), ("bladder",))
    metadata: dict[str, Any] = {"names": NAMES, "description": "test", "software_version": "1"}
    write_rtstruct(drawn, ct, tmp_path / "RS.dcm", label="test", contour_style="exact", **metadata)
    write_seg(drawn, ct, tmp_path / "SEG.dcm", **metadata)
    for path, read in ((tmp_path / "RS.dcm", read_rtstruct), (tmp_path / "SEG.dcm", read_seg)):
        found = read(path, ct, ("bladder",), NAMES)[0].mask("bladder")
        assert np.array_equal(found[3:5], labels[3:5])
        assert abs(int(found.sum()) - int(labels.sum())) <= 105  # a plane at an end
    written = pydicom.dcmread(tmp_path / "SEG.dcm").PerFrameFunctionalGroupsSequence
    positions = np.array([one.PlanePositionSequence[0].ImagePositionPatient for one in written], float)
    frames = ct.volume.geometry.to_index(positions)
    assert np.abs(frames[:, 1:]).max() < 1e-3  # in the volume, not in the sheared images


def read_each(folder: Path) -> np.ndarray:
    """Return the stored values of every slice."""
    return np.stack([pydicom.dcmread(path).pixel_array for path in sorted(folder.glob("CT*.dcm"))])


def test_three_then_six_millimetres(tmp_path):
    CASES["three_then_six_mm"][0](tmp_path)
    assert "lacks 5 slice(s)" in refusal(tmp_path)
    for repairs in (Repairs(missing_slices=True), Repairs(unequal_spacing=True)):
        ct = read_ct_series(tmp_path, repairs=repairs)
        zs = [0, 3, 6, 9, 12, 18, 24, 30, 36, 42]
        found, report = read_rtstruct(tmp_path / "RS.dcm", ct, ("bladder",), NAMES)
        mask = found.mask("bladder")
        scanned = [round(one.z) for one in ct.slices]
        assert [ct.volume.geometry.to_world((k, 0, 0))[2] for k in scanned] == pytest.approx([z - 18 for z in zs])
        assert mask[scanned].sum(axis=(1, 2)).tolist() == [0, *[80] * 9]
        assert mask.sum(axis=(1, 2)).tolist() == [0, *[80] * 14]
        assert report.notes == ()


def test_a_contour_on_an_interpolated_plane_is_used(tmp_path):
    made = CT(tmp_path, zs=[3.0 * k for k in range(12) if k != 5])
    drawn = [(P, made.box(("mm", 3.0 * k), 10, 25 if k == 5 else 19, 8, 15)) for k in range(2, 9)]
    rtstruct(tmp_path / "RS.dcm", made, [(1, "Bladder", drawn)])
    ct = read_ct_series(tmp_path, repairs=Repairs(missing_slices=True))
    found, report = read_rtstruct(tmp_path / "RS.dcm", ct, ("bladder",), NAMES)
    assert found.mask("bladder").sum(axis=(1, 2)).tolist() == [0, 0, 80, 80, 80, 128, 80, 80, 80, 0, 0, 0]
    assert report.notes == ()


def test_a_plane_without_a_contour_takes_the_shape_between_its_neighbours(tmp_path):
    made = CT(tmp_path, zs=[3.0 * k for k in range(12) if k != 5])
    drawn = [(P, made.box(("mm", 3.0 * k), 10, 19 if k < 5 else 23, 8, 15)) for k in range(2, 9) if k != 5]
    rtstruct(tmp_path / "RS.dcm", made, [(1, "Bladder", drawn)])
    ct = read_ct_series(tmp_path, repairs=Repairs(missing_slices=True))
    mask = read_rtstruct(tmp_path / "RS.dcm", ct, ("bladder",), NAMES)[0].mask("bladder")
    assert mask[5, :, 11].sum() == 12  # rows 10 to 21, half-way between 19 and 23
    assert mask[[4, 6]].sum(axis=(1, 2)).tolist() == [80, 112]


def test_shapes_between_discs_have_the_radius_between():
    y, x = np.mgrid[:81, :91] * 1.0
    near = np.hypot(y - 40, x - 45)
    drawn = np.stack([near <= 10, near <= 30])
    shapes = interpolate_shapes(drawn, np.array([2.0, 6.0]), np.array([1.0, 2.0, 2.01, 3.0, 5.0, 6.0]), (3.0, 1, 1))
    assert np.array_equal(shapes[0], drawn[0])
    assert np.array_equal(shapes[2], drawn[0])  # 0.03 mm beside a drawn plane
    assert np.array_equal(shapes[5], drawn[1])
    for shape, radius in ((shapes[3], 15), (shapes[4], 25)):
        assert shape.sum() == pytest.approx(np.pi * radius**2, rel=0.03)


@pytest.mark.parametrize("radii", [(10, 30), (8, 12), (15, 18), (20, 10)])
def test_the_radius_between_is_right_to_a_third_of_a_voxel(radii):
    """Distances are measured to the outline, not to the next voxel centre, so that the nearer shape isn't favoured."""
    y, x = np.mgrid[:81, :91] * 1.0
    near = np.hypot(y - 40.3, x - 45.2)
    drawn = np.stack([near <= radius for radius in radii])
    shapes = interpolate_shapes(drawn, np.array([0.0, 4.0]), np.array([1.0, 2.0, 3.0]), (3.0, 1, 1))
    found = np.sqrt(shapes.sum(axis=(1, 2)) / np.pi)
    assert np.abs(found - np.interp([1, 2, 3], [0, 4], radii)).max() < 0.34


def test_shapes_that_do_not_overlap_or_end_are_the_nearer_one():
    drawn = np.zeros((3, 9, 40), bool)
    drawn[0, 2:6, 2:6] = drawn[1, 2:6, 30:34] = True
    shapes = interpolate_shapes(drawn, np.array([0.0, 4.0, 8.0]), np.array([1.0, 3.0, 5.0, 6.0, 7.0]), (3.0, 1, 1))
    for shape, expected in zip(shapes, (drawn[0], drawn[1], drawn[1], drawn[2], drawn[2]), strict=True):
        assert np.array_equal(shape, expected)


@pytest.mark.parametrize("off", [0, 1e-3, 0.01, 0.09])
@pytest.mark.parametrize("number", [0, 5, 11])
@pytest.mark.parametrize("rescaled", [False, True])
def test_a_copy_of_a_slice_counts_once_however_its_position_is_rounded(tmp_path, off, number, rescaled):
    """The same pixels within 0.1 mm; other pixels at the same position are an error."""
    CT(tmp_path)
    plain = read_ct_series(tmp_path).volume.array
    copy = pydicom.dcmread(tmp_path / f"CT{number:03d}.dcm")
    stored = copy.pixel_array - (100 if rescaled else 0)
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = UID("2.25.7")
    copy.PixelData, copy.RescaleIntercept = stored.astype("<i2").tobytes(), 100 if rescaled else 0
    copy.ImagePositionPatient = [*copy.ImagePositionPatient[:2], float(copy.ImagePositionPatient[2]) + off]
    copy.save_as(tmp_path / "copy.dcm")
    ct = read_ct_series(tmp_path)
    assert np.array_equal(ct.volume.array, plain)
    assert ct.notes == ("Dropped 1 duplicate slice(s) with the same pixels.",)
    copy.PixelData = (stored + 1).astype("<i2").tobytes()
    copy.save_as(tmp_path / "copy.dcm")
    assert "has 1 slice(s) with other pixels at the position of another" in refusal(tmp_path)


@pytest.mark.parametrize("kind", ["oblique_stack", "negated_column", "slice_location_reversed"])
def test_contours_are_on_the_voxels_they_were_drawn_on(tmp_path, kind):
    CASES[kind][0](tmp_path)
    ct = read_ct_series(tmp_path)
    mask = read_rtstruct(tmp_path / "RS.dcm", ct, ("bladder",), NAMES)[0].mask("bladder")
    assert mask.sum() == 640
    z, y, x = np.nonzero(mask)
    assert (y.min(), y.max(), x.min(), x.max()) == (10, 19, 8, 15)
    assert len(np.unique(z)) == 8
    # HU of every voxel name the image, row and column that it was stored in.
    assert np.array_equal(ct.volume.array[z, y, x] - 3 * y - x, ct.volume.array[z, 0, 0])
    numbers = np.unique(ct.volume.array[z, 0, 0]) // 40
    assert numbers.tolist() == list(range(2, 10))


def test_what_is_written_on_a_negated_column_is_on_its_voxels(tmp_path):
    CASES["negated_column"][0](tmp_path / "in")
    ct = read_ct_series(tmp_path / "in")
    drawn, _ = read_rtstruct(tmp_path / "in" / "RS.dcm", ct, ("bladder",), NAMES)
    metadata: dict[str, Any] = {"names": NAMES, "description": "test", "software_version": "1"}
    write_rtstruct(drawn, ct, tmp_path / "RS.dcm", label="test", contour_style="exact", **metadata)
    write_seg(drawn, ct, tmp_path / "SEG.dcm", **metadata)
    for path, read in ((tmp_path / "RS.dcm", read_rtstruct), (tmp_path / "SEG.dcm", read_seg)):
        assert np.array_equal(read(path, ct, ("bladder",), NAMES)[0].labels.array, drawn.labels.array)


def test_a_slice_that_is_rotated_is_refused(tmp_path):
    CASES["one_coronal_slice"][0](tmp_path)
    assert "mixes orientations (1 of 12 slices unlike the others, such as" in refusal(tmp_path)
    assert "CT005.dcm" in refusal(tmp_path)


def test_an_image_without_a_position_is_named(tmp_path):
    CASES["image_without_position"][0](tmp_path)
    assert "extra.dcm has no usable ImagePositionPatient" in refusal(tmp_path)


@pytest.mark.parametrize(("kind", "base"), [("overlay_in_high_bits", 0), ("signed_twelve_bits", -1000)])
def test_values_are_in_the_bits_that_are_stored(tmp_path, kind, base):
    CASES[kind][0](tmp_path)
    z, y, x = np.indices((12, 40, 32))
    assert np.array_equal(read_ct_series(tmp_path).volume.array, 40 * z + 3 * y + x + base)
