"""3×3×3 convolution of packed blocks, tap by tap: for blocks that are small compared with their halo.

For each tap, the input rows that exist are multiplied by the tap's matrix and added to their output rows. No product is
computed for a tap on a masked block or outside the volume. Within a tap no output row occurs twice, so that the
additions are deterministic on any device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks, divide_exactly
from gynbtnet.sparse.packed import as_accumulator

CENTRE = 13
"""Index of the tap that reads the voxel itself; at stride 1 nothing is gathered for it."""


@dataclass(frozen=True)
class PairConvolution:
    """A product per tap: no work for taps on masked blocks or outside the volume, but many small operators."""

    def forward(
        self, padded: Tensor, weight: Tensor, bias: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> Tensor:
        """Return rows (N·V / stride, C_out) for padded rows (N·V + 1, C_in)."""
        taps, pairs = _taps(weight), active.pairs(block, stride)
        if _is_unit(stride):
            result = as_accumulator(torch.addmm(bias, padded[:-1], taps[CENTRE].t()))
        else:
            z, y, x = divide_exactly(block, stride)
            result = as_accumulator(bias).repeat(len(active) * z * y * x, 1)
        for tap, (outputs, inputs) in enumerate(pairs):
            if not (_is_unit(stride) and tap == CENTRE):
                result.index_add_(0, outputs, as_accumulator(padded.index_select(0, inputs) @ taps[tap].t()))
        return result.to(padded.dtype)

    def weight_gradient(
        self, grad: Tensor, padded: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> Tensor:
        """Return the weight's gradient, from the padded gradient of the output."""
        result = torch.empty_like(weight, memory_format=torch.channels_last_3d)
        for grad_tap, (outputs, inputs) in zip(_taps(result), active.pairs(block, stride), strict=True):
            torch.mm(grad.index_select(0, outputs).t(), padded.index_select(0, inputs), out=grad_tap)
        return result

    def add_input_gradient(
        self, grad_input: Tensor, grad: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> None:
        """Add the input's gradient to ``grad_input`` (N·V, C_in), from the padded gradient of the output."""
        taps = _taps(weight)
        total = as_accumulator(grad_input)
        for tap, (outputs, inputs) in enumerate(active.pairs(block, stride)):
            if _is_unit(stride) and tap == CENTRE:
                total += grad[:-1] @ taps[CENTRE]
            else:
                total.index_add_(0, inputs, as_accumulator(grad.index_select(0, outputs) @ taps[tap]))
        if total is not grad_input:
            grad_input.copy_(total)


def _is_unit(stride: Triple) -> bool:
    return set(stride) == {1}


def _taps(weight: Tensor) -> tuple[Tensor, ...]:
    """Return the 27 matrices (C_out, C_in) as views of channels-last memory, which BLAS reads without a copy."""
    return weight.contiguous(memory_format=torch.channels_last_3d).flatten(2).unbind(2)
