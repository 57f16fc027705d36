"""Small dense decoder of masked pretraining, which is discarded afterwards."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.backends import cudnn
from torch.nn.functional import leaky_relu, linear

from gynbtnet.networks.blocks import upsample


class LightDecoder(nn.Module):
    """A decoder with one convolution per level.

    Each level projects the map below by a 1×1×1 convolution, upsamples it, adds the encoder's dense features and
    convolves once. Projecting before upsampling gives the same result at an eighth of the cost. A last 1×1×1
    convolution returns the image.

    Args:
        widths: Channels of each level, fine to coarse.
        outputs: Channels of the image.
    """

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
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
            x = leaky_relu(_instance_norm(x, cast("nn.InstanceNorm3d", norm)), 0.01, inplace=True)
        return linear(x.movedim(1, -1), self.head.weight.flatten(1), self.head.bias).movedim(-1, 1)


def _instance_norm(x: Tensor, norm: nn.InstanceNorm3d) -> Tensor:
    """Normalise each sample by the batch norm, which keeps memory channels last; torch's instance norm does not."""
    samples = [
        torch.batch_norm(x[i : i + 1], norm.weight, norm.bias, None, None, True, 0.0, norm.eps, cudnn.enabled)
        for i in range(len(x))
    ]
    return torch.cat(samples) if len(samples) > 1 else samples[0]
