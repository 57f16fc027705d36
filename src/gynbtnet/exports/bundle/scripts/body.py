"""Mask of the patient, outside of which nothing is predicted."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

BLOCK, AIR, BRIGHTEST = 4.0, -1024, 3000  # mm, HU, HU
TISSUE, THIN, LUNG, SMALL, MARGIN = -400, 10.0, 25.0, 0.02, 20.0  # HU, mm, mm, share, mm


class BodyMaskd(MapTransform):  # type: ignore[misc] # MONAI is not read by mypy
    """Add ``<key>_body``, the mask of the patient on the grid of ``<key>_grid``; None if no patient is found.

    Args:
        keys: keys of the images (1, x, y, z) in HU, which run to the patient's left, back and head.
    """

    def __init__(self, keys: Sequence[Hashable]) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the mask."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = result[key]
            x, y, z = (float(length) for length in affine_to_spacing(image.affine))
            scan = np.asarray(image[0], np.float32).transpose(2, 1, 0)
            result[f"{key}_body"] = body_on_grid(scan, (z, y, x), result[f"{key}_grid"].shape[1:])
        return result


def body_on_grid(scan: npt.NDArray[np.float32], spacing: Sequence[float], shape: Sequence[int]) -> Mask | None:
    """Return the mask of the patient with a margin of 20 mm, on the network's grid; None if no patient is found.

    The patient is tissue thicker than 20 mm in a scan of about 4 mm voxels: a table is thinner. The largest component
    is kept, and components of comparable size, such as arms.

    Args:
        scan: CT in HU (z, y, x); the axes run to the head, back and left.
        spacing: mm along (z, y, x).
        shape: voxels (z, y, x) of the network's grid, which covers the same box.
    """
    blocks = [max(1, round(BLOCK / length)) for length in spacing]
    coarse = _block_means(scan, blocks)
    body = _find(coarse, [size * length for size, length in zip(blocks, spacing, strict=True)])
    if body is None:
        return None
    indices = []
    for fine, n, block, size in zip(shape, scan.shape, blocks, coarse.shape, strict=True):
        centres = (np.arange(fine) + 0.5) * (n / fine) - 0.5
        indices.append(np.clip(np.rint((centres - (block - 1) / 2) / block), 0, size - 1).astype(np.intp))
    return body[np.ix_(*indices)]


def _block_means(scan: npt.NDArray[np.float32], blocks: Sequence[int]) -> npt.NDArray[np.float32]:
    means = np.clip(scan, AIR, BRIGHTEST).astype(np.float64)
    for axis, size in enumerate(blocks):
        firsts = np.arange(0, means.shape[axis], size)
        counts = np.diff([*firsts, means.shape[axis]])
        means = np.add.reduceat(means, firsts, axis) / counts.reshape([-1 if a == axis else 1 for a in range(3)])
    return means.astype(np.float32)


def _find(coarse: npt.NDArray[np.float32], spacing: Sequence[float]) -> Mask | None:
    tissue = coarse > TISSUE
    if not tissue.any():
        return None
    core = _depth(tissue | _lungs(tissue, spacing), spacing) > THIN
    components, count = ndimage.label(core)
    if not count:
        return None
    sizes = np.bincount(components.ravel())[1:]
    kept = np.isin(components, 1 + np.flatnonzero(sizes >= SMALL * sizes.max()))
    return _filled(_depth(~kept, spacing) <= THIN + MARGIN)


def _lungs(tissue: Mask, spacing: Sequence[float]) -> Mask:
    """Return thick regions of air that tissue encloses within a slice."""
    enclosed = _filled(tissue) & ~tissue
    components, count = ndimage.label(enclosed)
    depths = ndimage.maximum(_depth(enclosed, spacing), components, np.arange(1, count + 1))
    return np.isin(components, 1 + np.flatnonzero(np.asarray(depths) > LUNG))


def _depth(mask: Mask, spacing: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the distance in mm to the nearest voxel outside the mask; the scan's edge doesn't count as outside."""
    if mask.all():
        return np.full(mask.shape, np.inf)
    distances: npt.NDArray[np.float64] = ndimage.distance_transform_edt(mask, sampling=spacing)
    return distances


def _filled(mask: Mask) -> Mask:
    return np.stack([ndimage.binary_fill_holes(plane) for plane in mask])
