"""3×3×3 convolution of packed blocks, block by block: for blocks that are large beside their halo.

Each block is gathered with its halo of one voxel and convolved without padding. The input's gradient gathers tiles of
the output's gradient in the same way, so that no step scatters; the weight's gradient gathers the input's tiles anew,
so that halos are never kept. All of it runs over a few blocks at a time: the tiles of all would take more memory than
the features themselves.
"""

from collections.abc import Iterator

from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d
from torch.nn.grad import conv3d_weight

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks, divide_exactly
from gynbtnet.sparse.packed import zero_padded

TILE_VALUES = 2**23
"""Values gathered at a time: 32 MB in single precision."""


def tile_convolution(
    padded: Tensor,
    weight: Tensor,
    bias: Tensor,
    active: ActiveBlocks,
    block: Triple,
    stride: tuple[int, ...],
    tile_values: int = TILE_VALUES,
) -> Tensor:
    """Padded rows (N·V + 1, C_in) → rows (N·V / stride, C_out)."""
    smaller = divide_exactly(block, stride)
    result = padded.new_empty(len(active), *smaller, len(weight))
    for chunk, tiles in _tiles(padded, _input_table(active, block, stride), tile_values):
        result[chunk] = conv3d(tiles, weight, bias, stride).movedim(1, -1)
    return result.view(-1, len(weight))


def tile_weight_gradient(
    grad: Tensor,
    padded: Tensor,
    weight: Tensor,
    active: ActiveBlocks,
    block: Triple,
    stride: tuple[int, ...],
    tile_values: int = TILE_VALUES,
) -> Tensor:
    """The weight's gradient from the padded gradient of the output."""
    blocks = grad[:-1].view(len(active), *divide_exactly(block, stride), -1).movedim(-1, 1)
    total: Tensor | None = None
    for chunk, tiles in _tiles(padded, _input_table(active, block, stride), tile_values):
        part: Tensor = conv3d_weight(tiles, weight.shape, blocks[chunk], stride)  # type: ignore[no-untyped-call]
        total = zero_padded(part) if total is None else total.add_(part)
    assert total is not None  # an ActiveBlocks is never empty
    return total.to(padded.dtype)


def add_tile_input_gradient(
    grad_input: Tensor,
    grad: Tensor,
    weight: Tensor,
    active: ActiveBlocks,
    block: Triple,
    stride: tuple[int, ...],
    tile_values: int = TILE_VALUES,
) -> None:
    """Add to rows (N·V, C_in) what the padded gradient of the output gives."""
    # An input voxel is read by outputs of its own block and, at stride 1, of both neighbours, at stride 2 of the next
    # one alone.
    table = active.tiles(divide_exactly(block, stride), tuple(2 - s for s in stride), (1, 1, 1))
    into = grad_input.view(len(active), *block, -1)
    for chunk, tiles in _tiles(grad, table, tile_values):
        spread = conv_transpose3d(tiles, weight, stride=stride, padding=[3 - s for s in stride])
        into[chunk] += spread[:, :, : block[0], : block[1], : block[2]].movedim(1, -1)


def _input_table(active: ActiveBlocks, block: Triple, stride: tuple[int, ...]) -> Tensor:
    """At stride 2 the last voxel of a block is a window's far edge: only the low side has a halo."""
    return active.tiles(block, (1, 1, 1), tuple(2 - s for s in stride))


def _tiles(padded: Tensor, table: Tensor, tile_values: int) -> Iterator[tuple[slice, Tensor]]:
    """Some blocks at a time: which, and their tiles (n, C, …) in channels-last memory."""
    channels = padded.shape[1]
    at_once = max(1, tile_values // (table[0].numel() * channels))
    for start in range(0, len(table), at_once):
        chunk = slice(start, start + at_once)
        rows = padded.index_select(0, table[chunk].flatten())
        yield chunk, rows.view(-1, *table.shape[1:], channels).movedim(-1, 1)
