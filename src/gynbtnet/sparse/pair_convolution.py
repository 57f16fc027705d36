"""3×3×3 convolution of packed blocks, tap by tap: for blocks that are small beside their halo.

For each tap, the input rows that exist are multiplied with the tap's matrix and added to the output rows they meet. No
product is computed for a tap that falls on a masked block or outside the volume. Within a tap no output row occurs
twice, so the additions are deterministic on any device.
"""

import torch
from torch import Tensor

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks, divide_exactly
from gynbtnet.sparse.packed import zero_padded

CENTRE = 13
"""The tap that reads the voxel itself: at stride 1 every row meets its own, and nothing is gathered."""


def pair_convolution(
    padded: Tensor, weight: Tensor, bias: Tensor, active: ActiveBlocks, block: Triple, stride: tuple[int, ...]
) -> Tensor:
    """Padded rows (N·V + 1, C_in) → rows (N·V / stride, C_out)."""
    taps, pairs = _taps(weight), active.pairs(block, stride)
    if _keeps(stride):
        result = zero_padded(torch.addmm(bias, padded[:-1], taps[CENTRE].t()))
    else:
        z, y, x = divide_exactly(block, stride)
        result = zero_padded(bias).repeat(len(active) * z * y * x, 1)
    for tap, (written, read) in enumerate(pairs):
        if not (_keeps(stride) and tap == CENTRE):
            result.index_add_(0, written, zero_padded(padded.index_select(0, read) @ taps[tap].t()))
    return result.to(padded.dtype)


def pair_weight_gradient(
    grad: Tensor, padded: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: tuple[int, ...]
) -> Tensor:
    """The weight's gradient from the padded gradient of the output."""
    result = torch.empty_like(weight, memory_format=torch.channels_last_3d)
    for grad_tap, (written, read) in zip(_taps(result), active.pairs(block, stride), strict=True):
        torch.mm(grad.index_select(0, written).t(), padded.index_select(0, read), out=grad_tap)
    return result


def add_pair_input_gradient(
    grad_input: Tensor, grad: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: tuple[int, ...]
) -> None:
    """Add to rows (N·V, C_in) what the padded gradient of the output gives."""
    taps = _taps(weight)
    total = zero_padded(grad_input)
    for tap, (written, read) in enumerate(active.pairs(block, stride)):
        if _keeps(stride) and tap == CENTRE:
            total += grad[:-1] @ taps[CENTRE]
        else:
            total.index_add_(0, read, zero_padded(grad.index_select(0, written) @ taps[tap]))
    if total is not grad_input:
        grad_input.copy_(total)


def _keeps(stride: tuple[int, ...]) -> bool:
    return set(stride) == {1}


def _taps(weight: Tensor) -> tuple[Tensor, ...]:
    """The 27 matrices (C_out, C_in); views of channels-last memory, which BLAS reads as it lies."""
    return weight.contiguous(memory_format=torch.channels_last_3d).flatten(2).unbind(2)
