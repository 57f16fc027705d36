"""Changes of a mask within one plane, as packed bits.

A patch names the voxels that change their value. Applying it twice restores the mask, so undo and redo are exact, and
the order of patches on different structures does not matter.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gynbtnet.imaging.mask_measures import bounding_box
from gynbtnet.runtime.array_types import IntArray, Mask, Triple


@dataclass(frozen=True)
class Patch:
    """Voxels of one plane that change their value.

    Attributes:
        axis: axis (z, y, x) that the plane is perpendicular to: 0, 1 or 2.
        index: index of the plane along this axis.
        row, column: first row and column of the box within the plane; rows run along the first remaining axis.
        height, width: size of the box.
        bits: one bit per voxel of the box, row by row, the first in the highest bit, in base64.
    """

    axis: int
    index: int
    row: int
    column: int
    height: int
    width: int
    bits: str

    @classmethod
    def of(cls, changed: Mask, axis: int, index: int) -> "Patch | None":
        """Return the patch of the changed voxels (rows, columns) of a plane; None if nothing changed."""
        box = bounding_box(changed)
        if box is None:
            return None
        rows, columns = box
        inside = changed[box]
        bits = base64.b64encode(np.packbits(inside.ravel()).tobytes()).decode()
        height, width = inside.shape
        return cls(axis, index, rows.start, columns.start, height, width, bits)

    def problem(self, shape: Triple) -> str | None:
        """Return why the patch does not fit a grid of ``shape`` (z, y, x); None if it does."""
        if self.axis not in (0, 1, 2) or not 0 <= self.index < shape[self.axis]:
            return "its plane is outside the scan"
        rows, columns = (size for axis, size in enumerate(shape) if axis != self.axis)
        if min(self.row, self.column) < 0 or min(self.height, self.width) < 1:
            return "its box is empty or has negative ends"
        if self.row + self.height > rows or self.column + self.width > columns:
            return "its box is outside the plane"
        try:
            size = len(base64.b64decode(self.bits, validate=True))
        except (binascii.Error, ValueError):
            return "its bits are not base64"
        return None if size == -(-self.height * self.width // 8) else "it has not one bit per voxel of its box"

    def changed(self) -> Mask:
        """Return the changed voxels of the box (height, width)."""
        packed = np.frombuffer(base64.b64decode(self.bits), np.uint8)
        return np.unpackbits(packed, count=self.height * self.width).astype(bool).reshape(self.height, self.width)

    def positions(self, axis: int) -> slice:
        """Return the range of indices along an axis (z, y, x) that the box covers."""
        if axis == self.axis:
            return slice(self.index, self.index + 1)
        if axis == min({0, 1, 2} - {self.axis}):
            return slice(self.row, self.row + self.height)
        return slice(self.column, self.column + self.width)

    def sums(self, values: IntArray, axis: int) -> IntArray:
        """Return the sums of the box's values (height, width) at each of :meth:`positions` along an axis."""
        if axis == self.axis:
            return np.array([values.sum()])
        sums: IntArray = values.sum(axis=1 if axis == min({0, 1, 2} - {self.axis}) else 0)
        return sums

    def part(self, mask: Mask) -> Mask:
        """Return the box of the patch in a mask (z, y, x), as a view."""
        plane = mask[tuple(self.index if axis == self.axis else slice(None) for axis in range(3))]
        return plane[self.row : self.row + self.height, self.column : self.column + self.width]


def patches_between(before: Mask, after: Mask, axis: int) -> Iterator[Patch]:
    """Yield the patch of each plane along ``axis`` in which two masks differ.

    Args:
        before: mask (z, y, x) in display orientation.
        after: the mask after a change, of the same shape.
        axis: 0, 1 or 2; the planes are perpendicular to it.

    Yields:
        Patches with ascending index.
    """
    changed = before != after
    others = tuple({0, 1, 2} - {axis})
    for index in np.flatnonzero(changed.any(axis=others)).tolist():
        patch = Patch.of(np.take(changed, index, axis), axis, index)
        if patch:
            yield patch
