"""Slices without a contour between slices that have one."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gynbtnet.runtime.array_types import IntArray, Mask

LONGEST_GAP = 3
"""Largest number of consecutive slices without a contour that are interpolated."""

_SPARSE = 0.25
"""Share of steps between drawn slices with a gap from which a structure counts as sparsely drawn."""


@dataclass(frozen=True)
class Gap:
    """Slices without a contour.

    Attributes:
        below: position of the drawn slice below them.
        above: position of the drawn slice above them.
        slices: number of scanned slices in between.
    """

    below: int
    above: int
    slices: int


def find_gaps(drawn: IntArray, scanned: Mask) -> list[Gap]:
    """Find the scanned slices without a contour between positions that have one.

    Args:
        drawn: positions with a contour, ascending.
        scanned: for each position, True if it is a scanned slice; the others need no contour.
    """
    gaps = [
        Gap(below, above, int(np.count_nonzero(scanned[below + 1 : above])))
        for below, above in pairwise(np.asarray(drawn).tolist())
    ]
    return [gap for gap in gaps if gap.slices]


def is_sparse(drawn: IntArray, gaps: Sequence[Gap]) -> bool:
    """Return True if so many steps have a gap that slices were omitted on purpose, not between two parts."""
    return len(gaps) >= max(2, _SPARSE * (len(drawn) - 1))
