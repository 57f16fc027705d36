"""Labels of structures that exclude each other, on the scan's own grid."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.inference.engine.argmax import argmax_labels
from gynbtnet.inference.engine.slab_resampling import Tile, resample_slabs
from gynbtnet.inference.engine.sliding_window import Slab


def logits_to_labels(
    target: Geometry, slabs: Iterable[Slab], source: Geometry, *, nearest: int | None = None
) -> npt.NDArray[np.uint8]:
    """Return the label of the highest logit, interpolated linearly, at every voxel of the scan's grid.

    If one output is highest in an entire tile, its label is the result, because no other output can be higher between
    the voxels. In the other tiles only outputs that can be highest are interpolated.

    Args:
        target: the scan's grid.
        slabs: logits on ``source``, from :func:`~gynbtnet.inference.engine.sliding_window.sliding_window_logits`.
        source: the network's grid, or the part of it that was predicted.
        nearest: axis of ``source`` along which the nearest voxel is taken instead of interpolating; None: no axis.

    Returns:
        Labels on ``target``, (z, y, x); 0 outside ``source``.

    Raises:
        ValueError: If the axes of the two grids are oblique to each other.
    """
    labels: npt.NDArray[np.uint8] = resample_slabs(target, slabs, source, _HighestOutput(), nearest=nearest)
    return labels


class _HighestOutput:
    """The label of a voxel is the number of its highest output; output 0 is the background."""

    dtype: npt.DTypeLike = np.uint8

    def value_of(
        self, result: npt.NDArray[np.unsignedinteger[Any]] | int
    ) -> npt.NDArray[np.unsignedinteger[Any]] | int:
        return result

    def at_source(self, logits: Tensor) -> npt.NDArray[np.unsignedinteger[Any]]:
        labels: npt.NDArray[np.uint8] = argmax_labels(logits).numpy()
        return labels

    def in_tile(
        self, logits: Tensor, values: npt.NDArray[np.unsignedinteger[Any]], tile: Tile
    ) -> npt.NDArray[np.unsignedinteger[Any]] | int:
        """Return the labels of a tile.

        Linear interpolation is an average. If an output is below another one at all source voxels of a tile, it is
        below that one everywhere in the tile. The same is true for the mean of several others, of which at least one is
        as high.
        """
        winners = np.unique(values)
        if len(winners) == 1:
            return int(winners[0])
        near = logits.float()
        level = near[torch.from_numpy(winners.astype(np.int64))].mean(0)
        possible = torch.nonzero((near >= level).flatten(1).any(1)).flatten()
        fine = tile.interpolate(near[possible])
        labels: npt.NDArray[np.uint8] = possible.to(torch.uint8).numpy()[argmax_labels(fine).numpy()]
        return labels

    def on_device(self, logits: Tensor, tile: Tile) -> Tensor:
        """Return the labels of a tile."""
        return argmax_labels(tile.interpolate(logits.float()))
