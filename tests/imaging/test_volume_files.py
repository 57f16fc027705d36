import numpy as np
import pytest
import SimpleITK as sitk

from gynbtnet.errors import BadInput
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.imaging.volume_files import SUFFIXES, read_volume, write_volume


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, bool])
def test_what_is_written_is_read(tmp_path, suffix, kind):
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
def test_a_file_cut_short_is_told(tmp_path, suffix):
    array = np.random.default_rng(0).integers(0, 1000, (8, 16, 16)).astype(np.int16)
    path = tmp_path / f"scan{suffix}"
    write_volume(Volume(array, Geometry(array.shape)), path)
    whole = path.read_bytes()
    for length in (len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:length])
        with pytest.raises(BadInput, match="cut short"):
            read_volume(path)


def test_a_compressed_file_with_a_wrong_byte_is_told(tmp_path):
    array = np.random.default_rng(0).integers(0, 1000, (8, 16, 16)).astype(np.int16)
    write_volume(Volume(array, Geometry(array.shape)), tmp_path / "scan.nii.gz")
    content = bytearray((tmp_path / "scan.nii.gz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "scan.nii.gz").write_bytes(content)
    with pytest.raises(BadInput, match="damaged"):
        read_volume(tmp_path / "scan.nii.gz")
