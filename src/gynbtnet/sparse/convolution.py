"""Submanifold convolution of packed features with the parameters of a dense convolution."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks, divide_exactly
from gynbtnet.sparse.device_rules import DeviceRules, rules_for
from gynbtnet.sparse.kernels.interfaces import ConvolutionKernels
from gynbtnet.sparse.packed import Packed, empty_rows, strided_rows


@dataclass(frozen=True)
class Convolution:
    """A 3×3×3 or 1×1×1 convolution of one layer: its values and gradients, without an autograd graph.

    Attributes:
        active: The active blocks.
        block: Voxels (z, y, x) of one block at the input.
        stride: 1 or 2 along (z, y, x).
        kernels: Implementation of a 3×3×3 convolution; None for a 1×1×1 convolution.
    """

    active: ActiveBlocks
    block: Triple
    stride: Triple
    kernels: ConvolutionKernels | None

    @cached_property
    def output_block(self) -> Triple:
        """Voxels (z, y, x) of one block at the output."""
        return divide_exactly(self.block, self.stride)

    @property
    def outputs(self) -> int:
        """Number of rows at the output."""
        return len(self.active) * prod(self.output_block)

    def forward(self, padded: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the rows of the output for padded rows of the input."""
        if self.kernels is None:
            return torch.addmm(bias, self.input_rows(padded), weight.flatten(1).t())
        return self.kernels.forward(padded, weight, bias, self.active, self.block, self.stride)

    def weight_gradient(self, grad: Tensor, padded: Tensor, weight: Tensor) -> Tensor:
        """Return the weight's gradient, in the weight's memory layout, from the padded output gradient and input."""
        if self.kernels is None:
            return (grad[:-1].t() @ self.input_rows(padded)).view_as(weight)
        result = self.kernels.weight_gradient(grad, padded, weight, self.active, self.block, self.stride)
        return result if result.stride() == weight.stride() else torch.empty_like(weight).copy_(result)

    def add_input_gradient(self, grad_input: Tensor, grad: Tensor, weight: Tensor) -> None:
        """Add the input's gradient to ``grad_input``, rows of the input, from the padded output gradient ``grad``."""
        if self.kernels is None:
            target = strided_rows(grad_input, self.block, self.stride)
            target += (grad[:-1] @ weight.flatten(1)).view(target.shape)
        else:
            self.kernels.add_input_gradient(grad_input, grad, weight, self.active, self.block, self.stride)

    def input_rows(self, padded: Tensor) -> Tensor:
        """Return the rows of the input that a 1×1×1 convolution reads; a view if the stride is 1."""
        return strided_rows(padded[:-1], self.block, self.stride).reshape(-1, padded.shape[1])


def plan_convolution(conv: nn.Conv3d, active: ActiveBlocks, block: Triple, rules: DeviceRules) -> Convolution:
    """Return the sparse form of ``conv`` for blocks of ``block`` voxels (z, y, x).

    Raises:
        ValueError: If ``conv`` isn't 1×1×1 or 3×3×3 with "same" padding and bias, or a block is not divisible by its
            stride.
    """
    kernel, stride = conv.kernel_size, conv.stride
    if kernel not in ((1, 1, 1), (3, 3, 3)) or conv.padding != tuple(k // 2 for k in kernel) or conv.bias is None:
        raise ValueError(f"a sparse convolution is 1×1×1 or 3×3×3, padded by half, with a bias; not {conv}")
    z, y, x = stride
    divide_exactly(block, stride)
    kernels = rules.convolution(block, (z, y, x), conv.weight.shape) if kernel == (3, 3, 3) else None
    return Convolution(active, block, (z, y, x), kernels)


def convolve(packed: Packed, conv: nn.Conv3d, rules: DeviceRules | None = None) -> Packed:
    """Convolve active voxels; masked voxels count as zero and stay masked.

    Only active blocks are computed. Values and gradients equal those of ``conv(dense) * mask``. Without ``rules``,
    those of the features' device are used.

    Raises:
        ValueError: As for :func:`plan_convolution`.
    """
    plan = plan_convolution(conv, packed.active, packed.block, rules or rules_for(packed.padded.device))
    tensors = cast_for_autocast(packed.padded, conv.weight, conv.bias)
    result: Tensor = _Convolve.apply(*tensors, plan)  # type: ignore[no-untyped-call]
    return Packed(result, plan.output_block, packed.active)


def cast_for_autocast(*tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    """Cast tensors as autocast casts those of PyTorch's convolutions; it does not know these functions."""
    device = next(tensor.device.type for tensor in tensors if tensor is not None)
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(tensor if tensor is None else tensor.to(dtype) for tensor in tensors)


class _Convolve(torch.autograd.Function):
    """Sparse convolution with its own gradient."""

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
