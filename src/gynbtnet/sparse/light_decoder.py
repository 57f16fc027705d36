"""The small dense decoder of masked pretraining, thrown away afterwards."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from gynbtnet.networks.unet import upsample


class LightDecoder(nn.Module):
    """Upsample, add the level's densified features, convolve once; 1×1×1 to the image at the end.

    The 1×1×1 projection between two widths stands before the upsampling, which gives the same at an eighth of the cost.
    """

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        pairs = list(pairwise(reversed(widths)))
        self.projections = nn.ModuleList(nn.Conv3d(below, width, 1) for below, width in pairs)
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(width, width, 3, padding=1),
                nn.InstanceNorm3d(width, affine=True),
                nn.LeakyReLU(0.01, inplace=True),
            )
            for _, width in pairs
        )
        self.head = nn.Conv3d(widths[0], outputs, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Dense features of every level, fine to coarse → (B, outputs, D, H, W)."""
        *skips, x = features
        for projection, level, skip in zip(self.projections, self.levels, reversed(skips), strict=True):
            x = level(upsample(projection(x), skip.shape[2:]) + skip)
        return self.head(x)  # type: ignore[no-any-return]
