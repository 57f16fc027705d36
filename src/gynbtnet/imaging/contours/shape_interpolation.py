"""Interpolation of shapes between the planes on which they were drawn.

Shape-based interpolation by signed distance (Raya and Udupa, IEEE Transactions on Medical Imaging 1990,
doi 10.1109/42.52980). Between two planes with a shape, the signed distances to both outlines are mixed linearly; voxels
with a positive mixture belong to the shape. Between a plane with a shape and one without, the nearer plane decides.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt

from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.runtime.array_types import FloatArray, Mask, Spacing

SAME_PLANE = 0.1
"""Largest distance in mm between a requested plane and a drawn one whose shape it gets unchanged."""


def interpolate_shapes(drawn: Mask, at: FloatArray, targets: FloatArray, spacing: Spacing) -> Mask:
    """Return the shape on each requested plane.

    Args:
        drawn: shapes on the drawn planes (n, y, x); a plane without voxels has no shape.
        at: positions of the drawn planes (n,), ascending, in slices.
        targets: positions of the requested planes (m,), in slices; outside the drawn planes, the nearest one is used.
        spacing: distance between voxel centres along (z, y, x) in mm.

    Returns:
        The shapes (m, y, x).
    """
    result = np.zeros((len(targets), *drawn.shape[1:]), bool)
    for target, position in zip(result, targets.tolist(), strict=True):
        nearest = int(np.abs(at - position).argmin())
        above = int(np.searchsorted(at, position))
        on_plane = abs(at[nearest] - position) * spacing[0] <= SAME_PLANE
        if on_plane or above in (0, len(at)):
            target[...] = drawn[nearest]
            continue
        below = above - 1
        share = float((position - at[below]) / (at[above] - at[below]))
        if drawn[below].any() and drawn[above].any():
            target[...] = _mixed(drawn[below], drawn[above], share, spacing[1:])
        elif share != 0.5:
            target[...] = drawn[above] if share > 0.5 else drawn[below]
    return result


def _mixed(below: Mask, above: Mask, share: float, spacing: tuple[float, ...]) -> Mask:
    """Return the shape between two others (y, x), ``share`` of the way to ``above``; if it is empty, the nearer one."""
    box = bounding_box(below | above) or ()
    low, high = (_signed_distance(np.pad(shape[box], 1), spacing) for shape in (below, above))
    shape = ((1 - share) * low + share * high > 0)[1:-1, 1:-1]
    result = np.zeros_like(below)
    result[box] = shape if shape.any() else (above if share > 0.5 else below)[box]
    return result


def _signed_distance(mask: Mask, spacing: tuple[float, ...]) -> FloatArray:
    """Return the distance in mm to the outline: positive inside, negative outside.

    The outline is half a voxel away from the nearest centre on the other side. Without this half, a mixture of two
    shapes would favour the nearer one.
    """
    inside: FloatArray = distance_transform_edt(mask, sampling=spacing)
    outside: FloatArray = distance_transform_edt(~mask, sampling=spacing)
    half = min(spacing) / 2
    return np.where(mask, inside - half, half - outside)
