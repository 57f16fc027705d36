"""Active mask cells of a batch, and the index tables of neighbouring voxels."""

from collections.abc import Sequence
from functools import cached_property
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import pad

from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput


class ActiveBlocks:
    """Active mask cells of one batch, an argument of every sparse layer.

    A mask cell covers a *block* of voxels, which is smaller at each coarser level. Only the N active blocks are stored,
    ordered by sample and then by (z, y, x). Each is stored as the rows of its V voxels in (z, y, x) order. Row N·V
    represents a missing neighbour: masked, or outside the volume. Index tables are built once per block shape and
    shared by all layers that need them. All lengths come from the mask on the CPU, so that no table waits for the
    device; only :meth:`pairs` does.

    Args:
        mask: Boolean (B, gz, gy, gx), true for active cells. Give it on the CPU: another device has to finish its work
            before the mask can be read.
        device: Device of the index tables. None: that of the mask.

    Attributes:
        mask: The mask, on the CPU.
        device: Device of the index tables.
        cells: (N,), ascending indices of the active cells among the B·gz·gy·gx cells of the batch, on the device.
        counts: Number of active cells of each sample; they may differ.

    Raises:
        BadInput: If a sample has no active cell.
        ValueError: If the mask has another type or number of axes.
    """

    def __init__(self, mask: Tensor, device: torch.device | None = None) -> None:
        if mask.ndim != 4 or mask.dtype != torch.bool:
            raise ValueError(f"a mask is bool (B, z, y, x), not {mask.dtype} of shape {tuple(mask.shape)}")
        self.device = mask.device if device is None else device
        self.mask = mask.cpu()
        self.counts: list[int] = self.mask.flatten(1).sum(1).tolist()
        if 0 in self.counts:
            raise BadInput(
                f"Sample {self.counts.index(0)} of the batch has none of its {mask[0].numel()} mask cells active; "
                "expected at least one, so lower the mask ratio or choose a larger patch."
            )
        self.cells = self._send(self.mask.flatten().nonzero().squeeze(1))
        self._tiles: dict[tuple[tuple[int, ...], ...], Tensor] = {}
        self._tiles_of_grid: dict[Triple, Tensor] = {}
        self._taps: dict[tuple[Triple, Triple], Tensor] = {}
        self._readers: dict[tuple[Triple, Triple], Tensor] = {}
        self._pairs: dict[tuple[tuple[int, ...], ...], list[tuple[Tensor, Tensor]]] = {}

    def __len__(self) -> int:
        return sum(self.counts)

    def merged(self) -> "ActiveBlocks":
        """Return few large blocks, with little halo, if nothing is masked; otherwise these blocks.

        An axis keeps two cells if it is divisible by two: halves of a sample are convolved faster than the whole.
        """
        if not self.mask.all():
            return self
        return ActiveBlocks(self.mask.new_ones(len(self.mask), *(2 - n % 2 for n in self.grid)), self.device)

    @property
    def grid(self) -> Triple:
        """Mask cells of one sample along (z, y, x)."""
        return tuple(self.mask.shape[1:])  # type: ignore[return-value]

    @cached_property
    def positions(self) -> tuple[Tensor, ...]:
        """Sample, z, y and x index of every active cell: four tensors int64 (N,)."""
        return tuple(self._send(self.mask.nonzero()).unbind(1))

    def tiles(self, block: Triple, low: tuple[int, ...], high: tuple[int, ...]) -> Tensor:
        """Return the rows of each block and its halo of ``low`` and ``high`` voxels: int32 (N, low + block + high)."""
        key = (block, low, high)
        if key not in self._tiles:
            self._tiles[key] = self._rows_at(
                block,
                [range(-before, n + after) for n, before, after in zip(block, low, high, strict=True)],
                self.neighbours,
                len(self),
            )
        return self._tiles[key]

    def tiles_of_grid(self, block: Triple) -> Tensor:
        """Return as :meth:`tiles` with a halo of one voxel, for the rows of all blocks, masked ones included.

        These are (B·gz·gy·gx·V + 1, C) rows in the order of the cells. The last row represents voxels outside.
        """
        if block not in self._tiles_of_grid:
            coordinates = [range(-1, n + 1) for n in block]
            self._tiles_of_grid[block] = self._rows_at(block, coordinates, self._cells_around, self.mask.numel())
        return self._tiles_of_grid[block]

    def taps(self, block: Triple, stride: Triple) -> Tensor:
        """Return the input rows that each output row of a 3×3×3 convolution reads: int32 (N·V / stride, 27).

        The 27 taps are in weight order.
        """
        key = (block, stride)
        if key not in self._taps:
            windows = self.tiles(block, (1, 1, 1), tuple(2 - s for s in stride))
            for axis, step in enumerate(stride, start=1):
                windows = windows.unfold(axis, 3, step)
            self._taps[key] = windows.reshape(-1, 27)
        return self._taps[key]

    def readers(self, block: Triple, stride: Triple) -> Tensor:
        """Return the readers of each input row of a 3×3×3 convolution: int32 (N·V, K), each 27 · output row + tap.

        K is the largest number of readers. Missing ones have the index of a tap of row N·V / stride.
        """
        key = (block, stride)
        if key not in self._readers:
            self._readers[key] = self._readers_of(block, stride)
        return self._readers[key]

    def pairs(self, block: Triple, stride: Triple) -> list[tuple[Tensor, Tensor]]:
        """Return int32 (output rows, input rows) for each of the 27 taps of a 3×3×3 convolution, in weight order.

        Their numbers depend on the mask, so that the device has to finish its work before they are known.
        """
        key = (block, stride)
        if key not in self._pairs:
            self._pairs[key] = [
                self._pairs_at(block, stride, (z, y, x)) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)
            ]
        return self._pairs[key]

    def _readers_of(self, block: Triple, stride: Triple) -> Tensor:
        outputs, taps = zip(*(_readers_along(n, step) for n, step in zip(block, stride, strict=True)), strict=True)
        output_block = divide_exactly(block, stride)
        positions = [[max(output, -1) for output in axis] for axis in outputs]
        rows = self._rows_at(output_block, positions, self.neighbours, len(self))
        tap, exists = torch.zeros(1, 1, 1, dtype=torch.int32), torch.ones(1, 1, 1, dtype=torch.bool)
        for axis in range(3):
            shape = [-1 if axis == other else 1 for other in range(3)]
            tap = 3 * tap + torch.tensor(taps[axis], dtype=torch.int32).view(shape)
            exists = exists & (torch.tensor(outputs[axis]) >= -1).view(shape)
        missing = len(self) * prod(output_block)
        rows = torch.where(self._send(exists), rows, missing).mul_(27).add_(self._send(tap))
        split = [size for n, axis in zip(block, outputs, strict=True) for size in (n, len(axis) // n)]
        return rows.view(len(self), *split).permute(0, 1, 3, 5, 2, 4, 6).reshape(len(self) * prod(block), -1)

    def _pairs_at(self, block: Triple, stride: Triple, shift: Triple) -> tuple[Tensor, Tensor]:
        coordinates = [range(by, n + by, step) for n, step, by in zip(block, stride, shift, strict=True)]
        inputs = self._rows_at(block, coordinates, self.neighbours, len(self)).flatten()
        outputs = (inputs < len(self) * prod(block)).nonzero().squeeze(1)
        return outputs.int(), inputs[outputs]

    def _rows_at(self, block: Triple, coordinates: Sequence[Sequence[int]], neighbours: Tensor, blocks: int) -> Tensor:
        """Return the int32 rows of the voxels at ``coordinates`` (z, y, x), relative to each block's first voxel.

        A coordinate is in the block or in one of its 26 neighbours: -n ≤ coordinate < 2n. ``neighbours`` are the
        indices (N, 27) of these among so many ``blocks``.
        """
        neighbour = torch.zeros(1, 1, 1, dtype=torch.int64)
        voxel = torch.zeros(1, 1, 1, dtype=torch.int32)
        for axis, (offsets, n) in enumerate(zip(coordinates, block, strict=True)):
            shape = [-1 if axis == other else 1 for other in range(3)]
            offset = torch.tensor(offsets).view(shape)
            neighbour = 3 * neighbour + offset.div(n, rounding_mode="floor") + 1
            voxel = n * voxel + offset.remainder(n).int()
        rows = neighbours[:, self._send(neighbour)].mul_(prod(block)).add_(self._send(voxel))
        return rows.clamp_(max=blocks * prod(block))

    @cached_property
    def neighbours(self) -> Tensor:
        """Indices of the 27 blocks around each block, itself in the middle: int32 (N, 27); N for a missing block."""
        indices = torch.full(self.mask.shape, len(self), dtype=torch.int32)
        indices[self.mask] = torch.arange(len(self), dtype=torch.int32)
        return self._around_active(indices, len(self))

    @cached_property
    def _cells_around(self) -> Tensor:
        """Indices of the 27 cells around each block among all cells of the batch, their number for one outside."""
        cells = self.mask.numel()
        return self._around_active(torch.arange(cells, dtype=torch.int32).view(self.mask.shape), cells)

    def _around_active(self, indices: Tensor, outside: int) -> Tensor:
        """Return the entries of ``indices`` (B, gz, gy, gx) in the 27 cells around each active one: (N, 27)."""
        padded = pad(indices, (1,) * 6, value=outside)
        windows = padded.unfold(1, 3, 1).unfold(2, 3, 1).unfold(3, 3, 1)
        return self._send(windows[self.mask].flatten(1))

    def _send(self, table: Tensor) -> Tensor:
        """Return a table of the CPU on the device, without waiting for the device's earlier work."""
        if self.device.type == "cuda":
            table = table.pin_memory()
        return table.to(self.device, non_blocking=True)


def _readers_along(n: int, stride: int) -> tuple[list[int], list[int]]:
    """Return the outputs and taps that read each of ``n`` inputs along one axis, as many for each input.

    An output may be -1 or n / stride, of a neighbouring block; -2 means that there is no further reader.
    """
    readers = [[((i + 1 - tap) // stride, tap) for tap in range(3) if (i + 1 - tap) % stride == 0] for i in range(n)]
    most = max(map(len, readers))
    padded = [pair for pairs in readers for pair in pairs + [(-2, 0)] * (most - len(pairs))]
    outputs, taps = zip(*padded, strict=True)
    return list(outputs), list(taps)


def divide_exactly(sizes: Sequence[int], by: Sequence[int]) -> Triple:
    """Return sizes along (z, y, x), each divided by the one of ``by``.

    Raises:
        ValueError: If a size is not divisible.
    """
    if any(n % d for n, d in zip(sizes, by, strict=True)):
        raise ValueError(f"{tuple(sizes)} is not divisible by {tuple(by)}")
    z, y, x = (n // d for n, d in zip(sizes, by, strict=True))
    return z, y, x
