"""Feature maps that contain active blocks only."""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks, divide_exactly


@dataclass(frozen=True)
class Packed:
    """Active voxels of a feature map.

    Attributes:
        padded: (N·V + 1, C), one row per voxel: the N active blocks in order, the V voxels of each in (z, y, x) order.
            The last row contains zeros. It is the neighbour of voxels that have none, and gathering it needs no copy.
        block: Voxels of one block along (z, y, x); their product is V.
        active: The active blocks.
    """

    padded: Tensor
    block: Triple
    active: ActiveBlocks

    @property
    def rows(self) -> Tensor:
        """Features of the voxels, (N·V, C), without the last row."""
        return self.padded[:-1]

    @staticmethod
    def from_rows(rows: Tensor, block: Triple, active: ActiveBlocks) -> "Packed":
        """Pack a copy of the rows (N·V, C), with a row of zeros behind them."""
        return Packed(pad(rows, (0, 0, 0, 1)), block, active)


def empty_rows(like: Tensor, rows: int, channels: int) -> Tensor:
    """Allocate (rows + 1, channels) for a feature map of ``rows`` voxels; only the last row, of zeros, is set."""
    padded = like.new_empty(rows + 1, channels)
    padded[-1] = 0
    return padded


def as_accumulator(total: Tensor) -> Tensor:
    """Return ``total`` in at least single precision, so that many tensors can be added to it."""
    return total.float() if total.dtype in (torch.bfloat16, torch.float16) else total


def strided_rows(rows: Tensor, block: Triple, stride: Triple) -> Tensor:
    """Return every ``stride``-th voxel of each block from rows (N·V, C), as a view (N, z, y, x, C)."""
    return rows.view(-1, *block, rows.shape[1])[:, :: stride[0], :: stride[1], :: stride[2]]


def split_into_cells(image: Tensor, grid: Triple) -> Tensor:
    """View (B, C, D, H, W) by mask cell: (B, cells, voxels, C), cells and voxels in (z, y, x) order.

    Raises:
        ValueError: If the image is not divisible into ``grid`` cells.
    """
    batch, channels, *shape = image.shape
    z, y, x = divide_exactly(shape, grid)
    split = image.view(batch, channels, grid[0], z, grid[1], y, grid[2], x)
    return split.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch, prod(grid), z * y * x, channels)


def pack(image: Tensor, active: ActiveBlocks) -> Packed:
    """Pack the active voxels of an image (B, C, D, H, W).

    Raises:
        ValueError: If the number of images and masks differs, or the image is not divisible into mask cells.
    """
    if len(image) != len(active.counts):
        raise ValueError(f"{len(image)} images need as many masks, not {len(active.counts)}")
    rows = split_into_cells(image, active.grid).flatten(0, 1).index_select(0, active.cells).flatten(0, 1)
    return Packed.from_rows(rows, divide_exactly(image.shape[2:], active.grid), active)


def unpack(packed: Packed, fill: Tensor) -> Tensor:
    """Return the dense map (B, C, D, H, W), channels last in memory, with ``fill`` (C,) in masked voxels."""
    dense: Tensor = _Unpack.apply(packed.padded, fill, packed.active, packed.block)  # type: ignore[no-untyped-call]
    return dense


class _Unpack(torch.autograd.Function):
    """Unpacking with its own gradient; PyTorch's would copy the whole volume several times."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, fill: Tensor, active: ActiveBlocks, block: Triple) -> Tensor:
        ctx.layout, ctx.fill_dtype = (active, block), fill.dtype
        return fill_masked(padded[:-1], fill, active, block)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        active, block = ctx.layout
        grad = grad.contiguous(memory_format=torch.channels_last_3d)
        visible = view_by_block(grad, active, block)[active.positions].flatten(0, 3)
        masked = grad.sum((0, 2, 3, 4), dtype=ctx.fill_dtype) - visible.sum(0, dtype=ctx.fill_dtype)
        return torch.cat((visible, torch.zeros_like(visible[:1]))), masked, None, None


def fill_masked(rows: Tensor, fill: Tensor, active: ActiveBlocks, block: Triple) -> Tensor:
    """Return the map of :func:`unpack` from rows (N·V, C), without a gradient."""
    shape = [n * cells for n, cells in zip(block, active.grid, strict=True)]
    dense = fill.to(rows.dtype).expand(len(active.counts), *shape, len(fill)).contiguous().movedim(-1, 1)
    view_by_block(dense, active, block)[active.positions] = rows.view(-1, *block, len(fill))
    return dense


def view_by_block(dense: Tensor, active: ActiveBlocks, block: Triple) -> Tensor:
    """Return a view (B, gz, gy, gx, z, y, x, C) of (B, C, D, H, W), which is channels last in memory."""
    (gz, gy, gx), (z, y, x) = active.grid, block
    return dense.movedim(1, -1).view(len(dense), gz, z, gy, y, gx, x, -1).permute(0, 1, 3, 5, 2, 4, 6, 7)
