"""Which cells of a batch the network sees, and where each packed voxel finds its neighbours."""

from collections.abc import Sequence
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput


class ActiveBlocks:
    """The active mask cells of one batch, as a value that every sparse layer is handed.

    A mask cell covers a *block* of voxels, smaller at each coarser level. Only active blocks are stored: N of them,
    ordered by sample and then by (z, y, x), each as the rows of its V voxels in (z, y, x) order. Row N·V stands for
    "nothing there": a masked neighbour, or one outside the volume. Index tables are built once for a block shape and
    shared by all layers that ask for them.

    Args:
        mask: bool (B, gz, gy, gx), true where a cell is active.

    Attributes:
        mask: the same.
        cells: (N,) the active cells' numbers among the B·gz·gy·gx of the batch, ascending.
        counts: active cells of each sample; they may differ.

    Raises:
        BadInput: where a sample has no active cell.
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

    def joined(self) -> "ActiveBlocks":
        """Where nothing is masked, the fewest cells, which have the least halo; else these blocks themselves.

        An axis keeps two cells where it divides into two: halves of a sample are convolved faster than the whole.
        """
        if not self.mask.all():
            return self
        return ActiveBlocks(self.mask.new_ones(len(self.mask), *(2 - n % 2 for n in self.grid)))

    @property
    def grid(self) -> Triple:
        """Mask cells of one sample along (z, y, x)."""
        return tuple(self.mask.shape[1:])  # type: ignore[return-value]

    @cached_property
    def places(self) -> tuple[Tensor, ...]:
        """Sample, z, y and x of every active cell: four times int64 (N,)."""
        return self.mask.nonzero(as_tuple=True)

    def tiles(self, block: Triple, low: tuple[int, ...], high: tuple[int, ...]) -> Tensor:
        """Rows of every block and its halo of ``low`` and ``high`` voxels: int32 (N, low + block + high …)."""
        key = (block, low, high)
        if key not in self._tiles:
            self._tiles[key] = self._rows_at(
                block, [range(-before, n + after) for n, before, after in zip(block, low, high, strict=True)]
            )
        return self._tiles[key]

    def pairs(self, block: Triple, stride: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
        """Int32 (output rows, input rows) that meet in each of the 27 taps of a 3×3×3 convolution, in weight order."""
        key = (block, stride)
        if key not in self._pairs:
            self._pairs[key] = [
                self._meeting(block, stride, (z, y, x)) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)
            ]
        return self._pairs[key]

    def _meeting(self, block: Triple, stride: tuple[int, ...], shift: Triple) -> tuple[Tensor, Tensor]:
        along = [range(by, n + by, step) for n, step, by in zip(block, stride, shift, strict=True)]
        reads = self._rows_at(block, along).flatten()
        outputs = (reads < len(self) * prod(block)).nonzero().squeeze(1)
        return outputs.int(), reads[outputs]

    def _rows_at(self, block: Triple, coordinates: Sequence[range]) -> Tensor:
        """Rows of the voxels at ``coordinates`` along (z, y, x), counted from each block's first voxel.

        A coordinate lies in the block or in one of its 26 neighbours: -n ≤ coordinate < 2n.
        """
        neighbour = torch.zeros(1, 1, 1, dtype=torch.int64)
        voxel = torch.zeros(1, 1, 1, dtype=torch.int64)
        for axis, (along, n) in enumerate(zip(coordinates, block, strict=True)):
            shape = [-1 if axis == other else 1 for other in range(3)]
            at = torch.tensor(along).view(shape)
            neighbour = 3 * neighbour + at.div(n, rounding_mode="floor") + 1
            voxel = n * voxel + at.remainder(n)
        device = self.mask.device
        rows = self._neighbours[:, neighbour.to(device)] * prod(block) + voxel.to(device)
        return rows.clamp_(max=len(self) * prod(block)).int()

    @cached_property
    def _neighbours(self) -> Tensor:
        """The 27 blocks around each block, itself in the middle: int64 (N, 27), N where there is none."""
        batch, *grid = self.mask.shape
        around = self.mask.new_full((batch, *(n + 2 for n in grid)), len(self), dtype=torch.int64)
        around[:, 1:-1, 1:-1, 1:-1][self.mask] = torch.arange(len(self), device=self.mask.device)
        windows = around.unfold(1, 3, 1).unfold(2, 3, 1).unfold(3, 3, 1)
        return windows[self.mask].flatten(1)


def divide_exactly(sizes: Sequence[int], by: Sequence[int]) -> Triple:
    """Sizes along (z, y, x), each divided by another.

    Raises:
        ValueError: where one doesn't divide.
    """
    if any(n % d for n, d in zip(sizes, by, strict=True)):
        raise ValueError(f"{tuple(sizes)} doesn't divide by {tuple(by)}")
    z, y, x = (n // d for n, d in zip(sizes, by, strict=True))
    return z, y, x
