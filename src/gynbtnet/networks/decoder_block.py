"""The first block of a decoder level: the map from below and the skip, read without being put together."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d, interpolate

from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.networks.inference_ops import convolve_with
from gynbtnet.networks.upsampled_convolution import convolve_upsampled
from gynbtnet.runtime.array_types import Triple

_FEWEST = 256  # voxels below under which summing the weights costs more than it saves, measured at 256 and 512 channels


class DecoderBlock(ResidualBlock):
    """A residual block over two maps of as many channels: the one from below, upsampled, and behind it the skip.

    Convolutions are linear, so those that read both maps are each a sum of two, and what they make of the upsampled map
    is computed on the small one: the same numbers to rounding, fewer operations, and no large maps between.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(2 * channels, channels, projects=True)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]
        """(B, channels, d, h, w) and (B, channels, D, H, W) → (B, channels, D, H, W)."""
        if use_split_form(below):
            return self.split(below, skip)
        return self.plain(below, skip)

    def plain(self, below: Tensor, skip: Tensor) -> Tensor:
        """Upsample, concatenate, and do as any residual block."""
        return super().forward(torch.cat((upsample(below, skip.shape[2:]), skip), dim=1))

    def split(self, below: Tensor, skip: Tensor) -> Tensor:
        """The same, neither upsampling nor concatenating what is to be convolved."""
        channels = below.shape[1]
        stride = tuple(large // small for large, small in zip(skip.shape[2:], below.shape[2:], strict=True))
        projection = cast("nn.Conv3d", self.shortcut)
        weight, shortcut_weight = self.conv1.weight, projection.weight
        y = convolve_upsampled(below, weight[:, :channels], cast("Triple", stride))
        y = self.refine(convolve_with(skip, weight[:, channels:], self.conv1.bias, onto=y))
        y = convolve_with(skip, shortcut_weight[:, channels:], projection.bias, onto=y)
        y = add_upsampled(y, conv3d(below, shortcut_weight[:, :channels]))
        return self.activation(y)  # type: ignore[no-any-return]


class DecoderLevel(nn.Sequential):
    """A merging block, then residual blocks."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__(DecoderBlock(channels), *(ResidualBlock(channels, channels) for _ in range(depth - 1)))

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]
        """(B, channels, d, h, w) and (B, channels, D, H, W) → (B, channels, D, H, W)."""
        merge, *refine = self
        x = merge(below, skip)
        for block in refine:
            x = block(x)
        return x  # type: ignore[no-any-return]


def use_split_form(below: Tensor) -> bool:
    """Whether the split form is faster: measured on a CPU, for grids of any size but the smallest.

    Elsewhere nothing was measured, and the plain form runs, as it does in an exported graph. ``benchmarks/decoder.py``
    measures both.
    """
    if torch.compiler.is_exporting():
        return False
    return below.device.type == "cpu" and below.shape[0] * below[0, 0].numel() >= _FEWEST


def upsample(x: Tensor, shape: torch.Size) -> Tensor:
    """Nearest-neighbour resize of (B, C, D, H, W) to ``shape``; nothing to do below a stride of 1."""
    return x if x.shape[2:] == shape else interpolate(x, size=tuple(shape), mode="nearest")


def add_upsampled(large: Tensor, small: Tensor) -> Tensor:
    """Add each voxel of ``small`` to all those of ``large`` (B, C, D, H, W) over it; returns ``large``."""
    steps = [n // m for n, m in zip(large.shape[2:], small.shape[2:], strict=True)]
    sizes = [size for pair in zip(small.shape[2:], steps, strict=True) for size in pair]
    large.view(*large.shape[:2], *sizes).add_(small[:, :, :, None, :, None, :, None])
    return large
