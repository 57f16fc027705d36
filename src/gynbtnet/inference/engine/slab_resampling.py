"""Values on the scan's own grid from logits on the network's grid, slab by slab and tile by tile.

The network's grid follows the scan's own axes, even if these are oblique
(:func:`~gynbtnet.imaging.orientation.reorientation_to_lps`), so slabs stream along one axis of the scan.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.orientation import reorientation_between
from gynbtnet.inference.engine.sliding_window import Slab

_TILE = (4, 32, 32)  # voxels (z, y, x) of the scan per step: large enough to outweigh the cost of the loop
_SAME = 1e-4  # voxels: two positions that differ by less are treated as equal

Values = npt.NDArray[np.unsignedinteger[Any]]


class VoxelRule(Protocol):
    """Rule that turns the logits of a voxel into its value: a label, or bits of structures."""

    @property
    def dtype(self) -> npt.DTypeLike:
        """Type of the values."""

    def at_source(self, logits: Tensor) -> Values:
        """Return the value of each voxel of a slab (z, y, x) from its logits (outputs, z, y, x)."""

    def in_tile(self, logits: Tensor, values: Values, tile: "Tile") -> Values | int:
        """Return the values between the voxels of a tile; one number if all are equal.

        Args:
            logits: logits of the voxels around the tile, (outputs, z, y, x).
            values: values of these voxels, (z, y, x).
            tile: interpolation between these voxels.
        """


def resample_slabs(
    target: Geometry, slabs: Iterable[Slab], source: Geometry, rule: VoxelRule, *, nearest: int | None = None
) -> Values:
    """Return the value of every voxel of the scan's grid, from linearly interpolated logits.

    Memory stays small: only the current slab of logits and one tile of the scan's grid are in memory.

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
        logits = slab.logits.cpu()
        source_values = rule.at_source(logits)
        for low, row, column in product(
            range(done, ready, _TILE[0]), range(y.first, y.last, _TILE[1]), range(x.first, x.last, _TILE[2])
        ):
            tile = Tile(
                z.part(low, min(low + _TILE[0], ready), slab.first),
                y.part(row, row + _TILE[1]),
                x.part(column, column + _TILE[2]),
            )
            near = (slice(None), *tile.source)
            values[tile.voxels] = rule.in_tile(logits[near], source_values[tile.source], tile)
        done = max(done, ready)
    return np.ascontiguousarray(reorientation_between(source, target).array(values))


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
        return TileAxis(slice(first, last), source, *neighbours, torch.from_numpy(self.share[chosen]))


@dataclass(frozen=True)
class TileAxis:
    """One axis of a tile: its voxels, the logits that it needs, and the interpolation between them."""

    voxels: slice
    source: slice
    lower: Tensor
    upper: Tensor
    share: Tensor


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

    def interpolate(self, logits: Tensor) -> Tensor:
        """Return logits (outputs, z, y, x) between the voxels of the slab at the voxels of the tile."""
        for axis, sampling in enumerate((self.z, self.y, self.x), start=1):
            if not sampling.share.any():
                logits = logits.index_select(axis, sampling.lower)
                continue
            share = sampling.share.view(-1, *[1] * (3 - axis))
            logits = torch.lerp(
                logits.index_select(axis, sampling.lower), logits.index_select(axis, sampling.upper), share
            )
        return logits
