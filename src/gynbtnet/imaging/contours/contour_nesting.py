"""What XOR takes from contours that cross.

Contours of one slice lie apart or within one another: islands, holes, islands in holes. Then XOR is right. If they
cross, or enclose nearly the same, XOR takes away what both enclose, which nobody meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.contours.contours_to_mask import Contour, contours_to_mask
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.runtime.array_types import FloatArray, Mask

_OUTSIDE = 0.05
"""Share of a hole's voxels that may lie outside of the contour around it; holes are drawn by hand."""

_WALL = 0.5
"""Voxels between two contours below which they enclose the same: nothing thinner can be a wall on this grid."""


@dataclass(frozen=True)
class Loss:
    """What XOR takes from the contours of one slice.

    Attributes:
        z: index of the slice.
        lost: voxels that crossing contours take from each other.
        enclosed: voxels that the contours enclose, without their holes.
    """

    z: int
    lost: int
    enclosed: int


@dataclass(frozen=True, eq=False)
class _Drawn:
    """One contour's voxels (y, x) in their bounding box, which starts at ``low``."""

    low: npt.NDArray[np.int64]
    inside: Mask

    @property
    def high(self) -> npt.NDArray[np.int64]:
        return self.low + self.inside.shape

    @cached_property
    def area(self) -> int:
        """How many voxels are inside."""
        return int(np.count_nonzero(self.inside))

    @cached_property
    def border(self) -> int:
        """How many of them have a neighbour outside."""
        padded = np.pad(self.inside, 1)
        within = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        return int(np.count_nonzero(self.inside & ~within))

    def on(self, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Mask:
        """The voxels from ``low`` to ``high``."""
        found = np.zeros(high - low, bool)
        start, end = np.maximum(low, self.low), np.minimum(high, self.high)
        if (start < end).all():
            found[_box(start - low, end - low)] = self.inside[_box(start - self.low, end - self.low)]
        return found


def nesting_losses(contours: Sequence[Contour], geometry: Geometry) -> list[Loss]:
    """Compare XOR with the contours' nesting, on the slices where contours cross.

    Args:
        contours: without copies.
        geometry: the grid that they are rasterised on.

    Returns:
        The slices that lose voxels, in order.
    """
    by_slice: dict[int, list[Contour]] = {}
    for contour in contours:
        by_slice.setdefault(contour.z, []).append(contour)
    found = [_loss(z, by_slice[z], geometry) for z in sorted(by_slice) if len(by_slice[z]) > 1]
    return [loss for loss in found if loss.lost]


def _loss(z: int, contours: Sequence[Contour], geometry: Geometry) -> Loss:
    index = [geometry.to_index(contour.points)[:, 1:] for contour in contours]
    boxes = np.asarray([[one.min(axis=0), one.max(axis=0)] for one in index])
    if not any(_touching(boxes[i], boxes[:i]).any() for i in range(1, len(boxes))):
        return Loss(z, 0, 0)
    drawn = [one for one in map(partial(_drawn, geometry=geometry), contours) if one.area]
    if not drawn:
        return Loss(z, 0, 0)
    drawn.sort(key=lambda one: -one.area)
    lows, highs = np.asarray([one.low for one in drawn]), np.asarray([one.high for one in drawn])
    low, high = lows.min(axis=0), highs.max(axis=0)
    nested, xor = np.zeros(high - low, bool), np.zeros(high - low, bool)
    for i, one in enumerate(drawn):
        larger = np.flatnonzero(((lows[:i] < one.high) & (highs[:i] > one.low)).all(axis=1))
        depth = sum(_is_hole(one, drawn[j]) for j in larger)
        box = _box(one.low - low, one.high - low)
        xor[box] ^= one.inside
        nested[box] = nested[box] & ~one.inside if depth % 2 else nested[box] | one.inside
    return Loss(z, int(np.count_nonzero(nested & ~xor)), int(np.count_nonzero(nested)))


def _touching(box: FloatArray, boxes: FloatArray) -> Mask:
    """Which of some bounding boxes (n, 2, 2) a box, its low and its high corner, has something in common with."""
    return np.asarray(((boxes[:, 0] <= box[1]) & (boxes[:, 1] >= box[0])).all(axis=1))


def _drawn(contour: Contour, geometry: Geometry) -> _Drawn:
    index = geometry.to_index(contour.points)[:, 1:]
    size = np.asarray(geometry.shape[1:])
    low = np.floor(index.min(axis=0)).astype(np.int64).clip(0, size - 1)
    high = np.ceil(index.max(axis=0)).astype(np.int64).clip(0, size - 1) + 1
    origin = tuple(geometry.to_world((0.0, *low.tolist())))
    crop = replace(geometry, shape=(1, *(high - low).tolist()), origin=origin)
    return _Drawn(low, contours_to_mask([Contour(contour.points, 0)], crop)[0])


def _is_hole(small: _Drawn, large: _Drawn) -> bool:
    """Whether a contour lies within another with a wall between them."""
    around = large.on(small.low, small.high)
    common = np.count_nonzero(small.inside & around)
    if common < (1 - _OUTSIDE) * small.area:
        return False
    return bool(large.area - common >= _WALL * large.border)


def _box(start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> tuple[slice, slice]:
    return slice(start[0], end[0]), slice(start[1], end[1])
