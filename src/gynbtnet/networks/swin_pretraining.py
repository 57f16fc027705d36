"""Swin-UNETR's encoder with the three heads of its self-supervised pretraining.

Importing this file imports MONAI, see :mod:`gynbtnet.networks.swin_unetr`.
"""

from typing import NamedTuple

from torch import Tensor, nn

from gynbtnet.networks.swin_unetr import crop_like, find_feature_size, make_swin_encoder, pad_to_multiple

ROTATIONS = 4
_REPRESENTATION = 512  # as published


class ProxyOutputs(NamedTuple):
    """Outputs of the three heads for an image (B, in_channels, D, H, W).

    Attributes:
        image: Reconstruction (B, in_channels, D, H, W) of the image before voxels were cut out of it.
        rotation: Logits (B, 4) of the quarter turns.
        representation: (B, 512), similar for two views of the same sub-volume.
    """

    image: Tensor
    rotation: Tensor
    representation: Tensor


class SwinPretraining(nn.Module):
    """Swin-UNETR's encoder and three heads.

    The encoder's parameters are named as in :class:`gynbtnet.networks.swin_unetr.SwinUNETR`. A transposed convolution
    reconstructs the image. Linear layers predict the rotation and represent the sub-volume, both from the mean of the
    deepest features over voxels.

    Source: section 3 of "Self-supervised pre-training of Swin transformers for 3D medical image analysis" (Tang et al.
    2022, CVPR).

    Args:
        preset: A name in ``FEATURE_SIZES``, as for ``SwinUNETR``.
        in_channels: Channels of the image, 1 for CT.

    Raises:
        BadInput: If no preset has the name.
    """

    def __init__(self, preset: str = "F48", in_channels: int = 1) -> None:
        super().__init__()
        deepest = 16 * find_feature_size(preset)
        self.swinViT = make_swin_encoder(preset, in_channels)
        self.reconstruction = nn.ConvTranspose3d(deepest, in_channels, 32, stride=32)
        self.rotation = nn.Linear(deepest, ROTATIONS)
        self.representation = nn.Linear(deepest, _REPRESENTATION)

    def forward(self, image: Tensor) -> ProxyOutputs:
        """Compute the outputs of the heads for an image (B, in_channels, D, H, W)."""
        features = self.swinViT(pad_to_multiple(image))[-1]
        mean = features.mean((2, 3, 4))
        return ProxyOutputs(
            crop_like(self.reconstruction(features), image), self.rotation(mean), self.representation(mean)
        )
