"""Active mask cells of a batch, and the index tables of neighbouring voxels."""

from collections.abc import Sequence
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput


class ActiveBlocks:
    """Active mask cells of one batch, an argument of every sparse layer.

    A mask cell covers a *block* of voxels, which is smaller at each coarser level. Only the N active blocks are stored,
    ordered by sample and then by (z, y, x). Each is stored as the rows of its V voxels in (z, y, x) order. Row N·V
    represents a missing neighbour: masked, or outside the volume. Index tables are built once per block shape and
    shared by all layers that need them.

    Args:
        mask: Boolean (B, gz, gy, gx), true for active cells.

    Attributes:
        mask: The mask.
        cells: (N,), ascending indices of the active cells among the B·gz·gy·gx cells of the batch.
        counts: Number of active cells of each sample; they may differ.

    Raises:
        BadInput: If a sample has no active cell.
        ValueError: If the mask has another type or number of axes.
    """

    def __init__(self, mask: Tensor) -> None:
        if mask.ndim != 4 or mask.dtype != torch.bool:
            raise ValueError(f"a mask is bool (B, z, y, x), not {mask.dtype} of shape {tuple(mask.shape)}")
        self.mask = mask
        self.cells = mask.flatten().nonzero().squeeze(1)
        self.counts: list[int] = mask.flatten(1).sum(1).tolist()
        if 0 in self.counts:
            raise BadInput(
                f"Sample {self.counts.index(0)} of the batch has none of its {mask[0].numel()} mask cells active; "
                "expected at least one, so lower the mask ratio or choose a larger patch."
            )
        self._tiles: dict[tuple[tuple[int, ...], ...], Tensor] = {}
        self._pairs: dict[tuple[tuple[int, ...], ...], list[tuple[Tensor, Tensor]]] = {}

    def __len__(self) -> int:
        return len(self.cells)

    def merged(self) -> "ActiveBlocks":
        """Return few large blocks, with little halo, if nothing is masked; otherwise these blocks.

        An axis keeps two cells if it is divisible by two: halves of a sample are convolved faster than the whole.
        """
        if not self.mask.all():
            return self
        return ActiveBlocks(self.mask.new_ones(len(self.mask), *(2 - n % 2 for n in self.grid)))

    @property
    def grid(self) -> Triple:
        """Mask cells of one sample along (z, y, x)."""
        return tuple(self.mask.shape[1:])  # type: ignore[return-value]

    @cached_property
    def positions(self) -> tuple[Tensor, ...]:
        """Sample, z, y and x index of every active cell: four tensors int64 (N,)."""
        return self.mask.nonzero(as_tuple=True)

    def tiles(self, block: Triple, low: tuple[int, ...], high: tuple[int, ...]) -> Tensor:
        """Return the rows of each block and its halo of ``low`` and ``high`` voxels: int32 (N, low + block + high)."""
        key = (block, low, high)
        if key not in self._tiles:
            self._tiles[key] = self._rows_at(
                block, [range(-before, n + after) for n, before, after in zip(block, low, high, strict=True)]
            )
        return self._tiles[key]

    def pairs(self, block: Triple, stride: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
        """Return int32 (output rows, input rows) for each of the 27 taps of a 3×3×3 convolution, in weight order."""
        key = (block, stride)
        if key not in self._pairs:
            self._pairs[key] = [
                self._pairs_at(block, stride, (z, y, x)) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)
            ]
        return self._pairs[key]

    def _pairs_at(self, block: Triple, stride: tuple[int, ...], shift: Triple) -> tuple[Tensor, Tensor]:
        coordinates = [range(by, n + by, step) for n, step, by in zip(block, stride, shift, strict=True)]
        inputs = self._rows_at(block, coordinates).flatten()
        outputs = (inputs < len(self) * prod(block)).nonzero().squeeze(1)
        return outputs.int(), inputs[outputs]

    def _rows_at(self, block: Triple, coordinates: Sequence[range]) -> Tensor:
        """Return the rows of the voxels at ``coordinates`` (z, y, x), relative to each block's first voxel.

        A coordinate is in the block or in one of its 26 neighbours: -n ≤ coordinate < 2n.
        """
        neighbour = torch.zeros(1, 1, 1, dtype=torch.int64)
        voxel = torch.zeros(1, 1, 1, dtype=torch.int64)
        for axis, (offsets, n) in enumerate(zip(coordinates, block, strict=True)):
            shape = [-1 if axis == other else 1 for other in range(3)]
            offset = torch.tensor(offsets).view(shape)
            neighbour = 3 * neighbour + offset.div(n, rounding_mode="floor") + 1
            voxel = n * voxel + offset.remainder(n)
        device = self.mask.device
        rows = self._neighbours[:, neighbour.to(device)] * prod(block) + voxel.to(device)
        return rows.clamp_(max=len(self) * prod(block)).int()

    @cached_property
    def _neighbours(self) -> Tensor:
        """Indices of the 27 blocks around each block, itself in the middle: int64 (N, 27); N for a missing block."""
        batch, *grid = self.mask.shape
        padded = self.mask.new_full((batch, *(n + 2 for n in grid)), len(self), dtype=torch.int64)
        padded[:, 1:-1, 1:-1, 1:-1][self.mask] = torch.arange(len(self), device=self.mask.device)
        windows = padded.unfold(1, 3, 1).unfold(2, 3, 1).unfold(3, 3, 1)
        return windows[self.mask].flatten(1)


def divide_exactly(sizes: Sequence[int], by: Sequence[int]) -> Triple:
    """Return sizes along (z, y, x), each divided by the one of ``by``.

    Raises:
        ValueError: If a size is not divisible.
    """
    if any(n % d for n, d in zip(sizes, by, strict=True)):
        raise ValueError(f"{tuple(sizes)} is not divisible by {tuple(by)}")
    z, y, x = (n // d for n, d in zip(sizes, by, strict=True))
    return z, y, x
