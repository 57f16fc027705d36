"""Sizes of phantoms that can be made."""

import math
from typing import Literal

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import by_axis

FEWEST_VOXELS = 8
"""Smallest number of voxels along an axis."""

FINEST_MM = 0.2
"""Smallest spacing in mm; slices within 0.1 mm count as slices at one position."""

LONGEST_MM = 2000.0
"""Largest extent along an axis in mm; slices of unlabelled scans are up to a third thicker, and scans end at 3 m."""

MOST_SCANS = 100_000
"""Largest number of patients or scans of a cohort."""

MOST_FRACTIONS = 100
"""Largest number of fractions per patient."""


def check_view(spacing: tuple[float, float, float], matrix: tuple[int, int, int]) -> None:
    """Check that a phantom can be made with this grid.

    Args:
        spacing: mm along (z, y, x).
        matrix: voxels along (z, y, x).

    Raises:
        BadInput: If the grid is too coarse, too fine or too long.
    """
    extent = max(count * length for count, length in zip(matrix, spacing, strict=True))
    sizes = all(math.isfinite(length) and length >= FINEST_MM for length in spacing)
    if min(matrix) < FEWEST_VOXELS or not sizes or extent > LONGEST_MM:
        raise BadInput(
            f"A phantom of {by_axis(matrix)} voxels of {by_axis(spacing)} mm along z, y, x can't be made. Expected "
            f"along each axis are at least {FEWEST_VOXELS} voxels, at least {FINEST_MM} mm each, and at most "
            f"{LONGEST_MM / 1000:g} m in all."
        )


def check_counts(scans: int, fractions: int | Literal["4-5"] = 1) -> None:
    """Check the size of a cohort.

    Args:
        scans: number of patients or scans.
        fractions: fractions per patient, or "4-5".

    Raises:
        BadInput: If it is out of range.
    """
    if not 1 <= scans <= MOST_SCANS:
        raise BadInput(f"A phantom of {scans} patients or scans can't be made; expected 1 to {MOST_SCANS}.")
    if fractions != "4-5" and not 1 <= fractions <= MOST_FRACTIONS:
        raise BadInput(
            f"A phantom of {fractions} fractions per patient can't be made; expected 1 to {MOST_FRACTIONS}, or 4-5."
        )
