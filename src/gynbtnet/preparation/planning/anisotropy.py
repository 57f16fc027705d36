"""Separate resampling along the axis of thick slices.

nnU-Net's rule (``determine_do_sep_z_and_axis`` of its version 2). Cubic splines between thick slices invent anatomy.
Therefore each slice is interpolated within its plane, and the nearest slice is used along the thick axis.
"""

from collections.abc import Sequence

ANISOTROPY = 3
"""Ratio of two spacings above which slices count as thick."""


def separate_axis(source_spacing: Sequence[float], target_spacing: Sequence[float]) -> int | None:
    """Return the axis that is resampled separately, or None if all three are resampled together.

    The scan's spacing decides if it is anisotropic, otherwise the target spacing. Two equally coarse axes don't count.

    Args:
        source_spacing: spacing of the scan along (z, y, x), mm.
        target_spacing: target spacing along the same axes, mm.

    Returns:
        Index of the axis in (z, y, x), or None.
    """
    for spacing in (source_spacing, target_spacing):
        coarsest = max(spacing)
        if coarsest / min(spacing) > ANISOTROPY:
            coarse = [axis for axis, length in enumerate(spacing) if length == coarsest]
            return coarse[0] if len(coarse) == 1 else None
    return None
