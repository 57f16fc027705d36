import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from gynbtnet.imaging.files.volume_files import SUFFIXES, read_volume, write_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime import BadInput


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, bool])
def test_a_written_volume_is_read_again(tmp_path, suffix, kind):
    direction = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    volume = Volume(array, Geometry(array.shape, (3.25, 0.5, 0.75), (-1.5, 2.5, 100.25), direction))
    path = tmp_path / f"scan{suffix}"
    write_volume(volume, path)
    read = read_volume(path)
    assert np.array_equal(read.array, array)
    assert read.array.dtype == (np.uint8 if kind is bool else kind)
    assert read.geometry.offset(volume.geometry) < 1e-4
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_absent_damaged_or_flat_files_get_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="There is no file"):
        read_volume(tmp_path / "absent.nii.gz")
    (tmp_path / "damaged.nii.gz").write_bytes(b"not an image")
    with pytest.raises(BadInput, match="damaged"):
        read_volume(tmp_path / "damaged.nii.gz")
    sitk.WriteImage(sitk.Image(4, 4, sitk.sitkUInt8), str(tmp_path / "flat.nrrd"))
    with pytest.raises(BadInput, match="2 dimensions"):
        read_volume(tmp_path / "flat.nrrd")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_cut_short_is_refused(tmp_path, suffix):
    array = np.random.default_rng(0).integers(0, 1000, (8, 16, 16)).astype(np.int16)
    path = tmp_path / f"scan{suffix}"
    write_volume(Volume(array, Geometry(array.shape)), path)
    content = path.read_bytes()
    for length in (len(content) // 2, len(content) - 100):
        path.write_bytes(content[:length])
        with pytest.raises(BadInput, match="cut short"):
            read_volume(path)


def test_a_compressed_file_with_a_wrong_byte_is_refused(tmp_path):
    array = np.random.default_rng(0).integers(0, 1000, (8, 16, 16)).astype(np.int16)
    write_volume(Volume(array, Geometry(array.shape)), tmp_path / "scan.nii.gz")
    content = bytearray((tmp_path / "scan.nii.gz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "scan.nii.gz").write_bytes(content)
    with pytest.raises(BadInput, match="damaged"):
        read_volume(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("length", [0.0, -0.9, np.nan, np.inf])
def test_a_nifti_without_a_spacing_is_refused(tmp_path, suffix, length):
    path = tmp_path / f"scan{suffix}"
    write_volume(Volume(np.zeros((3, 4, 5), np.int16), Geometry((3, 4, 5), (3, 0.9, 0.8))), path)
    opened = gzip.open if suffix == ".nii.gz" else open
    with opened(path, "rb") as stream:
        content = bytearray(stream.read())
    struct.pack_into("<f", content, 84, length)  # pixdim[2], along y
    with opened(path, "wb") as stream:
        stream.write(content)
    with pytest.raises(BadInput, match=rf"spacing of 0.8×{length:g}×3 mm \(x, y, z\)"):
        read_volume(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_finite_are_refused(tmp_path, suffix, kind, value):
    array = np.zeros((3, 5, 5), kind)
    array[1, 2, 3] = array[2, 4, 4] = value
    write_volume(Volume(array, Geometry(array.shape)), tmp_path / f"scan{suffix}")
    with pytest.raises(BadInput, match="no finite number in 2 voxels; expected a scan in HU or a dose in Gy"):
        read_volume(tmp_path / f"scan{suffix}")


def test_a_sheared_grid_is_refused(tmp_path):
    header = "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 3 4\nencoding: raw\n"
    header += "endian: little\nspace directions: (1,0,0) (0.3,1,0) (0,0,1)\n\n"
    (tmp_path / "scan.nrrd").write_bytes(header.encode() + bytes(48))
    with pytest.raises(BadInput, match=r"no usable grid: .*; resample it"):
        read_volume(tmp_path / "scan.nrrd")


def test_a_rounded_direction_is_refused(tmp_path):
    write_volume(Volume(np.zeros((2, 3, 4), np.int16), Geometry((2, 3, 4))), tmp_path / "scan.mha")
    content = (tmp_path / "scan.mha").read_bytes()
    (tmp_path / "scan.mha").write_bytes(content.replace(b"1 0 0 0 1 0 0 0 1", b"0.71 0.71 0 -0.7 0.71 0 0 0 1"))
    with pytest.raises(BadInput, match=r"no usable grid: .*; resample it"):
        read_volume(tmp_path / "scan.mha")
