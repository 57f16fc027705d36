"""The labels of a scan on its own grid, from logits on the network's, slab by slab."""

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

_TILE = (4, 32, 32)  # voxels (z, y, x) of the scan that are looked at together: large enough to outweigh the loop
_SAME = 1e-4  # voxels: what lies beside a voxel's centre by less lies there


def logits_to_labels(target: Geometry, slabs: Iterable[Slab], source: Geometry) -> npt.NDArray[np.uint8]:
    """The highest logit, interpolated linearly, at the voxels of ``target``; 0 where ``slabs`` don't reach.

    Neither all logits on the network's grid ever exist, nor those of more than a few thousand voxels on the scan's: a
    tile of the scan in which one output is highest everywhere has its label, since no other can be higher between; and
    elsewhere only those outputs are interpolated that can be highest.

    The network's grid follows the scan's own axes, also where these lie obliquely in the room
    (:func:`~gynbtnet.imaging.orientation.reorientation_to_lps`), so slabs stream along one axis of the scan.

    Args:
        target: the scan's grid.
        slabs: logits on ``source``, from :func:`~gynbtnet.inference.engine.sliding_window.sliding_window_logits`.
        source: the network's grid, or the part of it that was looked at.

    Raises:
        ValueError: where the axes of the grids lie obliquely to each other.
    """
    turn = reorientation_between(target, source)
    grid = turn.geometry(target)
    labels = np.zeros(grid.shape, np.uint8)
    z, y, x = (_Places.along(axis, grid, source) for axis in range(3))
    done = z.first
    for slab in slabs:
        reached = slab.first + slab.logits.shape[1] - 1
        ready = z.first + int(np.searchsorted(z.upper, reached, side="right"))
        done = max(done, z.first + int(np.searchsorted(z.lower, slab.first)))
        logits = slab.logits.cpu()
        on_grid = argmax_labels(logits).numpy()
        for low, row, column in product(
            range(done, ready, _TILE[0]), range(y.first, y.last, _TILE[1]), range(x.first, x.last, _TILE[2])
        ):
            tile = (
                z.part(low, min(low + _TILE[0], ready), slab.first),
                y.part(row, row + _TILE[1]),
                x.part(column, column + _TILE[2]),
            )
            labels[tuple(part.voxels for part in tile)] = _of_tile(logits, on_grid, tile)
        done = max(done, ready)
    return np.ascontiguousarray(reorientation_between(source, target).array(labels))


@dataclass(frozen=True)
class _Places:
    """Where the voxels of one grid lie between those of another, along one axis.

    Attributes:
        first, last: which voxels of the finer grid lie within the other one, ``last`` excluded.
        lower, upper: of each of these the voxels of the other grid around it; the same one where it lies on that.
        share: of the upper.
    """

    first: int
    last: int
    lower: npt.NDArray[np.int64]
    upper: npt.NDArray[np.int64]
    share: npt.NDArray[np.float32]

    @classmethod
    def along(cls, axis: int, grid: Geometry, source: Geometry) -> "_Places":
        n = source.shape[axis]
        origin = source.to_index(grid.to_world((0, 0, 0)))[axis]
        place = origin + np.arange(grid.shape[axis]) * (grid.spacing[axis] / source.spacing[axis])
        within = np.flatnonzero((place > -0.5 - _SAME) & (place < n - 0.5 + _SAME))
        place = np.clip(place[within], 0, n - 1)
        place = np.where(np.abs(place - place.round()) < _SAME, place.round(), place)
        lower, upper = (rounded(place).astype(np.int64) for rounded in (np.floor, np.ceil))
        return cls(int(within[0]), int(within[-1]) + 1, lower, upper, (place - lower).astype(np.float32))

    def part(self, first: int, last: int, begin: int = 0) -> "_Part":
        """The voxels from ``first`` to before ``last``, in a slab of the other grid that begins at ``begin``."""
        last = min(last, self.last)
        chosen = slice(first - self.first, last - self.first)
        lower, upper = self.lower[chosen], self.upper[chosen]
        read = slice(int(lower[0]) - begin, int(upper[-1]) + 1 - begin)
        near = torch.from_numpy(lower - lower[0]), torch.from_numpy(upper - lower[0])
        return _Part(slice(first, last), read, *near, torch.from_numpy(self.share[chosen]))


@dataclass(frozen=True)
class _Part:
    """Voxels of a tile along one axis, what of the logits they read, and how."""

    voxels: slice
    read: slice
    lower: Tensor
    upper: Tensor
    share: Tensor


def _of_tile(
    logits: Tensor, on_grid: npt.NDArray[np.uint8], tile: tuple[_Part, _Part, _Part]
) -> npt.NDArray[np.uint8] | int:
    """The labels of a tile.

    Interpolation averages. Where an output lies below another one at all voxels that a tile reads it lies below it
    everywhere between, and the same holds for the mean of several others, of which one at least is as high.
    """
    read = tuple(part.read for part in tile)
    winners = np.unique(on_grid[read])
    if len(winners) == 1:
        return int(winners[0])
    near = logits[(slice(None), *read)].float()
    level = near[torch.from_numpy(winners.astype(np.int64))].mean(0)
    possible = torch.nonzero((near >= level).flatten(1).any(1)).flatten()
    fine = near[possible]
    for axis, part in enumerate(tile, start=1):
        if not part.share.any():
            fine = fine.index_select(axis, part.lower)
            continue
        share = part.share.view(-1, *[1] * (3 - axis))
        fine = torch.lerp(fine.index_select(axis, part.lower), fine.index_select(axis, part.upper), share)
    labels: npt.NDArray[np.uint8] = possible.to(torch.uint8).numpy()[argmax_labels(fine).numpy()]
    return labels
