"""Thick slices: along which axis, if any, a scan is interpolated apart from the others.

nnU-Net's rule (``determine_do_sep_z_and_axis`` of its version 2): between thick slices cubic splines invent anatomy, so
that slices are interpolated one by one in their plane, and along the thick axis the nearest slice is taken.
"""

from collections.abc import Sequence

ANISOTROPY = 3
"""Times that a spacing has to be over another to count as thick."""


def separate_axis(source_spacing: Sequence[float], target_spacing: Sequence[float]) -> int | None:
    """The axis that is resampled apart from the other two, or None where all three are taken together.

    The scan decides where its own spacing is anisotropic, else the spacing that is wanted. A plane that is coarse along
    two axes alike, sagittal slices on two thick axes for instance, is no reason.

    Args:
        source_spacing: of the scan along (z, y, x), mm.
        target_spacing: wanted along the same axes, mm.
    """
    for spacing in (source_spacing, target_spacing):
        coarsest = max(spacing)
        if coarsest / min(spacing) > ANISOTROPY:
            coarse = [axis for axis, length in enumerate(spacing) if length == coarsest]
            return coarse[0] if len(coarse) == 1 else None
    return None
