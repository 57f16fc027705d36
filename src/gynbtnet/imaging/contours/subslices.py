"""Shape of a structure on planes between its slices, for volumes and doses.

Between two slices, the signed distances to both outlines are interpolated. A cubic term (Catmull and Rom 1974) uses the
slices below and above them, so that a ball keeps its round outline. The term moves an outline by at most a quarter of a
slice. The shapes on the slices themselves do not change.

A part of a slice ends if it shares no voxel with the next slice. The convention for ends determines what is beyond it:

- "half": its shape is extended by half a slice, so that the volume is that of the voxels.
- "none": nothing. A part on a single slice has no volume then; it keeps the thickness of its slice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import edt
import numpy as np
from scipy import ndimage

from gynbtnet.runtime.array_types import Float32Array, Mask, Spacing

Ends = Literal["half", "none"]
"""Convention for the end slices of a structure."""

_NEIGHBOURS = np.ones((3, 3), bool)
_MOST_CUBIC = 0.25  # of the slice spacing, by which the cubic term may move an outline


def count_subslices(thickness_mm: float, max_mm: float, ends: Ends) -> int:
    """Return the number of planes per slice: none is thicker than ``max_mm``.

    With "none" it is even, so that no plane extends across the end of a structure.
    """
    planes = int(np.ceil(thickness_mm / max_mm - 1e-6))
    return planes + planes % 2 if ends == "none" else planes


def subslices(mask: Mask, spacing: Spacing, per_slice: int, ends: Ends) -> Iterator[tuple[float, Mask]]:
    """Yield the shape of a structure on planes between and on its slices, from the first to the last.

    Args:
        mask: the structure on its slices (z, y, x), with an empty margin of a voxel along y and x.
        spacing: distance between voxel centres along (z, y, x) in mm.
        per_slice: number of planes per slice, see :func:`count_subslices`.
        ends: convention for the end slices.

    Yields:
        The position of the plane in slices (slice i extends from i − ½ to i + ½), and its shape (y, x).

    Example:
        >>> square = np.zeros((2, 4, 4), bool)
        >>> square[:, 1:3, 1:3] = True
        >>> [position for position, _ in subslices(square, (3.0, 1.0, 1.0), 2, "none")]
        [0.25, 0.75]
        >>> [position for position, _ in subslices(square, (3.0, 1.0, 1.0), 2, "half")]
        [-0.25, 0.25, 0.75, 1.25]
    """
    linked = _linked_parts(mask)
    empty = _Parts(*(np.zeros(mask.shape[1:], bool),) * 3)
    limit = np.float32(_MOST_CUBIC * spacing[0])

    @lru_cache(maxsize=8)
    def distance_to(index: int, is_above: bool) -> Float32Array:
        parts = linked[index]
        if not is_above and np.array_equal(parts.above, parts.below):
            return distance_to(index, True)
        return _signed_distance(parts.above if is_above else parts.below, spacing)

    def parts_at(index: int) -> _Parts:
        return linked[index] if 0 <= index < len(linked) else empty

    shifts = (np.arange(per_slice) + (0.5 if per_slice % 2 == 0 else 0.0)) / per_slice
    for index in range(-1, len(mask)):
        lower, upper = parts_at(index), parts_at(index + 1)
        ending = [parts.ending(ends, is_above) for parts, is_above in ((lower, True), (upper, False))]
        is_linked = bool(lower.above.any())
        if is_linked:
            low, high = distance_to(index, True), distance_to(index + 1, False)
            bend_low = _bend(distance_to(index - 1, True), low, high) if lower.continues_below else 0.0
            bend_high = _bend(distance_to(index + 2, False), high, low) if upper.continues_above else 0.0
        for share in shifts.tolist():
            shape = ending[share >= 0.5]
            if is_linked:
                low_share, high_share = np.float32(1 - share), np.float32(share)
                weight = low_share * high_share / 2
                bend = np.clip(weight * (low_share * bend_low + high_share * bend_high), -limit, limit)
                shape = shape | (low_share * low + high_share * high > bend)
            if shape.any():
                yield index + share, shape


@dataclass(frozen=True, eq=False)
class _Parts:
    """Parts of a structure on one slice.

    Attributes:
        shape: the whole shape (y, x).
        above: parts that share a voxel with the next slice.
        below: parts that share a voxel with the previous slice.
    """

    shape: Mask
    above: Mask
    below: Mask

    @property
    def continues_below(self) -> bool:
        """Return whether all parts that continue above also continue below."""
        return not (self.above & ~self.below).any()

    @property
    def continues_above(self) -> bool:
        """Return whether all parts that continue below also continue above."""
        return not (self.below & ~self.above).any()

    def ending(self, ends: Ends, is_above: bool) -> Mask:
        """Return the parts that extend by half a slice above or below, without another slice there."""
        ended = self.shape & ~(self.above if is_above else self.below)
        return ended if ends == "half" else ended & ~self.above & ~self.below


def _linked_parts(mask: Mask) -> list[_Parts]:
    """Return the parts of each slice and their links."""
    parts = []
    for index, shape in enumerate(mask):
        above = shape & mask[index + 1] if index + 1 < len(mask) else np.zeros_like(shape)
        below = shape & mask[index - 1] if index else np.zeros_like(shape)
        labels, count = ndimage.label(shape, _NEIGHBOURS)
        whole = [shape if count < 2 and shared.any() else _touched(labels, shared) for shared in (above, below)]
        parts.append(_Parts(shape, *whole))
    return parts


def _touched(labels: np.ndarray, shared: Mask) -> Mask:
    """Return the components that contain a shared voxel."""
    touched = np.zeros(int(labels.max()) + 1, bool)
    touched[labels[shared]] = True
    result: Mask = touched[labels]
    return result


def _bend(outer: Float32Array, near: Float32Array, far: Float32Array) -> Float32Array:
    """Return the second difference of the distances on three slices."""
    return outer - 2 * near + far


def _signed_distance(shape: Mask, spacing: Spacing) -> Float32Array:
    """Return the distance in mm to the outline of a shape (y, x), positive inside, negative outside.

    The outline is half a voxel away from the nearest centre on the other side.
    """
    half = np.float32(min(spacing[1:]) / 2)
    inside, outside = (
        edt.edt(np.ascontiguousarray(region), anisotropy=spacing[1:], parallel=1) for region in (shape, ~shape)
    )
    result: Float32Array = np.where(shape, inside - half, half - outside)
    return result
