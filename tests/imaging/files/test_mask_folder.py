"""Masks as a folder with one file per structure."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from gynbtnet.imaging.files.mask_folder import read_all_masks, read_mask_folder, write_mask_folder
from gynbtnet.imaging.files.volume_files import write_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime import BadInput

GRID = Geometry((4, 5, 6), (3.0, 1.0, 1.5), (1.0, 2.0, 3.0))


def test_overlapping_masks_are_read_as_they_were_written(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    masks = {name: random.random(GRID.shape) < 0.5 for name in ("hr_ctv", "uterus", "a/b", "../c")}
    masks["empty"] = np.zeros(GRID.shape, bool)
    write_mask_folder(paint_label_map(masks, tuple(masks), GRID)[0], tmp_path / "masks")
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [
        *("_._c.nii.gz", "a_b.nii.gz", "empty.nii.gz", "hr_ctv.nii.gz", "uterus.nii.gz"),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]
    read = read_mask_folder(tmp_path / "masks", tuple(masks))
    for name, mask in masks.items():
        np.testing.assert_array_equal(read.mask(name), mask)
        assert read.volumes_cm3()[name] == pytest.approx(mask.sum() * GRID.voxel_volume / 1000)
    own = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "masks" / "hr_ctv.nii.gz")))
    np.testing.assert_array_equal(own, masks["hr_ctv"])


def test_two_structures_with_one_file_name_are_refused(tmp_path: Path) -> None:
    labels = Volume(np.zeros((2, 3, 4), np.uint8), Geometry((2, 3, 4)))
    structures = ("GTV (1)", "GTV [1]")
    with pytest.raises(BadInput, match=r"“GTV \(1\)” and “GTV \[1\]” would both be GTV _1_.nii.gz"):
        write_mask_folder(Segmentation(labels, structures), tmp_path / "masks")
    assert not (tmp_path / "masks").exists()
    write_mask_folder(Segmentation(labels, structures[:1]), tmp_path / "masks")
    with pytest.raises(BadInput, match="would both be"):
        read_mask_folder(tmp_path / "masks", structures)


def test_a_structure_without_a_file_is_empty(tmp_path: Path) -> None:
    write_volume(Volume(np.ones(GRID.shape, np.uint8), GRID), tmp_path / "bladder.nii.gz")
    assert not read_mask_folder(tmp_path, ("bladder", "rectum")).mask("rectum").any()
    with pytest.raises(BadInput, match="no mask"):
        read_mask_folder(tmp_path, ("rectum",))


def test_masks_of_different_grids_are_refused(tmp_path: Path) -> None:
    for name, grid in (("a", GRID), ("b", Geometry((4, 5, 7)))):
        write_volume(Volume(np.ones(grid.shape, np.uint8), grid), tmp_path / f"{name}.nii.gz")
    with pytest.raises(BadInput, match=r"b\.nii\.gz and .*a\.nii\.gz have different grids"):
        read_mask_folder(tmp_path, ("a", "b"))


def scan() -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 1000, GRID.shape).astype(np.int16)


def label_map() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, GRID.shape).astype(np.uint8)


@pytest.mark.parametrize("image", [scan(), scan() + np.float32(0.5), label_map()])
def test_a_scan_or_label_map_next_to_masks_is_no_structure(tmp_path: Path, image: np.ndarray) -> None:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[1:3, 1:3] = 255
    write_volume(Volume(mask, GRID), tmp_path / "bladder.nii.gz")
    write_volume(Volume(image, GRID), tmp_path / "ct.nii.gz")
    write_volume(Volume(np.zeros(GRID.shape, np.uint8), GRID), tmp_path / "rectum.nii.gz")
    read, notes = read_all_masks(tmp_path)
    assert read.structures == ("bladder", "rectum")
    np.testing.assert_array_equal(read.mask("bladder"), mask > 0)
    assert notes == ("Left out ct.nii.gz: a mask has 0 and one other value above it.",)
    with pytest.raises(BadInput, match=r"ct\.nii\.gz holds no mask: it has values from"):
        read_mask_folder(tmp_path, ("bladder", "ct"))
    for name in ("bladder", "rectum"):
        (tmp_path / f"{name}.nii.gz").unlink()
    with pytest.raises(BadInput, match=r"has no mask, only ct\.nii\.gz; expected"):
        read_all_masks(tmp_path)


def test_masks_alone_are_read_without_a_note(tmp_path: Path) -> None:
    write_volume(Volume(np.ones(GRID.shape, np.float32) * np.float32(1.0001), GRID), tmp_path / "body.nii.gz")
    read, notes = read_all_masks(tmp_path)
    assert (read.structures, notes) == (("body",), ())


def test_a_resampled_mask_is_not_left_out_but_refused(tmp_path: Path) -> None:
    write_volume(Volume(np.random.default_rng(0).random(GRID.shape), GRID), tmp_path / "bladder.nii.gz")
    with pytest.raises(BadInput, match="not whole numbers"):
        read_all_masks(tmp_path)
