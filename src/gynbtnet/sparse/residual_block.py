"""A residual block on packed features, as one autograd function that stores less than its layers would."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.sparse.convolution import Convolution, cast_for_autocast, plan_convolution
from gynbtnet.sparse.device_rules import DeviceRules
from gynbtnet.sparse.kernels.interfaces import Moments
from gynbtnet.sparse.norm import Norm, plan_norm
from gynbtnet.sparse.packed import Packed, empty_rows

_leaky_relu_backward_into = torch.ops.aten.leaky_relu_backward.grad_input

Parameters = tuple[Tensor, ...]
"""Weight and bias of conv1, norm1, conv2, norm2 and, if the block projects its shortcut, of the shortcut."""


@dataclass(frozen=True)
class _BlockPlan:
    """Layers of a block in their sparse form: values and gradients, without an autograd graph."""

    conv1: Convolution
    norm1: Norm
    conv2: Convolution
    norm2: Norm
    shortcut: Convolution | None
    activation_checkpointing: bool

    def forward(
        self, x: Tensor, parameters: Parameters, moments: tuple[Moments, Moments] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Moments, Moments]:
        """Return both convolutions' rows, the padded output rows and both norms' moments for padded input rows."""
        w1, b1, scale1, shift1, w2, b2, scale2, shift2, *shortcut = parameters
        y1 = self.conv1.forward(x, w1, b1)
        z = empty_rows(y1, *y1.shape)
        moments1 = _normalise(self.norm1, y1, moments and moments[0], scale1, shift1, z[:-1])
        y2 = self.conv2.forward(z, w2, b2)
        out = z  # the same memory
        added = x[:-1] if self.shortcut is None else self.shortcut.forward(x, *shortcut)
        moments2 = _normalise(self.norm2, y2, moments and moments[1], scale2, shift2, out[:-1], added)
        return y1, y2, out, moments1, moments2

    def backward(
        self,
        grad: Tensor,
        x: Tensor,
        results: tuple[Tensor, Tensor, Tensor, Moments, Moments],
        parameters: Parameters,
        needs_input: bool,
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of the input's padded rows and of every parameter."""
        y1, y2, out, moments1, moments2 = results
        w1, _, scale1, shift1, w2, _, scale2, _, *shortcut = parameters
        g = empty_rows(y2, *y2.shape)
        _leaky_relu_backward_into(grad[:-1], out[:-1], self.norm2.slope, True, grad_input=g[:-1])
        grad_x = None
        grads_shortcut: tuple[Tensor, ...] = ()
        if self.shortcut is not None:
            grads_shortcut = self.shortcut.weight_gradient(g, x, shortcut[0]), g.sum(0)
            if needs_input:
                grad_x = torch.zeros_like(x)
                self.shortcut.add_input_gradient(grad_x[:-1], g, shortcut[0])
        elif needs_input:
            grad_x = g.clone()
        grads_norm2 = self.norm2.backward(g[:-1], y2, moments2, scale2)
        z = empty_rows(y1, *y1.shape)
        self.norm1.apply_moments(y1, moments1, scale1, shift1, z[:-1])
        grads2 = self.conv2.weight_gradient(g, z, w2), self.norm2.gradient_of_constant(g)
        grad_z = torch.zeros_like(z)
        self.conv2.add_input_gradient(grad_z[:-1], g, w2)
        g = grad_z
        grads_norm1 = self.norm1.backward(g[:-1], y1, moments1, scale1, z[:-1])
        del z
        grads1 = self.conv1.weight_gradient(g, x, w1), self.norm1.gradient_of_constant(g)
        if grad_x is not None:
            self.conv1.add_input_gradient(grad_x[:-1], g, w1)
        return grad_x, *grads1, *grads_norm1, *grads2, *grads_norm2, *grads_shortcut


def residual_block(
    packed: Packed, block: ResidualBlock, rules: DeviceRules, *, activation_checkpointing: bool = False
) -> Packed:
    """Compute ``block`` on active voxels only, by the rules of a device.

    Stored for the gradients are the results of both convolutions and the output, which is the next block's input. The
    activation between the convolutions is recomputed. With ``activation_checkpointing`` only the input is stored.

    Raises:
        ValueError: If the voxels of a mask cell are not divisible by the block's stride.
    """
    active, slope = packed.active, block.activation.negative_slope
    first = plan_convolution(block.conv1, active, packed.block, rules)
    shortcut = block.shortcut if isinstance(block.shortcut, nn.Conv3d) else None
    voxels = first.outputs // len(active)
    plan = _BlockPlan(
        first,
        plan_norm(block.norm1, active, voxels, rules, slope),
        plan_convolution(block.conv2, active, first.output_block, rules),
        plan_norm(block.norm2, active, voxels, rules, slope),
        None if shortcut is None else plan_convolution(shortcut, active, packed.block, rules),
        activation_checkpointing,
    )
    x, w1, b1, w2, b2 = cast_for_autocast(
        packed.padded, block.conv1.weight, block.conv1.bias, block.conv2.weight, block.conv2.bias
    )
    norm1, norm2 = block.norm1, block.norm2
    parameters: tuple[Tensor | None, ...] = (w1, b1, norm1.weight, norm1.bias, w2, b2, norm2.weight, norm2.bias)
    if shortcut is not None:
        parameters += cast_for_autocast(shortcut.weight, shortcut.bias)
    result: Tensor = _Residual.apply(plan, block, x, *parameters)  # type: ignore[no-untyped-call]
    return Packed(result, first.output_block, packed.active)


class _Residual(torch.autograd.Function):
    """Residual block with its own gradient."""

    @staticmethod
    def forward(ctx: Any, plan: _BlockPlan, block: ResidualBlock, x: Tensor, *parameters: Tensor) -> Tensor:
        y1, y2, out, moments1, moments2 = plan.forward(x, parameters)
        plan.norm1.update_running_statistics(moments1, block.norm1)
        plan.norm2.update_running_statistics(moments2, block.norm2)
        stored = () if plan.activation_checkpointing else (y1, y2, out)
        ctx.save_for_backward(x, *moments1, *moments2, *parameters, *stored)
        ctx.plan, ctx.parameters = plan, len(parameters)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        plan: _BlockPlan = ctx.plan
        x, mean1, variance1, mean2, variance2, *others = ctx.saved_tensors
        parameters, stored = tuple(others[: ctx.parameters]), others[ctx.parameters :]
        moments = (mean1, variance1), (mean2, variance2)
        y1, y2, out = stored or plan.forward(x, parameters, moments)[:3]
        return None, None, *plan.backward(grad, x, (y1, y2, out, *moments), parameters, ctx.needs_input_grad[2])


def _normalise(
    norm: Norm,
    rows: Tensor,
    moments: Moments | None,
    weight: Tensor,
    bias: Tensor,
    out: Tensor,
    shortcut: Tensor | None = None,
) -> Moments:
    if moments is None:
        return norm.forward(rows, weight, bias, out, shortcut)
    norm.apply_moments(rows, moments, weight, bias, out, shortcut)
    return moments
