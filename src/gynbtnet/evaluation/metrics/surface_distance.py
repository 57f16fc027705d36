"""Distances in mm between the surfaces of two masks on one grid.

The surface of a mask is its boundary voxels: those of which at least one of the six face neighbours lies outside the
mask; beyond the grid counts as outside. A distance is measured between voxel centres, and each surface voxel counts
once, whatever area of surface it stands for. MONAI has the same rule.
"""

from dataclasses import dataclass

import edt
import numpy as np
import numpy.typing as npt

from gynbtnet.runtime.array_types import Mask, Spacing

ROUNDING = 1e-4
"""mm; distances come in single precision, and one that equals a tolerance is within it."""


@dataclass(frozen=True)
class SurfaceDistances:
    """From each surface voxel of one mask to the nearest surface voxel of the other, both ways, in mm, none empty."""

    from_truth: npt.NDArray[np.float64]
    from_prediction: npt.NDArray[np.float64]

    @property
    def hd95(self) -> float:
        """The larger of the two directed 95th percentiles (linear interpolation), in mm."""
        return float(max(np.percentile(self.from_truth, 95), np.percentile(self.from_prediction, 95)))

    @property
    def asd(self) -> float:
        """The mean over both surfaces' distances pooled, in mm."""
        return float(np.concatenate((self.from_truth, self.from_prediction)).mean())

    @property
    def hausdorff(self) -> float:
        """The largest of all distances, in mm."""
        return float(max(self.from_truth.max(), self.from_prediction.max()))

    def surface_dsc(self, tolerance_mm: float) -> float:
        """The share of both surfaces' voxels that lie within the tolerance of the other surface, 0 to 1.

        The surface Dice of Nikolov et al. 2021 (doi 10.2196/26151), with voxels counted instead of areas summed.
        """
        near = sum(
            int(np.count_nonzero(one <= tolerance_mm + ROUNDING)) for one in (self.from_truth, self.from_prediction)
        )
        return near / (self.from_truth.size + self.from_prediction.size)


def surface(mask: Mask) -> Mask:
    """The boundary voxels of a mask (z, y, x)."""
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(mask.ndim):
        for start in (0, 2):
            window = [slice(1, -1)] * mask.ndim
            window[axis] = slice(start, start + mask.shape[axis])
            inside &= padded[tuple(window)]
    return mask & ~inside


def surface_distances(truth: Mask, prediction: Mask, spacing: Spacing) -> SurfaceDistances:
    """Distances between the surfaces of two masks (z, y, x), neither empty, on a grid of ``spacing`` (z, y, x) in mm.

    Cropping both masks to one box that holds both changes nothing: give cropped masks where speed counts.

    Raises:
        ValueError: where a mask is empty.
    """
    of_truth, of_prediction = surface(truth), surface(prediction)
    if not of_truth.any() or not of_prediction.any():
        raise ValueError("an empty mask has no surface")
    return SurfaceDistances(
        from_truth=_distance_to(of_prediction, spacing)[of_truth].astype(np.float64),
        from_prediction=_distance_to(of_truth, spacing)[of_prediction].astype(np.float64),
    )


def worst_distance(mask: Mask, spacing: Spacing, lower: tuple[int, ...], shape: tuple[int, ...]) -> float:
    """The largest distance in mm from a surface voxel of ``mask`` to any voxel of the scan's grid.

    Nothing on the grid can have a larger HD95 or ASD against ``mask``. A grid of one voxel gives 0.

    Args:
        mask: a box of the grid (z, y, x), not empty.
        spacing: (z, y, x) in mm.
        lower: where the box begins on the grid.
        shape: the grid's size.
    """
    voxels = np.argwhere(surface(mask)) + np.asarray(lower)
    farthest = np.maximum(voxels, np.asarray(shape) - 1 - voxels) * np.asarray(spacing)
    return float(np.linalg.norm(farthest, axis=1).max())


def diagonal(spacing: Spacing, shape: tuple[int, ...]) -> float:
    """The distance in mm between the centres of opposite corner voxels of a grid."""
    return float(np.linalg.norm((np.asarray(shape) - 1) * np.asarray(spacing)))


def _distance_to(of: Mask, spacing: Spacing) -> npt.NDArray[np.float32]:
    distances: npt.NDArray[np.float32] = edt.edt(np.ascontiguousarray(~of), anisotropy=spacing, parallel=1)
    return distances
