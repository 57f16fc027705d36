"""3×3×3 convolution of packed blocks, block by block: for blocks that are large beside their halo."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv3d, conv_transpose3d, pad
from torch.nn.grad import conv3d_weight

from gynbtnet.networks.presets import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks, divided


class TileConvolution(torch.autograd.Function):
    """Gather each block with its halo of one voxel, convolve the tiles without padding.

    The input's gradient gathers tiles of the output's gradient in the same way, so that no step scatters; the weight's
    gradient gathers the input's tiles anew, so that halos are never kept.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor,
        active: ActiveBlocks,
        block: Triple,
        stride: tuple[int, ...],
    ) -> Tensor:
        """Rows (N·V, C_in) → (N·V / stride, C_out)."""
        ctx.save_for_backward(rows, weight)
        ctx.places = active, block, stride
        return _as_rows(conv3d(_input_tiles(rows, active, block, stride), weight, bias, stride))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None, None, None]:
        """Gradients of rows, weight and bias."""
        rows, weight = ctx.saved_tensors
        active, block, stride = ctx.places
        smaller = divided(block, stride)
        grad = grad.contiguous()
        blocks = grad.view(len(active), *smaller, -1).movedim(-1, 1)
        tiles = _input_tiles(rows, active, block, stride)
        grad_weight: Tensor = conv3d_weight(tiles, weight.shape, blocks, stride)  # type: ignore[no-untyped-call]
        grad_rows = None
        if ctx.needs_input_grad[0]:
            # An input voxel is read by outputs of its own block and, at stride 1, of both neighbours, at stride 2 of
            # the next one alone.
            low = tuple(2 - s for s in stride)
            tiles = _gather(grad, active.tiles(smaller, low, (1, 1, 1)))
            spread = conv_transpose3d(tiles, weight, stride=stride, padding=[3 - s for s in stride])
            grad_rows = _as_rows(spread[:, :, : block[0], : block[1], : block[2]])
        return grad_rows, grad_weight, grad.sum(0), None, None, None


def _input_tiles(rows: Tensor, active: ActiveBlocks, block: Triple, stride: tuple[int, ...]) -> Tensor:
    """At stride 2 the last voxel of a block is a window's far edge: only the low side has a halo."""
    return _gather(rows, active.tiles(block, (1, 1, 1), tuple(2 - s for s in stride)))


def _gather(rows: Tensor, table: Tensor) -> Tensor:
    """(N, C, …) in channels-last memory."""
    with_nothing = pad(rows, (0, 0, 0, 1))
    return with_nothing.index_select(0, table.flatten()).view(*table.shape, -1).movedim(-1, 1)


def _as_rows(blocks: Tensor) -> Tensor:
    return blocks.movedim(1, -1).reshape(-1, blocks.shape[1])
