"""Distances in mm between the surfaces of two masks on one grid.

The surface of a mask is its boundary voxels: those with at least one of the six face neighbours outside the mask.
Beyond the grid counts as outside. A distance is measured between voxel centres. Each surface voxel counts once,
independent of the surface area that it represents. MONAI uses the same rule.
"""

from dataclasses import dataclass

import edt
import numpy as np
import numpy.typing as npt

from gynbtnet.runtime.array_types import Mask, Spacing

ROUNDING_MM = 1e-4
"""Distances are computed in single precision; a distance that equals a tolerance is within it."""


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between the surfaces of two masks, none empty.

    Attributes:
        from_truth: distance from each surface voxel of the truth to the nearest surface voxel of the prediction, mm.
        from_prediction: distance from each surface voxel of the prediction to the nearest one of the truth, mm.
    """

    from_truth: npt.NDArray[np.float64]
    from_prediction: npt.NDArray[np.float64]

    @property
    def hd95(self) -> float:
        """Larger of the two directed 95th percentiles (linear interpolation), in mm."""
        return float(max(np.percentile(self.from_truth, 95), np.percentile(self.from_prediction, 95)))

    @property
    def asd(self) -> float:
        """Mean over the pooled distances of both surfaces, in mm."""
        return float(np.concatenate((self.from_truth, self.from_prediction)).mean())

    @property
    def hausdorff(self) -> float:
        """Largest distance, in mm."""
        return float(max(self.from_truth.max(), self.from_prediction.max()))

    def surface_dsc(self, tolerance_mm: float) -> float:
        """Return the share of both surfaces' voxels within the tolerance of the other surface, 0 to 1.

        This is the surface Dice of Nikolov et al. 2021 (doi 10.2196/26151), with voxels counted instead of areas
        summed.
        """
        n_near = sum(
            int(np.count_nonzero(distances <= tolerance_mm + ROUNDING_MM))
            for distances in (self.from_truth, self.from_prediction)
        )
        return n_near / (self.from_truth.size + self.from_prediction.size)


def surface_mask(mask: Mask) -> Mask:
    """Return the boundary voxels of a mask (z, y, x)."""
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(mask.ndim):
        for start in (0, 2):
            window = [slice(1, -1)] * mask.ndim
            window[axis] = slice(start, start + mask.shape[axis])
            inside &= padded[tuple(window)]
    return mask & ~inside


def surface_distances(truth: Mask, prediction: Mask, spacing: Spacing) -> SurfaceDistances:
    """Compute the distances between the surfaces of two masks.

    Cropping both masks to one box that contains both does not change the result and is faster.

    Args:
        truth: mask (z, y, x), not empty.
        prediction: mask (z, y, x) on the same grid, not empty.
        spacing: voxel spacing (z, y, x) in mm.

    Returns:
        The distances in both directions.

    Raises:
        ValueError: If a mask is empty.
    """
    truth_surface, prediction_surface = surface_mask(truth), surface_mask(prediction)
    if not truth_surface.any() or not prediction_surface.any():
        raise ValueError("an empty mask has no surface")
    return SurfaceDistances(
        from_truth=_distance_to(prediction_surface, spacing)[truth_surface].astype(np.float64),
        from_prediction=_distance_to(truth_surface, spacing)[prediction_surface].astype(np.float64),
    )


def worst_distance(mask: Mask, spacing: Spacing, lower: tuple[int, ...], shape: tuple[int, ...]) -> float:
    """Return the largest distance in mm from a surface voxel of ``mask`` to any voxel of the scan's grid.

    Nothing on the grid can have a larger HD95 or ASD against ``mask``. A grid of one voxel gives 0.

    Args:
        mask: box of the grid (z, y, x), not empty.
        spacing: voxel spacing (z, y, x) in mm.
        lower: index (z, y, x) of the box's first voxel on the grid.
        shape: shape of the grid.
    """
    voxels = np.argwhere(surface_mask(mask)) + np.asarray(lower)
    farthest = np.maximum(voxels, np.asarray(shape) - 1 - voxels) * np.asarray(spacing)
    return float(np.linalg.norm(farthest, axis=1).max())


def grid_diagonal(spacing: Spacing, shape: tuple[int, ...]) -> float:
    """Return the distance in mm between the centres of opposite corner voxels of a grid."""
    return float(np.linalg.norm((np.asarray(shape) - 1) * np.asarray(spacing)))


def _distance_to(surface: Mask, spacing: Spacing) -> npt.NDArray[np.float32]:
    """Return the distance in mm from each voxel to the nearest voxel of ``surface``."""
    distances: npt.NDArray[np.float32] = edt.edt(np.ascontiguousarray(~surface), anisotropy=spacing, parallel=1)
    return distances
