"""From packed features to what a dense decoder reads."""

import torch
from torch import Tensor, nn

from gynbtnet.networks.blocks import NormKind, make_norm
from gynbtnet.sparse.norm import normalise
from gynbtnet.sparse.packed import Packed, unpack


class Densify(nn.Module):
    """Normalise the active voxels, put a learned token into the masked ones, project to the decoder's width.

    As SparK does (Tian et al. 2023, section 3.2): a 1×1×1 projection at the deepest level, or none where the widths
    match; 3×3×3 at the others, where it mixes tokens and features.
    """

    def __init__(self, channels: int, width: int, *, deepest: bool, norm: NormKind = "instance") -> None:
        super().__init__()
        self.norm = make_norm(norm, channels)
        self.mask_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(channels), std=0.02))
        self.projection: nn.Module
        if deepest:
            self.projection = nn.Identity() if channels == width else nn.Conv3d(channels, width, 1)
        else:
            self.projection = nn.Conv3d(channels, width, 3, padding=1)

    def forward(self, packed: Packed) -> Tensor:
        """Packed features → (B, width, D, H, W)."""
        return self.projection(self.filled(packed))  # type: ignore[no-any-return]

    def filled(self, packed: Packed) -> Tensor:
        """Packed features → (B, C, D, H, W), normalised, with the token in masked voxels; not yet projected."""
        return unpack(normalise(packed, self.norm), self.mask_token)
