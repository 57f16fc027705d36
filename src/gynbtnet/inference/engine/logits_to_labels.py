"""Labels on the scan's own grid from logits on the network's grid, slab by slab."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.orientation import reorientation_between
from gynbtnet.inference.engine.argmax import argmax_labels
from gynbtnet.inference.engine.sliding_window import Slab

_TILE = (4, 32, 32)  # voxels (z, y, x) of the scan per step: large enough to outweigh the cost of the loop
_SAME = 1e-4  # voxels: two positions that differ by less are treated as equal


def logits_to_labels(target: Geometry, slabs: Iterable[Slab], source: Geometry) -> npt.NDArray[np.uint8]:
    """Return the label of the highest logit, interpolated linearly, at every voxel of the scan's grid.

    Memory stays small: only the current slab of logits and one tile of the scan's grid are in memory. If one output is
    highest in an entire tile, its label is the result, because no other output can be higher between the voxels. In
    the other tiles only outputs that can be highest are interpolated.

    The network's grid follows the scan's own axes, even if these are oblique
    (:func:`~gynbtnet.imaging.orientation.reorientation_to_lps`), so slabs stream along one axis of the scan.

    Args:
        target: the scan's grid.
        slabs: logits on ``source``, from :func:`~gynbtnet.inference.engine.sliding_window.sliding_window_logits`.
        source: the network's grid, or the part of it that was predicted.

    Returns:
        Labels on ``target``, (z, y, x); 0 outside ``source``.

    Raises:
        ValueError: If the axes of the two grids are oblique to each other.
    """
    reorientation = reorientation_between(target, source)
    grid = reorientation.geometry(target)
    labels = np.zeros(grid.shape, np.uint8)
    z, y, x = (_AxisSampling.along(axis, grid, source) for axis in range(3))
    done = z.first
    for slab in slabs:
        reached = slab.first + slab.logits.shape[1] - 1
        ready = z.first + int(np.searchsorted(z.upper, reached, side="right"))
        done = max(done, z.first + int(np.searchsorted(z.lower, slab.first)))
        logits = slab.logits.cpu()
        source_labels = argmax_labels(logits).numpy()
        for low, row, column in product(
            range(done, ready, _TILE[0]), range(y.first, y.last, _TILE[1]), range(x.first, x.last, _TILE[2])
        ):
            tile = (
                z.part(low, min(low + _TILE[0], ready), slab.first),
                y.part(row, row + _TILE[1]),
                x.part(column, column + _TILE[2]),
            )
            labels[tuple(part.voxels for part in tile)] = _tile_labels(logits, source_labels, tile)
        done = max(done, ready)
    return np.ascontiguousarray(reorientation_between(source, target).array(labels))


@dataclass(frozen=True)
class _AxisSampling:
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
    def along(cls, axis: int, grid: Geometry, source: Geometry) -> "_AxisSampling":
        n = source.shape[axis]
        origin = source.to_index(grid.to_world((0, 0, 0)))[axis]
        index = origin + np.arange(grid.shape[axis]) * (grid.spacing[axis] / source.spacing[axis])
        inside = np.flatnonzero((index > -0.5 - _SAME) & (index < n - 0.5 + _SAME))
        index = np.clip(index[inside], 0, n - 1)
        index = np.where(np.abs(index - index.round()) < _SAME, index.round(), index)
        lower, upper = (rounded(index).astype(np.int64) for rounded in (np.floor, np.ceil))
        return cls(int(inside[0]), int(inside[-1]) + 1, lower, upper, (index - lower).astype(np.float32))

    def part(self, first: int, last: int, begin: int = 0) -> "_TileAxis":
        """Return the voxels from ``first`` to before ``last``, for a slab of the other grid from ``begin``."""
        last = min(last, self.last)
        chosen = slice(first - self.first, last - self.first)
        lower, upper = self.lower[chosen], self.upper[chosen]
        source = slice(int(lower[0]) - begin, int(upper[-1]) + 1 - begin)
        neighbours = torch.from_numpy(lower - lower[0]), torch.from_numpy(upper - lower[0])
        return _TileAxis(slice(first, last), source, *neighbours, torch.from_numpy(self.share[chosen]))


@dataclass(frozen=True)
class _TileAxis:
    """One axis of a tile: its voxels, the logits that it needs, and the interpolation between them."""

    voxels: slice
    source: slice
    lower: Tensor
    upper: Tensor
    share: Tensor


def _tile_labels(
    logits: Tensor, source_labels: npt.NDArray[np.uint8], tile: tuple[_TileAxis, _TileAxis, _TileAxis]
) -> npt.NDArray[np.uint8] | int:
    """Return the labels of a tile.

    Linear interpolation is an average. If an output is below another one at all source voxels of a tile, it is below
    that one everywhere in the tile. The same is true for the mean of several others, of which at least one is as high.
    """
    source = tuple(axis.source for axis in tile)
    winners = np.unique(source_labels[source])
    if len(winners) == 1:
        return int(winners[0])
    near = logits[(slice(None), *source)].float()
    level = near[torch.from_numpy(winners.astype(np.int64))].mean(0)
    possible = torch.nonzero((near >= level).flatten(1).any(1)).flatten()
    fine = near[possible]
    for axis, sampling in enumerate(tile, start=1):
        if not sampling.share.any():
            fine = fine.index_select(axis, sampling.lower)
            continue
        share = sampling.share.view(-1, *[1] * (3 - axis))
        fine = torch.lerp(fine.index_select(axis, sampling.lower), fine.index_select(axis, sampling.upper), share)
    labels: npt.NDArray[np.uint8] = possible.to(torch.uint8).numpy()[argmax_labels(fine).numpy()]
    return labels
