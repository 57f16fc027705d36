"""Swin-UNETR's encoder with the three heads of its self-supervised pretraining.

Importing this file imports MONAI, see :mod:`gynbtnet.networks.swin_unetr`.
"""

from typing import NamedTuple

from torch import Tensor, nn

from gynbtnet.networks.swin_unetr import crop_like, find_feature_size, pad_to_multiple, swin_encoder

ROTATIONS = 4
_REPRESENTATION = 512  # as published


class ProxyAnswers(NamedTuple):
    """What the heads say of (B, in_channels, D, H, W).

    Attributes:
        image: of its shape, what it was before voxels were cut out of it.
        rotation: (B, 4) logits of the quarter turns.
        representation: (B, 512), alike for two views of one sub-volume.
    """

    image: Tensor
    rotation: Tensor
    representation: Tensor


class SwinPretraining(nn.Module):
    """The encoder, under the names that it has in :class:`gynbtnet.networks.swin_unetr.SwinUNETR`, and three heads.

    Tang et al. 2022, "Self-supervised pre-training of Swin transformers for 3D medical image analysis", CVPR, section
    3: a transposed convolution reconstructs, and linear layers tell the rotation and represent the sub-volume. These
    two read the deepest features' mean over voxels.

    Args:
        preset: as of ``SwinUNETR``.
        in_channels: channels of the image, 1 for CT.

    Raises:
        BadInput: where no preset has the name.
    """

    def __init__(self, preset: str = "F48", in_channels: int = 1) -> None:
        super().__init__()
        deepest = 16 * find_feature_size(preset)
        self.swinViT = swin_encoder(preset, in_channels)
        self.reconstruction = nn.ConvTranspose3d(deepest, in_channels, 32, stride=32)
        self.rotation = nn.Linear(deepest, ROTATIONS)
        self.representation = nn.Linear(deepest, _REPRESENTATION)

    def forward(self, image: Tensor) -> ProxyAnswers:
        """The heads' answers to an image (B, in_channels, D, H, W)."""
        features = self.swinViT(pad_to_multiple(image))[-1]
        whole = features.mean((2, 3, 4))
        return ProxyAnswers(
            crop_like(self.reconstruction(features), image), self.rotation(whole), self.representation(whole)
        )
