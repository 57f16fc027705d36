"""Small dense decoder of masked pretraining, which is discarded afterwards."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.backends import cudnn
from torch.nn.functional import leaky_relu, linear

from gynbtnet.networks.blocks import upsample
from gynbtnet.sparse.channels_last import normalise_channels_last
from gynbtnet.sparse.device_rules import DeviceRules

SLOPE = 0.01
"""Slope of LeakyReLU."""


class LightDecoder(nn.Module):
    """A decoder with one convolution per level.

    Each level projects the map below by a 1×1×1 convolution, upsamples it, adds the encoder's dense features and
    convolves once. Projecting before upsampling gives the same result at an eighth of the cost. A last 1×1×1
    convolution returns the image.

    Args:
        widths: Channels of each level, fine to coarse.
        outputs: Channels of the image.
        rules: Rules of the device, for the norms. None: those of the features' device.
    """

    def __init__(self, widths: Sequence[int], outputs: int, rules: DeviceRules | None = None) -> None:
        super().__init__()
        self.rules = rules
        pairs = list(pairwise(reversed(widths)))
        self.projections = nn.ModuleList(nn.Conv3d(below, width, 1) for below, width in pairs)
        self.convolutions = nn.ModuleList(nn.Conv3d(width, width, 3, padding=1) for _, width in pairs)
        self.norms = nn.ModuleList(nn.InstanceNorm3d(width, affine=True) for _, width in pairs)
        self.head = nn.Conv3d(widths[0], outputs, 1)

    @property
    def conv_norm_pairs(self) -> tuple[tuple[nn.Conv3d, nn.Module], ...]:
        """Each convolution with the norm that its output goes into."""
        pairs = zip(self.convolutions, self.norms, strict=True)
        return tuple((cast("nn.Conv3d", convolution), norm) for convolution, norm in pairs)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Compute (B, outputs, D, H, W) from dense features of every level, fine to coarse."""
        *skips, x = features
        levels = zip(self.projections, self.convolutions, self.norms, reversed(skips), strict=True)
        for projection, convolution, norm, skip in levels:
            x = convolution(upsample(projection(x), skip.shape[2:]) + skip)
            x = _normalise_and_activate(x, cast("nn.InstanceNorm3d", norm), self.rules)
        return linear(x.movedim(1, -1), self.head.weight.flatten(1), self.head.bias).movedim(-1, 1)


def _normalise_and_activate(x: Tensor, norm: nn.InstanceNorm3d, rules: DeviceRules | None) -> Tensor:
    """Return LeakyReLU of each sample's norm; memory stays channels last, unlike that of PyTorch's instance norm."""
    if torch.compiler.is_compiling() or not x.is_contiguous(memory_format=torch.channels_last_3d):
        return leaky_relu(_batch_norm_per_sample(x, norm), SLOPE, inplace=True)
    return normalise_channels_last(x, norm, rules, SLOPE)


def _batch_norm_per_sample(x: Tensor, norm: nn.InstanceNorm3d) -> Tensor:
    """Normalise each sample by operators that torch.compile can fuse, in any memory format."""
    samples = [
        torch.batch_norm(x[i : i + 1], norm.weight, norm.bias, None, None, True, 0.0, norm.eps, cudnn.enabled)
        for i in range(len(x))
    ]
    return torch.cat(samples) if len(samples) > 1 else samples[0]
