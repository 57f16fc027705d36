"""Voxels that XOR removes from contours that cross.

Contours of one slice are separate or nested: islands, holes, islands in holes. Then XOR is right. If they cross, or
enclose nearly the same region, XOR removes the region that both enclose, which nobody intended.
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
"""Share of a hole's voxels that may be outside the contour around it; holes are drawn by hand."""

_WALL = 0.5
"""Thinnest wall between two contours in voxels; with less, they enclose the same region."""


@dataclass(frozen=True)
class XorLoss:
    """Voxels that XOR removes from the contours of one slice.

    Attributes:
        z: index of the slice.
        lost: number of voxels that crossing contours remove from each other.
        enclosed: number of voxels that the contours enclose, without their holes.
    """

    z: int
    lost: int
    enclosed: int


@dataclass(frozen=True, eq=False)
class _Region:
    """Voxels (y, x) inside one contour, in their bounding box.

    Attributes:
        low: index (y, x) at which the box begins.
        inside: mask of the box (y, x).
    """

    low: npt.NDArray[np.int64]
    inside: Mask

    @property
    def high(self) -> npt.NDArray[np.int64]:
        """Index (y, x) at which the box ends, exclusive."""
        return self.low + self.inside.shape

    @cached_property
    def area(self) -> int:
        """Number of voxels inside."""
        return int(np.count_nonzero(self.inside))

    @cached_property
    def border(self) -> int:
        """Number of voxels inside that have a neighbour outside."""
        padded = np.pad(self.inside, 1)
        within = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        return int(np.count_nonzero(self.inside & ~within))

    def on(self, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Mask:
        """Return the mask of another box, from ``low`` to ``high``."""
        mask = np.zeros(high - low, bool)
        start, end = np.maximum(low, self.low), np.minimum(high, self.high)
        if (start < end).all():
            mask[_box(start - low, end - low)] = self.inside[_box(start - self.low, end - self.low)]
        return mask


def nesting_losses(contours: Sequence[Contour], geometry: Geometry) -> list[XorLoss]:
    """Compare XOR with the nesting of the contours, on slices with crossing contours.

    Args:
        contours: contours of one structure, without copies.
        geometry: grid on which they are rasterised.

    Returns:
        Losses of the slices that lose voxels, in order.
    """
    by_slice: dict[int, list[Contour]] = {}
    for contour in contours:
        by_slice.setdefault(contour.z, []).append(contour)
    losses = [_xor_loss(z, by_slice[z], geometry) for z in sorted(by_slice) if len(by_slice[z]) > 1]
    return [loss for loss in losses if loss.lost]


def _xor_loss(z: int, contours: Sequence[Contour], geometry: Geometry) -> XorLoss:
    """Return the loss of one slice."""
    polygons = [geometry.to_index(contour.points)[:, 1:] for contour in contours]
    boxes = np.asarray([[points.min(axis=0), points.max(axis=0)] for points in polygons])
    if not any(_touching(boxes[i], boxes[:i]).any() for i in range(1, len(boxes))):
        return XorLoss(z, 0, 0)
    regions = [region for region in map(partial(_rasterised, geometry=geometry), contours) if region.area]
    if not regions:
        return XorLoss(z, 0, 0)
    regions.sort(key=lambda region: -region.area)
    lows, highs = np.asarray([region.low for region in regions]), np.asarray([region.high for region in regions])
    low, high = lows.min(axis=0), highs.max(axis=0)
    nested, xor = np.zeros(high - low, bool), np.zeros(high - low, bool)
    for i, region in enumerate(regions):
        larger = np.flatnonzero(((lows[:i] < region.high) & (highs[:i] > region.low)).all(axis=1))
        depth = sum(_is_hole(region, regions[j]) for j in larger)
        box = _box(region.low - low, region.high - low)
        xor[box] ^= region.inside
        nested[box] = nested[box] & ~region.inside if depth % 2 else nested[box] | region.inside
    return XorLoss(z, int(np.count_nonzero(nested & ~xor)), int(np.count_nonzero(nested)))


def _touching(box: FloatArray, boxes: FloatArray) -> Mask:
    """Return True for each bounding box (n, 2, 2), low and high corner, that a box (2, 2) touches or overlaps."""
    return np.asarray(((boxes[:, 0] <= box[1]) & (boxes[:, 1] >= box[0])).all(axis=1))


def _rasterised(contour: Contour, geometry: Geometry) -> _Region:
    """Return the voxels of a contour."""
    index = geometry.to_index(contour.points)[:, 1:]
    size = np.asarray(geometry.shape[1:])
    low = np.floor(index.min(axis=0)).astype(np.int64).clip(0, size - 1)
    high = np.ceil(index.max(axis=0)).astype(np.int64).clip(0, size - 1) + 1
    origin = tuple(geometry.to_world((0.0, *low.tolist())))
    part = replace(geometry, shape=(1, *(high - low).tolist()), origin=origin)
    return _Region(low, contours_to_mask([Contour(contour.points, 0)], part)[0])


def _is_hole(small: _Region, large: _Region) -> bool:
    """Return True if a contour is inside another with a wall between them."""
    around = large.on(small.low, small.high)
    common = np.count_nonzero(small.inside & around)
    if common < (1 - _OUTSIDE) * small.area:
        return False
    return bool(large.area - common >= _WALL * large.border)


def _box(start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> tuple[slice, slice]:
    return slice(start[0], end[0]), slice(start[1], end[1])
