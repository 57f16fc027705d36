"""Slices between contours of a structure that was drawn on every second or third slice only.

Between two slices the signed distance to the outline is interpolated linearly, as planning systems do it (Raya and
Udupa, IEEE TMI 1990, doi 10.1109/42.52980).
"""

from itertools import pairwise

import numpy as np
from scipy.ndimage import distance_transform_edt

from gynbtnet.imaging.contours import Floats, Integers, Mask

LONGEST_GAP = 3
"""Slices in a row without a contour that are interpolated."""

_SPARSE = 0.25
"""Share of the steps between drawn slices that leave slices out, from which a structure counts as drawn sparsely."""


def gaps_of(drawn: Integers) -> list[tuple[int, int]]:
    """The drawn slices (below, above) with undrawn ones between them, for ascending numbers of slices."""
    return [(a, b) for a, b in pairwise(drawn.tolist()) if b - a > 1]


def is_sparse(drawn: Integers) -> bool:
    """Whether so many steps leave slices out that it is a way of drawing, and no boundary between two parts."""
    return len(gaps_of(drawn)) >= max(2, _SPARSE * (len(drawn) - 1))


def fill_gap(mask: Mask, gap: tuple[int, int], heights: Floats, spacing: tuple[float, float]) -> Mask:
    """A mask with the slices between two drawn ones interpolated.

    Args:
        mask: (slices, y, x).
        gap: the drawn slices below and above.
        heights: (slices,) along z; only their ratios count.
        spacing: mm along (y, x).
    """
    filled = mask.copy()
    below, above = gap
    ends = mask[[below, above]]
    if not ends.any(axis=(1, 2)).all():
        return filled
    box = tuple(
        slice(int(found[0]), int(found[-1]) + 1)
        for found in (np.flatnonzero(ends.any(axis=a)) for a in ((0, 2), (0, 1)))
    )
    first, second = (_signed_distance(one[box], spacing) for one in ends)
    for z in range(below + 1, above):
        weight = (heights[z] - heights[below]) / (heights[above] - heights[below])
        filled[z][box] = (1 - weight) * first + weight * second < 0
    return filled


def _signed_distance(mask: Mask, spacing: tuple[float, float]) -> Floats:
    """mm from each voxel centre to the nearest on the other side; negative inside."""
    padded = np.pad(mask, 1)
    outside, inside = (distance_transform_edt(one, sampling=spacing) for one in (~padded, padded))
    return np.asarray(outside - inside)[1:-1, 1:-1]
