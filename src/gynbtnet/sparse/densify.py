"""Dense feature maps for the decoder, made of packed features and mask tokens."""

import torch
from torch import Tensor, nn

from gynbtnet.networks.blocks import NormKind, make_norm
from gynbtnet.sparse.device_rules import DeviceRules, rules_for
from gynbtnet.sparse.filled_projection import project_filled
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

    def forward(self, packed: Packed, rules: DeviceRules | None = None) -> Tensor:
        """Compute (B, width, D, H, W) from packed features.

        Without ``rules``, those of the features' device are used.
        """
        rules = rules or rules_for(packed.padded.device)
        projection = self.projection
        if isinstance(projection, nn.Conv3d) and projection.kernel_size == (3, 3, 3):
            return project_filled(packed, self.norm, self.mask_token, projection, rules)
        filled = unpack(normalise(packed, self.norm, rules), self.mask_token)
        return projection(filled)  # type: ignore[no-any-return]


def make_projection(channels: int, width: int, *, deepest: bool) -> nn.Module:
    """Make the projection of one level to the decoder's width, see :class:`Densify`."""
    if not deepest:
        return nn.Conv3d(channels, width, 3, padding=1)
    return nn.Identity() if channels == width else nn.Conv3d(channels, width, 1)
