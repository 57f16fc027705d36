"""Volumes as images of SimpleITK and NiBabel: every voxel keeps its value and its position in the patient."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.imaging import Geometry, Segmentation, Volume, from_nibabel, from_sitk, to_nibabel, to_sitk

nibabel = pytest.importorskip("nibabel")


def any_volume(seed: int) -> Volume:
    random = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(random.normal(size=(3, 3)))
    shape = tuple(random.integers(1, 6, 3).tolist())
    geometry = Geometry(
        shape, tuple(random.uniform(0.5, 5, 3)), tuple(random.uniform(-200, 200, 3)), tuple(directions.ravel())
    )
    return Volume(random.integers(-1000, 1000, shape).astype(np.int16), geometry)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_positions_and_values(seed: int) -> None:
    """Compared with the libraries' own transforms of an index to a position."""
    volume = any_volume(seed)
    z, y, x = (int(n) - 1 for n in volume.array.shape)
    position = volume.geometry.to_world((z, y, x))
    image, nifti = to_sitk(volume), to_nibabel(volume)
    assert np.allclose(image.TransformIndexToPhysicalPoint((x, y, z)), position)
    assert image[x, y, z] == volume.array[z, y, x]
    right, anterior, head = nibabel.affines.apply_affine(nifti.affine, (x, y, z))
    assert np.allclose((-right, -anterior, head), position)
    assert nifti.dataobj[x, y, z] == volume.array[z, y, x]
    for again in (from_sitk(image), from_nibabel(nifti)):
        assert again.geometry.is_same(volume.geometry)
        assert np.array_equal(again.array, volume.array)


def test_a_file_of_nibabel_is_read_as_itself(tmp_path):
    """Scaled values come scaled, through a file that NiBabel wrote."""
    volume = any_volume(1)
    image = to_nibabel(volume)
    image.header.set_slope_inter(2, -5)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    loaded = from_nibabel(nibabel.load(tmp_path / "scan.nii.gz"))
    assert np.allclose(loaded.array, nibabel.load(tmp_path / "scan.nii.gz").get_fdata().T)
    assert loaded.geometry.is_same(volume.geometry)


def test_masks_and_segmentations() -> None:
    mask = np.arange(24).reshape(2, 3, 4) % 5 == 0
    geometry = Geometry(mask.shape)
    for image in (from_sitk(to_sitk(Volume(mask, geometry))), from_nibabel(to_nibabel(Volume(mask, geometry)))):
        assert image.array.dtype == np.uint8
        assert np.array_equal(image.array, mask)
    segmentation = Segmentation(Volume(mask.astype(np.uint8), geometry), ("bladder",))
    assert np.array_equal(from_sitk(to_sitk(segmentation)).array, mask)
    assert np.array_equal(from_nibabel(to_nibabel(segmentation)).array, mask)


def test_images_that_are_no_scan() -> None:
    with pytest.raises(ValueError, match="three sizes"):
        from_nibabel(nibabel.Nifti1Image(np.zeros((2, 2, 2, 2), np.int16), np.eye(4)))
    with pytest.raises(ValueError, match="orthonormal"):
        sheared = np.eye(4)
        sheared[0, 1] = 0.5
        from_nibabel(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), sheared))
    with pytest.raises(ValueError, match="singular"):
        flat = np.diag([1.0, 1.0, 0.0, 1.0])
        from_nibabel(nibabel.spatialimages.SpatialImage(np.zeros((2, 2, 2), np.int16), flat))
