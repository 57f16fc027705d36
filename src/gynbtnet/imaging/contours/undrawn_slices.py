"""Slices between contours of a structure that have none."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gynbtnet.runtime.array_types import IntArray, Mask

LONGEST_GAP = 3
"""Slices in a row without a contour that are interpolated."""

_SPARSE = 0.25
"""Share of the steps between drawn slices that leave slices out, from which a structure counts as drawn sparsely."""


@dataclass(frozen=True)
class Gap:
    """Slices without a contour.

    Attributes:
        below: the drawn place below them.
        above: the drawn place above them.
        slices: how many scanned slices lie between.
    """

    below: int
    above: int
    slices: int


def find_gaps(drawn: IntArray, scanned: Mask) -> list[Gap]:
    """Find the scanned slices that have no contour, between places that have one.

    Args:
        drawn: places with a contour, ascending.
        scanned: (places,) which of them are scanned slices; on the others nobody needs to draw.
    """
    gaps = [
        Gap(below, above, int(np.count_nonzero(scanned[below + 1 : above])))
        for below, above in pairwise(np.asarray(drawn).tolist())
    ]
    return [gap for gap in gaps if gap.slices]


def is_sparse(drawn: IntArray, gaps: Sequence[Gap]) -> bool:
    """Whether so many steps leave slices out that it is a way of drawing, and no boundary between two parts."""
    return len(gaps) >= max(2, _SPARSE * (len(drawn) - 1))
