"""Forward pass of the encoder on active blocks only."""

from typing import cast

from torch import Tensor

from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.networks.unet import Encoder
from gynbtnet.sparse.active_blocks import ActiveBlocks, divide_exactly
from gynbtnet.sparse.device_rules import DeviceRules, rules_for
from gynbtnet.sparse.packed import Packed, pack
from gynbtnet.sparse.residual_block import residual_block


def sparse_encode(
    encoder: Encoder,
    image: Tensor,
    active: ActiveBlocks | Tensor,
    *,
    activation_checkpointing: bool = False,
    rules: DeviceRules | None = None,
) -> list[Packed]:
    """Compute the features of the active voxels of an image.

    The parameters are those of the dense ``encoder``; nothing is converted. Masked voxels are never read.

    Args:
        encoder: The dense encoder.
        image: (B, C, D, H, W).
        active: Cells that the encoder reads, or a boolean mask (B, gz, gy, gx) that is true for them.
        activation_checkpointing: If true, only each block's output is stored for the gradients, and the rest is
            recomputed: less memory, more time.
        rules: Rules of the device. None: those of the image's device.

    Returns:
        Features of every level, fine to coarse.

    Raises:
        ValueError: If the image is not divisible into mask cells, or a cell by the encoder's total stride.
    """
    if isinstance(active, Tensor):
        active = ActiveBlocks(active, image.device)
    divide_exactly(image.shape[2:], active.grid)
    rules = rules or rules_for(image.device)
    packed = pack(image, active.merged())
    features = []
    for level in encoder.levels.children():
        for block in level.children():
            packed = residual_block(
                packed, cast("ResidualBlock", block), rules, activation_checkpointing=activation_checkpointing
            )
        features.append(packed)
    return features
