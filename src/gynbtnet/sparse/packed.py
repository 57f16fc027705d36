"""Feature maps that hold active blocks only."""

from dataclasses import dataclass
from math import prod

from torch import Tensor

from gynbtnet.networks.presets import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks, divided


@dataclass(frozen=True)
class Packed:
    """The active voxels of a feature map.

    Attributes:
        rows: (N·V, C), one row a voxel: the N active blocks in order, the V voxels of each in (z, y, x) order.
        block: voxels of one block along (z, y, x); their product is V.
        active: which blocks these are.
    """

    rows: Tensor
    block: Triple
    active: ActiveBlocks

    def with_rows(self, rows: Tensor) -> "Packed":
        """Other values in the same places."""
        return Packed(rows, self.block, self.active)


def in_cells(image: Tensor, grid: Triple) -> Tensor:
    """View (B, C, D, H, W) by mask cell: (B, cells, voxels, C), cells and voxels in (z, y, x) order.

    Raises:
        ValueError: where the image doesn't divide into ``grid`` cells.
    """
    batch, channels, *shape = image.shape
    z, y, x = divided(shape, grid)
    split = image.view(batch, channels, grid[0], z, grid[1], y, grid[2], x)
    return split.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch, prod(grid), z * y * x, channels)


def pack(image: Tensor, active: ActiveBlocks) -> Packed:
    """The active voxels of an image (B, C, D, H, W).

    Raises:
        ValueError: where image and mask don't fit each other.
    """
    if len(image) != len(active.mask):
        raise ValueError(f"{len(image)} images don't go with {len(active.mask)} masks")
    rows = in_cells(image, active.grid).flatten(0, 1).index_select(0, active.cells).flatten(0, 1)
    return Packed(rows, divided(image.shape[2:], active.grid), active)


def unpack(packed: Packed, fill: Tensor) -> Tensor:
    """The dense (B, C, D, H, W), with ``fill`` (C,) in masked places; its memory lies channels last."""
    active, channels = packed.active, packed.rows.shape[1]
    blocks = packed.rows.view(len(active), -1, channels)
    batch, *grid = active.mask.shape
    everywhere = fill.to(blocks.dtype).expand(batch * prod(grid), blocks.shape[1], channels)
    cells = everywhere.index_copy(0, active.cells, blocks).view(batch, *grid, *packed.block, channels)
    dense = cells.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(
        batch, *(n * cells_along for n, cells_along in zip(packed.block, grid, strict=True)), channels
    )
    return dense.movedim(-1, 1)
