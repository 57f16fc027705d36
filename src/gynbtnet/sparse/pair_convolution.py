"""3×3×3 convolution of packed blocks, tap by tap: for blocks that are small beside their halo."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Pairs = list[tuple[Tensor, Tensor]]


class PairConvolution(torch.autograd.Function):
    """For each tap, multiply the input rows that exist with the tap's matrix and add to the output rows they meet.

    No product is computed for a tap that falls on a masked block or outside the volume. Within a tap no output row
    occurs twice, so the additions are deterministic on any device.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, pairs: Pairs, outputs: int) -> Tensor:
        """Rows (M, C_in) → (outputs, C_out)."""
        ctx.save_for_backward(rows, weight)
        ctx.pairs = pairs
        result = bias.repeat(outputs, 1)
        for tap, (written, read) in zip(_taps(weight), pairs, strict=True):
            result.index_add_(0, written, rows.index_select(0, read) @ tap.t())
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None, None]:
        """Gradients of rows, weight and bias."""
        rows, weight = ctx.saved_tensors
        grad_rows = torch.zeros_like(rows) if ctx.needs_input_grad[0] else None
        grad_weight = torch.empty_like(weight, memory_format=torch.channels_last_3d)
        for tap, grad_tap, (written, read) in zip(_taps(weight), _taps(grad_weight), ctx.pairs, strict=True):
            grad_written = grad.index_select(0, written)
            torch.mm(grad_written.t(), rows.index_select(0, read), out=grad_tap)
            if grad_rows is not None:
                grad_rows.index_add_(0, read, grad_written @ tap)
        return grad_rows, grad_weight, grad.sum(0), None, None


def _taps(weight: Tensor) -> tuple[Tensor, ...]:
    """The 27 matrices (C_out, C_in); views of channels-last memory, which BLAS reads as it lies."""
    return weight.contiguous(memory_format=torch.channels_last_3d).flatten(2).unbind(2)
