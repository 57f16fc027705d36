"""Masks of structures that may overlap, on the scan's own grid."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.nesting import NO_NESTING, Nesting
from gynbtnet.imaging.structure_masks import MOST_STRUCTURES, CombinationCodes, StructureMasks, bits_type
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
    if len(names) > MOST_STRUCTURES:
        raise ValueError(f"{len(names)} structures do not fit into {MOST_STRUCTURES} bits")
    rule = _LikelyStructures(names, nesting)
    codes = resample_slabs(target, slabs, source, rule, nearest=nearest)
    return StructureMasks(Volume(codes, target), rule.codes.combinations, names)


@dataclass(frozen=True)
class _LikelyStructures:
    """The value of a voxel is the number of its combination of structures.

    The results of tiles have a bit for each structure that likely covers a voxel.

    Attributes:
        structures: names of the structures.
        nesting: inner and outer structures.
        codes: combinations that were found so far.
    """

    structures: tuple[str, ...]
    nesting: Nesting
    codes: CombinationCodes = field(default_factory=CombinationCodes)

    @property
    def dtype(self) -> npt.DTypeLike:
        return self.codes.dtype

    def value_of(self, result: npt.NDArray[np.unsignedinteger[Any]] | int) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Return the number of each combination."""
        return self.codes.numbers_of(result)

    def at_source(self, logits: Tensor) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Return the structures with a positive logit, without regard to the nesting."""
        bits = np.empty(logits.shape[1:], bits_type(len(self.structures)))
        for index in range(len(bits)):  # one slice at a time: several copies of all would take as much as the labels
            here = logits[:, index]
            bits[index] = self._packed(own > here[0] for own in here[1:])
        return bits

    def in_tile(
        self, logits: Tensor, values: npt.NDArray[np.unsignedinteger[Any]], tile: Tile
    ) -> npt.NDArray[np.unsignedinteger[Any]] | int:
        constant = int(values.flat[0])
        if (values == constant).all() and self._keeps_nesting(constant):
            return constant
        near = logits.float()
        fine = tile.interpolate(near[1:] - near[0])
        return self._packed(self.nesting.most_likely(fine, self.structures))

    def on_device(self, logits: Tensor, tile: Tile) -> Tensor:
        """Return the bits of a tile."""
        near = logits.float()
        chosen = self.nesting.most_likely(tile.interpolate(near[1:] - near[0]), self.structures)
        bits = torch.zeros(chosen.shape[1:], dtype=torch.int64, device=chosen.device)
        for index, mask in enumerate(chosen):
            bits |= mask.long() << index
        return bits

    def _keeps_nesting(self, bits: int) -> bool:
        chosen = {name for index, name in enumerate(self.structures) if bits >> index & 1}
        return all(outer in chosen for inner, outer in self.nesting.pairs if inner in chosen)

    def _packed(self, masks: Iterable[Tensor]) -> npt.NDArray[np.unsignedinteger[Any]]:
        dtype = bits_type(len(self.structures))
        bits: npt.NDArray[np.unsignedinteger[Any]] | None = None
        for index, mask in enumerate(masks):
            own = mask.numpy().astype(dtype) << dtype(index)
            bits = own if bits is None else bits | own
        assert bits is not None
        return bits
