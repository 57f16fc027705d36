"""Rotation and scaling of patches, compared with batchgeneratorsv2 on a crop with a margin, as in nnU-Net."""

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from scipy import ndimage

from gynbtnet.training.data.spatial_augmentation import SpatialAugmentation, draw_spatial_augmentation, is_flat

PATCH = (16, 24, 28)
MARGIN = 24


def scan() -> tuple[np.ndarray, np.ndarray]:
    """Smooth noise and its levels, a wide margin around the patch."""
    shape = tuple(n + 2 * MARGIN for n in PATCH)
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 2).astype(np.float32)
    return image, np.digitize(image, np.quantile(image, [0.6, 0.8, 0.9])).astype(np.uint8)


@pytest.mark.parametrize(
    ("angles", "scale"),
    [((0.3, -0.4, 0.5), 1.0), ((0.0, 0.0, 0.0), 1.37), ((0.5, 0.1, -0.2), 0.72), ((0.1, 0, 0), 1.4)],
)
def test_as_nnunet_turns_a_crop_with_a_margin(angles: tuple[float, float, float], scale: float) -> None:
    image, labels = scan()
    turn = SpatialTransform(
        PATCH, 0, False, p_rotation=1, rotation=lambda *_, dim, **__: angles[dim], p_scaling=1, scaling=scale
    )
    crop = {"image": torch.from_numpy(image)[None], "segmentation": torch.from_numpy(labels)[None]}
    parameters = turn.get_parameters(**crop)
    expected = turn.apply(crop, **parameters)
    change = SpatialAugmentation(PATCH, parameters["affine"])
    low = MARGIN - change.margin
    box = tuple(slice(first, first + n) for first, n in zip(low, change.box_size, strict=True))
    np.testing.assert_allclose(
        change.image(torch.from_numpy(image[None][(slice(None), *box)])), expected["image"], atol=1e-5
    )
    ours, theirs = change.labels(labels[box]), expected["segmentation"][0].numpy()
    assert (ours != theirs).mean() < 2e-3  # nnU-Net compares masks as float16, to 0.0005
    assert set(np.unique(ours)) == {0, 1, 2, 3}


def test_without_a_spatial_change_only_the_patch_is_read() -> None:
    change = SpatialAugmentation(PATCH)
    assert change.box_size == PATCH
    box = torch.zeros(1, *PATCH)
    assert change.image(box) is box


def test_a_box_holds_all_that_the_patch_shows_and_no_more() -> None:
    random = np.random.default_rng(1)
    changed = [
        change for change in (draw_spatial_augmentation(PATCH, random) for _ in range(400)) if change.matrix is not None
    ]
    corners = (np.indices((2, 2, 2)).reshape(3, -1).T - 0.5) * (np.asarray(PATCH) - 1)
    for change in changed:
        reach = np.abs(corners @ np.asarray(change.matrix).T).max(axis=0)
        room = (np.asarray(change.box_size) - 1) / 2 - reach
        assert (room > -1e-6).all()
        assert (room < 1).all()


def test_changes_are_as_frequent_and_as_large_as_in_nnunet() -> None:
    random = np.random.default_rng(0)
    matrices = [draw_spatial_augmentation(PATCH, random).matrix for _ in range(4000)]
    changed = [matrix for matrix in matrices if matrix is not None]
    scales = np.array([np.cbrt(np.linalg.det(matrix)) for matrix in changed])
    rotated = np.array(
        [not np.allclose(matrix, np.eye(3) * scale) for matrix, scale in zip(changed, scales, strict=True)]
    )
    assert len(changed) / len(matrices) == pytest.approx(1 - 0.8**2, abs=0.025)
    assert rotated.sum() / len(matrices) == pytest.approx(0.2, abs=0.02)
    scaled = scales[np.abs(scales - 1) > 1e-9]
    assert len(scaled) / len(matrices) == pytest.approx(0.2, abs=0.02)
    assert 0.7 <= scaled.min() < 0.71
    assert 1.39 < scaled.max() <= 1.4


def test_flat_patches_are_rotated_in_their_plane_by_any_angle() -> None:
    assert is_flat((16, 64, 48))
    assert not is_flat((80, 160, 160))
    assert not is_flat((64, 16, 16))  # thick slices are those of the first axis
    random, angles = np.random.default_rng(0), []
    for _ in range(400):
        change = draw_spatial_augmentation((16, 64, 48), random)
        if change.matrix is not None:
            np.testing.assert_array_equal(change.matrix[0], [1, 0, 0])
            np.testing.assert_array_equal(change.matrix[:, 0], [1, 0, 0])
            assert change.box_size[0] == 16
            angles.append(np.arctan2(change.matrix[2, 1], change.matrix[1, 1]))
    assert min(angles) < -2.5
    assert max(angles) > 2.5
