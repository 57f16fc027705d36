"""Dense feature maps for the decoder, made of packed features and mask tokens."""

import torch
from torch import Tensor, nn

from gynbtnet.networks.blocks import NormKind, make_norm
from gynbtnet.sparse.device_rules import DeviceRules
from gynbtnet.sparse.norm import normalise
from gynbtnet.sparse.packed import Packed, unpack


class Densify(nn.Module):
    """Norm of the active voxels, a learned token for the masked ones, and a projection to the decoder's width.

    The projection is that of SparK (Tian et al. 2023, section 3.2). At the deepest level it is 1×1×1, or the identity
    if the widths are equal. At the other levels it is 3×3×3 and mixes tokens and features.

    Args:
        channels: Channels of the encoder's level.
        width: Channels of the decoder's level.
        deepest: If true, this is the deepest level.
        norm: Kind of the norm.
    """

    def __init__(self, channels: int, width: int, *, deepest: bool, norm: NormKind = "instance") -> None:
        super().__init__()
        self.norm = make_norm(norm, channels)
        self.mask_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(channels), std=0.02))
        self.projection = make_projection(channels, width, deepest=deepest)

    def forward(self, packed: Packed) -> Tensor:
        """Compute (B, width, D, H, W) from packed features."""
        return self.projection(self.filled(packed))  # type: ignore[no-any-return]

    def filled(self, packed: Packed, rules: DeviceRules | None = None) -> Tensor:
        """Return normalised features (B, C, D, H, W) with the token in masked voxels, before the projection.

        Without ``rules``, those of the features' device are used.
        """
        return unpack(normalise(packed, self.norm, rules), self.mask_token)


def make_projection(channels: int, width: int, *, deepest: bool) -> nn.Module:
    """Make the projection of one level to the decoder's width, see :class:`Densify`."""
    if not deepest:
        return nn.Conv3d(channels, width, 3, padding=1)
    return nn.Identity() if channels == width else nn.Conv3d(channels, width, 1)
