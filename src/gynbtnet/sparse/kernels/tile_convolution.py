"""3×3×3 convolution of packed blocks, block by block: for blocks that are large compared with their halo.

Each block is gathered with its halo of one voxel, as a tile, and convolved without padding. The input's gradient
gathers tiles of the output's gradient in the same way, so that no step scatters. The weight's gradient gathers the
input's tiles again, so that halos are never stored. A few blocks are computed at a time, because the tiles of all
blocks would need more memory than the features.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d
from torch.nn.grad import conv3d_weight

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks, divide_exactly
from gynbtnet.sparse.packed import as_accumulator


@dataclass(frozen=True)
class TileConvolution:
    """PyTorch's dense convolution of blocks with their halo.

    Attributes:
        values_per_chunk: Values that are gathered at a time.
        flips: If true, the input's gradient at stride 1 is a convolution with the flipped weight. It computes no halo.
            If false, it is a transposed convolution, which is faster on a CPU.
    """

    values_per_chunk: int
    flips: bool = False

    def forward(
        self, padded: Tensor, weight: Tensor, bias: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> Tensor:
        """Return rows (N·V / stride, C_out) for padded rows (N·V + 1, C_in)."""
        result = padded.new_empty(len(active), *divide_exactly(block, stride), len(weight))
        for chunk, tiles in gather_tiles(padded, _input_table(active, block, stride), self.values_per_chunk):
            result[chunk] = conv3d(tiles, weight, bias, stride).movedim(1, -1)
        return result.view(-1, len(weight))

    def weight_gradient(
        self, grad: Tensor, padded: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> Tensor:
        """Return the weight's gradient, from the padded gradient of the output."""
        blocks = grad[:-1].view(len(active), *divide_exactly(block, stride), -1).movedim(-1, 1)
        total: Tensor | None = None
        for chunk, tiles in gather_tiles(padded, _input_table(active, block, stride), self.values_per_chunk):
            part: Tensor = conv3d_weight(tiles, weight.shape, blocks[chunk], stride)  # type: ignore[no-untyped-call]
            total = as_accumulator(part) if total is None else total.add_(part)
        assert total is not None  # an ActiveBlocks is never empty
        return total.to(padded.dtype)

    def add_input_gradient(
        self, grad_input: Tensor, grad: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> None:
        """Add the input's gradient to ``grad_input`` (N·V, C_in), from the padded gradient of the output."""
        # Outputs of the same block read an input voxel, and also those of both neighbours (stride 1) or of the next one
        # (stride 2).
        table = active.tiles(divide_exactly(block, stride), _high_halo(stride), (1, 1, 1))
        target = grad_input.view(len(active), *block, -1)
        flipped = flip(weight) if self.flips and set(stride) == {1} else None
        for chunk, tiles in gather_tiles(grad, table, self.values_per_chunk):
            if flipped is not None:
                target[chunk] += conv3d(tiles, flipped).movedim(1, -1)
                continue
            spread = conv_transpose3d(tiles, weight, stride=stride, padding=[3 - s for s in stride])
            target[chunk] += spread[:, :, : block[0], : block[1], : block[2]].movedim(1, -1)


def gather_tiles(padded: Tensor, table: Tensor, values_per_chunk: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield ranges of some blocks and their tiles (n, C, …) in channels-last memory."""
    channels = padded.shape[1]
    blocks = max(1, values_per_chunk // (table[0].numel() * channels))
    for start in range(0, len(table), blocks):
        chunk = slice(start, start + blocks)
        rows = padded.index_select(0, table[chunk].flatten())
        yield chunk, rows.view(-1, *table.shape[1:], channels).movedim(-1, 1)


def flip(weight: Tensor) -> Tensor:
    """Return the weight (C_in, C_out, 3, 3, 3) whose convolution at stride 1 gives the input's gradient."""
    return weight.flip(2, 3, 4).transpose(0, 1).contiguous(memory_format=torch.channels_last_3d)


def _input_table(active: ActiveBlocks, block: Triple, stride: Triple) -> Tensor:
    """Return the rows of the input tiles; at stride 2 only the low side of a block has a halo."""
    return active.tiles(block, (1, 1, 1), _high_halo(stride))


def _high_halo(stride: Triple) -> Triple:
    z, y, x = (2 - s for s in stride)
    return z, y, x
