from pathlib import Path

import numpy as np
import pytest

from gynbtnet.imaging.files.mask_bits import read_mask_bits, write_mask_bits
from gynbtnet.imaging.files.volume_files import write_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.structure_masks import MOST_STRUCTURES, OverlappingSegmentation, StructureMasks
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime import BadInput

GRID = Geometry((5, 6, 7), (2.0, 1.0, 1.0), (-3.0, 4.0, 5.0))


def random_masks(count: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(count)
    return {f"structure {number}": random.random(GRID.shape) < 0.4 for number in range(count)}


@pytest.mark.parametrize(("count", "size"), [(1, 1), (8, 1), (9, 2), (32, 4), (33, 8), (64, 8)])
def test_masks_survive_a_file(count: int, size: int, tmp_path: Path) -> None:
    masks = random_masks(count)
    packed = StructureMasks.of(masks, GRID)
    assert packed.bits.array.itemsize == size
    write_mask_bits(packed, tmp_path / "masks.nii.gz")
    read = read_mask_bits(tmp_path / "masks.nii.gz", packed.structures)
    assert read.bits.geometry.is_same(GRID)
    for name, mask in masks.items():
        np.testing.assert_array_equal(read.mask(name), mask)
        np.testing.assert_array_equal(read.mask(name, (slice(1, 3), slice(2, 6), slice(0, 4))), mask[1:3, 2:6, :4])


def test_32_structures_take_a_byte_while_few_combinations_occur() -> None:
    few = {f"structure {number}": np.zeros(GRID.shape, bool) for number in range(32)}
    few["structure 0"][0], few["structure 31"][:2] = True, True
    packed = StructureMasks.of(few, GRID)
    assert packed.codes.array.itemsize == 1
    assert sorted(packed.combinations) == [0, 1 << 31, 1 << 31 | 1]
    assert len(StructureMasks.of(random_masks(32), GRID).combinations) > 200


def test_more_than_256_combinations_get_two_bytes() -> None:
    grid = Geometry((4, 20, 20))
    bits = np.arange(1600, dtype=np.uint16).reshape(grid.shape)
    packed = StructureMasks.from_bits(Volume(bits, grid), tuple(f"s{number}" for number in range(11)))
    assert packed.codes.array.itemsize == 2
    np.testing.assert_array_equal(packed.bits.array, bits)
    np.testing.assert_array_equal(packed.mask("s10"), bits >> 10 == 1)


@pytest.mark.parametrize("covered", [True, False])
def test_voxels_of_one_structure_change_and_no_others(covered: bool) -> None:
    masks = random_masks(9)
    voxels = np.random.default_rng(1).random((2, 3, 4)) < 0.5
    box = (slice(1, 3), slice(0, 3), slice(2, 6))
    packed = StructureMasks.of(masks, GRID)
    changed = packed.with_voxels("structure 3", voxels, box, covered=covered)
    expected = {name: mask.copy() for name, mask in masks.items()}
    expected["structure 3"][box][voxels] = covered
    for name, mask in masks.items():
        np.testing.assert_array_equal(changed.mask(name), expected[name])
        np.testing.assert_array_equal(packed.mask(name), mask)


@pytest.mark.parametrize(
    ("combinations", "message"), [((1, 0), "first combination"), ((0,), "number beyond"), ((0, 4), "bit beyond")]
)
def test_inconsistent_masks_are_refused(combinations: tuple[int, ...], message: str) -> None:
    codes = Volume(np.ones((1, 1, 1), np.uint8), Geometry((1, 1, 1)))
    with pytest.raises(ValueError, match=message):
        StructureMasks(codes, combinations, ("a", "b"))


def test_files_of_other_structures_are_refused(tmp_path: Path) -> None:
    packed = StructureMasks.of(random_masks(3), GRID)
    write_mask_bits(packed, tmp_path / "masks.nii.gz")
    with pytest.raises(BadInput, match="bit beyond those of the 2 structures"):
        read_mask_bits(tmp_path / "masks.nii.gz", ("a", "b"))
    write_volume(Volume(np.full(GRID.shape, 1.5, np.float32), GRID), tmp_path / "masks.nii.gz")
    with pytest.raises(BadInput, match="expected the bits of masks"):
        read_mask_bits(tmp_path / "masks.nii.gz", ("a", "b"))


def test_more_overlapping_structures_than_bits_are_refused() -> None:
    masks = random_masks(MOST_STRUCTURES + 2)
    with pytest.raises(ValueError, match="do not fit"):
        StructureMasks.of(masks, GRID)
    with pytest.raises(BadInput, match="65 structures are partly covered by others; expected at most 64"):
        paint_label_map(masks, tuple(masks), GRID)


def test_each_lost_voxel_is_counted_once_for_its_loser() -> None:
    masks = random_masks(6)
    segmentation, overlaps = paint_label_map(masks, tuple(masks), GRID)
    assert isinstance(segmentation, OverlappingSegmentation)
    for label, (name, mask) in enumerate(masks.items(), start=1):
        np.testing.assert_array_equal(segmentation.mask(name), mask)
        left = np.count_nonzero(segmentation.labels.array == label)
        lost = sum(overlap.volume_cm3 for overlap in overlaps if overlap.earlier == name)
        assert lost == pytest.approx((mask.sum() - left) * 2 / 1000)
    cropped = segmentation.mapped(lambda volume: Volume(volume.array[1:], Geometry((4, 6, 7), GRID.spacing)))
    np.testing.assert_array_equal(cropped.mask("structure 0"), masks["structure 0"][1:])


def test_separate_masks_make_a_plain_label_map() -> None:
    mask = np.zeros(GRID.shape, bool)
    mask[2] = True
    segmentation, overlaps = paint_label_map({"a": mask, "b": ~mask}, ("b", "a", "c"), GRID)
    assert not isinstance(segmentation, OverlappingSegmentation)
    assert overlaps == ()
