"""Submanifold convolution of packed features with a dense convolution's own parameters."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks, divide_exactly
from gynbtnet.sparse.packed import Packed, empty_rows, strided_rows
from gynbtnet.sparse.pair_convolution import add_pair_input_gradient, pair_convolution, pair_weight_gradient
from gynbtnet.sparse.tile_convolution import (
    TILE_VALUES,
    add_tile_input_gradient,
    tile_convolution,
    tile_weight_gradient,
)

TILED_UP_TO = ((2.0, float("inf")), (4.0, 128 * 256))
"""Where tiles win on a CPU: a block with its halo has at most so many times the block's voxels, and the weight fewer
than so many input × output channels. So edges of 8 and more are always tiled, edges of 4 below 128 → 256 channels."""


@dataclass(frozen=True)
class Convolution:
    """A 3×3×3 or 1×1×1 convolution at one place of the network, its values and gradients without an autograd graph.

    Attributes:
        active: the blocks.
        block: voxels of one block at the input, (z, y, x).
        stride: 1 or 2 along (z, y, x).
        kernel: edge, 3 or 1.
        tiled_up_to: limits up to which a block is convolved in tiles, as :data:`TILED_UP_TO`.
        tile_values: number of values that are gathered in tiles at a time.
    """

    active: ActiveBlocks
    block: Triple
    stride: tuple[int, ...]
    kernel: int = 3
    tiled_up_to: tuple[tuple[float, float], ...] = TILED_UP_TO
    tile_values: int = TILE_VALUES

    @cached_property
    def output_block(self) -> Triple:
        """Voxels of one block at the output."""
        return divide_exactly(self.block, self.stride)

    @property
    def outputs(self) -> int:
        """Rows at the output."""
        return len(self.active) * prod(self.output_block)

    def forward(self, padded: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Padded rows of the input → rows of the output."""
        if self.kernel == 1:
            return torch.addmm(bias, self.read(padded), weight.flatten(1).t())
        given = (padded, weight, bias, self.active, self.block, self.stride)
        return tile_convolution(*given, self.tile_values) if self._tiled(weight) else pair_convolution(*given)

    def weight_gradient(self, grad: Tensor, padded: Tensor, weight: Tensor) -> Tensor:
        """The weight's gradient, lying as the weight does, from the output's gradient and the input, both padded."""
        if self.kernel == 1:
            return (grad[:-1].t() @ self.read(padded)).view_as(weight)
        given = (grad, padded, weight, self.active, self.block, self.stride)
        found = tile_weight_gradient(*given, self.tile_values) if self._tiled(weight) else pair_weight_gradient(*given)
        return found if found.stride() == weight.stride() else torch.empty_like(weight).copy_(found)

    def add_input_gradient(self, grad_input: Tensor, grad: Tensor, weight: Tensor) -> None:
        """Add the input's gradient to rows of the input, from the padded rows of the output's gradient."""
        if self.kernel == 1:
            into = strided_rows(grad_input, self.block, self.stride)
            into += (grad[:-1] @ weight.flatten(1)).view(into.shape)
        else:
            given = (grad_input, grad, weight, self.active, self.block, self.stride)
            if self._tiled(weight):
                add_tile_input_gradient(*given, self.tile_values)
            else:
                add_pair_input_gradient(*given)

    def read(self, padded: Tensor) -> Tensor:
        """The input's rows that a 1×1×1 convolution reads: a view at stride 1."""
        return strided_rows(padded[:-1], self.block, self.stride).reshape(-1, padded.shape[1])

    def _tiled(self, weight: Tensor) -> bool:
        halo = prod(n + 2 for n in self.block) / prod(self.block)
        matrix = weight.shape[0] * weight.shape[1]
        return any(halo <= largest and matrix < channels for largest, channels in self.tiled_up_to)


def plan_convolution(conv: nn.Conv3d, active: ActiveBlocks, block: Triple) -> Convolution:
    """``conv`` at a place where blocks have ``block`` voxels.

    Raises:
        ValueError: where ``conv`` isn't 1×1×1 or 3×3×3 with "same" padding and bias, or a block doesn't divide by its
            stride.
    """
    kernel, stride = conv.kernel_size, conv.stride
    if kernel not in ((1, 1, 1), (3, 3, 3)) or conv.padding != tuple(k // 2 for k in kernel) or conv.bias is None:
        raise ValueError(f"a sparse convolution is 1×1×1 or 3×3×3, padded by half, with a bias; not {conv}")
    divide_exactly(block, stride)
    return Convolution(active, block, stride, kernel[0])


def convolve(
    packed: Packed,
    conv: nn.Conv3d,
    *,
    tiled_up_to: tuple[tuple[float, float], ...] = TILED_UP_TO,
    tile_values: int = TILE_VALUES,
) -> Packed:
    """What ``conv`` gives at the active voxels where the masked ones hold zero; masked voxels stay masked.

    Computes active blocks only. Equals ``conv(dense) * mask`` in values and gradients.

    Raises:
        ValueError: as :func:`plan_convolution`.
    """
    plan = plan_convolution(conv, packed.active, packed.block)
    plan = replace(plan, tiled_up_to=tiled_up_to, tile_values=tile_values)
    tensors = at_autocast_precision(packed.padded, conv.weight, conv.bias)
    result: Tensor = _Convolve.apply(*tensors, plan)  # type: ignore[no-untyped-call]
    return Packed(result, plan.output_block, packed.active)


def at_autocast_precision(*tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    """Autocast casts for torch's own convolutions and doesn't know of ours."""
    device = next(tensor.device.type for tensor in tensors if tensor is not None)
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(tensor if tensor is None else tensor.to(dtype) for tensor in tensors)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, padded: Tensor, weight: Tensor, bias: Tensor, plan: Convolution) -> Tensor:
        ctx.save_for_backward(padded, weight)
        ctx.plan = plan
        result = empty_rows(padded, plan.outputs, len(weight))
        result[:-1] = plan.forward(padded, weight, bias)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        padded, weight = ctx.saved_tensors
        plan: Convolution = ctx.plan
        grad = torch.cat((grad[:-1], torch.zeros_like(grad[-1:])))
        grad_input = None
        if ctx.needs_input_grad[0]:
            grad_input = torch.zeros_like(padded)
            plan.add_input_gradient(grad_input[:-1], grad, weight)
        return grad_input, plan.weight_gradient(grad, padded, weight), grad.sum(0), None
