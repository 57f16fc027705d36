"""Values on the scan's own grid from logits on the network's grid, slab by slab and tile by tile.

The network's grid follows the scan's own axes, even if these are oblique
(:func:`~gynbtnet.imaging.orientation.reorientation_to_lps`), so slabs stream along one axis of the scan.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.orientation import reorientation_between
from gynbtnet.inference.engine.sliding_window import Slab
from gynbtnet.runtime.array_types import Triple

_TILE = (4, 32, 32)  # voxels (z, y, x) of the scan per step: large enough to outweigh the cost of the loop
_VALUES_AT_ONCE = 2**28  # interpolated logits that a GPU computes at a time, 1 GB
_SAME = 1e-4  # voxels: two positions that differ by less are treated as equal

Values = npt.NDArray[np.unsignedinteger[Any]]


class VoxelRule(Protocol):
    """Rule that turns the logits of a voxel into its value: a label, or the number of a combination of structures."""

    @property
    def dtype(self) -> npt.DTypeLike:
        """Type of the values so far; it may grow."""

    def value_of(self, result: Values | int) -> Values | int:
        """Return the values of voxels from the result of a tile."""

    def at_source(self, logits: Tensor) -> Values:
        """Return the result of each voxel of a slab (z, y, x) from its logits (outputs, z, y, x)."""

    def in_tile(self, logits: Tensor, values: Values, tile: "Tile") -> Values | int:
        """Return the results between the voxels of a tile; one number if all are equal.

        Args:
            logits: logits of the voxels around the tile, (outputs, z, y, x).
            values: results of these voxels, (z, y, x).
            tile: interpolation between these voxels.
        """

    def on_device(self, logits: Tensor, tile: "Tile") -> Tensor:
        """Return the results of a tile, computed on the device of the logits without a look at any of them.

        Args:
            logits: logits of the voxels around the tile, (outputs, z, y, x).
            tile: interpolation between these voxels.
        """


def resample_slabs(
    target: Geometry, slabs: Iterable[Slab], source: Geometry, rule: VoxelRule, *, nearest: int | None = None
) -> Values:
    """Return the value of every voxel of the scan's grid, from linearly interpolated logits.

    Memory stays small: only the current slab of logits and one tile of the scan's grid are in memory. On a CPU tiles
    are small, and many of them have a single value. A GPU computes whole slices, and only their values are copied from
    it.

    Args:
        target: the scan's grid.
        slabs: logits on ``source``, from :func:`~gynbtnet.inference.engine.sliding_window.sliding_window_logits`.
        source: the network's grid, or the part of it that was predicted.
        rule: rule of the values.
        nearest: axis of ``source`` along which the nearest voxel is taken instead of interpolating; None: no axis.

    Returns:
        Values on ``target``, (z, y, x); 0 outside ``source``.

    Raises:
        ValueError: If the axes of the two grids are oblique to each other.
    """
    reorientation = reorientation_between(target, source)
    grid = reorientation.geometry(target)
    values = np.zeros(grid.shape, rule.dtype)
    z, y, x = (AxisSampling.along(axis, grid, source, nearest=axis == nearest) for axis in range(3))
    done = z.first
    for slab in slabs:
        reached = slab.first + slab.logits.shape[1] - 1
        ready = z.first + int(np.searchsorted(z.upper, reached, side="right"))
        done = max(done, z.first + int(np.searchsorted(z.lower, slab.first)))
        by_slices = computes_whole_slices(slab.logits.device)
        size = _slices_at_once(len(slab.logits), grid.shape) if by_slices else _TILE
        source_results = None if by_slices else rule.at_source(slab.logits)
        for low, row, column in product(
            range(done, ready, size[0]), range(y.first, y.last, size[1]), range(x.first, x.last, size[2])
        ):
            tile = Tile(
                z.part(low, min(low + size[0], ready), slab.first),
                y.part(row, row + size[1]),
                x.part(column, column + size[2]),
            )
            near = slab.logits[(slice(None), *tile.source)]
            result: Values | int
            if source_results is None:
                result = rule.on_device(near, tile.on(near.device)).cpu().numpy()
            else:
                result = rule.in_tile(near, source_results[tile.source], tile)
            own = rule.value_of(result)
            values = values.astype(rule.dtype, copy=False)
            values[tile.voxels] = own
        done = max(done, ready)
    return np.ascontiguousarray(reorientation_between(source, target).array(values))


def computes_whole_slices(device: torch.device) -> bool:
    """Return whether a device interpolates all voxels of whole slices: a GPU does, a CPU skips what it can."""
    return device.type != "cpu"


def _slices_at_once(outputs: int, shape: Triple) -> Triple:
    """Return the size of a tile for a GPU: whole slices, as many as fit into the memory for interpolated logits."""
    _, height, width = shape
    return max(1, _VALUES_AT_ONCE // (outputs * height * width)), height, width


@dataclass(frozen=True)
class AxisSampling:
    """Positions of the voxels of one grid between the voxels of another grid, along one axis.

    Attributes:
        first, last: voxels of the finer grid inside the other grid, from ``first`` to before ``last``.
        lower, upper: neighbouring voxels of the other grid, for each of these; equal if the positions coincide.
        share: weight of the upper neighbour, for each of these.
    """

    first: int
    last: int
    lower: npt.NDArray[np.int64]
    upper: npt.NDArray[np.int64]
    share: npt.NDArray[np.float32]

    @classmethod
    def along(cls, axis: int, grid: Geometry, source: Geometry, *, nearest: bool = False) -> "AxisSampling":
        """Return the positions of the voxels of ``grid`` between those of ``source``, or at the nearest, on an axis."""
        n = source.shape[axis]
        origin = source.to_index(grid.to_world((0, 0, 0)))[axis]
        index = origin + np.arange(grid.shape[axis]) * (grid.spacing[axis] / source.spacing[axis])
        inside = np.flatnonzero((index > -0.5 - _SAME) & (index < n - 0.5 + _SAME))
        index = np.clip(index[inside], 0, n - 1)
        index = np.where(np.abs(index - index.round()) < _SAME, index.round(), index)
        if nearest:
            index = np.clip(np.floor(index + 0.5 + _SAME), 0, n - 1)
        lower, upper = (rounded(index).astype(np.int64) for rounded in (np.floor, np.ceil))
        return cls(int(inside[0]), int(inside[-1]) + 1, lower, upper, (index - lower).astype(np.float32))

    def part(self, first: int, last: int, begin: int = 0) -> "TileAxis":
        """Return the voxels from ``first`` to before ``last``, for a slab of the other grid from ``begin``."""
        last = min(last, self.last)
        chosen = slice(first - self.first, last - self.first)
        lower, upper = self.lower[chosen], self.upper[chosen]
        source = slice(int(lower[0]) - begin, int(upper[-1]) + 1 - begin)
        neighbours = torch.from_numpy(lower - lower[0]), torch.from_numpy(upper - lower[0])
        share = self.share[chosen]
        return TileAxis(slice(first, last), source, *neighbours, torch.from_numpy(share), bool(share.any()))


@dataclass(frozen=True)
class TileAxis:
    """One axis of a tile: its voxels, the logits that it needs, and the interpolation between them.

    Attributes:
        voxels: voxels of the scan's grid.
        source: voxels of the slab that they need.
        lower, upper: neighbours of each voxel, counted from the first of ``source``.
        share: weight of the upper neighbour.
        between: False if all voxels coincide with voxels of the slab.
    """

    voxels: slice
    source: slice
    lower: Tensor
    upper: Tensor
    share: Tensor
    between: bool

    def on(self, device: torch.device) -> "TileAxis":
        """Return the axis with its interpolation on a device."""
        return replace(self, lower=self.lower.to(device), upper=self.upper.to(device), share=self.share.to(device))


@dataclass(frozen=True)
class Tile:
    """A box of the scan's grid, with the interpolation along its axes."""

    z: TileAxis
    y: TileAxis
    x: TileAxis

    @property
    def voxels(self) -> tuple[slice, ...]:
        """Its voxels in the scan's grid."""
        return tuple(axis.voxels for axis in (self.z, self.y, self.x))

    @property
    def source(self) -> tuple[slice, ...]:
        """Voxels of the slab around it."""
        return tuple(axis.source for axis in (self.z, self.y, self.x))

    def on(self, device: torch.device) -> "Tile":
        """Return the tile with its interpolation on a device."""
        return Tile(self.z.on(device), self.y.on(device), self.x.on(device))

    def interpolate(self, logits: Tensor) -> Tensor:
        """Return logits (outputs, z, y, x) between the voxels of the slab at the voxels of the tile."""
        for axis, sampling in enumerate((self.z, self.y, self.x), start=1):
            if not sampling.between:
                logits = logits.index_select(axis, sampling.lower)
                continue
            share = sampling.share.view(-1, *[1] * (3 - axis))
            logits = torch.lerp(
                logits.index_select(axis, sampling.lower), logits.index_select(axis, sampling.upper), share
            )
        return logits
