"""Rotation and scaling of a patch: its box in the scan, and the interpolation of image and labels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from batchgeneratorsv2.transforms.spatial.spatial import create_affine_matrix_2d, create_affine_matrix_3d
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from gynbtnet.runtime.array_types import FloatArray, Triple

_PROBABILITY = 0.2  # probability of a rotation, and of a scaling
_ANGLE, _ANGLE_IN_PLANE = np.pi / 6, np.pi  # largest angle about each axis; about the thick axis of flat patches
_SCALES = (0.7, 1.4)  # above 1 the patch shows more of the patient
_FLAT = 3  # smallest ratio of width to thickness of a flat patch
_MIXED = 255  # marks points whose eight surrounding voxels have different labels


def is_flat(patch_size: Triple) -> bool:
    """Return whether a patch has thick slices, by nnU-Net's rule; rotating it out of plane would mix unequal voxels."""
    return max(patch_size) / patch_size[0] > _FLAT


@dataclass(frozen=True)
class SpatialAugmentation:
    """Linear map from the voxels of a patch to positions in the scan.

    A patch voxel at offset d (z, y, x) from the patch's centre shows the scan at ``matrix`` d from this centre. Only
    the box that the patch shows is read from the scan. 64 of 100 patches are neither rotated nor scaled, and the box of
    the others is smaller than one that fits any angle.

    Attributes:
        patch_size: voxels (z, y, x).
        matrix: (3, 3); None for the identity.
    """

    patch_size: Triple
    matrix: FloatArray | None = None

    @property
    def margin(self) -> npt.NDArray[np.int64]:
        """Voxels (z, y, x) by which the box exceeds the patch on either side; negative if the box is smaller."""
        if self.matrix is None:
            return np.zeros(3, np.int64)
        half = (np.asarray(self.patch_size) - 1) / 2
        return np.ceil(np.abs(self.matrix) @ half - half - 1e-9).astype(np.int64)

    @property
    def box_size(self) -> Triple:
        """Size (z, y, x) of the box in the scan."""
        z, y, x = (int(n) for n in np.asarray(self.patch_size) + 2 * self.margin)
        return z, y, x

    def image(self, box: Tensor) -> Tensor:
        """Return the patch (channels, z, y, x), interpolated linearly in its box (channels, z, y, x)."""
        if self.matrix is None:
            return box
        # in torch's units an array extends from -1 to 1, and its axes are x, y, z
        theta = self.matrix * np.asarray(self.patch_size) / np.asarray(box.shape[1:])[:, None]
        affine = torch.zeros(1, 3, 4)
        affine[0, :, :3] = torch.from_numpy(theta[::-1, ::-1].copy())
        grid = affine_grid(affine, [1, 1, *self.patch_size], align_corners=False)
        return grid_sample(box[None], grid, padding_mode="border", align_corners=False)[0]

    def labels(self, box: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the labels of the patch (z, y, x): at each voxel the label with the highest interpolated mask.

        Masks are interpolated linearly, and only at points whose surrounding voxels have different labels.
        """
        if self.matrix is None:
            return box
        lowest = [np.empty(self.patch_size, np.int32) for _ in range(3)]
        parts = [np.empty(self.patch_size, np.float32) for _ in range(3)]
        for axis, n in enumerate(box.shape):
            position = self._position(axis, n)
            np.clip(position, 0, max(n - 1 - 1e-3, 0), out=position)
            np.copyto(lowest[axis], position, casting="unsafe")
            np.subtract(position, lowest[axis], out=parts[axis], casting="unsafe")
        padded = np.pad(box, (0, 1), mode="edge")  # so that each voxel has a next one
        flat = (lowest[0] * padded.shape[1] + lowest[1]) * padded.shape[2] + lowest[2]
        labels: npt.NDArray[np.uint8] = np.take(_uniform(padded).ravel(), flat)
        mixed = labels == _MIXED
        if mixed.any():
            labels[mixed] = _highest(padded, flat[mixed], [part[mixed] for part in parts])
        return labels

    def _position(self, axis: int, n: int) -> npt.NDArray[np.float32]:
        """Return the position of each patch voxel (z, y, x) along one axis of a box with ``n`` voxels."""
        assert self.matrix is not None
        z, y, x = (
            (factor * (np.arange(size) - (size - 1) / 2)).astype(np.float32)
            for factor, size in zip(self.matrix[axis], self.patch_size, strict=True)
        )
        position: npt.NDArray[np.float32] = (z[:, None] + np.float32((n - 1) / 2))[..., None] + y[:, None] + x
        return position


def draw_spatial_augmentation(patch_size: Triple, random: np.random.Generator) -> SpatialAugmentation:
    """Draw rotation and scaling as nnU-Net does: one patch in five is rotated, and one in five is scaled.

    Angles are up to 30° about each axis, and factors are 0.7 to 1.4. Flat patches are rotated by any angle and scaled,
    both in their plane.

    Args:
        patch_size: voxels (z, y, x).
        random: generator of the random numbers.
    """
    rotated, scaled = random.random(2) < _PROBABILITY
    angles = random.uniform(-1, 1, 3) if rotated else np.zeros(3)
    scale = random.uniform(*_SCALES) if scaled else 1.0
    if not rotated and not scaled:
        return SpatialAugmentation(patch_size)
    if not is_flat(patch_size):
        return SpatialAugmentation(patch_size, create_affine_matrix_3d(angles * _ANGLE, [scale] * 3))
    matrix = np.eye(3)
    matrix[1:, 1:] = create_affine_matrix_2d(angles[0] * _ANGLE_IN_PLANE, [scale] * 2)
    return SpatialAugmentation(patch_size, matrix)


def _uniform(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return each voxel's label if the next voxels along all axes have the same label, otherwise ``_MIXED``."""
    lowest, highest = labels, labels
    for axis in range(3):
        current = (slice(None),) * axis + (slice(None, -1),)
        following = (slice(None),) * axis + (slice(1, None),)
        lowest, highest = (
            np.minimum(lowest[current], lowest[following]),
            np.maximum(highest[current], highest[following]),
        )
    uniform = np.full_like(labels, _MIXED)
    uniform[:-1, :-1, :-1][lowest == highest] = lowest[lowest == highest]
    return uniform


def _highest(
    labels: npt.NDArray[np.uint8], lowest: npt.NDArray[np.int32], parts: list[npt.NDArray[np.float32]]
) -> npt.NDArray[np.uint8]:
    """Return the label with the largest weight among the eight voxels around each point.

    Args:
        labels: (z, y, x).
        lowest: flat index of the first of the eight, (n,).
        parts: distance of the point from this voxel along z, y and x, 0 to 1, each (n,).
    """
    _, rows, columns = labels.shape
    flat = labels.ravel()
    around, weights = [], []
    for corner in np.ndindex(2, 2, 2):
        around.append(flat[lowest + (corner[0] * rows + corner[1]) * columns + corner[2]])
        z, y, x = (part if far else 1 - part for far, part in zip(corner, parts, strict=True))
        weights.append(z * y * x)
    best = np.full(len(lowest), -1, np.float32)
    highest = np.zeros(len(lowest), np.uint8)
    for label in np.flatnonzero(np.bincount(np.concatenate(around), minlength=256)):
        share = sum(weight * (voxel_label == label) for voxel_label, weight in zip(around, weights, strict=True))
        better = share > best
        highest[better], best[better] = label, share[better]
    return highest
