"""Series with faults that may be repaired: the result equals the original, or values calculated by hand."""

import numpy as np
import pydicom
import pytest

from gynbtnet.imaging.dicom.ct_series import read_ct_series
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime import BadInput


@pytest.fixture
def ramp(tmp_path, write_series):
    """A scan of eight slices whose HU rise by 10 from slice to slice and by 20 from column to column."""
    z, _, x = np.indices((8, 5, 6))
    return write_series(
        Volume((10 * z + 20 * x).astype(np.int16), Geometry((8, 5, 6), (2.0, 1.5, 1.5))), tmp_path / "ct"
    )


def move(path, **values):
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


def test_a_missing_slice_is_interpolated_if_allowed(ramp):
    for number in (2, 5, 6):
        ramp.files[number].unlink()
    folder = ramp.files[0].parent
    with pytest.raises(BadInput, match=r"lacks 3 slice.*--allow-missing-slices"):
        read_ct_series(folder)
    read = read_ct_series(folder, repairs=Repairs(missing_slices=True))
    assert read.volume.geometry.offset(ramp.volume.geometry) < 1e-6
    assert np.array_equal(read.volume.array, ramp.volume.array)  # linear along z, and so exact
    assert [one.z for one in read.slices] == [0, 1, 3, 4, 7]
    assert [one.sop_instance_uid for one in read.slices] == [ramp.slices[z].sop_instance_uid for z in (0, 1, 3, 4, 7)]
    assert "Interpolated 3 slice(s)" in read.notes[0]


def test_a_long_gap_stays_an_error(ramp):
    for number in (2, 3, 4, 5):
        ramp.files[number].unlink()
    with pytest.raises(BadInput, match=r"lacks 4 slice.* at most 3 in a row"):
        read_ct_series(ramp.files[0].parent, repairs=Repairs(missing_slices=True))


def test_unequal_spacing_is_evened_out_if_allowed(ramp):
    for path, z in zip(ramp.files, (0, 2, 4, 6.5, 8, 10, 12, 14), strict=True):
        move(path, ImagePositionPatient=[0, 0, z])
    folder = ramp.files[0].parent
    with pytest.raises(BadInput, match=r"unequal slice spacing: 1.50 to 2.50 mm.*--allow-unequal-spacing"):
        read_ct_series(folder)
    read = read_ct_series(folder, repairs=Repairs(unequal_spacing=True))
    assert read.volume.geometry.shape[0] == 8
    assert read.volume.geometry.spacing[0] == pytest.approx(2)
    assert [one.z for one in read.slices] == pytest.approx([0, 1, 2, 3.25, 4, 5, 6, 7])
    # At 6 mm, between slices at 4 mm (20 HU) and 6.5 mm (30 HU): 20 + 10 × 2 / 2.5.
    assert read.volume.array[:, 0, 0].tolist() == [0, 10, 20, 28, 40, 50, 60, 70]


def test_another_repair_does_not_mend(ramp):
    ramp.files[3].unlink()
    with pytest.raises(BadInput, match="lacks 1 slice"):
        read_ct_series(ramp.files[0].parent, repairs=Repairs(unequal_spacing=True, gantry_tilt=True))


@pytest.mark.parametrize("number", [0, 3, 7])
def test_one_slice_aside_is_no_tilt(ramp, number):
    move(ramp.files[number], ImagePositionPatient=[8 * 1.5, 0, 2.0 * number])
    folder = ramp.files[0].parent
    with pytest.raises(BadInput, match=r"slices up to 12.0 mm aside within their planes, not evenly") as refused:
        read_ct_series(folder)
    assert "sheared" not in str(refused.value)
    read = read_ct_series(folder, repairs=Repairs(gantry_tilt=True))
    assert read.notes[0].endswith("not evenly as by a tilt.")


def test_a_gantry_tilt_is_corrected_if_allowed(ramp):
    for number, path in enumerate(ramp.files):
        move(path, ImagePositionPatient=[0.75 * number, 0, 2.0 * number])
    folder = ramp.files[0].parent
    with pytest.raises(BadInput, match=r"sheared by 20.6°.*--allow-gantry-tilt"):
        read_ct_series(folder)
    read = read_ct_series(folder, repairs=Repairs(gantry_tilt=True))
    assert read.volume.geometry.direction == ramp.volume.geometry.direction
    assert [one.z for one in read.slices] == list(range(8))
    for z in range(8):  # half a voxel a slice towards +x: what lay at a place in the patient lies there still
        column = 5
        assert read.volume.array[z, 2, column] == 10 * z + 20 * (column - 0.5 * z)
    assert (read.volume.array[7, :, :3] == -1024).all()  # air comes in from the side
    assert "gantry tilt of 20.6°" in read.notes[0]
