"""Where slices are so thick that interpolation between them would invent anatomy."""

from collections.abc import Sequence

ANISOTROPY = 3
"""nnU-Net's threshold: the longest side of a voxel over its shortest."""


def separate_axis(source_spacing: Sequence[float], target_spacing: Sequence[float]) -> int | None:
    """The axis along which scans are resampled apart from the other two, by nearest neighbour; None where there's none.

    nnU-Net's rule (``determine_do_sep_z_and_axis`` of its version 2): the axis of the scan's longest spacing where that
    is over 3 times its shortest, else the axis of the wanted spacing's longest where the same holds there, and in
    either case only if a single axis is the longest.

    Args:
        source_spacing: of the scan, in mm, along the same axes as ``target_spacing``.
        target_spacing: of the plan, in mm.
    """
    for spacing in (source_spacing, target_spacing):
        if max(spacing) / min(spacing) > ANISOTROPY:
            longest = [axis for axis, length in enumerate(spacing) if length == max(spacing)]
            return longest[0] if len(longest) == 1 else None
    return None
