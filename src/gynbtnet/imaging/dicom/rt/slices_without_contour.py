"""Interpolation of a ROI on slices that have no contour."""

from dataclasses import dataclass

import numpy as np

from gynbtnet.imaging.contours.shape_interpolation import interpolate_shapes
from gynbtnet.imaging.contours.undrawn_slices import LONGEST_GAP, find_gaps, is_sparse
from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.rt.contour_placement import PlacedROI
from gynbtnet.runtime.array_types import IntArray, Mask
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

_MAX_WIDE_GAPS = 0.5  # share of a structure's steps with too wide gaps, above which it is drawn too sparsely


@dataclass(frozen=True, eq=False)
class FilledMask:
    """A mask whose slices without a contour were interpolated if necessary.

    Attributes:
        mask: the mask (positions, y, x).
        interpolated: number of interpolated slices.
        notes: a sentence on interpolated slices, and on those that stay empty.
    """

    mask: Mask
    interpolated: int
    notes: tuple[str, ...]


def interpolate_gaps(mask: Mask, drawn: IntArray, placed: PlacedROI, ct: CTSeries) -> FilledMask:
    """Interpolate slices without a contour if a structure is drawn on every second to fourth slice.

    Args:
        mask: mask of the contours on the slice positions, (positions, y, x).
        drawn: indices of slice positions with contours, ascending.
        placed: the ROI, for messages.
        ct: the CT on which it was drawn.

    Returns:
        The mask with interpolated slices.

    Raises:
        BadInput: If the structure is drawn on even fewer slices.
    """
    name, positions, spacing = placed.roi_name, ct.slice_positions, ct.volume.geometry.spacing
    gaps = find_gaps(drawn, ct.scanned)
    within = [gap for gap in gaps if (mask[gap.below] & mask[gap.above]).any()]  # the others separate islands
    notes, interpolated = [], 0
    if is_sparse(drawn, within):
        usual = float(np.median([gap.slices for gap in within]))
        if usual > LONGEST_GAP and len(within) > _MAX_WIDE_GAPS * (len(drawn) - 1):
            raise BadInput(
                f"{placed.title} has contours on every {usual + 1:.0f}th slice only; at most {LONGEST_GAP} consecutive "
                "slices are interpolated: interpolate its contours in the planning system and export it again."
            )
        filled = [gap for gap in within if gap.slices <= LONGEST_GAP]
        for gap in filled:
            ends, between = [gap.below, gap.above], np.arange(gap.below + 1, gap.above)
            shapes = interpolate_shapes(mask[ends], positions[ends], positions[between], spacing)
            mask = np.concatenate([mask[: gap.below + 1], shapes, mask[gap.above :]])
        interpolated = sum(gap.slices for gap in filled)
        if filled:
            notes.append(
                f"“{name}” has contours on {len(drawn)} of {len(drawn) + sum(gap.slices for gap in gaps)} slices. "
                f"Interpolated between them: {counted(interpolated, 'slice')}."
            )
        gaps = [gap for gap in gaps if gap not in filled]
    empty = sum(gap.slices for gap in gaps)
    if empty:
        notes.append(f"“{name}” has {counted(empty, 'slice')} without a contour between slices that have one.")
    return FilledMask(mask, interpolated, tuple(notes))
