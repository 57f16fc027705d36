"""Feature maps that hold active blocks only."""

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
    """The active voxels of a feature map.

    Attributes:
        padded: (N·V + 1, C), one row a voxel: the N active blocks in order, the V voxels of each in (z, y, x) order;
            the last row is "nothing there" and holds zeros, so that gathering a neighbour needs no copy of the rest.
        block: voxels of one block along (z, y, x); their product is V.
        active: which blocks these are.
    """

    padded: Tensor
    block: Triple
    active: ActiveBlocks

    @property
    def rows(self) -> Tensor:
        """The (N·V, C) voxels themselves."""
        return self.padded[:-1]

    @staticmethod
    def of(rows: Tensor, block: Triple, active: ActiveBlocks) -> "Packed":
        """Rows (N·V, C), copied to stand before a row of zeros."""
        return Packed(pad(rows, (0, 0, 0, 1)), block, active)


def empty_rows(like: Tensor, rows: int, channels: int) -> Tensor:
    """Memory for a feature map of ``rows`` voxels, (rows + 1, channels); its last row holds the zeros already."""
    padded = like.new_empty(rows + 1, channels)
    padded[-1] = 0
    return padded


def zero_padded(total: Tensor) -> Tensor:
    """A tensor to add many others to: in single precision, unless it is that precise; then itself."""
    return total.float() if total.dtype in (torch.bfloat16, torch.float16) else total


def strided_rows(rows: Tensor, block: Triple, stride: tuple[int, ...]) -> Tensor:
    """The rows (N·V, C) at every ``stride``-th voxel of each block, as a view (N, z, y, x, C)."""
    return rows.view(-1, *block, rows.shape[1])[:, :: stride[0], :: stride[1], :: stride[2]]


def split_into_cells(image: Tensor, grid: Triple) -> Tensor:
    """View (B, C, D, H, W) by mask cell: (B, cells, voxels, C), cells and voxels in (z, y, x) order.

    Raises:
        ValueError: where the image doesn't divide into ``grid`` cells.
    """
    batch, channels, *shape = image.shape
    z, y, x = divide_exactly(shape, grid)
    split = image.view(batch, channels, grid[0], z, grid[1], y, grid[2], x)
    return split.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch, prod(grid), z * y * x, channels)


def pack(image: Tensor, active: ActiveBlocks) -> Packed:
    """The active voxels of an image (B, C, D, H, W).

    Raises:
        ValueError: where image and mask don't fit each other.
    """
    if len(image) != len(active.mask):
        raise ValueError(f"{len(image)} images don't go with {len(active.mask)} masks")
    rows = split_into_cells(image, active.grid).flatten(0, 1).index_select(0, active.cells).flatten(0, 1)
    return Packed.of(rows, divide_exactly(image.shape[2:], active.grid), active)


def unpack(packed: Packed, fill: Tensor) -> Tensor:
    """The dense (B, C, D, H, W), with ``fill`` (C,) in masked places; its memory lies channels last."""
    dense: Tensor = _Unpack.apply(packed.padded, fill, packed.active, packed.block)  # type: ignore[no-untyped-call]
    return dense


class _Unpack(torch.autograd.Function):
    """Autograd's own would copy the whole volume several times."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, fill: Tensor, active: ActiveBlocks, block: Triple) -> Tensor:
        ctx.places, ctx.fill_dtype = (active, block), fill.dtype
        shape = [n * cells for n, cells in zip(block, active.grid, strict=True)]
        dense = fill.to(padded.dtype).expand(len(active.mask), *shape, len(fill)).contiguous().movedim(-1, 1)
        _blocks_of(dense, active, block)[active.places] = padded[:-1].view(-1, *block, len(fill))
        return dense

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        active, block = ctx.places
        grad = grad.contiguous(memory_format=torch.channels_last_3d)
        seen = _blocks_of(grad, active, block)[active.places].flatten(0, 3)
        unseen = grad.sum((0, 2, 3, 4), dtype=ctx.fill_dtype) - seen.sum(0, dtype=ctx.fill_dtype)
        return torch.cat((seen, torch.zeros_like(seen[:1]))), unseen, None, None


def _blocks_of(dense: Tensor, active: ActiveBlocks, block: Triple) -> Tensor:
    """View (B, C, D, H, W), lying channels last, as (B, gz, gy, gx, z, y, x, C)."""
    (gz, gy, gx), (z, y, x) = active.grid, block
    return dense.movedim(1, -1).view(len(dense), gz, z, gy, y, gx, x, -1).permute(0, 1, 3, 5, 2, 4, 6, 7)
