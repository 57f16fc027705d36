"""3×3×3 convolution of packed blocks, block by block: for blocks that are large compared with their halo.

Each block is gathered with its halo of one voxel, as a tile, and convolved without padding. The input's gradient
gathers tiles of the output's gradient in the same way, so that no step scatters. The weight's gradient gathers the
input's tiles again, so that halos are never stored. A few blocks are computed at a time, because the tiles of all
blocks would need more memory than the features.
"""

from collections.abc import Iterator

from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d
from torch.nn.grad import conv3d_weight

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks, divide_exactly
from gynbtnet.sparse.packed import as_accumulator

VALUES_PER_CHUNK = 2**23
"""Values that are gathered at a time: 32 MB in single precision."""


def tile_convolution(
    padded: Tensor, weight: Tensor, bias: Tensor, active: ActiveBlocks, block: Triple, stride: tuple[int, ...]
) -> Tensor:
    """Return rows (N·V / stride, C_out) for padded rows (N·V + 1, C_in)."""
    smaller = divide_exactly(block, stride)
    result = padded.new_empty(len(active), *smaller, len(weight))
    for chunk, tiles in _tiles(padded, _input_table(active, block, stride)):
        result[chunk] = conv3d(tiles, weight, bias, stride).movedim(1, -1)
    return result.view(-1, len(weight))


def tile_weight_gradient(
    grad: Tensor,
    padded: Tensor,
    weight: Tensor,
    active: ActiveBlocks,
    block: Triple,
    stride: tuple[int, ...],
    *,
    values_per_chunk: int = VALUES_PER_CHUNK,
) -> Tensor:
    """Return the weight's gradient, from the padded gradient of the output."""
    blocks = grad[:-1].view(len(active), *divide_exactly(block, stride), -1).movedim(-1, 1)
    total: Tensor | None = None
    for chunk, tiles in _tiles(padded, _input_table(active, block, stride), values_per_chunk):
        part: Tensor = conv3d_weight(tiles, weight.shape, blocks[chunk], stride)  # type: ignore[no-untyped-call]
        total = as_accumulator(part) if total is None else total.add_(part)
    assert total is not None  # an ActiveBlocks is never empty
    return total.to(padded.dtype)


def add_tile_input_gradient(
    grad_input: Tensor, grad: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: tuple[int, ...]
) -> None:
    """Add the input's gradient to ``grad_input`` (N·V, C_in), from the padded gradient of the output."""
    # Outputs of the same block read an input voxel, and also those of both neighbours (stride 1) or of the next one
    # (stride 2).
    table = active.tiles(divide_exactly(block, stride), tuple(2 - s for s in stride), (1, 1, 1))
    target = grad_input.view(len(active), *block, -1)
    for chunk, tiles in _tiles(grad, table):
        spread = conv_transpose3d(tiles, weight, stride=stride, padding=[3 - s for s in stride])
        target[chunk] += spread[:, :, : block[0], : block[1], : block[2]].movedim(1, -1)


def _input_table(active: ActiveBlocks, block: Triple, stride: tuple[int, ...]) -> Tensor:
    """Return the rows of the input tiles; at stride 2 only the low side of a block has a halo."""
    return active.tiles(block, (1, 1, 1), tuple(2 - s for s in stride))


def _tiles(padded: Tensor, table: Tensor, values_per_chunk: int = VALUES_PER_CHUNK) -> Iterator[tuple[slice, Tensor]]:
    """Yield ranges of some blocks and their tiles (n, C, …) in channels-last memory."""
    channels = padded.shape[1]
    blocks = max(1, values_per_chunk // (table[0].numel() * channels))
    for start in range(0, len(table), blocks):
        chunk = slice(start, start + blocks)
        rows = padded.index_select(0, table[chunk].flatten())
        yield chunk, rows.view(-1, *table.shape[1:], channels).movedim(-1, 1)
