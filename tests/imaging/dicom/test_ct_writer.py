import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume


def test_every_orientation_comes_back(tmp_path, write_series, axis_direction):
    array = np.random.default_rng(1).integers(-1024, 3000, (3, 4, 5)).astype(np.int16)
    geometry = Geometry(array.shape, (2.5, 0.7, 0.6), (1.25, -2.5, 3.75), axis_direction)
    read = write_series(Volume(array, geometry), tmp_path / "ct").volume
    index = np.indices(array.shape).reshape(3, -1).T
    where = np.rint(geometry.to_index(read.geometry.to_world(index))).astype(int)
    assert np.array_equal(read.array.ravel(), array[tuple(where.T)])
    assert np.linalg.det(np.asarray(read.geometry.direction).reshape(3, 3)) == pytest.approx(1)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_uids(tmp_path, write_series, volume):
    write_series(volume, tmp_path / "a")
    write_series(volume, tmp_path / "b")
    other = write_series(volume, tmp_path / "c", seed=2)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    first = pydicom.dcmread(tmp_path / "a" / "CT.0001.dcm")
    assert first.SeriesInstanceUID != other.series_uid
    assert first.StudyInstanceUID != other.study_uid
    assert len({one.sop_instance_uid for one in other.slices}) == 5


def test_values_are_rounded_and_never_thinner_than_air(tmp_path, write_series):
    array = np.zeros((2, 10, 10))
    array[0, 0, :3], array[1, 0, :3] = (-3000.0, -1024.4, -0.6), (0.4, 1.6, 40000.0)
    read = write_series(Volume(array, Geometry(array.shape)), tmp_path / "ct")
    assert read.volume.array[:, 0, :3].tolist() == [[-1024, -1024, -1], [0, 2, 32767]]


def test_simpleitk_reads_the_same_series(ct):
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(ct.files[0].parent)))
    assert np.array_equal(sitk.GetArrayFromImage(image), ct.volume.array)
    assert np.allclose(image.GetOrigin(), ct.volume.geometry.origin)
    assert np.allclose(image.GetSpacing()[::-1], ct.volume.geometry.spacing)


@pytest.mark.parametrize("array", [np.zeros((1, 2, 2)), np.full((2, 2, 2), np.nan)])
def test_what_makes_no_ct_is_refused(tmp_path, write_series, array):
    with pytest.raises(ValueError, match="two slices and finite"):
        write_series(Volume(array, Geometry(array.shape)), tmp_path / "ct")
    assert not (tmp_path / "ct").exists()
