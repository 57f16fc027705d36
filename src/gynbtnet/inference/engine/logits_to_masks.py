"""Masks of structures that may overlap, on the scan's own grid."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.nesting import NO_NESTING, Nesting
from gynbtnet.imaging.structure_masks import StructureMasks, bits_type
from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.engine.slab_resampling import Tile, resample_slabs
from gynbtnet.inference.engine.sliding_window import Slab


def logits_to_masks(
    target: Geometry,
    slabs: Iterable[Slab],
    source: Geometry,
    structures: Sequence[str],
    nesting: Nesting = NO_NESTING,
    *,
    nearest: int | None = None,
) -> StructureMasks:
    """Return the structures that cover each voxel of the scan's grid: those with a probability above 0.5.

    Logits are interpolated linearly. In tiles in which no structure begins or ends, nothing is interpolated, because a
    linear interpolation can't change the sign of all logits.

    Args:
        target: the scan's grid.
        slabs: logits on ``source``; output 0 is the background, and output i + 1 minus output 0 is the logit of
            structures[i].
        source: the network's grid, or the part of it that was predicted.
        structures: names of the structures.
        nesting: inner and outer structures. The most likely choice that keeps to it is taken, see
            :meth:`~gynbtnet.imaging.nesting.Nesting.most_likely`.
        nearest: axis of ``source`` along which the nearest voxel is taken instead of interpolating; None: no axis.

    Returns:
        Masks on ``target``; empty outside ``source``.

    Raises:
        ValueError: If the axes of the two grids are oblique to each other, or there are too many structures.
    """
    names = tuple(structures)
    bits = resample_slabs(target, slabs, source, _LikelyStructures(names, nesting), nearest=nearest)
    return StructureMasks(Volume(bits, target), names)


@dataclass(frozen=True)
class _LikelyStructures:
    """The value of a voxel has a bit for each structure that likely covers it."""

    structures: tuple[str, ...]
    nesting: Nesting

    @property
    def dtype(self) -> npt.DTypeLike:
        return bits_type(len(self.structures))

    def at_source(self, logits: Tensor) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Return the structures with a positive logit, without regard to the nesting."""
        return self._packed(own > logits[0] for own in logits[1:])

    def in_tile(
        self, logits: Tensor, values: npt.NDArray[np.unsignedinteger[Any]], tile: Tile
    ) -> npt.NDArray[np.unsignedinteger[Any]] | int:
        constant = int(values.flat[0])
        if (values == constant).all() and self._keeps_nesting(constant):
            return constant
        near = logits.float()
        fine = tile.interpolate(near[1:] - near[0])
        return self._packed(self.nesting.most_likely(fine, self.structures))

    def _keeps_nesting(self, bits: int) -> bool:
        chosen = {name for index, name in enumerate(self.structures) if bits >> index & 1}
        return all(outer in chosen for inner, outer in self.nesting.pairs if inner in chosen)

    def _packed(self, masks: Iterable[Tensor]) -> npt.NDArray[np.unsignedinteger[Any]]:
        bits: npt.NDArray[np.unsignedinteger[Any]] | None = None
        for index, mask in enumerate(masks):
            own = mask.numpy().astype(self.dtype) << np.dtype(self.dtype).type(index)
            bits = own if bits is None else bits | own
        assert bits is not None
        return bits
