"""Shapes between the planes on which they are drawn.

Shape-based interpolation by signed distance (Raya and Udupa, IEEE Transactions on Medical Imaging 1990,
doi 10.1109/42.52980): between two planes with a shape the signed distances to both outlines are mixed linearly, and the
shape is where the mixture is positive. Between a plane with a shape and one without, the nearer plane decides.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt

from gynbtnet.runtime.array_types import FloatArray, Mask

SAME_PLANE = 0.1
"""mm within which a wanted plane is a drawn one, and takes its shape unchanged."""


def interpolate_shapes(drawn: Mask, at: FloatArray, wanted: FloatArray, spacing: tuple[float, float, float]) -> Mask:
    """The shape on each wanted plane.

    Args:
        drawn: shapes (n, y, x); a plane without voxels is one on which nothing is.
        at: positions of the drawn planes (n), ascending, in slices.
        wanted: positions of the planes to return (m), in slices; one beyond the drawn planes takes the nearest.
        spacing: of the grid in mm along (z, y, x).

    Returns:
        The shapes (m, y, x).
    """
    result = np.zeros((len(wanted), *drawn.shape[1:]), bool)
    for target, position in zip(result, wanted.tolist(), strict=True):
        nearest = int(np.abs(at - position).argmin())
        above = int(np.searchsorted(at, position))
        on_plane = abs(at[nearest] - position) * spacing[0] <= SAME_PLANE
        if on_plane or above in (0, len(at)):
            target[...] = drawn[nearest]
            continue
        below = above - 1
        share = float((position - at[below]) / (at[above] - at[below]))
        if drawn[below].any() and drawn[above].any():
            _mix(drawn[below], drawn[above], share, spacing[1:], target)
        elif share != 0.5:
            target[...] = drawn[above] if share > 0.5 else drawn[below]
    return result


def _mix(below: Mask, above: Mask, share: float, spacing: tuple[float, ...], into: Mask) -> None:
    """Write the shape between two others (y, x), ``share`` of the way to ``above``; the nearer if none overlaps."""
    rows, columns = (np.flatnonzero((below | above).any(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    low, high = (_signed_distance(np.pad(one[box], 1), spacing) for one in (below, above))
    shape = ((1 - share) * low + share * high > 0)[1:-1, 1:-1]
    into[box] = shape if shape.any() else (above if share > 0.5 else below)[box]


def _signed_distance(mask: Mask, spacing: tuple[float, ...]) -> FloatArray:
    """Distance in mm to the outline: positive inside, negative outside.

    The outline is half a voxel from the nearest centre of the other kind. Without that half the mixture of two shapes
    would favour the nearer one.
    """
    inside: FloatArray = distance_transform_edt(mask, sampling=spacing)
    outside: FloatArray = distance_transform_edt(~mask, sampling=spacing)
    half = min(spacing) / 2
    return np.where(mask, inside - half, half - outside)
