"""Layers of dense networks that keep feature maps channels last; those of PyTorch would copy them."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.networks.unet import GynBTNet
from gynbtnet.sparse.device_rules import DeviceRules, rules_for
from gynbtnet.sparse.norm import Norm

_leaky_relu_backward = torch.ops.aten.leaky_relu_backward.default


class DenseInstanceNorm3d(nn.InstanceNorm3d):
    """PyTorch's instance norm, with an implementation of its own for maps that are stored channels last.

    All arithmetic is in single precision or better. Maps in another format, and compiled networks, use PyTorch's.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, D, H, W) per sample and channel; the result has the memory format of the input."""
        if torch.compiler.is_compiling() or not is_channels_last(input):
            return super().forward(input)
        return normalise_channels_last(input, self)


class PointwiseConv3d(nn.Conv3d):
    """A 1×1×1 convolution, which is a matrix product for maps that are stored channels last."""

    def forward(self, input: Tensor) -> Tensor:
        """Compute (B, channels, D, H, W) from (B, in_channels, D, H, W), in the memory format of the input."""
        if torch.compiler.is_compiling() or not is_channels_last(input):
            return super().forward(input)
        return linear(input.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)


def use_channels_last_layers(network: GynBTNet) -> None:
    """Replace instance norms, projections and heads by the layers above, in place.

    Parameters and their names stay the same, and so do all results for maps in PyTorch's default format.

    Args:
        network: The network.
    """
    for block in network.modules():
        if isinstance(block, ResidualBlock):
            block.norm1, block.norm2 = _dense(block.norm1), _dense(block.norm2)
    for layers in (network.decoder.projections, network.decoder.heads):
        for number, convolution in enumerate(layers):
            layers[number] = _pointwise(cast("nn.Conv3d", convolution))


def as_channels_last(image: Tensor) -> Tensor:
    """Return (B, C, D, H, W) stored channels last, also with the strides of a single channel.

    PyTorch leaves the strides of a single channel as they are, and a convolution would then compute in the other
    format.

    Args:
        image: The image.

    Returns:
        The same values; the same memory if there is one channel.
    """
    batch, channels, depth, height, width = image.shape
    if channels > 1:
        return image.contiguous(memory_format=torch.channels_last_3d)
    strides = (depth * height * width, 1, height * width, width, 1)
    return image.contiguous().as_strided((batch, channels, depth, height, width), strides)


def is_channels_last(x: Tensor) -> bool:
    """Return whether (B, C, D, H, W) is stored channels last, and not both ways because an axis has length 1."""
    return x.is_contiguous(memory_format=torch.channels_last_3d) and not x.is_contiguous()


def normalise_channels_last(
    x: Tensor, norm: nn.InstanceNorm3d, rules: DeviceRules | None = None, slope: float = 1.0
) -> Tensor:
    """Return LeakyReLU of each sample's norm of a map that is stored channels last, in the same format.

    Args:
        x: (B, C, D, H, W), channels last.
        norm: Norm whose parameters and epsilon are used.
        rules: Rules of the device, which name the implementation. None: those of the map's device.
        slope: Slope of LeakyReLU; 1 for no activation.

    Returns:
        The result, with the shape of ``x``.
    """
    kernels = (rules or rules_for(x.device)).norm
    plan = Norm([x[0, 0].numel()] * len(x), norm.eps, kernels, slope=slope)
    return _NormActivation.apply(x, norm.weight, norm.bias, plan)  # type: ignore[no-untyped-call,no-any-return]


class _NormActivation(torch.autograd.Function):
    """Norm and activation of dense features with their own gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, plan: Norm) -> Tensor:
        out = torch.empty_like(x)
        moments = plan.forward(_voxels(x), weight, bias, _voxels(out))
        # without an activation the result isn't needed, and the next layer may overwrite it
        activated = out if plan.slope != 1 else None
        ctx.save_for_backward(x, activated, weight, *moments)
        ctx.plan = plan
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, activated, weight, *moments = ctx.saved_tensors
        plan: Norm = ctx.plan
        grad = grad.contiguous(memory_format=torch.channels_last_3d)
        # a new tensor, which the result overwrites
        g = grad.clone() if activated is None else _leaky_relu_backward(grad, activated, plan.slope, True)
        grads = plan.backward(_voxels(g), _voxels(x), (moments[0], moments[1]), weight)
        return g, *grads, None


def _voxels(x: Tensor) -> Tensor:
    """Return the rows (B·D·H·W, C) of (B, C, D, H, W) as a view; its memory must be channels last."""
    return x.movedim(1, -1).view(-1, x.shape[1])


def _dense(norm: nn.InstanceNorm3d | nn.BatchNorm3d) -> nn.InstanceNorm3d | nn.BatchNorm3d:
    """Return the norm with the same parameters, in our form if it is an instance norm."""
    if type(norm) is not nn.InstanceNorm3d:
        return norm
    own = DenseInstanceNorm3d(norm.num_features, norm.eps, affine=True)
    own.weight, own.bias = norm.weight, norm.bias
    return own.train(norm.training)


def _pointwise(convolution: nn.Conv3d) -> PointwiseConv3d:
    """Return a 1×1×1 convolution with the same parameters, in our form."""
    with torch.device("meta"):  # new weights would need memory, and random numbers
        own = PointwiseConv3d(convolution.in_channels, convolution.out_channels, 1)
    own.weight, own.bias = convolution.weight, convolution.bias
    return own.train(convolution.training)
