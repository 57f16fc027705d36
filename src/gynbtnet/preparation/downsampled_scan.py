"""Downsampling of a CT to voxels of about 4 mm, which is enough to find the body or the pelvis."""

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.orientation import reorientation_to_lps
from gynbtnet.imaging.volume import AIR, Volume

_SPACING = 4.0  # mm
_BRIGHTEST = 3000  # HU; brighter voxels would dominate the mean of their block


def downsample_scan(ct: Volume) -> Volume:
    """Return a CT in HU averaged over blocks of about 4 mm, reoriented to left, posterior and superior axes.

    Args:
        ct: CT in HU, on any grid.

    Returns:
        The CT in HU on a coarser grid.
    """
    reorientation = reorientation_to_lps(ct.geometry)
    array, geometry = reorientation.array(ct.array), reorientation.geometry(ct.geometry)
    block = [max(1, round(_SPACING / spacing)) for spacing in geometry.spacing]
    firsts = [np.arange(0, n, size) for n, size in zip(geometry.shape, block, strict=True)]
    counts = [np.diff([*first, n]) for first, n in zip(firsts, geometry.shape, strict=True)]
    shape = tuple(map(len, firsts))
    means = np.empty(shape, np.float32)
    for slices, first in zip(means, firsts[0], strict=True):
        plane = np.clip(array[first : first + block[0]], AIR, _BRIGHTEST).mean(axis=0, dtype=np.float32)
        rows = np.add.reduceat(plane, firsts[1], axis=0)
        slices[:] = np.add.reduceat(rows, firsts[2], axis=1) / np.outer(counts[1], counts[2])
    spacing = tuple(size * length for size, length in zip(block, geometry.spacing, strict=True))
    origin = geometry.to_world([(size - 1) / 2 for size in block])
    return Volume(means, Geometry(shape, spacing, tuple(origin), geometry.direction))  # type: ignore[arg-type]


def resample_mask(mask: npt.NDArray[np.bool_], coarse: Geometry, target: Geometry) -> npt.NDArray[np.bool_]:
    """Return a mask on a finer grid by nearest-neighbour interpolation.

    Args:
        mask: (z, y, x) on the grid ``coarse``.
        coarse: grid of the mask.
        target: grid of the result, whose axes run in the same directions as those of ``coarse``.

    Returns:
        Mask (z, y, x) on the grid ``target``.
    """
    origin = coarse.to_index(target.to_world((0, 0, 0)))
    nearest = [
        np.clip(np.rint(first + np.arange(n) * (fine_mm / coarse_mm)), 0, size - 1).astype(np.intp)
        for first, n, fine_mm, coarse_mm, size in zip(
            origin, target.shape, target.spacing, coarse.spacing, coarse.shape, strict=True
        )
    ]
    return mask[np.ix_(*nearest)]
