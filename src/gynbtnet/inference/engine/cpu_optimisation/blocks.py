"""Residual blocks and decoder blocks that overwrite their intermediate maps."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d

from gynbtnet.inference.engine.cpu_optimisation.inplace_norm import normalise_inplace
from gynbtnet.inference.engine.cpu_optimisation.slab_convolution import (
    add_convolution_inplace,
    convolve,
    convolve_inplace,
)
from gynbtnet.inference.engine.cpu_optimisation.tuning import CpuTuning
from gynbtnet.inference.engine.cpu_optimisation.upsampled_convolution import convolve_upsampled
from gynbtnet.networks.blocks import ResidualBlock, upsample
from gynbtnet.runtime.array_types import Triple

_UNIT: Triple = (1, 1, 1)


class CpuResidualBlock(nn.Module):
    """A residual block whose second convolution and norms overwrite their inputs; the block's input is kept.

    Args:
        block: Block whose parameters are used, under the same names.
        tuning: Sizes from which each form is used.
    """

    def __init__(self, block: ResidualBlock, tuning: CpuTuning) -> None:
        super().__init__()
        self.conv1, self.norm1 = block.conv1, block.norm1
        self.conv2, self.norm2 = block.conv2, block.norm2
        self.shortcut, self.activation = block.shortcut, block.activation
        self.tuning = tuning

    def forward(self, x: Tensor) -> Tensor:
        """Compute what :meth:`ResidualBlock.forward` computes."""
        slab_values = self.tuning.slab_values
        stride = cast("Triple", self.conv1.stride)
        y = self._refine(convolve(x, self.conv1.weight, self.conv1.bias, stride, slab_values=slab_values))
        if isinstance(self.shortcut, nn.Conv3d):
            weight, bias = self.shortcut.weight, self.shortcut.bias
            add_convolution_inplace(y, x, weight, bias, stride, slab_values=slab_values)
        else:
            y.add_(x)
        return self.activation(y)  # type: ignore[no-any-return]

    def _refine(self, y: Tensor) -> Tensor:
        """Run every layer from the first norm to the second one; ``y`` may be overwritten."""
        y = self.activation(normalise_inplace(self.norm1, y, min_voxels=self.tuning.min_norm_voxels))
        y = convolve_inplace(y, self.conv2.weight, self.conv2.bias, slab_values=self.tuning.slab_values)
        return normalise_inplace(self.norm2, y, min_voxels=self.tuning.min_norm_voxels)


class CpuDecoderBlock(CpuResidualBlock):
    """First block of a decoder level: ``block(concat(upsample(below), skip))`` without the concatenated map.

    A convolution is linear: on a concatenation it is the sum of two convolutions. That of the upsampled map is
    computed on the small map: same results to rounding, fewer operations, and no large intermediate maps.
    """

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]
        """Compute (B, channels, D, H, W) from ``below`` (B, channels, d, h, w) and ``skip`` (B, channels, D, H, W)."""
        if below.shape[0] * below[0, 0].numel() < self.tuning.min_split_voxels:
            return super().forward(torch.cat((upsample(below, skip.shape[2:]), skip), dim=1))
        return self._forward_split(below, skip)

    def _forward_split(self, below: Tensor, skip: Tensor) -> Tensor:
        """Convolve both maps separately, the one from below before it is upsampled."""
        channels, slab_values = below.shape[1], self.tuning.slab_values
        stride = cast("Triple", tuple(n // m for n, m in zip(skip.shape[2:], below.shape[2:], strict=True)))
        projection = cast("nn.Conv3d", self.shortcut)
        weight, projection_weight = self.conv1.weight, projection.weight
        y = convolve_upsampled(below, weight[:, :channels], stride, self.tuning)
        add_convolution_inplace(y, skip, weight[:, channels:], self.conv1.bias, _UNIT, slab_values=slab_values)
        y = self._refine(y)
        add_convolution_inplace(
            y, skip, projection_weight[:, channels:], projection.bias, _UNIT, slab_values=slab_values
        )
        _add_upsampled_inplace(y, conv3d(below, projection_weight[:, :channels]))
        return self.activation(y)  # type: ignore[no-any-return]


def _add_upsampled_inplace(large: Tensor, small: Tensor) -> None:
    """Add each voxel of ``small`` to all voxels of ``large`` (B, C, D, H, W) that are its copies after upsampling."""
    steps = [n // m for n, m in zip(large.shape[2:], small.shape[2:], strict=True)]
    sizes = [size for pair in zip(small.shape[2:], steps, strict=True) for size in pair]
    large.view(*large.shape[:2], *sizes).add_(small[:, :, :, None, :, None, :, None])
